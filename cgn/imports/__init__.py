"""Makes servable models from the authors' public weights."""
