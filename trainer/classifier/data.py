"""The training images of a classifier: infinite sources whose image i depends on i alone.

So a run that resumes at step s needs none of the earlier images, and images may be drawn in batches of any
size.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch

from cgn.data import DataError, ImageSet, make_variant, training_images
from cgn.datasets import FOLDER
from cgn.model import CGN
from cgn.sampling.banks import Counterfactuals
from cgn.sampling.policy import Policy
from cgn.sampling.sampler import Sampler
from cgn.store import checkpoint, versions
from trainer.classifier.config import BOTH, INTERVENTION, ORIGINAL, TrainClassifierConfig
from trainer.run.context import RunContext, RunError, Stopped

Images = tuple[torch.Tensor, torch.Tensor]  # (N, 3, R, R) float32 in [-1, 1], and class labels (N,)

_STRIDE = (
    0x9E3779B97F4A7C15  # odd and large, so that neighbouring seeds share no order and no draw of an epoch
)
_HELD_OUT = 0xD1B54A32D192ED03  # added to the seed for counterfactuals that are not for training
_AT_ONCE = 1000  # counterfactuals drawn between two checks of the stop flag


class Source(Protocol):
    """An infinite stream of labelled images."""

    def images(self, start: int, stop: int) -> Images:
        """Returns the images ``start`` to ``stop - 1`` of the stream."""


class Epochs:
    """An infinite sequence of epochs over sets of equal size, each in another random order.

    Args:
        load: returns the images of an epoch by its number, float32 in [-1, 1] or uint8 levels.
        seed: seed of the orders.
    """

    def __init__(self, load: Callable[[int], Images], seed: int) -> None:
        self._load, self._seed = load, seed
        self._enter(0)
        self._size = len(self._order)

    def images(self, start: int, stop: int) -> Images:
        """Returns the images ``start`` to ``stop - 1`` of the sequence."""
        parts = []
        while True:
            number, first = divmod(start, self._size)
            if number != self._number:
                self._enter(number)
            end = min(stop, (number + 1) * self._size)
            chosen = self._order[first : first + end - start]
            parts.append((self._images[chosen], self._labels[chosen]))
            start = end
            if start == stop:
                break
        images, labels = (torch.cat(part) for part in zip(*parts, strict=True))
        if images.dtype == torch.uint8:
            images = images.float().mul_(1 / 127.5).sub_(1)
        return images, labels

    def _enter(self, number: int) -> None:
        self._images, self._labels = self._load(number)
        order = torch.Generator().manual_seed((self._seed + number * _STRIDE) % 2**63)
        self._order = torch.randperm(len(self._labels), generator=order)
        self._number = number


class Interleaved:
    """Interleaves S sources: source k provides the images k, k + S, k + 2 S and so on."""

    def __init__(self, *sources: Source) -> None:
        self._sources = sources

    def images(self, start: int, stop: int) -> Images:
        """Returns the images ``start`` to ``stop - 1`` of the interleaved sources."""
        turns = len(self._sources)
        parts = []
        for k, source in enumerate(self._sources):
            first, last = (-(-(position - k) // turns) for position in (start, stop))
            parts.append((slice(first * turns + k - start, None, turns), *source.images(first, last)))
        x_NCHW = torch.empty(stop - start, *parts[0][1].shape[1:])
        y_N = torch.empty(stop - start, dtype=torch.int64)
        for places, x, y in parts:
            x_NCHW[places], y_N[places] = x, y
        return x_NCHW, y_N


class TrainingData:
    """The training images of a run.

    Attributes:
        source: the images to train on.
        validation: the originals held out for validation, with class names and resolution of the data set.
        model: the CGN of the config; None if the config names none.
        provenance: provenance of the images, as plain JSON.

    Raises:
        RunError: the data or the model cannot be used.
        Stopped: a stop was requested while rows were computed; there is no checkpoint to write yet.
    """

    def __init__(self, config: TrainClassifierConfig, context: RunContext) -> None:
        self._config, self._context = config, context
        self.validation = self._load_images("validation")
        self.model = self._load_model() if config.model_name else None
        self.provenance: dict[str, Any] = {}
        sources: list[Source] = []
        if config.train_on == INTERVENTION:
            self.provenance["intervention"] = {"dataset": config.dataset}
            sources.append(Epochs(self._interventions, config.seed))
        elif config.train_on in (ORIGINAL, BOTH):
            original = self._load_images("train")
            self.provenance["original"] = original.provenance
            sources.append(Epochs(lambda _: (original.images, original.labels), config.seed))
        if self.model and config.uses_counterfactuals:
            card = self.model.card
            self.provenance["counterfactual"] = {
                "model": card.name, "version": card.version, "digest": card.digest,
                "images": config.counterfactuals or config.images_seen // (1 + bool(sources)),
            }  # fmt: skip
            sources.append(self._counterfactuals(self.model))
        self.source = sources[0] if len(sources) == 1 else Interleaved(*sources)

    def held_out_counterfactuals(self, model: CGN, count: int) -> Images:
        """Returns counterfactuals of rows that are in no training image, with the policy of the config."""
        policy = Policy(self._config.vary, self._config.labels)
        return Counterfactuals(model, self._sampler(self._config.seed + _HELD_OUT, policy)).images(0, count)

    def _sampler(self, seed: int, policy: Policy) -> Sampler:
        return Sampler(seed % 2**64, len(self.validation.class_names), policy)

    def _load_images(self, split: str) -> ImageSet:
        config = self._config
        try:
            return training_images(config.dataset, split, folder=config.folder, resolution=config.resolution)
        except DataError as error:
            raise RunError(f"dataset {config.dataset}: {error}") from None

    def _load_model(self) -> CGN:
        config, context = self._config, self._context
        try:
            model = checkpoint.load(context.models_dir, config.model_name, config.model_version)
        except versions.CheckpointError as error:
            raise RunError(str(error)) from None
        model_shape = (len(model.card.class_names), model.card.resolution)
        data_shape = (len(self.validation.class_names), self.validation.resolution)
        if model_shape != data_shape:
            raise RunError(
                f"model_name: {model.card.name} has {model_shape[0]} classes at {model_shape[1]} pixels, the "
                f"data set {data_shape[0]} at {data_shape[1]}; name a CGN that was trained on this data set"
            )
        # Digits have the same order on every card. The classes of a folder are known by their names only.
        if config.dataset == FOLDER and model.card.class_names != self.validation.class_names:
            raise RunError(
                f"model_name: the classes of {model.card.name} have other names than the classes of "
                f"{config.folder}; name a CGN that was trained on this data set"
            )
        if not model.card.trained:
            context.reporter.log("note: the weights of this CGN are random, it was never trained")
        return model

    def _interventions(self, number: int) -> Images:
        """Returns the training digits with random colours or textures, drawn again in every epoch."""
        seed = (self._config.seed + (number + 1) * _STRIDE) % 2**63
        data = make_variant(self._config.dataset, "train", seed=seed, **correlated(self._config.dataset, 0))
        return data.images, data.labels

    def _counterfactuals(self, model: CGN) -> Source:
        config = self._config
        stream = Counterfactuals(model, self._sampler(config.seed, config.policy), self._tick)
        if not config.counterfactuals:
            return stream
        parts = []
        for start in range(0, config.counterfactuals, _AT_ONCE):
            x_NCHW, y_N = stream.images(start, min(start + _AT_ONCE, config.counterfactuals))
            # Stored as 8-bit levels, in a quarter of the memory. Jitter may exceed the range slightly.
            parts.append((x_NCHW.add_(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8), y_N))
            if self._context.stop.requested:
                raise Stopped
        levels, labels = (torch.cat(part) for part in zip(*parts, strict=True))
        return Epochs(lambda _: (levels, labels), config.seed)

    def _tick(self, line: str) -> None:
        if self._context.stop.requested:
            raise Stopped
        self._context.reporter.log(line)


def correlated(dataset: str, percent: float) -> dict[str, Any]:
    """Returns arguments of `make_variant` that correlate colours or textures with the digit.

    Args:
        dataset: name of the variant.
        percent: share of images whose colour or texture belongs to the digit, in per cent. In the other
            images it is random; at 0 it is independent of the digit.
    """
    if dataset == "colored_mnist":  # its backgrounds are black
        return {"object_correlation": percent}
    return {"object_correlation": percent, "background_correlation": percent}
