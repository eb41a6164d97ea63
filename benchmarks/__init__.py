"""Benchmarks of the harness itself; `make bench` runs them. They print figures and assert nothing on seconds."""
