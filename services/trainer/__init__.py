"""The trainer service: accepts jobs, shows them, and takes them back from lost workers."""
