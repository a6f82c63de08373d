"""The processes that train one CGN together, as torchrun starts them; without it, one that is alone.

`python -m trainer train_imagenet --processes 2` has torchrun start two (trainer.run.torchrun).
Process r of W makes the passes r, r + W, ... of a step, and the sum of all gradients moves the weights of
each. So W processes that accumulate A passes take the steps of one that accumulates W · A.

What must be equal in all processes is so by construction: weights come from one file, or from one seed; they
move by sums that every process gets in the same bits; and spectral norm's vectors depend on weights alone.
"""

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist

from cgn.device import resolve_device
from trainer.run.context import RunError


class Team:
    """This process among those of the run.

    Attributes:
        rank: its number, from 0 on.
        size: how many there are.
        device: that it trains on.
    """

    def __init__(self, wanted: str) -> None:
        """Waits for the others; ``wanted``: the device, see `cgn.device.resolve_device`."""
        self.rank, self.size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if self.size > 1 and wanted in ("auto", "cuda") and torch.cuda.is_available():
            wanted = f"cuda:{os.environ['LOCAL_RANK']}"
        self.device = resolve_device(wanted)
        if self.size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    @property
    def leads(self) -> bool:
        """Whether this process reports, writes files and publishes for all."""
        return self.rank == 0

    def sum(self, tensors: Iterable[torch.Tensor]) -> None:
        """Each tensor, in place, becomes the sum of all processes'."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def any(self, mine: bool) -> bool:
        """Whether it is so in any process; the same answer in all."""
        if self.size == 1:
            return mine
        told = torch.tensor(float(mine), device=self.device)
        self.sum([told])
        return bool(told)

    def agree(self, option: str, value: str) -> None:
        """Raises RunError in every process unless all have the same value of an option."""
        if self.size > 1:
            values: list[str] = [""] * self.size
            dist.all_gather_object(values, value)
            if len(set(values)) > 1:
                raise RunError(
                    f"{option}: the processes have {', '.join(values)}; give torchrun's command one for all"
                )

    def wait(self) -> None:
        """Returns when all processes have come here."""
        if self.size > 1:
            dist.barrier()

    def leave(self) -> None:
        """Ends the connections with the others."""
        if self.size > 1:
            dist.destroy_process_group()
