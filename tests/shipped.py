"""The models that belong to the repository."""

SHIPPED = {"colored_mnist": "v3", "double_colored_mnist": "v3", "wildlife_mnist": "v3"}
