"""Composites of the ImageNet family: as served, and in the authors' formulation.

The authors' formulation computes one image at a time with four BigGANs and two U²-Nets, eagerly. It also
computes the unconstrained cGAN and the saliency of the background, which composites do not need. Weights are
random and calibrated (`cgn.families.imagenet.biggan.calibrate`); they cost the same as trained weights.
Memory is the peak of a process that only generates composites, minus its memory after `import torch`.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.results import Result
from benchmarks.sizes import Sizes
from cgn.card import MaskBounds
from cgn.device import cpu_has_bfloat16
from cgn.factors import Factor, noise_of, weights_of
from cgn.families.family import Precision
from cgn.families.imagenet.family import FAMILY
from cgn.families.imagenet.network import ImagenetCGN, ImagenetSizes, random_cgn
from cgn.store import checkpoint
from common.memory import keep_memory

ARCHITECTURE = {
    "ch": 128, "z_dim": 128, "u2net_inner": 0, "u2net_outer": 0, "reference": 1, "mend_truncation": 0,
}  # fmt: skip
CLASSES, RESOLUTION = 1000, 256
NAME = "random_imagenet"
ROUNDS = 7  # composites of each kind, in alternating turns; the first is a warm-up
_SLOW_ROUNDS = 3  # rounds of bfloat16 on a processor that emulates it
EQUAL_ROWS = 4  # images for the measure of equality
FLOAT32_GOAL, BFLOAT16_GOAL, MEMORY_GOAL, EXACT = 2.5, 5.0, 0.6, 1e-4
LEAST_DEVIATION = 0.2  # of the images: constant images would make equality meaningless

_MEASURE_MEMORY = "--memory-of"


def imagenet_rows(sizes: Sizes) -> list[Result]:
    """Row 11: time, equality and memory of one composite of 256 x 256 pixels."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        publish_random(root)
        return [*_times_and_equality(root), _memory(root)]


def publish_random(root: Path, ch: int | None = None) -> None:
    """Publishes a CGN with calibrated random weights, full size unless ch is given; its card notes that."""
    architecture = ARCHITECTURE if ch is None else ARCHITECTURE | {"ch": ch}
    network = random_cgn(ImagenetSizes.of(architecture, CLASSES, RESOLUTION))
    names = [f"class {i}" for i in range(CLASSES)]
    checkpoint.publish(
        root,
        network,
        dtype=torch.float32,
        name=NAME,
        version="v1",
        family=FAMILY.name,
        architecture=architecture,
        class_names=names,
        resolution=RESOLUTION,
        latent_size=ARCHITECTURE["z_dim"],
        mask_bounds=[MaskBounds(0.01, 0.99, highest_border=1.0, highest_soft=1.0)] * CLASSES,
        mask_mean=[],
        mask_border=[],
        mask_soft=[],
        trained=False,
        notes=["random weights"],
    )


def authors_composite(network: ImagenetCGN, factor: Factor) -> torch.Tensor:
    """Returns one composite (1, 3, R, R) as the authors' code computes it, with all by-products."""
    u_NL = torch.from_numpy(noise_of([factor], network.latent, truncated=True))
    y_NC = torch.from_numpy(weights_of([factor.label], network.classes))
    with torch.no_grad():
        network.biggan_GT(u_NL, y_NC, factor.truncation)
        outputs = network(u_NL, y_NC, factor.truncation)
        network.u2net(outputs.background)
    return outputs.composite


def _served(root: Path, precision: Precision) -> Callable[[Factor], torch.Tensor]:
    model = checkpoint.load(root, NAME, precision=precision)

    def composite(factor: Factor) -> torch.Tensor:
        return model.generate([factor], [factor], [factor]).composite

    return composite


def _authors(root: Path) -> Callable[[Factor], torch.Tensor]:
    network, _ = checkpoint.load_trained_of(FAMILY, root, NAME)
    network.eval()
    return lambda factor: authors_composite(network, factor)


def _times_and_equality(root: Path) -> list[Result]:
    kinds = {"authors": _authors(root), "float32": _served(root, "float32")}
    kinds["bfloat16"] = _served(root, "bfloat16")
    factors = [Factor(37 * i % CLASSES, i) for i in range(EQUAL_ROWS)]
    images = {kind: torch.cat([composite(factor) for factor in factors]) for kind, composite in kinds.items()}
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for i in tqdm(range(ROUNDS), desc="composites", leave=False):
        for kind, composite in kinds.items():
            if i >= _SLOW_ROUNDS and kind == "bfloat16" and not cpu_has_bfloat16():
                continue
            start = time.perf_counter()
            composite(Factor(i, 1000 + i))
            seconds[kind].append(time.perf_counter() - start)
    medians = {kind: statistics.median(some[1:]) for kind, some in seconds.items()}
    exact = images["authors"]
    assert float(exact.std()) > LEAST_DEVIATION
    assert not torch.allclose(exact[0], exact[1], atol=0.1)
    worst = float((images["float32"] - exact).abs().max())
    rms = float((images["bfloat16"] - exact).square().mean().sqrt())

    def time_row(kind: str, goal: float | None) -> Result:
        ratio = medians["authors"] / medians[kind]
        aim, met = ("reported", None) if goal is None else (f">= {goal:g}x", ratio >= goal)
        measure = f"seconds per composite of 256 px, {kind}, beside the authors' formulation"
        baseline = round(medians["authors"], 3)
        return Result(
            f"11/{kind}", measure, round(medians[kind], 3), "s", baseline, round(ratio, 2), aim, met,
        )  # fmt: skip

    return [
        time_row("float32", FLOAT32_GOAL),
        time_row("bfloat16", BFLOAT16_GOAL if cpu_has_bfloat16() else None),
        Result(
            "11/equality", "largest difference of a float32 composite from the authors' formulation",
            worst, "of [-1, 1]", None, None, f"<= {EXACT:g}", worst <= EXACT,
        ),
        Result(
            "11/bfloat16-error", "root mean square difference of a bfloat16 composite from that formulation",
            round(rms, 4), "of [-1, 1]", None, None, "reported", None,
        ),
    ]  # fmt: skip


def _memory(root: Path) -> Result:
    peaks = {kind: _peak_of(root, kind) for kind in ("authors", "float32")}
    share = peaks["float32"] / peaks["authors"]
    return Result(
        "11/memory", "peak memory of a process that generates composites, minus that of import torch",
        round(peaks["float32"] / 2**20), "MiB", round(peaks["authors"] / 2**20), round(1 / share, 2),
        f"<= {MEMORY_GOAL:.0%} of the authors' formulation", share <= MEMORY_GOAL,
    )  # fmt: skip


def _peak_of(root: Path, kind: str) -> int:
    """Returns the peak bytes of a new process for three composites, minus those of `import torch`."""
    command = [sys.executable, "-m", "benchmarks.imagenet_serving", _MEASURE_MEMORY, kind, str(root)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    report: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return int(report["bytes"])


def _resident(which: str) -> int:
    """Returns this process's bytes, "VmRSS": current, "VmHWM": peak. getrusage has the parent's peak."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(f"{which}:")[1].split()[0])


def _measure_memory(kind: str, root: Path) -> None:
    before = _resident("VmRSS")
    keep_memory()
    composite = _authors(root) if kind == "authors" else _served(root, "float32")
    for seed in range(3):
        composite(Factor(0, seed))
    print(json.dumps({"bytes": _resident("VmHWM") - before}))


if __name__ == "__main__":
    _measure_memory(sys.argv[2], Path(sys.argv[3]))
