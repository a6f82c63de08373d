"""What a family of CGNs declares about itself; `cgn.families.table` lists the families."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import torch

from cgn.families.network import Network

Precision = Literal["float32", "bfloat16"]
Output = Literal["composite", "mask", "foreground", "background", "pre_mask", "reference"]

Weights = Mapping[str, torch.Tensor]  # a state dict; a file's is read tensor by tensor
Architecture = Mapping[str, int]  # the family's own sizes, as a model card states them
N = TypeVar("N", bound=Network, covariant=True)
T = TypeVar("T", bound=Network)

Build = Callable[[Architecture, int, int], T]
Serve = Callable[[Architecture, int, int, Weights, torch.device, Precision], Network]


@dataclass(frozen=True)
class Family(Generic[N]):
    """One family of CGNs: its name, its networks and what distinguishes it from other families.

    Attributes:
        name: name of the family in a model card.
        outputs: images that a caller can request, in the order in which errors list them.
        build: (architecture, classes, resolution) -> the network as it is trained and stored, with fresh
            random weights. Raises CgnInputError for sizes that the family does not have.
        serve: (architecture, classes, resolution, weights, device, precision) -> the network as it is
            served. Raises CgnInputError for weights of other sizes.
        truncated: whether noise is drawn within [-2, 2] and has a truncation (Brock et al. 2019, section
            3.1). The same as `Network.truncated` of its networks.
        row_switches: names of entries of the architecture, each 0 or 1, that change rows but no tensor's
            shape. Those that are 1 become part of a model's digest.
    """

    name: str
    outputs: tuple[Output, ...]
    build: Callable[[Architecture, int, int], N]
    serve: Serve
    truncated: bool = False
    row_switches: tuple[str, ...] = ()


def served_from_trained(build: Build[T], served: Callable[[T, torch.dtype], Network]) -> Serve:
    """Returns a `Family.serve` for a served form that is derived from the whole trained form.

    Args:
        build: the family's `Family.build`.
        served: (trained form in eval mode, dtype) -> the network as it is served.
    """

    def serve(
        architecture: Architecture,
        classes: int,
        resolution: int,
        weights: Weights,
        device: torch.device,
        precision: Precision,
    ) -> Network:
        trained = build(architecture, classes, resolution).eval()
        trained.load_state_dict(dict(weights), strict=False)  # step counters of batch norm are not stored
        return served(trained, getattr(torch, precision))

    return serve
