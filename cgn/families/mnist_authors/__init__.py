"""The authors' CGN for MNIST variants; their published checkpoints load into it."""
