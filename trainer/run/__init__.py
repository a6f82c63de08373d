"""What all runs share: options, command line, training loop, checkpoints and reports.

Nothing here depends on Redis, on jobs or on a particular run.
"""
