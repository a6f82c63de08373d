"""Small runs for the tests of jobs: they count instead of training, and fail in different ways on request."""
