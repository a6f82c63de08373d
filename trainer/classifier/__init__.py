"""Trains classifiers on originals and counterfactuals, and scores them (paper section 4.2)."""
