"""`python -m services.trainer`: the trainer service."""

import asyncio
import sys
from collections.abc import Sequence

import grpc
from prometheus_client import REGISTRY

from cgn_api.v1 import trainer_pb2_grpc as pb_grpc
from common import logs
from common.metrics import TrainerMetrics
from common.redis import async_client
from common.settings import SettingsError, TrainerSettings
from services.edge.tracing import Tracing
from services.grpc_server import serve
from services.trainer.exporter import Exporter
from services.trainer.rpc_rules import RULES, SERVICE_NAME
from services.trainer.servicer import TrainerServicer
from services.trainer.sweeper import Sweeper
from services.trainer.totals_collector import TotalsCollector
from trainer.jobs.queue import JobQueue
from trainer.jobs.wakeup import celery_app


async def run(settings: TrainerSettings) -> None:
    """Serves until SIGTERM or SIGINT. Raises SettingsError, or SystemExit if a port is taken."""
    tracing = Tracing("trainer") if settings.edge.traces else None
    celery = celery_app(settings.jobs_url)
    draining = asyncio.Event()
    async with async_client(settings.jobs_url) as redis:
        servicer = TrainerServicer(JobQueue(redis), celery, settings, draining)
        totals = TotalsCollector()
        REGISTRY.register(totals)
        sweeper = Sweeper(redis, celery, Exporter(TrainerMetrics(), totals), settings)

        def add_services(server: grpc.aio.Server) -> Sequence[str]:
            pb_grpc.add_TrainerServiceServicer_to_server(servicer, server)
            return [SERVICE_NAME]

        await serve(
            name="trainer",
            add_services=add_services,
            rules=RULES,
            edge=settings.edge,
            port=settings.port,
            metrics_port=settings.metrics_port,
            run=sweeper.run,
            draining=draining,
            tracing=tracing,
        )


def main() -> int:
    logs.setup("trainer")
    try:
        asyncio.run(run(TrainerSettings.from_env()))
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
