"""Data sets of counterfactuals on disk."""
