"""The kinds of run. Each declares itself beside its config; a new kind gets a line here.

docs/extending.md lists what else a new kind needs.
"""

from collections.abc import Mapping

from trainer.classifier.config import EVALUATE_CLASSIFIER, FIND_FAILURES, TRAIN_CLASSIFIER, TRAIN_ENSEMBLE
from trainer.datasets.config import GENERATE_DATASET
from trainer.imagenet.config import TRAIN_IMAGENET
from trainer.imagenet.start_config import IMPORT_WEIGHTS, START_IMAGENET, TRAIN_BIGGAN, TRAIN_SALIENCY
from trainer.mnist.config import TRAIN_CGN
from trainer.reproduce.imagenet.config import IMAGENET_CELL
from trainer.reproduce.miniature.config import MINIATURE_CELL
from trainer.reproduce.table2.config import REPRODUCE_CELL
from trainer.run.kind import Kind

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        TRAIN_CGN,
        TRAIN_CLASSIFIER,
        REPRODUCE_CELL,
        TRAIN_IMAGENET,
        TRAIN_ENSEMBLE,
        EVALUATE_CLASSIFIER,
        GENERATE_DATASET,
        IMPORT_WEIGHTS,
        TRAIN_BIGGAN,
        TRAIN_SALIENCY,
        START_IMAGENET,
        FIND_FAILURES,
        MINIATURE_CELL,
        IMAGENET_CELL,
    )
}
# The words after `python -m` that run a job of each kind.
COMMANDS: Mapping[str, tuple[str, ...]] = {name: ("trainer", name) for name in KINDS}
