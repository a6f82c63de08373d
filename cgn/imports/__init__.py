"""Makes served models from the authors' public weights."""
