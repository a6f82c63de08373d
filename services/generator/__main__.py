"""The generator process: `python -m services.generator`. Settings: common/settings.py."""

import asyncio
import gc
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc

from cgn.device import resolve_device
from cgn.engine import Engine
from cgn.errors import CgnInputError
from cgn_api.v1.generator_pb2_grpc import add_GeneratorServiceServicer_to_server
from common import logs
from common.metrics import GeneratorMetrics
from common.settings import GeneratorSettings, SettingsError
from services.generator.models import Models
from services.generator.row_cache import RowCache
from services.generator.servicer import SERVICE_NAME, GeneratorServicer, observe_batch
from services.grpc_server import Readiness, serve


async def main(settings: GeneratorSettings) -> None:
    """Serves until told to stop."""
    device = resolve_device(settings.device)
    metrics = GeneratorMetrics()
    engine = Engine(threads=settings.threads, on_batch=partial(observe_batch, metrics))
    models = Models(settings.paths.models_dir, device, engine, metrics)
    cache = RowCache(
        settings.row_cache_bytes, settings.cache_url, settings.row_ttl_seconds, device.type, metrics
    )
    pool = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1), thread_name_prefix="answer")

    def add_services(server: grpc.aio.Server) -> Sequence[str]:
        servicer = GeneratorServicer(models, engine, cache, pool, metrics)
        add_GeneratorServiceServicer_to_server(servicer, server)
        return [SERVICE_NAME]

    async def run(readiness: Readiness) -> None:
        await cache.start()
        async for _ in models.scans():
            if not gc.get_freeze_count():
                # What start-up has made stays. Left to the collector, each full pass over it would hold
                # up the event loop.
                gc.collect()
                gc.freeze()
            await readiness.set(True)

    try:
        await serve(
            name="generator",
            add_services=add_services,
            host=settings.host,
            port=settings.port,
            metrics_port=settings.metrics_port,
            run=run,
        )
    finally:
        await cache.close()
        engine.close()
        pool.shutdown()


if __name__ == "__main__":
    logs.setup("generator")
    try:
        asyncio.run(main(GeneratorSettings.from_env()))
    except (SettingsError, CgnInputError) as error:
        sys.exit(f"error: {error}")
