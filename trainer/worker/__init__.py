"""The worker: a Celery worker that claims jobs and supervises each as a process of its own."""
