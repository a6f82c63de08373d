"""Small runs for the tests of jobs: they count instead of training, and misbehave on request."""
