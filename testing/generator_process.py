"""A real generator process."""

import urllib.request
from pathlib import Path
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from cgn_client import Client
from services.probe import probe
from testing.processes import ModuleProcess, free_port, wait_for

_WARM_UP_ROWS = 3  # rows computed when a model is loaded


class GeneratorProcess(ModuleProcess):
    """`python -m services.generator` on free ports. The constructor waits until it serves."""

    def __init__(
        self, models_dir: Path, cache_url: str = "none", module: str = "services.generator", **env: str
    ) -> None:
        port, self._metrics_port = int(env.get("CGN_GENERATOR_PORT", free_port())), free_port()
        self.address = f"127.0.0.1:{port}"
        settings = {
            "CGN_MODELS_DIR": str(models_dir),
            "CGN_CACHE_URL": cache_url,
            "CGN_GENERATOR_PORT": str(port),
            "CGN_GENERATOR_METRICS_PORT": str(self._metrics_port),
            "CGN_THREADS": "1",
            "CGN_DEVICE": "cpu",
        }
        log = models_dir.parent / f"generator-{port}.log"
        super().__init__(module, log=log, env=settings | env)
        try:
            wait_for("the generator to serve", self._serving, 180.0)
        except BaseException:
            self.kill()
            raise
        self.client = Client(self.address)

    def _serving(self) -> bool:
        assert self.process.poll() is None, self.log()
        return probe(self.address, 1.0, self.env) == "SERVING"

    def metrics(self) -> dict[str, float]:
        """Returns sums of samples by name, and by `name{label value}` for each label."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics_port}/metrics") as page:
            text = page.read().decode()
        values: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                for name in (sample.name, *(f"{sample.name}{{{v}}}" for v in sample.labels.values())):
                    values[name] = values.get(name, 0.0) + sample.value
        return values

    def settled_metrics(self) -> dict[str, float]:
        """Returns metrics() once the engine has counted every computed row.

        The engine may count a batch shortly after its response was sent.
        """

        def settled() -> dict[str, float] | None:
            values = self.metrics()
            computed = values.get("cgn_rows_total{computed}", 0.0) + _WARM_UP_ROWS * values["cgn_model_info"]
            return values if values["cgn_batch_rows_sum"] == computed else None

        metrics: dict[str, float] = wait_for("the engine's metrics", settled)
        return metrics

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        try:
            if self.process.poll() is None:
                self.stop()
        finally:
            if self.process.poll() is None:
                self.kill()
