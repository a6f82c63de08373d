"""The adversarial game that several trainings share: discriminators, their losses and optimisers."""
