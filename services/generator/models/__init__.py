"""Which models are served: loading, versions, aliases, deletion, description."""
