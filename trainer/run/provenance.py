"""The provenance of a result, which is stored with every number and every model."""

import platform
import shlex
import subprocess
from dataclasses import asdict, fields
from typing import Any

import torch

from cgn.device import cpu_has_bfloat16
from common.settings import REPO
from trainer.run.options import Dataclass


def provenance(run: str, config: Dataclass, version: str) -> dict[str, Any]:
    """Returns the command line that repeats a run, its config, the commit and the machine, as plain JSON."""
    options = [
        f"--{f.name.replace('_', '-')} {shlex.quote(str(getattr(config, f.name)))}"
        for f in fields(config)
        if getattr(config, f.name) != f.default
    ]
    return {
        "command": " ".join([f"python -m trainer {run}", *options, f"--version {version}"]),
        "config": asdict(config),
        "commit": current_commit(),
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    """Returns processor, threads, bfloat16 support and version of torch, as plain JSON."""
    return {
        "cpu": torch.cpu.get_capabilities().get("cpu_name", platform.machine()),
        "threads": torch.get_num_threads(),
        "bfloat16": cpu_has_bfloat16(),
        "torch": torch.__version__,
    }


def current_commit() -> str:
    """Returns the commit of the code, with "+" if files have changed since.

    It is empty without git and outside a checkout. Changes in docs do not count: results are written there.
    """
    commit = _git("rev-parse", "HEAD")
    return commit + "+" if commit and _git("diff", "HEAD", "--name-only", "--", ".", ":!docs") else commit


def _git(*words: str) -> str:
    """Returns the output of a git command; empty if it fails or git is missing, as in the worker's image."""
    try:
        answer = subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=REPO)
    except OSError:
        return ""
    return answer.stdout.strip()
