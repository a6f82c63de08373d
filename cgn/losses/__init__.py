"""The losses of the papers, each under its equation number."""
