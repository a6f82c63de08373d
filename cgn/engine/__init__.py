"""Rows in, rows out: the forward passes of resident models, batched by mechanism."""

from cgn.engine.engine import BATCH_ROWS, Batch, Engine, forward_padded
from cgn.engine.rows import Row

__all__ = ["BATCH_ROWS", "Batch", "Engine", "Row", "forward_padded"]
