"""Real servers and random models, for tests and benchmarks."""
