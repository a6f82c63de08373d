"""Writes data sets of counterfactuals to disk."""
