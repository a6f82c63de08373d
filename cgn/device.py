"""The device that models run on, its memory, and whether it is fast in bfloat16."""

import os
from pathlib import Path

import torch

from cgn.errors import CgnInputError

_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def resolve_device(setting: str) -> torch.device:
    """Returns the device of a setting; "auto" is the first GPU, or the CPU without a GPU.

    Args:
        setting: "auto", "cpu", "cuda" or "cuda:<index>".

    Raises:
        CgnInputError: this machine has no such GPU.
    """
    gpus = torch.cuda.device_count()
    if setting == "cpu" or (setting == "auto" and not gpus):
        return torch.device("cpu")
    index = 0 if setting == "auto" else int(setting.partition(":")[2] or 0)
    if index >= gpus:
        raise CgnInputError(
            "device", f"{setting}: this machine shows {gpus} GPUs; set CGN_DEVICE to cpu or auto"
        )
    return torch.device("cuda", index)


def memory_bytes(device: torch.device) -> int:
    """Returns the total memory of a GPU or of this machine; the container's limit if that is lower."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(_CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):  # no container, or a container without a limit ("max")
        return machine


def cpu_has_bfloat16() -> bool:
    """Returns whether the processor multiplies faster in bfloat16 than in float32.

    Matrix units are faster in bfloat16. So are vector units, except Intel's.
    """
    capabilities = torch.cpu.get_capabilities()
    intel = str(capabilities.get("cpu_name", "")).startswith("Intel")
    return bool(capabilities.get("amx_bf16") or (capabilities.get("avx512_bf16") and not intel))
