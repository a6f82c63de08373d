"""Turns a request into a plan: which rows it needs, and which rows each composite combines."""
