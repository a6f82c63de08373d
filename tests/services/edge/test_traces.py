"""Traces as a collector receives them; without CGN_TRACES nothing is imported."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from cgn_api.v1 import generator_pb2 as pb
from cgn_api.v1.generator_pb2_grpc import GeneratorServiceStub
from cgn_client import composite
from common.settings import REPO
from testing.generator_process import GeneratorProcess
from testing.processes import wait_for
from testing.random_model import publish_random

collector_pb2 = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc  # noqa: E402

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):  # type: ignore[misc, name-defined, unused-ignore]
    def __init__(self) -> None:
        self.services: set[str] = set()
        self.spans: list[Any] = []

    def Export(self, request: Any, context: Any) -> Any:
        for of_resource in request.resource_spans:
            attributes = {pair.key: pair.value.string_value for pair in of_resource.resource.attributes}
            self.services.add(attributes["service.name"])
            for scope in of_resource.scope_spans:
                self.spans += scope.spans
        return collector_pb2.ExportTraceServiceResponse()

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"http://127.0.0.1:{port}"
    server.stop(None)


def attributes(span: Any) -> dict[str, Any]:
    return {pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes}


@pytest.mark.long
def test_a_span_per_rpc_and_per_batch(tmp_path: Path, collector: tuple[Collector, str]) -> None:
    servicer, endpoint = collector
    publish_random(tmp_path / "models", "tiny", "v1")
    env = {"CGN_TRACES": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with (
        GeneratorProcess(tmp_path / "models", **env) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub: Any = GeneratorServiceStub(channel)
        metadata = [("traceparent", f"00-{TRACE}-{PARENT}-01"), ("x-request-id", "mine")]
        request = pb.GenerateRequest(
            model="tiny", composites=[composite(1, 2, 3)], outputs=[pb.OUTPUT_COMPOSITE]
        )
        stub.Generate(request, metadata=metadata)
        with pytest.raises(grpc.RpcError):
            stub.GetModel(pb.GetModelRequest(model="none"))
        (generate,) = wait_for("a span", lambda: servicer.named("cgn_api.v1.GeneratorService/Generate"))
        assert (generate.trace_id.hex(), generate.parent_span_id.hex()) == (TRACE, PARENT)
        said = attributes(generate)
        assert said["cgn.request_id"] == "mine" and said["enduser.id"] == "anyone"
        assert (said["rpc.method"], said["rpc.grpc.status_code"]) == ("Generate", 0)
        (refused,) = wait_for("the other", lambda: servicer.named("cgn_api.v1.GeneratorService/GetModel"))
        assert refused.parent_span_id == b"" and attributes(refused)["rpc.grpc.status_code"] == 5
        assert refused.status.code == 2
        for mechanism in ("shape", "texture", "background"):
            spans = wait_for("batches", partial(servicer.named, f"batch {mechanism}"))
            batch = attributes(spans[-1])
            assert (batch["cgn.model"], batch["cgn.mechanism"]) == ("tiny", mechanism)
            assert batch["cgn.rows"] >= 1 and spans[-1].end_time_unix_nano > spans[-1].start_time_unix_nano
        assert servicer.services == {"cgn-generator"}


@pytest.mark.long
def test_an_unreachable_collector_delays_nothing(tmp_path: Path) -> None:
    publish_random(tmp_path / "models", "tiny", "v1")
    env = {"CGN_TRACES": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with GeneratorProcess(tmp_path / "models", **env) as server:
        assert server.client.list_models()
        assert server.stop() == 0


def test_no_exporter_is_imported_when_traces_are_off() -> None:
    code = (
        "import sys\n"
        "import services.generator.__main__, services.trainer.__main__\n"
        # redis-py imports the metrics' part by itself.
        "print(*(name for name in sys.modules if name.startswith('opentelemetry.exporter')))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def test_missing_trace_packages_give_the_cure(tmp_path: Path) -> None:
    code = (
        "import runpy, sys\n"
        "sys.modules['opentelemetry'] = None\n"
        "runpy.run_module('services.generator', run_name='__main__')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPO,
        env={"CGN_TRACES": "1", "CGN_MODELS_DIR": str(tmp_path), "CGN_CACHE_URL": "none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "error: CGN_TRACES=1: opentelemetry is not installed: pip install -r" in ran.stderr
