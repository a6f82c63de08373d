"""The worker's side of the jobs: claim one, hold it by a lease, tell what happens, let it go."""

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
    """The job is not this worker's any more: whoever holds it now goes on, this one has to let go at once."""


class Claim:
    """A claimed job. Every write carries the claim's token and is refused once another has the job.

    Methods raise LeaseLost, and redis.exceptions.RedisError if Redis cannot be reached.
    """

    def __init__(self, redis: Redis, lease_seconds: float, answer: list[Any]) -> None:
        self.job_id: str = answer[0]
        self.kind: str = answer[2]
        self.config: dict[str, Any] = json.loads(answer[3])
        self.resources = Resources(int(answer[4]), int(answer[5]))
        self.attempt = int(answer[6])
        self.resume_from_job: str = answer[7]  # its checkpoint is where the run begins; empty: none
        self.time_limit_seconds = int(answer[8])  # 0: none
        self.token: int = int(answer[1])
        self._redis = redis
        self._appended = 0  # batches of events
        self._counted_at = time.monotonic()  # until when Redis knows how long the run has taken
        self.lease_seconds = lease_seconds
        self._renew = redis.register_script(load("renew"))
        self._append = redis.register_script(load("append"))
        self._show = redis.register_script(load("show"))
        self._release = redis.register_script(load("release"))

    def renew(self) -> JobState:
        """Renews the lease and gives the job's state."""
        seconds, now = self._seconds()
        state = self._renew(args=[self.job_id, self.token, seconds])
        if state is None:
            raise LeaseLost(self.job_id)
        self._counted_at = now
        return JobState(state)

    def state(self) -> JobState:
        """The job's state; CANCELLING says that it is to stop."""
        token, state = self._redis.hmget(f"cgn:job:{self.job_id}", "token", "state")
        if token != str(self.token):
            raise LeaseLost(self.job_id)
        return JobState(str(state))

    def append(self, events: Iterable[Body]) -> None:
        """Writes events to the job's log, and progress and artefacts to its record.

        After a RedisError the next call has to be with the same events: they may have been written, and then
        are not written again.
        """
        flat = [text for event in events for text in encode(event)]
        if not self._append(args=[self.job_id, self.token, self._appended + 1, *flat]):
            raise LeaseLost(self.job_id)
        self._appended += 1

    def show(self, progress: Progress) -> None:
        """Writes progress to the job's record only."""
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
        """How long the run has taken since Redis was told; and now, by a clock that nobody can set."""
        now = time.monotonic()
        return now - self._counted_at, now


class Claims:
    """What a worker may ask of the queue. Raises redis.exceptions.RedisError if Redis cannot be reached."""

    def __init__(
        self, redis: Redis, worker: str, offer: Resources, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        """redis: a client that decodes responses. worker: host:pid. offer: what its jobs may ask for."""
        self._redis = redis
        self._worker = worker
        self._offer = offer
        self._lease_seconds = lease_seconds
        self._claim = redis.register_script(load("claim"))
        self._announce = redis.register_script(load("announce"))

    def claim(self, gpus: int | None = None) -> Claim | None:
        """The next job that fits the offer, by priority, use of the GPUs and age, or None.

        gpus: how many of the offered GPUs are free now; None: all.
        """
        offer, lease_ms = self._offer, round(self._lease_seconds * 1000)
        free = offer.gpus if gpus is None else gpus
        answer = self._claim(args=[self._worker, offer.cpu_threads, free, lease_ms])
        return Claim(self._redis, self._lease_seconds, answer) if answer else None

    def announce(self) -> None:
        """A sign of life; without one for trainer.jobs.limits.WORKER_SECONDS the worker counts as gone."""
        self._announce(args=[self._worker, self._offer.cpu_threads, self._offer.gpus])

    def withdraw(self) -> None:
        """Says that this worker leaves."""
        self._redis.hdel("cgn:workers", self._worker)
