"""The adversarial game that several trainings play: discriminators, their losses and optimisers."""
