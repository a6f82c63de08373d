"""What an undisturbed run comes to."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from common.settings import REPO
from tests.chaos.job import MODEL, SPEC, THREADS


@dataclass(frozen=True)
class Weights:
    """A published version's weights, by two digests: the card's of the tensors, and of the file's bytes."""

    tensors: str
    file: str

    @classmethod
    def of(cls, version: Path) -> "Weights":
        """Raises OSError, KeyError or ValueError if the version is incomplete."""
        card = json.loads((version / "card.json").read_text())
        return cls(card["digest"], hashlib.sha256((version / "weights.safetensors").read_bytes()).hexdigest())


def undisturbed(folder: Path, seed: int) -> Weights:
    """Trains what jobs of this seed do, by the command line, with no service about."""
    config = folder / f"reference-{seed}.json"
    config.write_text(json.dumps({**SPEC, "seed": seed}))
    subprocess.run(
        [sys.executable, "-m", "trainer", "train_cgn", "--config", str(config), "--version", f"seed-{seed}"]
        + [
            "--run-dir",
            str(folder / f"reference-{seed}"),
            "--models-dir",
            str(folder / "references"),
            "--jsonl",
        ],
        cwd=REPO,
        env={**os.environ, "OMP_NUM_THREADS": str(THREADS), "CGN_DEVICE": "cpu", "CGN_DATA_DIR": ""},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return Weights.of(folder / "references" / MODEL / f"seed-{seed}")
