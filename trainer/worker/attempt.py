"""One attempt at a job: its run started, watched, stopped if need be, and its end written down."""

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
_TALK_SECONDS = 0.5  # between two looks at Redis: events go there, the wish to cancel comes from there
_LAST_WORDS_SECONDS = 5.0  # how long a worker that leaves tries to reach Redis
# Errors of a Redis that will take writes again; a script's error has the word inside its text.
_PASSING_ERRORS = (ConnectionError, TimeoutError, OutOfMemoryError, ReadOnlyError)
_PASSING_WORDS = re.compile(r"\b(OOM|READONLY|LOADING|MISCONF|BUSY|MASTERDOWN)\b")

log = logging.getLogger(__name__)


class Attempt:
    """Supervises one claimed job. Redis may go away meanwhile: the run goes on, its events wait."""

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

        slots: of the GPUs that the job asked for. memory_mb: what a run may have, in MiB; 0: no limit.
        """
        self._claim = claim
        self._version = f"job-{claim.job_id}"
        self._commands = commands
        self._paths = paths
        self._leave = leave
        self._slots = slots
        self._memory_mb = memory_mb
        self._run_dir = Path()  # once it is made
        self._outbox = Outbox(claim)
        self._stop_reason: StopReason | None = None
        self._kill_at = float("inf")
        self._talk_at = 0.0
        self._beat_at = 0.0
        self._away = False  # Redis was, when last asked

    def run(self) -> str:
        """Runs the job to its end, and gives the outcome: the state's name in lower case, or `lost`."""
        try:
            return self._release(self._promote(self._outcome()))
        except (LeaseLost, Superseded):
            log.warning("lease lost", extra={"job_id": self._claim.job_id})
            leave_to_successor(self._paths.runs_dir, self._claim.job_id, self._claim.token)
            return "lost"

    def _outcome(self) -> Outcome:
        """Runs the job; what becomes of it. Raises LeaseLost, the run being killed."""
        if self._claim.kind not in self._commands:
            return unknown_kind(self._claim.kind, self._commands)
        try:
            return self._run()
        except (LeaseLost, Superseded):
            raise
        except Exception as error:  # such as a full disk: another attempt would fare no better
            log.exception("run given up", extra={"job_id": self._claim.job_id})
            return worker_failed(error)

    def _promote(self, outcome: Outcome) -> Outcome:
        """The outcome, with a word on what became of the alias `stable` if there is a new model."""
        if outcome.state is not JobState.SUCCEEDED or not outcome.model_name:
            return outcome
        where, token = self._paths.models_dir, self._claim.token
        message = promote(where, outcome.model_name, outcome.model_version, token)
        return replace(outcome, message=message)

    def _run(self) -> Outcome:
        """Runs the job; what becomes of it. Its processes have ended, whatever is raised."""
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
        """Watches the run until it has ended; its exit code. Raises LeaseLost."""
        while True:
            code = child.exit_code()
            for line in child.lines(_TALK_SECONDS / 2):
                self._take(output, line)
            if code is not None:
                return code
            now = time.monotonic()
            if now >= self._talk_at:
                self._talk_at = now + _TALK_SECONDS
                cancelled = self._talk() is JobState.CANCELLING
                if self._stop_reason is None and (cancelled or self._leave.is_set()):
                    self._stop_reason = StopReason.CANCEL if cancelled else StopReason.LEAVE
                    self._kill_at = time.monotonic() + STOP_SECONDS
                    child.stop()
            if now >= self._kill_at:
                child.kill()

    def _take(self, output: Output, line: Line) -> None:
        if event := output.read(line):
            self._outbox.put(event)

    def _talk(self) -> JobState | None:
        """Renews the lease when it is time, sends events, and gives the job's state; None: Redis is away."""
        try:
            if time.monotonic() >= self._beat_at:
                state = self._claim.renew()
                self._beat_at = time.monotonic() + self._claim.lease_seconds / 6
            else:
                state = self._claim.state()
            self._outbox.flush()
        except RedisError as error:
            if not self._away:
                log.warning("Redis is away, the run goes on", extra={"error": str(error)})
            self._away, self._beat_at = True, 0.0
            return None
        self._away = False
        return state

    def _release(self, outcome: Outcome) -> str:
        """Lets the job go, as soon as Redis can be reached and takes it. Raises LeaseLost."""
        give_up_at = float("inf")
        while True:
            try:
                self._outbox.flush(last=True)
                return self._claim.release(outcome).lower()
            except RedisError as error:
                if not _passes(error):
                    about = {"job_id": self._claim.job_id, "error": str(error)}
                    log.error("Redis refuses the job's end", extra=about)
                    return "lost"
                if self._leave.is_set():
                    give_up_at = min(give_up_at, time.monotonic() + _LAST_WORDS_SECONDS)
                if time.monotonic() >= give_up_at:
                    log.warning("left without a word to Redis", extra={"error": str(error)})
                    return "lost"
            time.sleep(_TALK_SECONDS)


def _passes(error: RedisError) -> bool:
    """Whether it is worth the while to ask Redis again."""
    return isinstance(error, _PASSING_ERRORS) or bool(_PASSING_WORDS.search(str(error)))


def _environment(resources: Resources, slots: Slots) -> dict[str, str]:
    """This process's environment, with the threads and GPUs that the job asked for and no more."""
    threads = str(resources.cpu_threads)  # to the bit, a run's weights depend on it
    return {
        # Threads that wait for each other sleep: spinning, they take the cores of whoever they wait for. Read
        # when torch is imported.
        "OMP_WAIT_POLICY": "passive",
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "CGN_DEVICE": "cuda" if resources.gpus else "cpu",
        "CUDA_VISIBLE_DEVICES": ",".join(slots.devices),
        "PYTHONUNBUFFERED": "1",
    }
