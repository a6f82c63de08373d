"""Real servers and random models, for the tests and the benchmarks."""
