"""Data: manifests become utterances, recordings become samples."""
