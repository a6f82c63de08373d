"""Trains a digit classifier on originals, counterfactuals or both.

`python -m trainer.runs.train_classifier --help` lists the options. Scores are those on images whose
colours or textures say nothing about the digit (paper section 4.2, table 2).
"""

import json
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from cgn import checkpoint, sampler
from cgn.composer import compose
from cgn.data import DataError, VariantSet, make_variant
from cgn.device import resolve_device
from cgn.mechanisms.mnist import CLASSES, RESOLUTION
from cgn.model import BATCH_ROWS, CGN
from cgn.noise import MECHANISMS
from trainer.runs.checkpoints import Checkpoints
from trainer.runs.classifier import DigitClassifier
from trainer.runs.command import Published, RunError, Stopped, Surroundings, run_command
from trainer.runs.provenance import provenance
from trainer.runs.train_classifier_config import TrainClassifierConfig

RATE_DECAY = 0.7  # of the learning rate, per epoch
_EPOCH_STRIDE = 0x9E3779B97F4A7C15  # odd and large: neighbouring seeds share no epoch's order
_SAMPLES_PER_LINE = 8000  # counterfactuals drawn between two lines of the log


def train_classifier(config: TrainClassifierConfig, surroundings: Surroundings) -> Published:
    """Trains, scores on validation and test images, and writes ``scores.json`` and the weights.

    Raises:
        RunError: the data or the model cannot be used.
        Stopped: asked to stop; a checkpoint is written, unless the images were still being drawn.
    """
    reporter, run_dir = surroundings.reporter, surroundings.run_dir
    images, labels, sources = training_images(config, surroundings)
    device = resolve_device(surroundings.device)

    torch.manual_seed(config.seed)  # initial weights
    classifier = DigitClassifier(CLASSES).to(device)
    adadelta = torch.optim.Adadelta(classifier.parameters(), config.learning_rate)
    checkpoints = Checkpoints(run_dir, config, {"classifier": classifier, "adadelta": adadelta})
    steps_per_epoch = -(-len(labels) // config.batch_size)
    step = 0
    if surroundings.resume:
        step, passed_over = checkpoints.resume()
        for line in [*passed_over, f"resuming after step {step}"]:
            reporter.log(line)

    classifier.train()
    reporter.begin(step, config.epochs * steps_per_epoch)
    for epoch in range(step // steps_per_epoch, config.epochs):
        adadelta.param_groups[0]["lr"] = config.learning_rate * RATE_DECAY**epoch
        # The order of an epoch comes from seed and epoch alone, so a resumed run finds its place in it.
        order = torch.Generator().manual_seed((config.seed + epoch * _EPOCH_STRIDE) % 2**63)
        batches = torch.randperm(len(labels), generator=order).split(config.batch_size)
        for chosen in batches[step % steps_per_epoch :]:
            loss = F.cross_entropy(classifier(images[chosen].to(device)), labels[chosen].to(device))
            adadelta.zero_grad()
            loss.backward()
            adadelta.step()
            step += 1
            reporter.progress(step, {"cross_entropy": float(loss.detach())})
            if surroundings.stop.requested or step % steps_per_epoch == 0:
                reporter.artefact("checkpoint", checkpoints.save(step))
            if surroundings.stop.requested:
                raise Stopped
    classifier.cpu()
    weights = run_dir / "classifier.safetensors"
    save_file(classifier.state_dict(), weights)
    reporter.artefact("checkpoint", weights)

    scores = {"validation": score(classifier, variant(config, "validation", unbiased=True))}
    scores["test"] = score(classifier, variant(config, "test", unbiased=True))
    for name, values in scores.items():
        reporter.log(f"{name}: " + ", ".join(f"{key} {value:.4f}" for key, value in values.items()))
    origin = provenance("train_classifier", config, surroundings.version)
    path = run_dir / "scores.json"
    path.write_text(json.dumps({"scores": scores, "data": sources, **origin}, indent=2))
    reporter.artefact("scores", path)
    return Published()


def training_images(
    config: TrainClassifierConfig, surroundings: Surroundings
) -> tuple[torch.Tensor, torch.Tensor, dict[str, object]]:
    """Images (N, 3, 32, 32) in [-1, 1], their labels (N,), and where they come from."""
    images, labels = [], []
    sources: dict[str, object] = {}
    if "original" in config.train_on:
        data = variant(config, "train", unbiased=False)
        images.append(data.images)
        labels.append(data.labels)
        sources["original"] = data.provenance
    if "counterfactual" in config.train_on:
        try:
            model = checkpoint.load(surroundings.models_dir, config.model_name, config.model_version)
        except checkpoint.CheckpointError as error:
            raise RunError(str(error)) from None
        if not model.card.trained:
            surroundings.reporter.log("note: the weights of this CGN are random, it was never trained")
        x, shape_labels = counterfactual_images(model, config.seed, config.counterfactuals, surroundings)
        images.append(x)
        labels.append(shape_labels)
        sources["counterfactual"] = {
            "model": model.card.name, "version": model.card.version, "digest": model.card.digest,
            "images": config.counterfactuals,
        }  # fmt: skip
    return torch.cat(images), torch.cat(labels), sources


def counterfactual_images(
    model: CGN, seed: int, count: int, surroundings: Surroundings
) -> tuple[torch.Tensor, torch.Tensor]:
    """``count`` counterfactuals, every mechanism with a label and noise of its own, labelled by shape."""
    surroundings.reporter.log(f"drawing {count} counterfactuals")
    images = torch.empty(count, 3, RESOLUTION, RESOLUTION)
    labels = torch.empty(count, dtype=torch.int64)
    for start in range(0, count, BATCH_ROWS):
        if surroundings.stop.requested:
            raise Stopped
        stop = min(start + BATCH_ROWS, count)
        drawn = list(sampler.counterfactuals(seed, start, stop, CLASSES))
        m, f, b = (model.rows(mechanism, [sample[mechanism] for sample in drawn]) for mechanism in MECHANISMS)
        images[start:stop] = compose(m, f, b)
        labels[start:stop] = torch.tensor([sample.shape.label for sample in drawn])
        if stop % _SAMPLES_PER_LINE == 0:
            surroundings.reporter.log(f"drew {stop} of {count} counterfactuals")
    return images, labels


def variant(config: TrainClassifierConfig, split: str, *, unbiased: bool) -> VariantSet:
    """A split of the data set; ``unbiased``: its colours or textures are drawn at random."""
    correlation = {"object_correlation": 0.0} if unbiased else {}
    if unbiased and config.dataset != "colored_mnist":
        correlation["background_correlation"] = 0.0
    try:
        return make_variant(config.dataset, split, **correlation)  # type: ignore[arg-type]
    except DataError as error:
        raise RunError(f"dataset {config.dataset}: {error}") from None


@torch.no_grad()
def score(classifier: DigitClassifier, data: VariantSet) -> dict[str, float]:
    """Accuracies in [0, 1]: of all images, of those whose colours agree with the digit, of the others."""
    classifier.eval()
    right = torch.cat([classifier(x).argmax(1) for x in data.images.split(1000)]) == data.labels
    agree = data.object_labels == data.labels
    if len(data.background_labels.unique()) > 1:
        agree = agree | (data.background_labels == data.labels)
    return {
        "accuracy": float(right.float().mean()),
        "accuracy_where_a_cue_agrees": float(right[agree].float().mean()),
        "accuracy_where_none_agrees": float(right[~agree].float().mean()),
    }


if __name__ == "__main__":
    sys.exit(run_command(TrainClassifierConfig, train_classifier, "Trains a digit classifier."))
