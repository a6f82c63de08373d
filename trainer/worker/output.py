"""Reads the output of a run (trainer.run.report writes it)."""

import json
from pathlib import Path
from typing import Any

from trainer.jobs.events import Artefact, Body, LogLine, Progress
from trainer.run.directories import LOG
from trainer.worker.child import Line

_MAX_LOG_LINE = 2000  # characters in the event log; the log file has the whole line


class Output:
    """Turns lines into events, writes the log file, and remembers the result and the last error."""

    def __init__(self, job_id: str, run_dir: Path) -> None:
        self.result: tuple[str, str] | None = None  # model name and version
        self.error = ""  # text of the last line `error: ...`
        self.end: int | None = None  # the exit code that the run reported
        self._job_id = job_id
        self._path = run_dir / LOG
        self._log = self._path.open("a", encoding="utf-8")

    def read(self, line: Line) -> Body | None:
        """Returns the event of a line, if any."""
        if line.stream == "stdout":
            try:
                event = json.loads(line.text)
                return self._event(event.pop("event"), event)
            except (ValueError, KeyError, TypeError, AttributeError):
                pass  # not of the protocol, so a printed line for the log
        elif line.text.startswith("error: "):
            self.error = line.text.removeprefix("error: ")
        return self._line(line.text)

    def _event(self, kind: str, fields: dict[str, Any]) -> Body | None:
        if kind == "progress":
            mu_mask = fields["mu_mask"]
            return Progress(
                step=int(fields["step"]),
                total_steps=int(fields["total_steps"]),
                step_seconds=float(fields["step_seconds"]),
                eta_seconds=float(fields["eta_seconds"]),
                values={str(name): float(value) for name, value in fields["values"].items()},
                mu_mask=None if mu_mask is None else float(mu_mask),
                images_per_second=float(fields["images_per_second"]),
            )
        if kind == "artefact":
            below = "" if fields["kind"] == "model" else f"{self._job_id}/"
            path = f"{below}{fields['path']}"
            return Artefact(str(fields["kind"]), path, int(fields["bytes"]), str(fields["digest"]))
        if kind == "log":
            return self._line(str(fields["line"]))
        if kind == "result":
            self.result = str(fields["model_name"]), str(fields["model_version"])
            return None
        if kind == "end":
            self.end = int(fields["code"])
            return None
        raise ValueError(kind)

    def _line(self, text: str) -> LogLine | None:
        print(text, file=self._log, flush=True)
        return LogLine(text[:_MAX_LOG_LINE]) if text.strip() else None

    def close(self) -> Artefact:
        """Closes the log file and returns it as an artefact."""
        self._log.close()
        return Artefact("log", f"{self._job_id}/{self._path.name}", self._path.stat().st_size)
