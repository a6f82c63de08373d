"""How precisely a run computes."""

import torch


def half_precision(device: torch.device) -> torch.autocast:
    """Convolutions in bfloat16 where the device has matrix units for it."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16, enabled=torch.cuda.is_bf16_supported())
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu.get_capabilities().get("amx_bf16", False))
