"""Measurement: time, memory, the GPU, the environment. Nothing here knows about models or settings."""
