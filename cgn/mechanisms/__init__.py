"""Mechanisms by family: each maps noise and a label to an image-shaped tensor."""
