"""Writes a data set of counterfactuals of a CGN: `python -m trainer generate_dataset --help`.

Image i depends only on the model, the seed, the policy and i. So the same options give the same bytes, also
after an interruption, and a larger data set starts with the images of a smaller one. Another kind of machine,
or another number of threads, may change some levels by rounding.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cgn.device import resolve_device
from cgn.errors import CgnInputError
from cgn.images.pixels import to_uint8
from cgn.sampling.banks import Counterfactuals
from cgn.sampling.sampler import Sampler
from cgn.store import checkpoint, versions
from cgn.store.files import atomic_write
from trainer.datasets.config import IMAGE_FOLDER, GenerateDatasetConfig
from trainer.datasets.files import LABELS, Pictures, class_folders, write_labels, write_part
from trainer.run.checkpoints import config_fingerprint
from trainer.run.context import Published, RunContext, RunError, Stopped
from trainer.run.directories import remove_unfinished
from trainer.run.provenance import provenance

DATASET = "dataset"  # directory of the images, in the run directory
ABOUT = "dataset.json"  # description of the images, in DATASET
RESULT = "generation.json"  # provenance, in the run directory
_CHECKPOINT = "checkpoint-{:010d}.json"  # with the number of images written
_AT_ONCE_PIXELS = 2**18  # pixels drawn between two checks of the stop flag


@dataclass
class _Progress:
    """The progress of a run, as stored in its checkpoint.

    Attributes:
        config: fingerprint of the config.
        version: version of the model; by default the newest one when the run started.
        images: images written.
    """

    config: str
    version: str
    images: int = 0

    def save(self, run_dir: Path) -> Path:
        """Writes a checkpoint, and removes the one before it."""
        earlier = _checkpoints(run_dir)
        path = _write(run_dir / _CHECKPOINT.format(self.images), dataclasses.asdict(self))
        for old in earlier:
            if old != path:
                old.unlink()
        return path


def generate_dataset(config: GenerateDatasetConfig, context: RunContext) -> Published:
    """Writes the images, their labels and a description to ``dataset/``.

    Raises:
        RunError: the model cannot be used, or the checkpoint belongs to a run with other options.
        Stopped: a stop was requested; a resumed run repeats the images since the last checkpoint.
    """
    run_dir, reporter = context.run_dir, context.reporter
    directory = run_dir / DATASET
    progress = _begin(config, context)
    try:
        device = resolve_device(context.device)
        model = checkpoint.load(context.models_dir, config.model_name, progress.version, device)
        card = model.card
        sampler = Sampler(config.seed, len(card.class_names), config.policy)
        stream = Counterfactuals(model, sampler, lambda line: _tick(line, context))
    except CgnInputError as error:
        raise RunError(str(error)) from None
    folders = class_folders(card)
    for folder in folders if config.format == IMAGE_FOLDER else [""]:
        (directory / folder).mkdir(parents=True, exist_ok=True)

    shards = -(-config.images // config.shard_images)
    done = -(-progress.images // config.shard_images)
    reporter.begin(done, shards, images_per_step=config.shard_images)
    for shard in range(done, shards):
        start = shard * config.shard_images
        stop = min(start + config.shard_images, config.images)
        images = _draw(stream, start, stop, card.resolution, context)
        plan = sampler.plan(start, stop)
        tar = write_part(directory, config.format, folders, start, images, plan, config.shard_images)
        if tar:
            reporter.artefact("shard", tar)
        progress.images = stop
        reporter.artefact("checkpoint", progress.save(run_dir))
        reporter.progress(shard + 1, {})
        if context.stop.requested and stop < config.images:
            raise Stopped

    write_labels(directory, config.format, card, config.images, config.shard_images, sampler.plan)
    about = {
        "model": {"name": card.name, "version": card.version, "digest": card.digest},
        "images": config.images,
        "resolution": card.resolution,
        "classes": dict(zip(card.class_names, folders, strict=True)),
        "options": {
            name: value for name, value in dataclasses.asdict(config).items() if not name.startswith("model_")
        },
        "terms": card.terms,
        "notes": card.notes,
    }
    _write(directory / ABOUT, about)
    result = provenance("generate_dataset", config, context.version) | {"dataset": about}
    _write(run_dir / RESULT, result)
    for kind, path in (("scores", RESULT), ("dataset", f"{DATASET}/{LABELS}"), ("dataset", DATASET)):
        reporter.artefact(kind, run_dir / path)
    return Published()


def _begin(config: GenerateDatasetConfig, context: RunContext) -> _Progress:
    """Returns the progress to start from: that of the latest checkpoint when resuming, else zero."""
    remove_unfinished(context.run_dir)  # files of a killed attempt would become part of the data set
    fingerprint, checkpoints = config_fingerprint(config), _checkpoints(context.run_dir)
    if context.resume and checkpoints:
        progress = _Progress(**json.loads(checkpoints[-1].read_text()))
        if progress.config != fingerprint:
            raise RunError(
                f"{checkpoints[-1]} is of a run with other options; resume with those options, or use "
                "another run directory"
            )
        context.reporter.log(f"resuming after image {progress.images}")
        return progress
    version = config.model_version
    try:
        version = version or versions.newest_version(context.models_dir, config.model_name)
    except CgnInputError as error:
        raise RunError(str(error)) from None
    progress = _Progress(fingerprint, version)
    progress.save(context.run_dir)
    return progress


def _checkpoints(run_dir: Path) -> list[Path]:
    """Returns the checkpoints, oldest first."""
    return sorted(run_dir.glob("checkpoint-*.json"))


def _draw(stream: Counterfactuals, start: int, stop: int, resolution: int, context: RunContext) -> Pictures:
    """Returns the images ``start`` to ``stop - 1`` as 8-bit levels."""
    some = max(1, _AT_ONCE_PIXELS // resolution**2)
    parts = []
    for first in range(start, stop, some):
        x_NCHW, _ = stream.images(first, min(first + some, stop))
        parts.append(to_uint8(x_NCHW.permute(0, 2, 3, 1).numpy()))
        if context.stop.requested and first + some < stop:
            raise Stopped
    return np.concatenate(parts)


def _tick(line: str, context: RunContext) -> None:
    if context.stop.requested:
        raise Stopped
    context.reporter.log(line)


def _write(path: Path, content: dict[str, Any]) -> Path:
    with atomic_write(path) as part:
        part.write_text(json.dumps(content, indent=1))
    return path
