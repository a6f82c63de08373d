"""Which device a model lives on, how much memory it has, and what it is fast at."""

import os
from pathlib import Path

import torch

from cgn.errors import CgnInputError

_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


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


def memory_bytes(device: torch.device) -> int:
    """All the memory of a GPU, or of this machine: of the container, where that has less."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(_CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return machine


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies faster in bfloat16 than in float32.

    With matrix units it does. With vector units alone too, but for Intel's, which gain nothing by it.
    """
    capabilities = torch.cpu.get_capabilities()
    intel = str(capabilities.get("cpu_name", "")).startswith("Intel")
    return bool(capabilities.get("amx_bf16") or (capabilities.get("avx512_bf16") and not intel))
