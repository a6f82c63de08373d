"""One attempt at a job: its run started, watched, stopped if need be, and its end written down."""

import json
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Mapping
from enum import Enum

from redis.exceptions import ConnectionError, OutOfMemoryError, ReadOnlyError, RedisError, TimeoutError

from common.settings import REPO, Paths
from trainer.jobs.claims import Claim, LeaseLost
from trainer.jobs.record import Resources
from trainer.jobs.states import JobState
from trainer.runs.reporting import STOPPED, SUCCEEDED
from trainer.worker.child import Child, Line
from trainer.worker.outbox import Outbox
from trainer.worker.output import Output

STOP_SECONDS = 20.0  # from SIGTERM to SIGKILL
_TALK_SECONDS = 0.5  # between two looks at Redis: events go there, the wish to cancel comes from there
_LAST_WORDS_SECONDS = 5.0  # how long a worker that leaves tries to reach Redis
_LONGEST_MESSAGE = 500
# Errors of a Redis that will take writes again; a script's error has the word inside its text.
_PASSING_ERRORS = (ConnectionError, TimeoutError, OutOfMemoryError, ReadOnlyError)
_PASSING_WORDS = re.compile(r"\b(OOM|READONLY|LOADING|MISCONF|BUSY|MASTERDOWN)\b")

log = logging.getLogger(__name__)


class Wish(Enum):
    """Why a run was asked to stop."""

    CANCEL = "cancel"  # someone cancelled the job
    LEAVE = "leave"  # this worker is to stop


class Attempt:
    """Supervises one claimed job. Redis may go away meanwhile: the run goes on, its events wait."""

    def __init__(
        self, claim: Claim, modules: Mapping[str, str], paths: Paths, leave: threading.Event
    ) -> None:
        """modules: which module runs a kind of job. leave: set when this worker is to stop."""
        self._claim = claim
        self._modules = modules
        self._paths = paths
        self._leave = leave
        self._run_dir = paths.runs_dir / claim.job_id
        self._outbox = Outbox(claim)
        self._wish: Wish | None = None
        self._kill_at = float("inf")
        self._talk_at = 0.0
        self._beat_at = 0.0
        self._away = False  # Redis was, when last asked

    def run(self) -> str:
        """Runs the job to its end, and gives the outcome: the state's name in lower case, or `lost`."""
        about = {"job_id": self._claim.job_id}
        if self._claim.kind not in self._modules:
            known = ", ".join(self._modules)
            reason = f"its worker knows no jobs of kind {self._claim.kind}, only {known}; update the worker"
            return self._settle(JobState.FAILED, reason)
        try:
            return self._settle(*self._run())
        except LeaseLost:
            log.warning("lease lost, run killed", extra=about)
            return "lost"
        except Exception as error:  # such as a full disk: another attempt would fare no better
            log.exception("run given up", extra=about)
            reason = f"its worker could not run it: {type(error).__name__}: {error}"
            return self._settle(JobState.FAILED, reason)

    def _run(self) -> tuple[JobState, str, str, str]:
        """Runs the job; what becomes of it, and its model. Its process has ended, whatever is raised."""
        self._run_dir.mkdir(parents=True, exist_ok=True)
        (self._run_dir / "config.json").write_text(json.dumps(self._claim.config, indent=1))
        output = Output(self._claim.job_id, self._run_dir)
        try:
            child = Child(self._command(), REPO, _environment(self._claim.resources))
            try:
                code = self._supervise(child, output)
            finally:
                for line in child.finish():
                    self._take(output, line)
        finally:
            self._outbox.put(output.close())
        return (*self._verdict(code, output), *(output.result or ("", "")))

    def _command(self) -> list[str]:
        claim = self._claim
        return [
            *("-m", self._modules[claim.kind]),
            *("--config", str(self._run_dir / "config.json")),
            *("--run-dir", str(self._run_dir)),
            *("--models-dir", str(self._paths.models_dir)),
            *("--version", f"job-{claim.job_id}"),
            "--jsonl",
            *(["--resume"] if claim.attempt > 1 else []),
        ]

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
                if self._wish is None and (cancelled or self._leave.is_set()):
                    self._wish = Wish.CANCEL if cancelled else Wish.LEAVE
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

    def _verdict(self, code: int, output: Output) -> tuple[JobState, str]:
        """What becomes of the job after its run ended with an exit code."""
        why = output.error or f"exit code {code}; its last lines are in {self._claim.job_id}/log.txt"
        if code < 0:
            why = f"the run was killed by {signal.Signals(-code).name}"
        if code == SUCCEEDED and output.result is not None:
            return JobState.SUCCEEDED, ""
        if self._wish is Wish.CANCEL:
            if code == STOPPED:
                return JobState.CANCELLED, "cancelled"
            if time.monotonic() >= self._kill_at:
                why = f"it took longer than {STOP_SECONDS:g} s to stop and was killed"
            return JobState.CANCELLED, f"cancelled; {why}"
        if code == STOPPED or (self._wish is Wish.LEAVE and code < 0):
            return JobState.PENDING, "queued again: its worker was stopped"
        if code == SUCCEEDED:
            return JobState.FAILED, "the run ended without a result"
        if code == -signal.SIGKILL:
            why += ", as the system does when memory runs out; ask for less or use a larger machine"
        return JobState.FAILED, why

    def _settle(self, state: JobState, message: str, model_name: str = "", model_version: str = "") -> str:
        """Lets the job go, as soon as Redis can be reached and takes it."""
        give_up_at = float("inf")
        while True:
            try:
                self._outbox.flush(last=True)
                message = " ".join(message.split())[:_LONGEST_MESSAGE]
                return self._claim.release(state, message, model_name, model_version).lower()
            except LeaseLost:
                return "lost"
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


def _environment(resources: Resources) -> dict[str, str]:
    """This process's environment, with the threads and GPUs that the job asked for and no more."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = [str(index) for index in range(resources.gpus)] if given is None else given.split(",")
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(resources.cpu_threads),
        "CGN_DEVICE": "cuda" if resources.gpus else "cpu",
        "CUDA_VISIBLE_DEVICES": ",".join(devices[: resources.gpus]),
        "PYTHONUNBUFFERED": "1",
    }
