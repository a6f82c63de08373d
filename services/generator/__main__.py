"""The generator process: `python -m services.generator`. Settings: common/settings.py."""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import torch

from cgn.device import cpu_has_bfloat16, memory_bytes, resolve_device
from cgn.engine import Batch, Engine
from cgn.errors import CgnInputError
from cgn.families.family import Precision
from cgn_api.v1.generator_pb2_grpc import add_GeneratorServiceServicer_to_server
from common import logs
from common.memory import keep_memory
from common.metrics import GeneratorMetrics
from common.settings import GeneratorSettings, SettingsError
from services.edge.tracing import Tracing
from services.generator.answers.answerer import Answerer
from services.generator.models.models import Models
from services.generator.rows.admission import Admission
from services.generator.rows.cache import RowCache
from services.generator.rows.source import RowSource, observe_batch
from services.generator.rpc_rules import RULES, SERVICE_NAME
from services.generator.servicer import GeneratorServicer
from services.grpc_server import Readiness, serve

_REFUSE_SECONDS = 1.0  # before the end of the grace period, requests that still wait are refused
# A forward pass that takes this long has hung, or delays every request: the server reports NOT_SERVING.
_STALLED_SECONDS = 120.0
_OBJECTS_BETWEEN_COLLECTIONS = 20_000
# Forward passes of small networks reuse blocks up to this size, so the process keeps so much free memory.
# The larger weights of 256 px models return to the system when they are unloaded.
_KEPT_BLOCK_BYTES, _KEPT_FREE_BYTES = 8 << 20, 256 << 20

log = logging.getLogger(__name__)


async def main(settings: GeneratorSettings) -> None:
    """Serves until SIGTERM or SIGINT."""
    keep_memory(_KEPT_BLOCK_BYTES, _KEPT_FREE_BYTES)
    device = resolve_device(settings.device)
    metrics = GeneratorMetrics()
    tracing = Tracing("generator") if settings.edge.traces else None

    def on_batch(batch: Batch) -> None:
        observe_batch(metrics, batch)
        if tracing:
            tracing.add_span(
                f"batch {batch.mechanism}",
                batch.forward_seconds,
                {
                    "cgn.model": batch.card.name,
                    "cgn.mechanism": batch.mechanism,
                    "cgn.rows": batch.rows,
                    "cgn.closed_by": batch.closed_by,
                },
            )

    engine = Engine(settings.threads, on_batch, partial(_note_death, metrics))
    metrics.engine_pass_seconds.set_function(engine.pass_seconds)
    precision: Precision = "bfloat16" if settings.precision == "bfloat16" else "float32"
    if precision == "bfloat16" and device.type == "cpu" and not cpu_has_bfloat16():
        log.warning("CGN_PRECISION=bfloat16 is many times slower than float32 on this processor; set float32")
    models = Models(
        settings.paths.models_dir,
        device,
        precision,
        engine,
        metrics,
        budget_bytes=settings.model_memory_bytes or memory_bytes(device) // 2,
        keep_versions=settings.keep_versions,
    )
    cache = RowCache(
        settings.row_cache_bytes,
        settings.cache_url,
        settings.row_ttl_seconds,
        f"{device.type} {precision}",
        metrics,
    )
    # One OpenMP thread each: more would slow down the engine's threads (models/loaded_models.py).
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "answer", torch.set_num_threads, (1,))
    rows = RowSource(engine, cache, pool, metrics)
    answerer = Answerer(rows, Admission(settings.pixels_in_flight, metrics), pool, metrics)
    draining = asyncio.Event()

    def add_services(server: grpc.aio.Server) -> Sequence[str]:
        servicer = GeneratorServicer(models, answerer, draining)
        add_GeneratorServiceServicer_to_server(servicer, server)
        return [SERVICE_NAME]

    async def refuse_waiting() -> None:
        """Near the end of the grace period, refuses the requests that still wait for rows."""
        await draining.wait()
        await asyncio.sleep(settings.grace_seconds - _REFUSE_SECONDS)
        engine.stop()

    async def run(readiness: Readiness) -> None:
        refusing = asyncio.create_task(refuse_waiting())
        started = False
        try:
            await cache.start()
            async for _ in models.scans():
                if not started:
                    _freeze_startup_objects()
                    started = True
                await readiness.set(engine.pass_seconds() < _STALLED_SECONDS)
        finally:
            refusing.cancel()

    try:
        await serve(
            name="generator",
            add_services=add_services,
            rules=RULES,
            edge=settings.edge,
            port=settings.port,
            metrics_port=settings.metrics_port,
            run=run,
            draining=draining,
            grace_seconds=settings.grace_seconds,
            tracing=tracing,
        )
    finally:
        await cache.close()
        engine.close()
        pool.shutdown()


def _freeze_startup_objects() -> None:
    """Exempts the objects of start-up from garbage collection, which would block the event loop for them."""
    gc.collect()
    gc.freeze()
    # A request makes thousands of objects and no cycles, so rare collections are enough.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)


def _note_death(metrics: GeneratorMetrics, error: BaseException) -> None:
    metrics.engine_deaths.inc()
    log.error("the engine's thread has died; a new one has replaced it", exc_info=error)


if __name__ == "__main__":
    logs.setup("generator")
    try:
        asyncio.run(main(GeneratorSettings.from_env()))
    except (SettingsError, CgnInputError) as error:
        sys.exit(f"error: {error}")
