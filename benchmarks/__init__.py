"""Benchmarks: this project's speed beside other implementations."""
