"""What all cells share: result files, locks between processes, Markdown tables."""
