"""What training a CGN costs, this project's recipe beside the authors': `python -m benchmarks.training_cost`.

Both train in one process, on the same threads and the same variant, a block of steps of one and then a block
of the other, so that whatever else the machine does meets both. The median block, times the steps of each
whole recipe, gives its cost. Ours is the run that jobs use, as configured by default and without restarts,
its convolutions in bfloat16 where the machine has matrix units for it; theirs is the rendition in
benchmarks/authors_recipe.py, in float32.
"""

import argparse
import contextlib
import json
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.authors_recipe import BATCH, EPOCHS, SETTINGS, authors_training
from cgn.data import make_variant
from cgn.errors import CgnInputError
from common.settings import REPO, device_from_env
from trainer.runs.command import RunError, Stopped, Surroundings
from trainer.runs.provenance import provenance
from trainer.runs.reporting import Reporter, StopFlag
from trainer.runs.train_cgn import train_cgn
from trainer.runs.train_cgn_config import TrainCgnConfig

BLOCK = 8  # steps; our lazy regularisation comes round once in so many
ROUNDS = 39  # blocks of each: 312 steps
IMAGES = 2_000  # that the rendition draws its batches from
OUTPUT = REPO / "docs" / "results" / "training_cost.json"


class Clock:
    """Seconds of one recipe's blocks: of all the process's threads on the CPU, and on the wall."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.wall: list[float] = []
        self.start()

    def start(self) -> None:
        """Call when a block is about to begin."""
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def stop(self) -> None:
        """Call when a block is done."""
        self.cpu.append(time.process_time() - self._cpu)
        self.wall.append(time.perf_counter() - self._wall)

    def told(self, batch: int, steps: int) -> dict[str, Any]:
        """What a step cost, and so the whole recipe; the first block only warmed up."""
        cpu, wall = (statistics.median(blocks[1:]) / BLOCK for blocks in (self.cpu, self.wall))
        return {
            "batch_size": batch,
            "cpu_ms_per_step": round(1000 * cpu, 2),
            "wall_ms_per_step": round(1000 * wall, 2),
            "cpu_ms_per_step_range": [round(1000 * end(self.cpu[1:]) / BLOCK, 2) for end in (min, max)],
            "steps": steps,
            "images_seen": batch * steps,
            "recipe_cpu_seconds": round(cpu * steps),
            "recipe_wall_seconds": round(wall * steps),
        }


class TakingTurns(Reporter):
    """A run's reporter that, after each block of its steps, lets the other recipe do a block of its own."""

    def __init__(self, run_dir: Path, other: Iterator[object], variant: str, rounds: int) -> None:
        super().__init__(run_dir, run_dir, jsonl=False)
        self._other = other
        self._rounds = tqdm(total=rounds + 1, desc=variant, leave=False, dynamic_ncols=True)
        self.stop = StopFlag()
        self.ours, self.theirs = Clock(), Clock()

    def begin(self, step: int, total_steps: int) -> None:
        self.ours.start()

    def progress(self, step: int, *told: Any, **more: Any) -> None:
        if step % BLOCK or self.stop.requested:
            return
        self.ours.stop()
        self.theirs.start()
        for _ in range(BLOCK):
            next(self._other)
        self.theirs.stop()
        self._rounds.update()
        self.stop.requested = self._rounds.n == self._rounds.total
        self.ours.start()

    def log(self, line: str) -> None:
        """What the run says of itself does not matter here."""

    def close(self) -> None:
        self._rounds.close()


def compare(variant: str, rounds: int, seed: int) -> dict[str, Any]:
    """Times `rounds` blocks of each recipe on a variant, after one to warm up.

    Raises CgnInputError or RunError where the data or the run is at fault.
    """
    config = TrainCgnConfig(dataset=variant, seed=seed)
    data = make_variant(variant, "train", limit=IMAGES)
    other = authors_training(variant, data.images, data.labels, seed)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        reporter = TakingTurns(place, other, variant, rounds)
        surroundings = Surroundings(place, place, device_from_env(), "cost", False, reporter, reporter.stop)
        with contextlib.suppress(Stopped), contextlib.closing(reporter):
            train_cgn(config, surroundings)
    setting = SETTINGS[variant]
    authors = reporter.theirs.told(BATCH, setting.steps)
    ours = reporter.ours.told(config.batch_size, config.steps)
    return {
        "authors": {**authors, "epochs": EPOCHS, "images": setting.images},
        "ours": {**ours, "config": asdict(config)},
        "cpu_ratio": round(authors["recipe_cpu_seconds"] / ours["recipe_cpu_seconds"], 1),
        "wall_ratio": round(authors["recipe_wall_seconds"] / ours["recipe_wall_seconds"], 1),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a line per variant, writes the JSON, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--variants", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        help=f"blocks of {BLOCK} steps of each recipe (default: {ROUNDS})",
    )
    parser.add_argument("--seed", type=int, default=0, help="of both recipes (default: 0)")
    parser.add_argument("--out", type=Path, default=OUTPUT, help="JSON file to write")
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(given)
    most = TrainCgnConfig().steps // BLOCK - 1
    if not 1 <= arguments.rounds <= most:
        parser.error(f"--rounds: must be 1 to {most}, the steps of our recipe, is {arguments.rounds}")
    variants = {}
    for variant in arguments.variants:
        try:
            told = variants[variant] = compare(variant, arguments.rounds, arguments.seed)
        except (CgnInputError, RunError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        ours, theirs = told["ours"], told["authors"]
        print(
            f"{variant}: authors {theirs['cpu_ms_per_step']:.1f} ms x {theirs['steps']:,} steps, "
            f"ours {ours['cpu_ms_per_step']:.1f} ms x {ours['steps']:,} steps: "
            f"{told['cpu_ratio']:.1f}x less CPU time",
            flush=True,
        )
    where = provenance("train_cgn", TrainCgnConfig(), "cost")
    result = {
        "what": "cost of training a CGN: the authors' recipe (a rendition, VGG16 with random weights), ours",
        "command": f"python -m benchmarks.training_cost {shlex.join(given)}".rstrip(),
        "commit": where["commit"],
        "machine": where["machine"],
        "seed": arguments.seed,
        "steps_timed_of_each": arguments.rounds * BLOCK,
        "variants": variants,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
