"""Runs: plain functions of a config, each a command of its own that needs no service."""
