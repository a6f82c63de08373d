"""One forward pass of one mechanism, with a retry in smaller batches if GPU memory runs out."""

from collections.abc import Sequence

import torch

from cgn.factors import Factor
from cgn.model import CGN
from cgn.noise import Mechanism


class OutOfMemory(Exception):
    """The device has too little memory for a forward pass; the message gives the numbers."""


def compute_rows(model: CGN, mechanism: Mechanism, factors: Sequence[Factor]) -> torch.Tensor:
    """Returns a model's rows, see `CGN.rows`. If GPU memory is too small, retries with half the batch size.

    Raises:
        OutOfMemory: GPU memory is too small even for the retry, or the machine's memory is too small.
    """
    try:
        return model.rows(mechanism, factors)
    except MemoryError as error:
        raise _machine_is_full(mechanism, error) from error
    except torch.OutOfMemoryError:
        pass  # retried below: outside of the handler, the memory of the failed pass is free
    except RuntimeError as error:  # torch reports a lack of CPU memory like this
        if "DefaultCPUAllocator" not in str(error):
            raise
        raise _machine_is_full(mechanism, error) from error
    torch.cuda.empty_cache()
    try:
        return model.rows(mechanism, factors, at_once=max(1, model.network.batch_rows // 2))
    except torch.OutOfMemoryError:
        free, total = torch.cuda.mem_get_info(model.device)
        raise OutOfMemory(
            f"{model.device} has too little memory for rows of {mechanism}: {free >> 20} of {total >> 20} MiB"
            " free; request fewer images at once, or load fewer models"
        ) from None


def _machine_is_full(mechanism: Mechanism, error: Exception) -> OutOfMemory:
    reason = " ".join(str(error).split()) or "allocation failed"
    return OutOfMemory(
        f"the machine has too little memory for rows of {mechanism} ({reason:.200}); try again later"
    )
