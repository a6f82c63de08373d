"""Losses of the papers, by subject: equation 4 and its terms, masks, textures, adversarial training."""
