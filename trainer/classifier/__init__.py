"""Classifiers of originals and counterfactuals: training and scores (paper section 4.2)."""
