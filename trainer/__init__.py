"""Long runs: the runs themselves, the jobs that queue them, and the worker that supervises them."""
