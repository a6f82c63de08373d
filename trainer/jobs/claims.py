"""The worker's side of the jobs: claim a job, hold it by a lease, record its events, release it."""

import json
import time
from collections.abc import Iterable
from typing import Any

from redis import Redis

from trainer.jobs.events import Body, Progress, encode
from trainer.jobs.limits import LEASE_SECONDS
from trainer.jobs.outcome import Outcome, after_attempt
from trainer.jobs.record import Resources
from trainer.jobs.scripts import load
from trainer.jobs.states import JobState


class LeaseLost(Exception):
    """This worker no longer holds the job, and must stop its run at once.

    Another worker may hold the job now.
    """


class Claim:
    """A claimed job. Every write carries the claim's token, and is refused once this worker has lost the job.

    Methods raise LeaseLost, and redis.exceptions.RedisError if Redis cannot be reached.
    """

    def __init__(self, redis: Redis, lease_seconds: float, answer: list[Any]) -> None:
        self.job_id: str = answer[0]
        self.kind: str = answer[2]
        self.config: dict[str, Any] = json.loads(answer[3])
        self.resources = Resources(int(answer[4]), int(answer[5]))
        self.attempt = int(answer[6])
        self.resume_from_job: str = answer[7]  # the job with the checkpoint to begin with; empty: none
        self.time_limit_seconds = int(answer[8])  # 0: none
        self.token: int = int(answer[1])
        self._redis = redis
        self._appended = 0  # batches of events
        self._reported_at = time.monotonic()  # up to here the record counts the time of the run
        self.lease_seconds = lease_seconds
        self._renew = redis.register_script(load("renew"))
        self._append = redis.register_script(load("append"))
        self._show = redis.register_script(load("show"))
        self._release = redis.register_script(load("release"))

    def renew(self) -> JobState:
        """Renews the lease. Returns the job's state."""
        seconds, now = self._seconds()
        state = self._renew(args=[self.job_id, self.token, seconds])
        if state is None:
            raise LeaseLost(self.job_id)
        self._reported_at = now
        return JobState(state)

    def state(self) -> JobState:
        """Returns the job's state; CANCELLING asks the worker to stop the run."""
        token, state = self._redis.hmget(f"cgn:job:{self.job_id}", "token", "state")
        if token != str(self.token):
            raise LeaseLost(self.job_id)
        return JobState(str(state))

    def append(self, events: Iterable[Body]) -> None:
        """Writes events to the job's log, and progress and artefacts to its record.

        After a RedisError the next call must pass the same events again. If Redis has written them already,
        it ignores the second call.
        """
        flat = [text for event in events for text in encode(event)]
        if not self._append(args=[self.job_id, self.token, self._appended + 1, *flat]):
            raise LeaseLost(self.job_id)
        self._appended += 1

    def show(self, progress: Progress) -> None:
        """Writes progress to the job's record, and not to its log."""
        if not self._show(args=[self.job_id, self.token, encode(progress)[1]]):
            raise LeaseLost(self.job_id)

    def release(self, outcome: Outcome) -> JobState:
        """Ends the attempt.

        outcome: SUCCEEDED, FAILED for a reason, or PENDING to hand the job back. CANCELLED is for a job whose
        state() was CANCELLING.

        Returns the state that the job enters. It differs from the outcome's after a cancellation, the end of
        the time limit, or too many losses (trainer.jobs.outcome). Raises LeaseLost.
        """
        outcomes = after_attempt(outcome, self.time_limit_seconds).to_json()
        model, seconds = (outcome.model_name, outcome.model_version), self._seconds()[0]
        entered = self._release(args=[self.job_id, self.token, outcomes, int(outcome.lost), *model, seconds])
        if entered is None:
            raise LeaseLost(self.job_id)
        return JobState(entered)

    def _seconds(self) -> tuple[float, float]:
        """Returns the seconds of the run that the record does not count yet, and the monotonic time."""
        now = time.monotonic()
        return now - self._reported_at, now


class Claims:
    """A worker's access to the queue.

    Methods raise redis.exceptions.RedisError if Redis cannot be reached.
    """

    def __init__(
        self, redis: Redis, worker: str, offer: Resources, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        """redis: a client that decodes responses.

        worker: host:pid. offer: the most that a job may ask for.
        """
        self._redis = redis
        self._worker = worker
        self._offer = offer
        self._lease_seconds = lease_seconds
        self._claim = redis.register_script(load("claim"))
        self._announce = redis.register_script(load("announce"))

    def claim(self, gpus: int | None = None) -> Claim | None:
        """Claims the next job that fits the offer, by priority, use of the GPUs and age. None if no job fits.

        gpus: how many of the offered GPUs are free now; None: all.
        """
        offer, lease_ms = self._offer, round(self._lease_seconds * 1000)
        free = offer.gpus if gpus is None else gpus
        answer = self._claim(args=[self._worker, offer.cpu_threads, free, lease_ms])
        return Claim(self._redis, self._lease_seconds, answer) if answer else None

    def announce(self) -> None:
        """Records a heartbeat. A worker without one for trainer.jobs.limits.WORKER_SECONDS counts as gone."""
        self._announce(args=[self._worker, self._offer.cpu_threads, self._offer.gpus])

    def withdraw(self) -> None:
        """Removes this worker from the list of live workers."""
        self._redis.hdel("cgn:workers", self._worker)
