"""Rows in, rows out: the forward passes of resident models, batched by mechanism."""

from cgn.engine.engine import Batch, Engine, EngineStopped, Late
from cgn.engine.fair_queue import Flow
from cgn.engine.forward import OutOfMemory
from cgn.engine.orders import Order
from cgn.engine.rows import Row

__all__ = ["Batch", "Engine", "EngineStopped", "Flow", "Late", "Order", "OutOfMemory", "Row"]
