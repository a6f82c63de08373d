"""The inference engine: computes rows of loaded models in dynamic batches, one mechanism per batch."""

from cgn.engine.engine import Batch, DeadlineExceeded, Engine, EngineStopped
from cgn.engine.fair_queue import Flow
from cgn.engine.forward import OutOfMemory
from cgn.engine.requests import RowRequest
from cgn.engine.rows import Row

__all__ = [
    "Batch",
    "DeadlineExceeded",
    "Engine",
    "EngineStopped",
    "Flow",
    "OutOfMemory",
    "Row",
    "RowRequest",
]
