"""Trains a digit classifier on originals, counterfactuals or both.

`python -m trainer.runs.train_classifier --help` lists the options. Scores are those on images whose
colours or textures say nothing about the digit (paper section 4.2, table 2).
"""

import json
import sys
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from cgn import checkpoint, sampler
from cgn.composer import compose
from cgn.data import DataError, VariantSet, make_variant
from cgn.device import resolve_device
from cgn.engine import BATCH_ROWS, forward_padded
from cgn.mechanisms.mnist import CLASSES, RESOLUTION
from cgn.model import CGN
from cgn.noise import MECHANISMS
from trainer.runs.checkpoints import Checkpoints
from trainer.runs.classifier import DigitClassifier
from trainer.runs.command import Published, RunError, Stopped, Surroundings, run_command
from trainer.runs.provenance import provenance
from trainer.runs.train_classifier_config import TrainClassifierConfig

RATE_DECAY = 0.7  # of the learning rate, per epoch


def train_classifier(config: TrainClassifierConfig, surroundings: Surroundings) -> Published:
    """Trains, scores on validation and test images, and writes ``scores.json`` and the weights.

    Raises:
        RunError: the data or the model cannot be used.
        Stopped: asked to stop; a checkpoint is written.
    """
    reporter, run_dir = surroundings.reporter, surroundings.run_dir
    images, labels, sources = training_images(config, surroundings)
    device = resolve_device(surroundings.device)

    torch.manual_seed(config.seed)  # initial weights; the order of the images is drawn from `random`
    classifier = DigitClassifier(CLASSES).to(device)
    adadelta = torch.optim.Adadelta(classifier.parameters(), config.learning_rate)
    random = torch.Generator().manual_seed(config.seed)
    checkpoints = Checkpoints(
        run_dir, config, {"classifier": classifier, "adadelta": adadelta, "random": random}
    )
    steps_per_epoch = -(-len(labels) // config.batch_size)
    step = 0
    if surroundings.resume:
        step, passed_over = checkpoints.resume()
        for line in [*passed_over, f"resuming after epoch {step // steps_per_epoch}"]:
            reporter.log(line)

    reporter.begin(step, config.epochs * steps_per_epoch)
    # Checkpoints are taken between epochs; a run that is stopped within one repeats that epoch.
    for epoch in range(step // steps_per_epoch, config.epochs):
        for group in adadelta.param_groups:
            group["lr"] = config.learning_rate * RATE_DECAY**epoch
        classifier.train()
        for chosen in torch.randperm(len(labels), generator=random).split(config.batch_size):
            loss = F.cross_entropy(classifier(images[chosen].to(device)), labels[chosen].to(device))
            adadelta.zero_grad()
            loss.backward()
            adadelta.step()
            step += 1
            reporter.progress(step, {"cross_entropy": float(loss.detach())})
            if surroundings.stop.requested:
                raise Stopped
        reporter.artefact("checkpoint", checkpoints.save(step))
    classifier.cpu()
    weights = run_dir / "classifier.safetensors"
    save_file(classifier.state_dict(), weights)
    reporter.artefact("checkpoint", weights)

    scores = {"validation": score(classifier, variant(config, "validation", unbiased=True))}
    scores["test"] = score(classifier, variant(config, "test", unbiased=True))
    for name, values in scores.items():
        reporter.log(f"{name}: " + ", ".join(f"{key} {value:.4f}" for key, value in values.items()))
    path = run_dir / "scores.json"
    path.write_text(
        json.dumps({"scores": scores, "data": sources, **provenance("train_classifier", config)}, indent=2)
    )
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
    for start, batch in batches(seed, count):
        if surroundings.stop.requested:
            raise Stopped
        rows = {
            mechanism: torch.stack(
                [
                    torch.from_numpy(row)
                    for row in forward_padded(model, mechanism, [c[mechanism] for c in batch])
                ]
            )
            for mechanism in MECHANISMS
        }
        x_NHWC = compose(rows["shape"], rows["texture"], rows["background"])
        images[start : start + len(batch)] = x_NHWC.permute(0, 3, 1, 2)
        labels[start : start + len(batch)] = torch.tensor([c.shape.label for c in batch])
        if start // BATCH_ROWS % 500 == 499:
            surroundings.reporter.log(f"drew {start + len(batch)} of {count} counterfactuals")
    return images, labels


def batches(seed: int, count: int) -> Iterator[tuple[int, list[sampler.Counterfactual]]]:
    """The seed's first ``count`` samples, a forward pass at a time, with the first one's index."""
    for start in range(0, count, BATCH_ROWS):
        yield start, list(sampler.counterfactuals(seed, start, min(start + BATCH_ROWS, count), CLASSES))


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
