"""How precisely a run computes."""

import torch


def half_precision(device: torch.device) -> torch.autocast:
    """Convolutions in bfloat16 where the device computes with it faster than with float32."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16, enabled=torch.cuda.is_bf16_supported())
    return torch.autocast("cpu", torch.bfloat16, enabled=cpu_has_bfloat16())


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies faster in bfloat16 than in float32.

    With matrix units it does. With vector units alone too, but for Intel's, which gain nothing by it.
    """
    capabilities = torch.cpu.get_capabilities()
    intel = str(capabilities.get("cpu_name", "")).startswith("Intel")
    return bool(capabilities.get("amx_bf16") or (capabilities.get("avx512_bf16") and not intel))
