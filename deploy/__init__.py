"""How the services are run: as local processes, in containers, watched by Prometheus; and the demo."""
