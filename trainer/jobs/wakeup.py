"""The Celery message that wakes a worker.

The message names no job: a worker that is awake claims the job that fits it best. So a lost message costs
only time, because the trainer service sends another while jobs wait. A message that arrives twice does no
harm.
"""

from celery import Celery  # type: ignore[import-untyped]

QUEUE = "cgn-wake"  # the Redis list that holds the messages
TASK = "cgn.wake"


def celery_app(url: str) -> Celery:
    """The Celery application, with the Redis at url as broker and no result backend."""
    app = Celery("cgn", broker=url, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_acks_late=False,  # a message has done its work once it has woken a worker
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,  # a busy worker leaves messages to idle ones
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=2,
        broker_transport_options={"socket_connect_timeout": 2, "socket_keepalive": True},
    )
    return app


def wake(app: Celery) -> None:
    """Wakes one worker. Blocks; raises kombu.exceptions.OperationalError if the broker cannot be reached."""
    once = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1}
    app.send_task(TASK, queue=QUEUE, retry=True, retry_policy=once, ignore_result=True)
