"""Every bad request gets a status that names the wrong fields, and the generator serves on."""

import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from cgn_api.v1 import generator_pb2 as pb
from cgn_api.v1.generator_pb2_grpc import GeneratorServiceStub
from cgn_client import CgnError, Client, Factor, composite
from testing.generator_process import GeneratorProcess
from testing.processes import wait_for
from testing.random_model import publish_random
from tests.refusal import refusal

FOUR_MIB = 4 * 1024 * 1024
MAX_ROWS_IN_FLIGHT = 65_536  # of 32 x 32 pixels
GOOD: dict[str, Any] = {
    "model": "tiny",
    "composites": [composite(1, 2, 3, seed=4)],
    "outputs": [pb.OUTPUT_COMPOSITE],
}


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GeneratorProcess]:
    root = tmp_path_factory.mktemp("served") / "models"
    publish_random(root, "tiny", "v1")
    with GeneratorProcess(root) as process:
        yield process


@pytest.fixture
def client(generator: GeneratorProcess) -> Client:
    return generator.client


@pytest.fixture
def stub(generator: GeneratorProcess) -> Iterator[Any]:
    with grpc.insecure_channel(generator.address) as channel:
        yield GeneratorServiceStub(channel)


@pytest.mark.parametrize(
    ("change", "field", "cure"),
    [
        ({"model": ""}, "model", "known: tiny"),
        ({"composites": []}, "composites", "at least 1"),
        ({"outputs": []}, "outputs", "at least 1 entry; use OUTPUT_COMPOSITE, OUTPUT_MASK"),
        (
            {"outputs": [pb.OUTPUT_UNSPECIFIED]},
            "outputs[0]",
            "output of family mnist; use OUTPUT_COMPOSITE",
        ),
        (
            {"outputs": [pb.OUTPUT_MASK, pb.OUTPUT_PRE_MASK]},
            "outputs[1]",
            "PRE_MASK is not an output of family mnist",
        ),
        ({"outputs": [77]}, "outputs[0]", "77 is not an output"),
        ({"outputs": [pb.OUTPUT_MASK] * 2}, "outputs[1]", "requested twice"),
        ({"encoding": 9}, "encoding", "use one of ENCODING_PNG"),
        ({"composites": [composite(1, 2)]}, "composites[0].background", "required for these outputs"),
        (
            {"composites": [*GOOD["composites"], composite(1, 10, 3)]},
            "composites[1].texture.label_index",
            "10 is out of range; give label_index 0 to 9",
        ),
        ({"composites": [composite(2**32 - 1, 1, 1)]}, "composites[0].shape.label_index", "0 to 9"),
        (
            {"composites": [composite("dog", 1, 1)]},
            "composites[0].shape.label_name",
            "no class name begins with 'dog'",
        ),
        ({"composites": [composite("", 1, 1)]}, "composites[0].shape.label_name", "one of zero, one"),
        (
            {
                "composites": [
                    pb.Composite(shape=pb.Factor(seed=1), texture=pb.Factor(), background=pb.Factor())
                ]
            },
            "composites[0].texture.label_index",
            "no label is given",
        ),
    ],
)
def test_bad_fields_are_named(stub: Any, change: dict[str, Any], field: str, cure: str) -> None:
    code, reason, violations = refusal(stub.Generate, pb.GenerateRequest(**(GOOD | change)))
    assert (code, reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert cure in violations[field]
    assert stub.Generate(pb.GenerateRequest(**GOOD)).results


def test_as_many_bad_fields_are_named_as_trailers_can_carry(stub: Any) -> None:
    request = pb.GenerateRequest(**(GOOD | {"composites": [composite("x" * 500, 2**30, 44)] * 300}))
    _, _, violations = refusal(stub.Generate, request)
    assert {"composites[0].shape.label_name", "composites[1].background.label_index"} <= set(violations)
    assert all(len(description) < 400 for description in violations.values())


@pytest.mark.parametrize("model", ["nothing", "../tiny", "tiny/v1", "/etc/passwd", "x" * 10_000])
def test_unknown_model_lists_the_known(stub: Any, model: str) -> None:
    for method, request in (
        (stub.Generate, pb.GenerateRequest(**(GOOD | {"model": model}))),
        (stub.GetModel, pb.GetModelRequest(model=model)),
    ):
        code, reason, violations = refusal(method, request)
        assert (code, reason) == ("NOT_FOUND", "MODEL_NOT_FOUND")
        assert "known: tiny" in violations["model"]


@pytest.mark.parametrize("version", ["v2", "../v1", "V1"])
def test_unknown_version_lists_the_known(stub: Any, version: str) -> None:
    for method, request in (
        (stub.Generate, pb.GenerateRequest(**(GOOD | {"version": version}))),
        (stub.GetModel, pb.GetModelRequest(model="tiny", version=version)),
    ):
        code, reason, violations = refusal(method, request)
        assert (code, reason) == ("NOT_FOUND", "MODEL_NOT_FOUND")
        assert "known: v1" in violations["version"]


def test_pages(stub: Any) -> None:
    assert refusal(stub.ListModels, pb.ListModelsRequest(page_size=-1))[2].keys() == {"page_size"}
    for token in ("nonsense", "bm9uc2Vuc2U=", "WzFd"):
        assert refusal(stub.ListModels, pb.ListModelsRequest(page_token=token))[2].keys() == {"page_token"}
    assert len(stub.ListModels(pb.ListModelsRequest(page_size=2**31 - 1)).models) == 1


@pytest.mark.parametrize("encoding", ["raw_uint8", "raw_float32"])
@pytest.mark.parametrize(
    "outputs", [["composite"], ["mask"], ["composite", "mask", "foreground", "background"]]
)
def test_raw_response_is_refused_with_the_number_that_fits(
    client: Client, stub: Any, outputs: Any, encoding: Any
) -> None:
    asked = [composite(7, 8, 7, seed=2**64 - 1)] * 4096
    with pytest.raises(CgnError) as error:
        client.generate("tiny", asked, outputs, encoding=encoding)
    assert (error.value.code, error.value.reason) == ("INVALID_ARGUMENT", "RESPONSE_TOO_LARGE")
    (violation,) = error.value.violations
    assert violation.field == "composites"
    result = re.match(r"at most (\d+) composites \((\d+) images\) fit", violation.description)
    assert result is not None
    fit = int(result[1])
    assert int(result[2]) == fit * len(outputs)
    request = pb.GenerateRequest(
        model="tiny",
        composites=asked[:fit],
        outputs=[f"OUTPUT_{output.upper()}" for output in outputs],
        encoding=f"ENCODING_{encoding.upper()}",
    )
    size = stub.Generate(request).ByteSize()
    # One more composite would not fit if these were cache hits, with 2 more bytes for each factor.
    assert size <= FOUR_MIB < (size + 6 * fit) * (fit + 1) / fit
    with pytest.raises(CgnError, match="RESPONSE_TOO_LARGE"):
        client.generate("tiny", asked[: fit + 1], outputs, encoding=encoding)


def test_compressed_response_is_refused_with_the_number_that_fits(client: Client) -> None:
    outputs: Any = ["composite", "foreground", "background"]
    asked = [composite(i % 10, i // 10 % 10, i // 100 % 10, seed=5) for i in range(2000)]
    with pytest.raises(CgnError) as error:
        client.generate("tiny", asked, outputs, encoding="png")
    assert error.value.reason == "RESPONSE_TOO_LARGE"
    result = re.match(
        r"the first (\d+) of these composites \((\d+) images\)", error.value.violations[0].description
    )
    assert result is not None
    fit = int(result[1])
    results = client.generate("tiny", asked[:fit], outputs, encoding="png")
    assert len(results) == fit and sum(len(file) for r in results for file in r.images.values()) < FOUR_MIB
    with pytest.raises(CgnError, match="RESPONSE_TOO_LARGE"):
        client.generate("tiny", asked[: fit + 1], outputs, encoding="png")


def test_too_many_images_are_refused_before_any_work(generator: GeneratorProcess) -> None:
    before = generator.metrics()["cgn_batch_rows_sum"]
    with pytest.raises(CgnError, match="composites: has 4097 entries; give at most 4096") as error:
        generator.client.generate("tiny", [composite(1, 1, 1)] * 4097, encoding="webp")
    assert error.value.code == "INVALID_ARGUMENT"
    assert generator.metrics()["cgn_batch_rows_sum"] == before


def test_request_over_the_message_cap_is_refused(stub: Any) -> None:
    huge = pb.GenerateRequest(**(GOOD | {"version": "v" * FOUR_MIB}))
    with pytest.raises(grpc.RpcError) as error:
        stub.Generate(huge, timeout=30)
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stub.Generate(pb.GenerateRequest(**GOOD)).results


def test_overload_is_refused_and_cancelled_work_is_dropped(generator: GeneratorProcess, stub: Any) -> None:
    before = generator.metrics()["cgn_batch_rows_sum"]
    asked = [composite(i % 10, i % 10, i % 10) for i in range(4096)]  # 12,288 rows, all different
    request = pb.GenerateRequest(model="tiny", composites=asked, outputs=[pb.OUTPUT_COMPOSITE])
    calls = [stub.Generate.future(request) for _ in range(8)]
    wait_for("a refusal", lambda: any(call.done() for call in calls))
    refused = next(call for call in calls if call.done())
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    error, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    details = rpc_status.from_call(refused).details
    assert details[0].Unpack(error) and error.reason == "OVERLOADED"
    assert details[1].Unpack(retry) and retry.retry_delay.ToTimedelta().total_seconds() > 0

    for call in calls:
        call.cancel()
    assert stub.Generate(pb.GenerateRequest(**GOOD), timeout=60).results
    assert generator.metrics()["cgn_batch_rows_sum"] - before < MAX_ROWS_IN_FLIGHT / 2
    with pytest.raises(CgnError) as late:
        Client(generator.address, timeout=0.2).generate("tiny", asked, encoding="png")
    assert late.value.code == "DEADLINE_EXCEEDED"
    assert stub.Generate(pb.GenerateRequest(**GOOD), timeout=60).results


def test_client_refuses_what_cannot_be_sent() -> None:
    for make, field in (
        (lambda: composite(1, 2, 3, seed=2**64), "shape.seed"),
        (lambda: composite(1, Factor(2, -1), 3), "texture.seed"),
        (lambda: composite(1, 2, -3), "background.label_index"),
        (lambda: composite(1.5), "shape.label_index"),  # type: ignore[arg-type]
        (lambda: Client().generate("m", [], ["masks"]), "outputs"),  # type: ignore[list-item]
        (lambda: Client().generate("m", [], "mask"), "outputs"),  # type: ignore[arg-type]
        (lambda: Client().generate("m", [], encoding="bmp"), "encoding"),  # type: ignore[arg-type]
        (lambda: Client().submit("train_cgn", stepz=3), "spec.train_cgn.stepz"),
        (lambda: Client().submit("train_cgn", steps=-1), "spec.train_cgn.steps"),
    ):
        with pytest.raises(CgnError) as error:
            make()
        assert error.value.code == "INVALID_ARGUMENT" and error.value.violations[0].field == field
