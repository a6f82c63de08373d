"""Turns rows into answers: composes, encodes, counts."""
