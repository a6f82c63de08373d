"""The paper's comparison of classifiers, cell by cell: `make reproduce`."""
