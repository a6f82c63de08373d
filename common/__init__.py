"""Shared by services and trainer: settings, logs, metrics, Redis. Imports nothing else of this project."""
