"""The cells that need the public ImageNet weights: table 1 and the figures at 256 pixels."""
