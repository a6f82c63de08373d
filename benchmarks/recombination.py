"""Compares banks of rows with new rows: accuracy of a classifier, and speed.

    python -m benchmarks.recombination --dataset wildlife_mnist --model-name wildlife_mnist

A bank size holds for masks, textures and backgrounds; 0: every image has new rows. For each bank size and
seed, a classifier is trained on counterfactuals of one CGN, with the same number of images, and scored on
unbiased validation images. For each size, the seconds to compute the banks' rows and --images counterfactuals
are measured once. Every result is stored in --run-dir, so the same command resumes where it was stopped.
"""

import argparse
import contextlib
import dataclasses
import json
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cgn.errors import CgnInputError
from cgn.model import CGN
from cgn.sampling.banks import Counterfactuals
from cgn.sampling.sampler import Sampler
from cgn.store import checkpoint
from common.settings import REPO, Paths, device_from_env
from trainer.classifier.config import TrainClassifierConfig
from trainer.classifier.train import train_classifier
from trainer.reproduce.cell.files import write_json
from trainer.run.checkpoints import config_fingerprint
from trainer.run.context import RunContext, RunError, StopFlag, Stopped
from trainer.run.provenance import provenance
from trainer.run.report import Reporter

SIZES = (1_000, 5_000, 20_000, 50_000, 0)
_AT_ONCE = 1_000  # images per batch


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """The measurements of one model. Each method returns a stored result if the run directory has it."""

    run_dir: Path
    models_dir: Path
    base: TrainClassifierConfig  # all options but the banks' sizes and the seed
    stop: StopFlag

    def accuracy(self, size: int, seed: int) -> float:
        """Returns the validation accuracy of a classifier in per cent.

        Raises RunError, CgnInputError, and Stopped after writing a checkpoint.
        """
        config = self._config(size, seed)
        run_dir = self.run_dir / f"rows-{size}-seed-{seed}-{config_fingerprint(config)[:8]}"
        path = run_dir / "scores.json"
        if not path.is_file():
            resume = run_dir.is_dir()
            run_dir.mkdir(parents=True, exist_ok=True)
            device, version = device_from_env(), run_dir.name
            with contextlib.closing(Reporter(run_dir, self.models_dir, jsonl=False)) as reporter:
                train_classifier(
                    config,
                    RunContext(run_dir, self.models_dir, device, version, resume, reporter, self.stop),
                )
        entry = _read(path)
        return 100 * float(entry["scores"]["validation"]["accuracy"])

    def seconds(self, model: CGN, size: int, images: int) -> dict[str, float]:
        """Returns seconds to compute the banks' rows, and then images: wall-clock, and CPU of all threads.

        Raises CgnInputError and Stopped.
        """
        config = self._config(size, 0)
        asked = {"config": dataclasses.asdict(config), "images": images}
        path = self.run_dir / f"rows-{size}-seconds.json"
        entry = _read(path)
        if entry.get("asked") != asked:
            clocks = [_clocks()]
            sampler = Sampler(0, len(model.card.class_names), config.policy)
            stream = Counterfactuals(model, sampler, self._tick)
            clocks.append(_clocks())
            for start in range(0, images, _AT_ONCE):
                stream.images(start, min(start + _AT_ONCE, images))
                self._tick("")
            clocks.append(_clocks())
            entry = {"asked": asked}
            for part, before, after in zip(("rows", "images"), clocks, clocks[1:], strict=False):
                for name in before:
                    entry[f"{part}_{name}"] = round(after[name] - before[name], 2)
            write_json(path, entry)
        return {name: value for name, value in entry.items() if name != "asked"}

    def _config(self, size: int, seed: int) -> TrainClassifierConfig:
        return dataclasses.replace(
            self.base, seed=seed, bank_masks=size, bank_textures=size, bank_backgrounds=size
        )

    def _tick(self, line: str) -> None:
        if self.stop.requested:
            raise Stopped


def _clocks() -> dict[str, float]:
    return {"wall_seconds": time.perf_counter(), "cpu_seconds": time.process_time()}


def _read(path: Path) -> dict[str, Any]:
    """Returns a JSON object; empty if the file does not exist."""
    entry: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return entry


def _table(sizes: dict[int, dict[str, Any]]) -> str:
    """Formats the results as text. Lost points and speed-ups are relative to new rows, if measured."""
    lines = [
        "rows per bank  validation accuracy (std)  points lost  rows, CPU s  images, CPU s  "
        "times faster  with the rows"
    ]
    for size, entry in sizes.items():
        compared = "" if "points_lost" not in entry else format(entry["points_lost"], ".2f")
        faster = [entry.get(name, "") for name in ("times_faster", "times_faster_with_rows")]
        lines.append(
            f"{size or 'fresh':>13}  {entry['mean']:>17.2f} ({entry['std']:.2f})  "
            f"{compared:>11}  {entry['rows_cpu_seconds']:>11.1f}  {entry['images_cpu_seconds']:>13.1f}  "
            f"{faster[0]:>12}  {faster[1]:>13}"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Computes missing results, writes the JSON, prints the table, and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="make bench-banks",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = TrainClassifierConfig(model_name="any")
    parser.add_argument("--dataset", default=defaults.dataset, help="variant of MNIST (default: %(default)s)")
    parser.add_argument("--model-name", required=True, help="CGN whose rows are recombined")
    parser.add_argument("--model-version", default="", help="version of the CGN (default: the newest)")
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=SIZES,
        help="rows per bank; 0: new rows (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=range(3), help="seeds of the classifiers (default: 0 1 2)"
    )
    parser.add_argument(
        "--images-seen",
        type=int,
        default=defaults.images_seen,
        help="training images per classifier (default: %(default)s)",
    )
    parser.add_argument("--images", type=int, default=100_000, help="images to time (default: %(default)s)")
    parser.add_argument(
        "--run-dir", type=Path, help="directory of results (default: CGN_RUNS_DIR/recombination/<model>)"
    )
    parser.add_argument(
        "--out", type=Path, help="JSON to write (default: docs/results/recombination/<model>.json)"
    )
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(words)
    paths = Paths.from_env()
    stop = StopFlag()
    stop.install()
    try:
        model = checkpoint.load(paths.models_dir, arguments.model_name, arguments.model_version)
        name, version = model.card.name, model.card.version
        base = TrainClassifierConfig(
            dataset=arguments.dataset,
            model_name=name,
            model_version=version,
            images_seen=arguments.images_seen,
        )
        run_dir = arguments.run_dir or paths.runs_dir / "recombination" / name / version
        benchmark = Benchmark(run_dir, paths.models_dir, base, stop)
        sizes: dict[int, dict[str, Any]] = {}
        for size in arguments.sizes:
            accuracies = [benchmark.accuracy(size, seed) for seed in arguments.seeds]
            sizes[size] = {
                "validation": [round(accuracy, 2) for accuracy in accuracies],
                "mean": round(statistics.mean(accuracies), 3),
                "std": round(statistics.pstdev(accuracies), 3),
                **benchmark.seconds(model, size, arguments.images),
            }
    except Stopped:
        print("stopped; run the same command to resume", file=sys.stderr)
        return 3
    except (CgnInputError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if fresh := sizes.get(0):
        for size, entry in sizes.items():
            if size:
                entry["points_lost"] = round(fresh["mean"] - entry["mean"], 3)
                images, rows = entry["images_cpu_seconds"], entry["rows_cpu_seconds"]
                entry["times_faster"] = round(fresh["images_cpu_seconds"] / images, 1)
                entry["times_faster_with_rows"] = round(fresh["images_cpu_seconds"] / (images + rows), 1)
    where = provenance("train_classifier", base, "cell")
    result = {
        "what": "validation accuracy in per cent and seconds, by rows per bank; 0: fresh rows",
        "command": f"python -m benchmarks.recombination {shlex.join(words)}",
        "commit": where["commit"],
        "machine": where["machine"],
        "model": {"name": name, "version": version, "digest": model.card.digest},
        "config": where["config"],
        "seeds": list(arguments.seeds),
        "images": arguments.images,
        "sizes": sizes,
    }
    out = arguments.out or REPO / "docs" / "results" / "recombination" / f"{name}.json"
    write_json(out, result)
    print(_table(sizes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
