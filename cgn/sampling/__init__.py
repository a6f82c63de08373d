"""Draws labelled random factors, and recombines banks of rows into counterfactual data sets."""
