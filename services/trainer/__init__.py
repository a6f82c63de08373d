"""The trainer service: accepts jobs, shows them, and sees to it that none is lost."""
