"""What a run gets besides its config, and how it ends."""

import dataclasses
import json
import signal
from pathlib import Path
from types import FrameType

from common.settings import Paths
from trainer.run.directories import CONFIG, artefact_file, latest_attempt
from trainer.run.options import Dataclass, stored_options
from trainer.run.report import Reporter


class StopFlag:
    """Whether SIGTERM or Ctrl-C has asked the run to stop: finish the step, write a checkpoint and end.

    A second Ctrl-C interrupts the run at once.
    """

    def __init__(self) -> None:
        self.requested = False

    def install(self) -> None:
        """Handles the signals from now on; main thread only."""
        signal.signal(signal.SIGTERM, self._request)
        signal.signal(signal.SIGINT, self._request)

    def _request(self, signum: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclasses.dataclass(frozen=True)
class RunContext:
    """What a run gets besides its config."""

    run_dir: Path  # for checkpoints, sample sheets and scores; exists
    models_dir: Path  # to publish to and load from
    device: str  # to train on: auto, cpu, cuda or cuda:<index>
    version: str  # of the model it publishes
    resume: bool  # continue from the newest good checkpoint in run_dir, if any
    reporter: Reporter
    stop: StopFlag  # look at it after every step
    attempt: str = ""  # name of this attempt at the run, for what it is about to publish

    def inside(self, run: str, version: str, config: Dataclass) -> "RunContext":
        """Those of a run that is a part of this one: a directory of its own below, which is made."""
        run_dir = self.run_dir / run
        resume = self.resume and run_dir.is_dir()
        run_dir.mkdir(exist_ok=True)
        write_config(run_dir, config)
        return dataclasses.replace(self, run_dir=run_dir, version=version, resume=resume)

    def file(self, path: str) -> Path:
        """What an option names: a job, or one of its files as ``<job id>/<name>``; else the path as it is."""
        given, runs_dir = Path(path).expanduser(), Paths.from_env().runs_dir
        found = artefact_file(runs_dir, path) if "/" in path else latest_attempt(runs_dir, path)
        if found or given.is_absolute():
            return found or given
        return runs_dir / given if (runs_dir / given).exists() else given


@dataclasses.dataclass(frozen=True)
class Published:
    """The model that a run published; empty if none."""

    model_name: str = ""
    model_version: str = ""


def write_config(run_dir: Path, config: Dataclass) -> None:
    """Puts a run's options into its directory."""
    (run_dir / CONFIG).write_text(json.dumps(stored_options(config), indent=1))


class Stopped(Exception):
    """Raised by a run that was asked to stop and has written its checkpoint."""


class RunError(Exception):
    """A run cannot go on, for a reason that one line tells in full: what, and how to cure it."""
