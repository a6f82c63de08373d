"""Metrics are served at /metrics only."""

import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter

from common.metrics import serve_metrics
from testing.processes import free_port


@pytest.mark.parametrize("path", ["", "/", "/health", "/metrics/more"])
def test_metrics_are_served_only_at_their_path(path: str) -> None:
    registry = CollectorRegistry()
    Counter("things_total", "Things.", registry=registry).inc(3)
    port = free_port()
    serve_metrics("127.0.0.1", port, registry)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        assert b"things_total 3.0" in page.read()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}")
    assert refused.value.code == 404 and b"metrics are at /metrics" in refused.value.read()
