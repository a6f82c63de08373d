"""What services and trainer share: settings, logs, metrics. Imports nothing else of this project."""
