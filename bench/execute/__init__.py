"""Execution: a run in a process of its own, watched from outside."""
