"""The processes that train one CGN together.

`python -m trainer train_imagenet --processes 2` starts two processes by torchrun (trainer.run.torchrun).
Process r of W computes the accumulation steps r, r + W, ... of each training step. The sum of all gradients
then moves the weights of every process. So W processes with A accumulation steps each take the same training
steps as one process with W · A accumulation steps.

All processes hold equal weights by construction. Initial weights come from one file or one seed. The
all-reduced gradients have the same bits in every process. The vectors of spectral norm depend on the weights
alone.
"""

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist

from cgn.device import resolve_device
from trainer.run.context import RunError


class ProcessGroup:
    """This process and the other processes of its run; a group of one without torchrun.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        device: the device that this process trains on.
    """

    def __init__(self, device: str) -> None:
        """Joins the group, and waits until all processes have joined.

        Args:
            device: auto, cpu, cuda or cuda:<index>, see `cgn.device.resolve_device`. With auto or cuda, each
                process of a larger group takes the GPU of its local rank.
        """
        self.rank, self.size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if self.size > 1 and device in ("auto", "cuda") and torch.cuda.is_available():
            device = f"cuda:{os.environ['LOCAL_RANK']}"
        self.device = resolve_device(device)
        if self.size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    @property
    def is_main(self) -> bool:
        """Whether this is the process that reports, writes files and publishes."""
        return self.rank == 0

    def all_reduce(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replaces each tensor, in place, by its sum over all processes."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def any(self, value: bool) -> bool:
        """Returns whether the value is true in any process; the result is the same in all processes."""
        if self.size == 1:
            return value
        count = torch.tensor(float(value), device=self.device)
        self.all_reduce([count])
        return bool(count)

    def assert_same(self, option: str, value: str) -> None:
        """Raises RunError in every process unless all processes have the same value of an option."""
        if self.size > 1:
            values: list[str] = [""] * self.size
            dist.all_gather_object(values, value)
            if len(set(values)) > 1:
                raise RunError(
                    f"{option}: the processes have the values {', '.join(values)}; "
                    "give one value in torchrun's command"
                )

    def close(self) -> None:
        """Leaves the group."""
        if self.size > 1:
            dist.destroy_process_group()
