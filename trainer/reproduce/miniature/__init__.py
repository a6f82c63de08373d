"""The ImageNet experiments in miniature, on Wildlife MNIST, without any downloaded weights."""
