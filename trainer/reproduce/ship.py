"""`make ship`: publishes the CGNs of one seed of the results as the models of the repository.

Their cards also state the scores of the classifiers that were trained on their counterfactuals.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from cgn.card import ModelCard
from cgn.errors import CgnInputError
from cgn.store import checkpoint, versions
from common.settings import REPO
from trainer.reproduce.__main__ import RESULTS, WORK
from trainer.reproduce.cell.files import Results
from trainer.reproduce.table2.config import ReproduceCellConfig
from trainer.reproduce.table2.methods import METHODS, VARIANTS
from trainer.run.exit_codes import BAD_OPTIONS, FAILED, SUCCEEDED


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="make ship", description=__doc__, allow_abbrev=False)
    parser.add_argument("version", help="version of the published models, such as v3")
    parser.add_argument("--seed", type=int, default=0, help="seed of the results (default: %(default)s)")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    arguments = parser.parse_args(argv)
    try:
        for variant in arguments.variants:
            card = ship(
                variant, arguments.seed, Results(RESULTS), WORK / "models", REPO / "models", arguments.version
            )
            print(f"published models/{card.name}/{card.version}")
    except versions.CheckpointError as error:
        print("error:", error, file=sys.stderr)
        return FAILED
    except CgnInputError as error:
        print("error:", error, file=sys.stderr)
        return BAD_OPTIONS
    return SUCCEEDED


def ship(variant: str, seed: int, results: Results, from_dir: Path, to_dir: Path, version: str) -> ModelCard:
    """Publishes the CGN of a result under the name of its data set, with scores of classifiers.

    Args:
        from_dir: models folder of the results.
        to_dir: models folder of the new version.

    Raises:
        CheckpointError: the CGN is missing, or the version exists.
        CgnInputError: the version name is invalid, or no classifier that used this CGN has a score.
    """
    name, source_version = ReproduceCellConfig(variant=variant, method="model", seed=seed).model
    network, card = checkpoint.load_trained(from_dir, name, source_version)
    scores: dict[str, dict[str, Any]] = {}
    for method in (method for method in METHODS if METHODS[method].uses_cgn):
        cell = ReproduceCellConfig(variant=variant, method=method, seed=seed)
        result = results.read(cell)
        if result is None or result["model"]["digest"] != card.digest:
            raise CgnInputError(
                "seed", f"{cell.key} has not been made with {name}; `make reproduce` makes it"
            )
        accuracies = {part: result["scores"][part]["accuracy"] for part in ("validation", "test")}
        scores[method] = {
            **accuracies,
            "from": str(Path("docs/results") / results.path(cell).relative_to(results.root)),
        }
    fields_of_card = {field.name: getattr(card, field.name) for field in fields(ModelCard)}
    del fields_of_card["digest"]  # publishing computes it again
    fields_of_card |= {"name": VARIANTS[variant], "version": version, "scores": scores}
    return checkpoint.publish(to_dir, network, **fields_of_card)


if __name__ == "__main__":
    sys.exit(main())
