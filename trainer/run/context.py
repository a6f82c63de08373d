"""The context of a run: its directories, device and reporter, and the ways in which it ends."""

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
    """Everything that a run needs besides its config.

    Attributes:
        run_dir: directory for checkpoints, sample sheets and scores; it exists.
        models_dir: directory of published models, to load from and to publish to.
        device: device to train on: auto, cpu, cuda or cuda:<index>.
        version: version of the model that the run publishes.
        resume: whether to continue from the newest good checkpoint in run_dir, if there is one.
        reporter: reports progress and files.
        stop: whether the run has to stop; check it after every step.
        attempt: name of this attempt at the run, part of the name of an unpublished version.
    """

    run_dir: Path
    models_dir: Path
    device: str
    version: str
    resume: bool
    reporter: Reporter
    stop: StopFlag
    attempt: str = ""

    def inside(self, run: str, version: str, config: Dataclass) -> "RunContext":
        """Returns the context of a run inside this one, and creates its directory ``run`` in this run's."""
        run_dir = self.run_dir / run
        resume = self.resume and run_dir.is_dir()
        run_dir.mkdir(exist_ok=True)
        write_config(run_dir, config)
        return dataclasses.replace(self, run_dir=run_dir, version=version, resume=resume)

    def file(self, path: str) -> Path:
        """Returns the path that an option refers to.

        Args:
            path: a job's id, for its directory; ``<job id>/<name>``, for one of its files; or a path,
                relative to the folder of runs or to the current directory.
        """
        plain, runs_dir = Path(path).expanduser(), Paths.from_env().runs_dir
        job_path = artefact_file(runs_dir, path) if "/" in path else latest_attempt(runs_dir, path)
        if job_path or plain.is_absolute():
            return job_path or plain
        return runs_dir / plain if (runs_dir / plain).exists() else plain


@dataclasses.dataclass(frozen=True)
class Published:
    """The model that a run published; empty if none."""

    model_name: str = ""
    model_version: str = ""


def write_config(run_dir: Path, config: Dataclass) -> None:
    """Writes the options of a run to its directory."""
    (run_dir / CONFIG).write_text(json.dumps(stored_options(config), indent=1))


class Stopped(Exception):
    """Raised by a run that has stopped on request, after it has written a checkpoint."""


class RunError(Exception):
    """A run has failed for a known reason. Its message is one line with the problem and the remedy."""
