"""The weights of an undisturbed run."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from common.settings import REPO
from tests.chaos.job import MODEL, SPEC, THREADS
from trainer.run.command_line import run_options


@dataclass(frozen=True)
class Weights:
    """Two digests of a published version's weights: the card's digest of the tensors, and one of the file."""

    tensors: str
    file: str

    @classmethod
    def of(cls, version: Path) -> "Weights":
        """Returns the digests. Raises OSError, KeyError or ValueError if the version is incomplete."""
        card = json.loads((version / "card.json").read_text())
        return cls(card["digest"], hashlib.sha256((version / "weights.safetensors").read_bytes()).hexdigest())


def undisturbed(folder: Path, seed: int) -> Weights:
    """Trains as the jobs of this seed do, by the command line and without any service."""
    config = folder / f"reference-{seed}.json"
    config.write_text(json.dumps({**SPEC, "seed": seed}))
    options = run_options(
        config=config,
        run_dir=folder / f"reference-{seed}",
        models_dir=folder / "references",
        version=f"seed-{seed}",
    )
    subprocess.run(
        [sys.executable, "-m", "trainer", "train_cgn", *options],
        cwd=REPO,
        env={**os.environ, "OMP_NUM_THREADS": str(THREADS), "CGN_DEVICE": "cpu", "CGN_DATA_DIR": ""},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return Weights.of(folder / "references" / MODEL / f"seed-{seed}")
