"""The worker's side of the jobs: claim one, hold it by a lease, tell what happens, let it go."""

import json
from collections.abc import Iterable
from typing import Any

from redis import Redis

from trainer.jobs import scripts
from trainer.jobs.events import Body, Progress, encode
from trainer.jobs.record import Resources
from trainer.jobs.states import JobState

LEASE_SECONDS = 60.0


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
        self._token: str = answer[1]
        self._redis = redis
        self.lease_seconds = lease_seconds
        self._renew = redis.register_script(scripts.RENEW)
        self._append = redis.register_script(scripts.APPEND)
        self._show = redis.register_script(scripts.SHOW)
        self._release = redis.register_script(scripts.RELEASE)

    def renew(self) -> JobState:
        """Renews the lease and gives the job's state."""
        state = self._renew(args=[self.job_id, self._token, round(self.lease_seconds * 1000)])
        if state is None:
            raise LeaseLost(self.job_id)
        return JobState(state)

    def state(self) -> JobState:
        """The job's state; CANCELLING says that it is to stop."""
        token, state = self._redis.hmget(f"cgn:job:{self.job_id}", "token", "state")
        if token != self._token:
            raise LeaseLost(self.job_id)
        return JobState(str(state))

    def append(self, events: Iterable[Body]) -> None:
        """Writes events to the job's log, and progress and artefacts to its record."""
        flat = [text for event in events for text in encode(event)]
        if not self._append(args=[self.job_id, self._token, *flat]):
            raise LeaseLost(self.job_id)

    def show(self, progress: Progress) -> None:
        """Writes progress to the job's record only."""
        if not self._show(args=[self.job_id, self._token, encode(progress)[1]]):
            raise LeaseLost(self.job_id)

    def release(
        self, state: JobState, message: str, model_name: str = "", model_version: str = ""
    ) -> JobState:
        """Lets the job go: SUCCEEDED, FAILED, or PENDING to hand it back.

        Returns the state it went to: a job that was to stop ends as CANCELLED unless it has succeeded.
        """
        entered = self._release(args=[self.job_id, self._token, state, message, model_name, model_version])
        if entered is None:
            raise LeaseLost(self.job_id)
        return JobState(entered)


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
        self._claim = redis.register_script(scripts.CLAIM)
        self._announce = redis.register_script(scripts.ANNOUNCE)

    def claim(self) -> Claim | None:
        """The next job that fits the offer, by priority, use of the GPUs and age, or None."""
        offer, lease_ms = self._offer, round(self._lease_seconds * 1000)
        answer = self._claim(args=[self._worker, offer.cpu_threads, offer.gpus, lease_ms])
        return Claim(self._redis, self._lease_seconds, answer) if answer else None

    def announce(self) -> None:
        """A sign of life; without one for scripts.WORKER_SECONDS the worker counts as gone."""
        self._announce(args=[self._worker, self._offer.cpu_threads, self._offer.gpus])

    def withdraw(self) -> None:
        """Says that this worker leaves."""
        self._redis.hdel("cgn:workers", self._worker)
