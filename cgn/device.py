"""Which device a model lives on."""

import torch

from cgn.errors import CgnInputError


def resolve_device(wanted: str) -> torch.device:
    """The device of a setting: "auto" is the first GPU, or the CPU where there is none.

    Args:
        wanted: "auto", "cpu", "cuda" or "cuda:<index>".

    Raises:
        CgnInputError: a GPU that this machine does not show.
    """
    gpus = torch.cuda.device_count()
    if wanted == "cpu" or (wanted == "auto" and not gpus):
        return torch.device("cpu")
    index = 0 if wanted == "auto" else int(wanted.partition(":")[2] or 0)
    if index >= gpus:
        raise CgnInputError(
            "device", f"{wanted}: this machine shows {gpus} GPUs; set CGN_DEVICE to cpu or auto"
        )
    return torch.device("cuda", index)
