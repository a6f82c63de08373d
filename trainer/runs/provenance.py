"""Where a result comes from: what is written beside every number and every model."""

import platform
import subprocess
from dataclasses import asdict, fields
from typing import Any

import torch

from common.settings import REPO
from trainer.runs.config import Dataclass


def provenance(run: str, config: Dataclass, version: str) -> dict[str, Any]:
    """The command line that repeats a run, its whole config, the commit and the machine, as plain JSON."""
    options = [
        f"--{f.name.replace('_', '-')} {getattr(config, f.name)}"
        for f in fields(config)
        if getattr(config, f.name) != f.default
    ]
    capabilities = torch.cpu.get_capabilities()
    return {
        "command": " ".join([f"python -m trainer.runs.{run}", *options, f"--version {version}"]),
        "config": asdict(config),
        "commit": _commit(),
        "machine": {
            "cpu": capabilities.get("cpu_name", platform.machine()),
            "threads": torch.get_num_threads(),
            "bfloat16": bool(capabilities.get("amx_bf16")),
            "torch": torch.__version__,
        },
    }


def _commit() -> str:
    """Commit of the code, with "+" if files have changed since; empty without git or outside a checkout."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPO)
    except OSError:  # there is no git, as in the worker's image
        return ""
    return answer.stdout.strip()
