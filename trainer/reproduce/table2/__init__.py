"""The cells of table 2: classifiers trained on originals and counterfactuals of MNIST variants."""
