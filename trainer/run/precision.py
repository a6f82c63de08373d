"""How precisely a run computes."""

import torch

from cgn.device import cpu_has_bfloat16


def half_precision(device: torch.device) -> torch.autocast:
    """Convolutions in bfloat16 where the device computes with it faster than with float32."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16, enabled=torch.cuda.is_bf16_supported())
    return torch.autocast("cpu", torch.bfloat16, enabled=cpu_has_bfloat16())
