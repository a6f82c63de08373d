"""One attempt at a job: starts the run, watches it, stops it if asked to, and releases the job."""

import json
import logging
import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from redis.exceptions import ConnectionError, OutOfMemoryError, ReadOnlyError, RedisError, TimeoutError

from common.settings import REPO, Paths
from trainer.jobs.claims import Claim, LeaseLost
from trainer.jobs.outcome import Outcome, RunEnd, StopReason, classify_exit, unknown_kind, worker_failed
from trainer.jobs.promotion import promote
from trainer.jobs.record import Resources
from trainer.jobs.states import JobState
from trainer.run.command_line import run_options
from trainer.run.directories import (
    CONFIG,
    Superseded,
    latest_attempt,
    leave_to_successor,
    remove_unfinished,
    remove_unpublished,
    take_over,
)
from trainer.worker import guard
from trainer.worker.child import Child, Line
from trainer.worker.gpus import Slots
from trainer.worker.outbox import Outbox
from trainer.worker.output import Output

STOP_SECONDS = 20.0  # from SIGTERM to SIGKILL
_SYNC_SECONDS = 0.5  # between two exchanges with Redis: events go there, a cancellation comes from there
_RELEASE_SECONDS = 5.0  # how long a worker that is to stop tries to reach Redis
# Errors of a Redis that will accept writes again later. A script's error has the word inside its text.
_TRANSIENT_ERRORS = (ConnectionError, TimeoutError, OutOfMemoryError, ReadOnlyError)
_TRANSIENT_WORDS = re.compile(r"\b(OOM|READONLY|LOADING|MISCONF|BUSY|MASTERDOWN)\b")

log = logging.getLogger(__name__)


class Attempt:
    """Supervises one claimed job. While Redis cannot be reached, the run continues and its events wait."""

    def __init__(
        self,
        claim: Claim,
        commands: Mapping[str, Sequence[str]],
        paths: Paths,
        leave: threading.Event,
        slots: Slots,
        memory_mb: int,
    ) -> None:
        """commands: the words after `python -m` that run a job of each kind.

        leave: set when this worker is to stop.

        slots: the GPUs that the job asked for. memory_mb: memory limit of a run in MiB; 0: no limit.
        """
        self._claim = claim
        self._version = f"job-{claim.job_id}"
        self._commands = commands
        self._paths = paths
        self._leave = leave
        self._slots = slots
        self._memory_mb = memory_mb
        self._run_dir = Path()  # set by _run
        self._outbox = Outbox(claim)
        self._stop_reason: StopReason | None = None
        self._kill_at = float("inf")
        self._sync_at = 0.0
        self._renew_at = 0.0
        self._redis_away = False  # Redis did not answer the last exchange

    def run(self) -> str:
        """Carries the attempt out. Returns the state that the job enters, in lower case, or `lost`."""
        try:
            return self._release(self._promote(self._outcome()))
        except (LeaseLost, Superseded):
            log.warning("lease lost", extra={"job_id": self._claim.job_id})
            leave_to_successor(self._paths.runs_dir, self._claim.job_id, self._claim.token)
            return "lost"

    def _outcome(self) -> Outcome:
        """Runs the job. Returns its outcome. Raises LeaseLost or Superseded after killing the run."""
        if self._claim.kind not in self._commands:
            return unknown_kind(self._claim.kind, self._commands)
        try:
            return self._run()
        except (LeaseLost, Superseded):
            raise
        except Exception as error:  # such as a full disk: another attempt would fail as well
            log.exception("run given up", extra={"job_id": self._claim.job_id})
            return worker_failed(error)

    def _promote(self, outcome: Outcome) -> Outcome:
        """Moves the alias `stable` to a new model if it passes.

        Returns the outcome with the result as message.
        """
        if outcome.state is not JobState.SUCCEEDED or not outcome.model_name:
            return outcome
        token = self._claim.token
        message = promote(self._paths.models_dir, outcome.model_name, outcome.model_version, token)
        return replace(outcome, message=message)

    def _run(self) -> Outcome:
        """Runs the job.

        Returns its outcome. All its processes have ended afterwards, also after an exception.
        """
        claim = self._claim
        self._run_dir = take_over(self._paths.runs_dir, claim.job_id, claim.token)
        remove_unpublished(self._paths.models_dir, self._version, claim.token)
        (self._run_dir / CONFIG).write_text(json.dumps(claim.config, indent=1))
        output = Output(claim.job_id, self._run_dir)
        try:
            environment = _environment(claim.resources, self._slots)
            child = Child(self._command(), REPO, environment, self._memory_mb, self._slots.locks)
            try:
                code = self._supervise(child, output)
            finally:
                for line in child.finish():
                    self._take(output, line)
        finally:
            self._outbox.put(output.close())
        remove_unfinished(self._run_dir)
        remove_unpublished(self._paths.models_dir, self._version, claim.token)
        killed = time.monotonic() >= self._kill_at
        return classify_exit(
            RunEnd(
                exit_code=code,
                reported_code=output.end,
                result=output.result,
                error=output.error,
                stop_reason=self._stop_reason,
                killed_after=STOP_SECONDS if killed else None,
                over_memory=code == guard.OVER_MEMORY,
                memory_mb=self._memory_mb,
            )
        )

    def _command(self) -> list[str]:
        """Returns the words after `python` that start the run."""
        claim = self._claim
        options = run_options(
            config=self._run_dir / CONFIG,
            run_dir=self._run_dir,
            models_dir=self._paths.models_dir,
            version=self._version,
            resume=claim.attempt > 1,
            resume_from=self._parent_dir(),
        )
        return ["-m", *self._commands[claim.kind], *options]

    def _parent_dir(self) -> Path | None:
        """Returns the directory of the run to resume from. If it does not exist, the run reports that."""
        if not (parent := self._claim.resume_from_job):
            return None
        runs_dir = self._paths.runs_dir
        return latest_attempt(runs_dir, parent) or runs_dir / parent

    def _supervise(self, child: Child, output: Output) -> int:
        """Watches the run until it has ended. Returns its exit code. Raises LeaseLost."""
        while True:
            code = child.exit_code()
            for line in child.lines(_SYNC_SECONDS / 2):
                self._take(output, line)
            if code is not None:
                return code
            now = time.monotonic()
            if now >= self._sync_at:
                self._sync_at = now + _SYNC_SECONDS
                cancelled = self._sync() is JobState.CANCELLING
                if self._stop_reason is None and (cancelled or self._leave.is_set()):
                    self._stop_reason = StopReason.CANCEL if cancelled else StopReason.LEAVE
                    self._kill_at = time.monotonic() + STOP_SECONDS
                    child.stop()
            if now >= self._kill_at:
                child.kill()

    def _take(self, output: Output, line: Line) -> None:
        if event := output.read(line):
            self._outbox.put(event)

    def _sync(self) -> JobState | None:
        """Renews the lease when it is due, and sends events. Returns the job's state; None: Redis is away."""
        try:
            if time.monotonic() >= self._renew_at:
                state = self._claim.renew()
                self._renew_at = time.monotonic() + self._claim.lease_seconds / 6
            else:
                state = self._claim.state()
            self._outbox.flush()
        except RedisError as error:
            if not self._redis_away:
                log.warning("Redis is away, the run goes on", extra={"error": str(error)})
            self._redis_away, self._renew_at = True, 0.0
            return None
        self._redis_away = False
        return state

    def _release(self, outcome: Outcome) -> str:
        """Releases the job, as soon as Redis can be reached and accepts writes. Raises LeaseLost."""
        give_up_at = float("inf")
        while True:
            try:
                self._outbox.flush(last=True)
                return self._claim.release(outcome).lower()
            except RedisError as error:
                if not _is_transient(error):
                    job_and_error = {"job_id": self._claim.job_id, "error": str(error)}
                    log.error("Redis refuses the job's end", extra=job_and_error)
                    return "lost"
                if self._leave.is_set():
                    give_up_at = min(give_up_at, time.monotonic() + _RELEASE_SECONDS)
                if time.monotonic() >= give_up_at:
                    log.warning("stopped without releasing the job", extra={"error": str(error)})
                    return "lost"
            time.sleep(_SYNC_SECONDS)


def _is_transient(error: RedisError) -> bool:
    """Whether the same request may succeed later."""
    return isinstance(error, _TRANSIENT_ERRORS) or bool(_TRANSIENT_WORDS.search(str(error)))


def _environment(resources: Resources, slots: Slots) -> dict[str, str]:
    """Returns this process's environment, with exactly the threads and GPUs that the job asked for."""
    threads = str(resources.cpu_threads)  # the exact weights of a run depend on it
    return {
        # Threads that wait for each other sleep: spinning threads would take the cores that the others need.
        # torch reads this when it is imported.
        "OMP_WAIT_POLICY": "passive",
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "CGN_DEVICE": "cuda" if resources.gpus else "cpu",
        "CUDA_VISIBLE_DEVICES": ",".join(slots.devices),
        "PYTHONUNBUFFERED": "1",
    }
