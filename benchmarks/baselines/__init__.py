"""What the product is compared with: plain PyTorch, the authors' networks and recipe, LitServe, BentoML."""
