"""What an awake worker does: claim jobs and run them, one after the other, until none fits."""

import logging
import threading
from collections.abc import Mapping

from common.metrics import WorkerMetrics
from common.settings import Paths
from trainer.jobs.claims import Claims
from trainer.worker.attempt import Attempt

log = logging.getLogger(__name__)


class Supervisor:
    """Runs jobs one at a time."""

    def __init__(
        self,
        claims: Claims,
        modules: Mapping[str, str],
        paths: Paths,
        metrics: WorkerMetrics,
        leave: threading.Event,
    ) -> None:
        """modules: which module runs a kind of job. leave: set when this worker is to stop."""
        self._claims = claims
        self._modules = modules
        self._paths = paths
        self._metrics = metrics
        self._leave = leave

    def run_pending(self) -> None:
        """Runs the jobs that fit this worker. Raises redis.exceptions.RedisError if none can be claimed."""
        while not self._leave.is_set() and (claim := self._claims.claim()):
            about = {"job_id": claim.job_id, "kind": claim.kind, "attempt": claim.attempt}
            log.info("job claimed", extra=about)
            self._metrics.busy.set(1)
            try:
                outcome = Attempt(claim, self._modules, self._paths, self._leave).run()
            finally:
                self._metrics.busy.set(0)
            self._metrics.jobs.labels(claim.kind, outcome).inc()
            log.info("job let go", extra={**about, "outcome": outcome})
