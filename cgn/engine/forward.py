"""One forward pass: the rows of one mechanism, and what happens when memory runs out."""

from collections.abc import Sequence

import torch

from cgn.factors import Factor
from cgn.model import CGN
from cgn.noise import Mechanism


class OutOfMemory(Exception):
    """The device has too little memory for a forward pass; the message gives the numbers."""


def rows_of(model: CGN, mechanism: Mechanism, factors: Sequence[Factor]) -> torch.Tensor:
    """Returns a model's rows, see `CGN.rows`. If the GPU's memory is too short, it computes two halves.

    Raises:
        OutOfMemory: memory is too short for the halves, or the machine's memory is too short.
    """
    try:
        return model.rows(mechanism, factors)
    except MemoryError as error:
        raise _machine_is_full(mechanism, error) from error
    except torch.OutOfMemoryError:
        pass  # the second attempt follows outside of the handler, where the failed pass's memory is free
    except RuntimeError as error:  # torch's error for the machine's memory
        if "DefaultCPUAllocator" not in str(error):
            raise
        raise _machine_is_full(mechanism, error) from error
    torch.cuda.empty_cache()
    try:
        return model.rows(mechanism, factors, at_once=max(1, model.network.batch_rows // 2))
    except torch.OutOfMemoryError:
        free, total = torch.cuda.mem_get_info(model.device)
        raise OutOfMemory(
            f"{model.device} has no memory for rows of {mechanism}: {free >> 20} MiB of {total >> 20} MiB "
            "are free; ask for fewer images at once, or serve fewer models"
        ) from None


def _machine_is_full(mechanism: Mechanism, error: Exception) -> OutOfMemory:
    reason = " ".join(str(error).split()) or "allocation failed"
    return OutOfMemory(f"the machine has no memory for rows of {mechanism} ({reason:.200}); try again later")
