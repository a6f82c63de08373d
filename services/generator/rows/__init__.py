"""Finds the rows of a plan: in the process's cache, in Redis, or from the engine."""
