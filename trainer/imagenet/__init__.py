"""Trains a CGN of the ImageNet family (paper section 3.1, equation 4), and the networks it starts from."""
