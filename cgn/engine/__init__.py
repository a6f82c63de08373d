"""Rows in, rows out: the forward passes of resident models, batched by mechanism."""

from cgn.engine.engine import Batch, Engine
from cgn.engine.rows import Row

__all__ = ["Batch", "Engine", "Row"]
