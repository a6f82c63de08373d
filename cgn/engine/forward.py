"""One forward pass: how rows of one mechanism are computed."""

from collections.abc import Sequence

import torch

from cgn.errors import is_host_out_of_memory
from cgn.factors import Factor
from cgn.model import CGN
from cgn.noise import Mechanism


class OutOfMemory(Exception):
    """The device's memory is too short for a pass; the message has the numbers."""


def rows_of(model: CGN, mechanism: Mechanism, factors: Sequence[Factor]) -> torch.Tensor:
    """A model's rows; where the device has no memory for all of them at once, in two halves.

    Raises:
        OutOfMemory: it has none for the halves either.
    """
    try:
        return model.rows(mechanism, factors)
    except torch.OutOfMemoryError:
        pass  # out of the handler, so that the failed pass's memory is free
    except (MemoryError, RuntimeError) as error:
        if not is_host_out_of_memory(error):
            raise
        raise _none_left(mechanism, error) from error
    torch.cuda.empty_cache()
    try:
        return model.rows(mechanism, factors, at_once=max(1, model.network.batch_rows // 2))
    except torch.OutOfMemoryError:
        free, total = torch.cuda.mem_get_info(model.device)
        raise OutOfMemory(
            f"{model.device} has no memory for rows of {mechanism}: {free >> 20} MiB of {total >> 20} MiB "
            "are free; ask for fewer images at once, or serve fewer models"
        ) from None


def _none_left(mechanism: Mechanism, error: Exception) -> OutOfMemory:
    why = " ".join(str(error).split()) or "allocation failed"
    return OutOfMemory(f"the machine has no memory for rows of {mechanism} ({why:.200}); try again later")
