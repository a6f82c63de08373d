"""The worker: a Celery worker that claims jobs and supervises the run of each as a separate process."""
