"""Scoring: text normalisation and word errors. Nothing here knows about models or time."""
