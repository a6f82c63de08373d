"""Runs the services: as local processes, in containers, monitored by Prometheus; and the demo."""
