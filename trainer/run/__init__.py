"""What every run has, whatever it computes: options, command line, training loop, checkpoints, report.

Nothing here knows Redis, jobs or a particular run.
"""
