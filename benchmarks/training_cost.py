"""Measures the cost of training a CGN, this recipe beside the authors': `python -m benchmarks.training_cost`.

Both recipes train in one process, with the same threads and variant. Blocks of steps alternate, so that other
load on the machine affects both. The cost of a recipe is the median block, scaled to the recipe's steps. This
project's recipe is that of jobs, with default options and without restarts, stage by stage; its convolutions
use bfloat16 if the machine has matrix units for it. The authors' recipe
(`benchmarks.baselines.authors_recipe`) uses float32. The last stage's single pass to find the masks of all
images is not counted.
"""

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.baselines.authors_recipe import BATCH, EPOCHS, SETTINGS, authors_training
from cgn.data import DataError, training_images
from cgn.device import resolve_device
from cgn.errors import CgnInputError
from common.memory import keep_memory
from common.settings import REPO, device_from_env
from trainer.mnist.config import TrainCgnConfig
from trainer.mnist.train import begin_attempt, stage_steps
from trainer.run.provenance import provenance

BLOCK = 8  # steps; the lazy regularisation has this period
ROUNDS = 13  # blocks per stage of this recipe, and as many of the authors': 312 steps of each
OUTPUT = REPO / "docs" / "results" / "training_cost.json"


class Clock:
    """Seconds of a recipe's blocks: CPU time of all threads, and wall-clock time."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.wall: list[float] = []
        self.start()

    def start(self) -> None:
        """Starts a block."""
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def stop(self) -> None:
        """Ends a block."""
        self.cpu.append(time.process_time() - self._cpu)
        self.wall.append(time.perf_counter() - self._wall)

    def report(self, steps: int) -> dict[str, Any]:
        """Returns the cost per step and of `steps` steps; the first block is a warm-up."""
        cpu, wall = (statistics.median(blocks[1:]) / BLOCK for blocks in (self.cpu, self.wall))
        return {
            "cpu_ms_per_step": round(1000 * cpu, 2),
            "wall_ms_per_step": round(1000 * wall, 2),
            "cpu_ms_per_step_range": [round(1000 * end(self.cpu[1:]) / BLOCK, 2) for end in (min, max)],
            "steps": steps,
            "cpu_seconds": round(cpu * steps),
            "wall_seconds": round(wall * steps),
        }


def compare(variant: str, rounds: int, seed: int) -> dict[str, Any]:
    """Times `rounds` blocks of each stage and of the authors' recipe on a variant, after a warm-up block.

    Raises CgnInputError for unusable data.
    """
    config = TrainCgnConfig(dataset=variant, seed=seed)
    data = training_images(variant, "train")
    theirs = authors_training(variant, data.images, data.labels, seed)
    attempt = begin_attempt(config, data, resolve_device(device_from_env()), seed)
    theirs_clock = Clock()
    ours: dict[str, dict[str, Any]] = {}
    for stage in attempt.stages:
        clock = Clock()
        for number in tqdm(range(rounds + 1), desc=f"{variant}: {stage.title}", leave=False):
            clock.start()
            for step in range(number * BLOCK, (number + 1) * BLOCK):
                stage.step(step)
            clock.stop()
            theirs_clock.start()
            for _ in range(BLOCK):
                next(theirs)
            theirs_clock.stop()
        ours[stage.title] = clock.report(stage.steps)
    setting = SETTINGS[variant]
    whole = {
        cost: sum(stage[cost] for stage in ours.values()) for cost in ("steps", "cpu_seconds", "wall_seconds")
    }
    authors = theirs_clock.report(setting.steps)
    return {
        "authors": {"batch_size": BATCH, "epochs": EPOCHS, "images": setting.images, **authors},
        "ours": {"batch_size": config.batch_size, **whole, "stages": ours, "config": asdict(config)},
        "cpu_ratio": round(authors["cpu_seconds"] / whole["cpu_seconds"], 1),
        "wall_ratio": round(authors["wall_seconds"] / whole["wall_seconds"], 1),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a line per variant, writes the JSON, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="make bench-cost", description=__doc__, allow_abbrev=False)
    parser.add_argument("--variants", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        help=f"blocks of {BLOCK} steps per stage of this recipe (default: {ROUNDS})",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of both recipes (default: 0)")
    parser.add_argument("--out", type=Path, default=OUTPUT, help="JSON file to write")
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(words)
    most = min(stage_steps(TrainCgnConfig().steps)) // BLOCK - 1
    if not 1 <= arguments.rounds <= most:
        parser.error(f"--rounds: must be 1 to {most}, limited by the stages' steps, is {arguments.rounds}")
    keep_memory()  # as runs do
    variants = {}
    for variant in arguments.variants:
        try:
            cost = variants[variant] = compare(variant, arguments.rounds, arguments.seed)
        except (CgnInputError, DataError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        ours, theirs = cost["ours"], cost["authors"]
        print(
            f"{variant}: authors {theirs['cpu_seconds']:,} s of CPU time in {theirs['steps']:,} steps, "
            f"ours {ours['cpu_seconds']:,} s in {ours['steps']:,}: {cost['cpu_ratio']:.1f}x less",
            flush=True,
        )
    where = provenance("train_cgn", TrainCgnConfig(), "cost")
    result = {
        "what": "cost of training a CGN: the authors' recipe (reimplemented, random VGG16 weights), ours",
        "command": f"python -m benchmarks.training_cost {shlex.join(words)}".rstrip(),
        "commit": where["commit"],
        "machine": where["machine"],
        "seed": arguments.seed,
        "steps_timed_of_each_stage": arguments.rounds * BLOCK,
        "variants": variants,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
