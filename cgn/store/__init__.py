"""Models on disk: published versions, their cards and digests, and the aliases that point to them."""
