"""Claims jobs and runs them one after the other, until no job fits."""

import logging
import threading
from collections.abc import Mapping, Sequence

from common.metrics import WorkerMetrics
from common.settings import Paths
from trainer.jobs.claims import Claims
from trainer.worker.attempt import Attempt
from trainer.worker.gpus import free_slots

log = logging.getLogger(__name__)


class Supervisor:
    """Runs jobs one at a time."""

    def __init__(
        self,
        claims: Claims,
        commands: Mapping[str, Sequence[str]],
        paths: Paths,
        metrics: WorkerMetrics,
        leave: threading.Event,
        gpus: list[str],
        memory_mb: int,
    ) -> None:
        """commands: the words after `python -m` that run a job of each kind.

        leave: set when this worker is to stop. gpus: names of the GPUs that it offers. memory_mb: memory
        limit of a run in MiB; 0: no limit.
        """
        self._claims = claims
        self._commands = commands
        self._paths = paths
        self._metrics = metrics
        self._leave = leave
        self._gpus = gpus
        self._memory_mb = memory_mb

    def run_pending(self) -> None:
        """Runs the jobs that fit this worker. Raises redis.exceptions.RedisError if none can be claimed."""
        while not self._leave.is_set() and self._run_next():
            pass

    def _run_next(self) -> bool:
        """Runs a job that fits the free resources. Returns whether there was one."""
        with free_slots(self._gpus) as slots:
            claim = self._claims.claim(gpus=len(slots.devices))
            if claim is None:
                return False
            slots.keep(claim.resources.gpus)
            fields = {"job_id": claim.job_id, "kind": claim.kind, "attempt": claim.attempt}
            log.info("job claimed", extra=fields)
            self._metrics.busy.set(1)
            try:
                attempt = Attempt(claim, self._commands, self._paths, self._leave, slots, self._memory_mb)
                outcome = attempt.run()
            finally:
                self._metrics.busy.set(0)
            self._metrics.jobs.labels(claim.kind, outcome).inc()
            log.info("job released", extra={**fields, "outcome": outcome})
            return True
