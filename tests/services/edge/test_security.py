"""TLS, tokens, roles and limits, on real servers with the certificates of docs/security.md."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from cgn_api.v1 import generator_pb2 as pb
from cgn_api.v1.generator_pb2_grpc import GeneratorServiceStub
from cgn_client import CgnError, Client, Tls, composite
from common.settings import REPO
from services.edge.callers import token_hash
from services.probe import probe
from testing.generator_process import GeneratorProcess
from testing.processes import ModuleProcess, free_port, wait_for
from testing.random_model import publish_random
from testing.redis_process import JOBS_FLAGS, LocalRedis
from testing.trainer_process import TrainerProcess

TOKENS = """
[[caller]]
name = "painter"
roles = ["generate"]
token_sha256 = "{painter}"
expires = 2999-01-01

[[caller]]
name = "foreman"
roles = ["train"]
token_sha256 = "{foreman}"

[[caller]]
name = "late"
roles = ["generate"]
token_sha256 = "{late}"
expires = 2020-01-01

[[caller]]
name = "hasty"
roles = ["generate"]
token_sha256 = "{hasty}"
rpcs_per_second = 2

[[caller]]
name = "greedy"
roles = ["generate"]
token_sha256 = "{greedy}"
images_per_second = 10
images_per_request = 100

[[caller]]
name = "root"
roles = ["admin"]
token_sha256 = "{root}"
"""
NAMES = ("painter", "foreman", "late", "hasty", "greedy", "root")


def tokens_text(**changed: str) -> str:
    """Returns a tokens file in which each caller's token is the caller's name, except `changed`."""
    return TOKENS.format(**{name: token_hash(changed.get(name, name)).hex() for name in NAMES})


def refusal(call: Any) -> CgnError:
    with pytest.raises(CgnError) as caught:
        call()
    assert "\n" not in caught.value.message
    return caught.value


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with the certificates of docs/security.md."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def make_certificates(folder: Path) -> Path:
    commands = re.findall(r"```sh\n(.*?)```", (REPO / "docs/security.md").read_text(), re.DOTALL)[0]
    subprocess.run(["sh", "-ec", commands], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served") / "models"
    publish_random(root, "tiny", "v1")
    return root


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.toml"
    path.write_text(tokens_text())
    return path


def tls_env(folder: Path, *, mutual: bool = False) -> dict[str, str]:
    env = {"CGN_TLS_CERT": "server.pem", "CGN_TLS_KEY": "server.key", "CGN_TLS_CA": "ca.pem"}
    if mutual:
        env["CGN_TLS_CLIENT_CA"] = "ca.pem"
    return {name: str(folder / file) for name, file in env.items()}


def test_tls_refuses_clients_without_tls_or_trust(models: Path, certificates: Path, tmp_path: Path) -> None:
    other = make_certificates(tmp_path)
    with GeneratorProcess(models, **tls_env(certificates)) as server:
        with Client(server.address, tls=Tls(ca=certificates / "ca.pem")) as client:
            assert [model.name for model in client.list_models()] == ["tiny"]
        for strange in (Client(server.address), Client(server.address, tls=Tls(ca=other / "ca.pem"))):
            with strange:
                error = refusal(strange.list_models)
                assert error.code == "UNAVAILABLE" and "CGN_TLS_CA" in error.message
        tls = Tls(ca=certificates / "ca.pem", server_name="elsewhere.example")
        with Client(server.address, tls=tls) as client:
            assert refusal(client.list_models).code == "UNAVAILABLE"


@pytest.mark.long
def test_a_renewed_certificate_is_used_without_a_restart(
    models: Path, certificates: Path, tmp_path: Path
) -> None:
    for file in certificates.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with GeneratorProcess(models, **tls_env(tmp_path)) as server:
        old_ca = tmp_path / "old.pem"
        (tmp_path / "ca.pem").rename(old_ca)
        (tmp_path / "server.pem").write_text("not a certificate")
        with Client(server.address, tls=Tls(ca=old_ca)) as client:
            assert client.list_models()
        server.wait_for_log("certificate ignored")
        make_certificates(tmp_path)
        with Client(server.address, tls=Tls(ca=tmp_path / "ca.pem")) as client:
            assert client.list_models()
        with Client(server.address, tls=Tls(ca=old_ca)) as client:
            assert refusal(client.list_models).code == "UNAVAILABLE"


@pytest.mark.long
def test_mutual_tls_identifies_callers_by_certificate(
    models: Path, certificates: Path, tmp_path: Path
) -> None:
    entry = '[[caller]]\nname = "lab-2"\nroles = ["{role}"]\ncertificate = "lab"\n'
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(entry.format(role="generate"))
    env = tls_env(certificates, mutual=True) | {"CGN_TOKENS_FILE": str(tokens)}
    ca, cert, key = (certificates / name for name in ("ca.pem", "client.pem", "client.key"))
    with GeneratorProcess(models, **env) as server:
        with Client(server.address, tls=Tls(ca=ca)) as nobody:
            assert refusal(nobody.list_models).code == "UNAVAILABLE"
        with Client(server.address, tls=Tls(ca, cert, key)) as lab:
            assert lab.list_models()
            tokens.write_text(entry.format(role="train"))
            error = refusal(lab.list_models)
            assert (error.code, error.reason) == ("PERMISSION_DENIED", "ROLE_MISSING")
            assert 'ListModels needs the role "generate", but lab-2 has only train' in error.message
            tokens.write_text(entry.replace('"lab"', '"other"').format(role="train"))
            error = refusal(lab.list_models)
            assert (error.code, error.reason) == ("UNAUTHENTICATED", "CERTIFICATE_UNKNOWN")
            assert "(lab)" in error.message


@pytest.fixture(scope="module")
def guarded(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GeneratorProcess]:
    path = tmp_path_factory.mktemp("guarded") / "tokens.toml"
    path.write_text(tokens_text())
    with GeneratorProcess(models, CGN_TOKENS_FILE=str(path), CGN_MAX_IMAGES="200") as process:
        yield process


@pytest.mark.parametrize(
    ("token", "code", "reason"),
    [
        ("", "UNAUTHENTICATED", "TOKEN_MISSING"),
        ("painter2", "UNAUTHENTICATED", "TOKEN_UNKNOWN"),
        ("late", "UNAUTHENTICATED", "CREDENTIAL_EXPIRED"),
        ("foreman", "PERMISSION_DENIED", "ROLE_MISSING"),
    ],
)
def test_invalid_tokens_are_refused(guarded: GeneratorProcess, token: str, code: str, reason: str) -> None:
    with Client(guarded.address, token=token) as client:
        for call in (
            client.list_models,
            lambda: client.generate("tiny", [composite(1, 2, 3)]),
            lambda: list(client.interpolate("tiny", composite(1, 2, 3), composite(2, 2, 3))),
        ):
            error = refusal(call)
            assert (error.code, error.reason) == (code, reason)
    method = "/cgn_api.v1.GeneratorService/ListModels"
    assert any(reason in line and method in line for line in guarded.log().splitlines())
    assert guarded.metrics()[f"cgn_errors_total{{{reason}}}"] >= 3


def test_valid_tokens_are_accepted(guarded: GeneratorProcess) -> None:
    for token in ("painter", "root"):
        with Client(guarded.address, token=token) as client:
            assert client.list_models()
            assert len(list(client.interpolate("tiny", composite(1, 2, 3), composite(2, 2, 3)))) == 10


@pytest.mark.parametrize("header", ["painter", "Basic cGFpbnRlcjo=", "Bearer", ""])
def test_a_malformed_authorization_header_is_refused(guarded: GeneratorProcess, header: str) -> None:
    with grpc.insecure_channel(guarded.address) as channel:
        stub: Any = GeneratorServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListModels(pb.ListModelsRequest(), metadata=[("authorization", header)])
    call: Any = caught.value
    assert "TOKEN_MALFORMED" in str(rpc_status.from_call(call))


def test_stock_clients_check_and_watch_health(guarded: GeneratorProcess) -> None:
    with grpc.insecure_channel(guarded.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "cgn_api.v1.GeneratorService"):
            watching = health.Watch(health_pb2.HealthCheckRequest(service=service), timeout=60)
            assert next(iter(watching)).status == health_pb2.HealthCheckResponse.SERVING
            watching.cancel()
        with pytest.raises(grpc.RpcError) as caught:
            health.Check(health_pb2.HealthCheckRequest(service="none"))
        unknown: Any = caught.value
        assert unknown.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/grpc.health.v1.Health/Check")(b"\xff")  # type: ignore[call-arg, unused-ignore]
        malformed: Any = caught.value
        assert malformed.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "request failed" not in guarded.log()


def test_health_is_open_and_reflection_needs_a_caller(guarded: GeneratorProcess) -> None:
    assert probe(guarded.address, 10.0) == "SERVING"
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    with grpc.insecure_channel(guarded.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
            list(stub.ServerReflectionInfo(iter([ask])))
        bearer = [("authorization", "Bearer foreman")]
        (answer,) = stub.ServerReflectionInfo(iter([ask]), metadata=bearer)
    names = [service.name for service in answer.list_services_response.service]
    assert "cgn_api.v1.GeneratorService" in names


@pytest.mark.long
def test_tokens_change_without_a_restart(models: Path, tokens: Path) -> None:
    with (
        GeneratorProcess(models, CGN_TOKENS_FILE=str(tokens)) as server,
        Client(server.address, token="painter") as old,
        Client(server.address, token="new") as new,
    ):
        assert old.list_models()
        assert refusal(new.list_models).reason == "TOKEN_UNKNOWN"
        tokens.write_text(tokens_text(painter="new"))
        assert new.list_models()
        assert refusal(old.list_models).reason == "TOKEN_UNKNOWN"
        for fault in ("[[caller", ""):
            tokens.write_text(fault)
            assert new.list_models()
            assert server.metrics()["cgn_tokens_file_fault"] == 1
        assert "tokens file ignored" in server.log()
        tokens.write_text(tokens_text())
        assert old.list_models()
        assert server.metrics()["cgn_tokens_file_fault"] == 0


def test_a_caller_above_the_rate_gets_a_retry_time(guarded: GeneratorProcess) -> None:
    with Client(guarded.address, token="hasty") as hasty, Client(guarded.address, token="painter") as other:

        def refused() -> CgnError | None:
            try:
                hasty.list_models()
            except CgnError as error:
                return error
            return None

        error = wait_for("a refusal", refused)
        assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
        assert 0 < error.retry_seconds <= 0.5
        assert other.list_models()
        time.sleep(error.retry_seconds + 0.01)
        assert hasty.list_models()


def test_images_are_limited_per_second_and_per_request(guarded: GeneratorProcess) -> None:
    with Client(guarded.address, token="greedy") as greedy, Client(guarded.address, token="painter") as other:
        error = refusal(lambda: greedy.generate("tiny", [composite(1, 2, 3)] * 101))
        assert (error.code, error.reason) == ("INVALID_ARGUMENT", "TOO_MANY_IMAGES")
        assert error.violations[0].field == "composites" and "may ask for 100" in error.message
        assert len(greedy.generate("tiny", [composite(1, 2, 3)] * 100)) == 100
        error = refusal(lambda: greedy.generate("tiny", [composite(1, 2, 3)]))
        assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
        assert error.retry_seconds is not None and 0 < error.retry_seconds <= 10
        assert len(other.generate("tiny", [composite(1, 2, 3)] * 200)) == 200
        way = composite(1, 2, 3), composite(2, 2, 3)
        error = refusal(lambda: list(other.interpolate("tiny", *way, midpoints=199)))
        assert error.violations[0].field == "midpoints"


def test_a_message_that_is_too_long_is_refused(guarded: GeneratorProcess) -> None:
    with Client(guarded.address, token="painter") as client:
        error = refusal(lambda: client.generate("x" * (4 * 1024 * 1024), [composite(1, 2, 3)]))
        assert error.code == "RESOURCE_EXHAUSTED"
        assert client.list_models()


def test_a_request_is_identified_by_its_id(guarded: GeneratorProcess) -> None:
    with grpc.insecure_channel(guarded.address) as channel:
        stub: Any = GeneratorServiceStub(channel)
        bearer = ("authorization", "Bearer painter")
        for passed, entries in (("mine-1", True), ("two words", False), ("x" * 65, False)):
            metadata = [bearer, ("x-request-id", passed)]
            _, call = stub.ListModels.with_call(pb.ListModelsRequest(), metadata=metadata)
            answered = dict(call.trailing_metadata())["x-request-id"]
            assert (answered == passed) is entries and answered
            with pytest.raises(grpc.RpcError) as caught:
                stub.GetModel(pb.GetModelRequest(model="none"), metadata=metadata)
            refused: Any = caught.value
            info = error_details_pb2.ErrorInfo()
            assert rpc_status.from_call(refused).details[0].Unpack(info)
            assert (info.metadata["request_id"] == passed) is entries
            line = f'"request_id": "{info.metadata["request_id"]}", "caller": "painter"'
            assert line in guarded.log()


@pytest.mark.parametrize("module", ["services.generator", "services.trainer"])
def test_open_to_other_machines_only_if_requested(module: str, tmp_path: Path) -> None:
    env = {
        "CGN_HOST": "0.0.0.0",
        "CGN_GENERATOR_PORT": str(free_port()),
        "CGN_TRAINER_PORT": str(free_port()),
        "CGN_INSECURE": "",
    }
    with ModuleProcess(module, log=tmp_path / "log", env=env) as process:
        assert process.process.wait(60) == 1
        (line,) = process.log().splitlines()
    assert line.startswith("error: CGN_HOST=0.0.0.0: other machines could reach this server: ")
    assert all(
        cure in line for cure in ("CGN_TLS_CERT", "CGN_TOKENS_FILE", "CGN_INSECURE=1", "docs/security")
    )


@pytest.mark.long
def test_missing_protection_is_reported(models: Path, certificates: Path, tokens: Path) -> None:
    with GeneratorProcess(models, CGN_HOST="0.0.0.0", CGN_INSECURE="1") as server:
        metrics = server.metrics()
        assert (metrics["cgn_insecure{tls}"], metrics["cgn_insecure{callers}"]) == (1, 1)
        assert '"missing": "tls, callers"' in server.log()
    env = tls_env(certificates) | {"CGN_TOKENS_FILE": str(tokens), "CGN_HOST": "0.0.0.0"}
    with GeneratorProcess(models, **env) as server:
        metrics = server.metrics()
        assert (metrics["cgn_insecure{tls}"], metrics["cgn_insecure{callers}"]) == (0, 0)
        assert "open to other machines" not in server.log()


def test_the_trainer_is_protected_too(tmp_path: Path, tokens: Path, certificates: Path) -> None:
    env = tls_env(certificates) | {"CGN_TOKENS_FILE": str(tokens)}
    with (
        LocalRedis(free_port(), tmp_path / "redis", JOBS_FLAGS) as redis,
        TrainerProcess(redis.url, tmp_path, **env) as trainer,
    ):
        wait_for("the trainer", lambda: probe(trainer.address, 1.0, trainer.env) == "SERVING")
        tls = Tls(ca=certificates / "ca.pem")
        with Client(trainer=trainer.address, token="foreman", tls=tls) as foreman:
            job = foreman.submit("train_cgn", steps=1)
            assert [listed.job_id for listed in foreman.list_jobs()] == [job.job_id]
        with Client(trainer=trainer.address, token="painter", tls=tls) as painter:
            for call in (
                lambda: painter.submit("train_cgn", steps=1),
                lambda: painter.cancel(job.job_id),
                lambda: list(painter.watch(job.job_id)),
            ):
                assert refusal(call).reason == "ROLE_MISSING"
        with Client(trainer=trainer.address, token="foreman") as plain:
            assert refusal(plain.list_jobs).code == "UNAVAILABLE"
