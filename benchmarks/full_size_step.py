"""Measures a training step of an ImageNet CGN at full size: `python -m benchmarks.full_size_step`.

256 pixels, one image, one accumulation step, all losses of a preset. Weights are random, which cost the same
as trained weights: four BigGANs with one calibrated set of weights, U²-Net and VGG16. Reports the time of
each step and the process's peak memory. The first step includes the allocation of its memory.
"""

import argparse
import json
import resource
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cgn.families.imagenet.biggan import calibrate
from cgn.families.imagenet.network import MODULES, ImagenetCGN, ImagenetSizes
from cgn.imports.authors_weights import AUTHORS_SIZES
from common.memory import keep_memory
from common.settings import REPO, device_from_env
from trainer.imagenet.config import PRESETS, TrainImagenetConfig
from trainer.imagenet.step import Training
from trainer.run.process_group import ProcessGroup
from trainer.run.provenance import current_commit, machine

OUTPUT = REPO / "docs" / "results" / "imagenet_step.json"


def random_cgn(sizes: ImagenetSizes, seed: int) -> ImagenetCGN:
    """Returns a CGN with random weights; as at the start of training, its BigGANs are equal."""
    torch.manual_seed(seed)
    network = ImagenetCGN(sizes)
    calibrate(network.f_shape, seed, rows=2)
    for module in MODULES.values():
        getattr(network, module).load_state_dict(network.f_shape.state_dict())
    return network


def save_random_vgg16(path: Path, seed: int, *, batch_norm: bool) -> None:
    """Writes random weights of VGG16's convolutions in the format of torchvision's state dict."""
    from torchvision.models.vgg import cfgs, make_layers  # type: ignore[import-untyped]

    torch.manual_seed(seed)
    features = make_layers(cfgs["D"], batch_norm=batch_norm)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)  # else features shrink with depth
    torch.save({f"features.{name}": t for name, t in features.state_dict().items()}, path)


def measure(preset: str, steps: int, seed: int, sizes: ImagenetSizes) -> dict[str, Any]:
    """Performs the steps and returns the report."""
    with tempfile.TemporaryDirectory() as folder:
        vgg16 = Path(folder) / "vgg16.pth"
        save_random_vgg16(vgg16, seed, batch_norm=PRESETS[preset].features == "vgg16_bn")
        config = TrainImagenetConfig(
            preset=preset, seed=seed, steps=steps, accumulation=1, batch_size=1, vgg16_weights=str(vgg16)
        )
        training = Training(config, random_cgn(sizes, seed), ProcessGroup(device_from_env()))
    measured: list[dict[str, Any]] = []
    for step in range(steps):
        wall, cpu = time.perf_counter(), time.process_time()
        result = training.step(step)
        assert result is not None
        measured.append(
            {
                "seconds": round(time.perf_counter() - wall, 2),
                "cpu_seconds": round(time.process_time() - cpu, 2),
                "mu_mask": result.mu_mask,
                "values": result.losses,
            }
        )
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on Linux
    trained = [p for p in training.network.parameters() if p.requires_grad]
    return {
        "preset": preset,
        "settings": asdict(config.settings),
        "resolution": sizes.resolution,
        "weights": "random",
        "parameters": sum(p.numel() for p in training.network.parameters()),
        "parameters_trained": sum(p.numel() for p in trained),
        "steps": measured,
        "peak_rss_gib": round(kilobytes / 2**20, 2),
    }


def main(argv: Sequence[str] | None = None, sizes: ImagenetSizes = AUTHORS_SIZES) -> int:
    """Prints a summary, writes the JSON, and returns the exit code.

    Args:
        argv: the options; by default the process's.
        sizes: of the networks.
    """
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--preset", choices=list(PRESETS), default="code")
    parser.add_argument(
        "--steps", type=int, default=2, help="steps to measure, 1 or more (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of weights and noise (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=OUTPUT, help="JSON file to write")
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(words)
    if arguments.steps < 1:
        parser.error(f"--steps: must be 1 or more, is {arguments.steps}")
    keep_memory()  # as runs do
    report = measure(arguments.preset, arguments.steps, arguments.seed, sizes)
    last = report["steps"][-1]
    print(
        f"one step with one image of {sizes.resolution} pixels, random weights: {last['seconds']:.1f} s "
        f"({last['cpu_seconds']:.1f} s of CPU time), peak memory {report['peak_rss_gib']:.1f} GiB"
    )
    result = {
        "what": "a training step of an ImageNet CGN with all losses, one image and one accumulation step",
        "command": f"python -m benchmarks.full_size_step {shlex.join(words)}".rstrip(),
        "commit": current_commit(),
        "machine": machine(),
        **report,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
