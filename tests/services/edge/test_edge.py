"""Callers of the tokens file, roles of RPCs and limits, tested without a server."""

import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from cgn_api.v1 import generator_pb2, trainer_pb2
from common.settings import REPO, EdgeSettings, SettingsError
from services.edge.caller import ANYONE, Caller, caller
from services.edge.callers import Callers, token_hash
from services.edge.limits import Limits
from services.edge.rules import rule_for
from services.edge.tls import server_credentials
from services.errors import ApiError, to_status
from services.generator import rpc_rules as generator_rules
from services.trainer import rpc_rules as trainer_rules

GENERATE = "/cgn_api.v1.GeneratorService/Generate"
SAMPLE = "/cgn_api.v1.GeneratorService/Sample"
RULES = {**generator_rules.RULES, **trainer_rules.RULES}
HASH = token_hash("secret").hex()
ENTRY = f'[[caller]]\nname = "lab"\nroles = ["generate"]\ntoken_sha256 = "{HASH}"\n'


def test_every_rpc_has_its_role() -> None:
    methods = {
        f"/{service.full_name}/{method.name}"
        for file in (generator_pb2.DESCRIPTOR, trainer_pb2.DESCRIPTOR)
        for service in file.services_by_name.values()
        for method in service.methods
    }
    assert RULES.keys() == methods
    roles = {method: rule_for(RULES, method).role for method in methods}
    admin = {name.rpartition("/")[2] for name, role in roles.items() if role == "admin"}
    assert admin == {"LoadModel", "UnloadModel", "DeleteModel", "SetAlias"}
    assert {role for name, role in roles.items() if "TrainerService" in name} == {"train"}
    assert roles[GENERATE] == roles[SAMPLE] == "generate"
    assert rule_for(RULES, "/cgn_api.v1.GeneratorService/NotDeclared").role == "admin"


def test_unidentified_callers_are_anyone() -> None:
    assert caller() is ANYONE and all(ANYONE.may(role) for role in ("generate", "train", "admin"))
    assert not Caller("lab", frozenset({"train"})).may("generate")
    assert Caller("root", frozenset({"admin"})).may("generate")


def read(path: Path, text: str, *, certificates: bool = False) -> Callers:
    path.write_text(text)
    return Callers(path, certificates=certificates)


def test_a_token_is_identified_by_its_hash(tmp_path: Path) -> None:
    limits = "rpcs_per_second = 3\nimages_per_second = 0\n"
    result = read(tmp_path / "t", f"{ENTRY}{limits}").by_token("secret")
    assert result is not None and not result.expired
    assert result.caller == Caller("lab", frozenset({"generate"}), rpcs_per_second=3, images_per_second=0)
    assert read(tmp_path / "t", ENTRY).by_token(HASH) is None


def test_expiry(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    for when, expired in (
        (f"{now.date()}", True),
        (f"{(now + timedelta(days=2)).date()}", False),
        (f"{now - timedelta(seconds=5):%Y-%m-%dT%H:%M:%SZ}", True),
        (f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}", False),
    ):
        result = read(tmp_path / "t", f"{ENTRY}expires = {when}\n").by_token("secret")
        assert result is not None and result.expired is expired, when


def test_a_caller_may_have_two_tokens(tmp_path: Path) -> None:
    second = ENTRY.replace(HASH, token_hash("newer").hex())
    callers = read(tmp_path / "t", ENTRY + second)
    tokens = [callers.by_token(token) for token in ("secret", "newer")]
    assert [result and result.caller.name for result in tokens] == ["lab", "lab"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must contain at least one [[caller]] table"),
        ("[[caller", "Expected ']]' at the end of an array declaration"),
        ("other = 1\n" + ENTRY, "and nothing else"),
        ("caller = 3", "must contain at least one [[caller]] table"),
        ("caller = [3]", "must contain at least one [[caller]] table"),
        (ENTRY + ENTRY, "two entries have the same token"),
        (ENTRY.replace('"lab"', '"two words"'), "caller 1: name: must be 1 to 64"),
        (
            ENTRY.replace('["generate"]', '["paint"]'),
            "caller 1: roles: must be a list of at least one of gen",
        ),
        (ENTRY.replace('["generate"]', "[]"), "caller 1: roles: must be a list"),
        (ENTRY.replace(HASH, "secret"), "caller 1: token_sha256: must be 64 hexadecimal digits"),
        (
            ENTRY + 'certificate = "lab"',
            "caller 1: token_sha256: give exactly one of token_sha256",
        ),
        (
            ENTRY.replace("token_sha256", "certificate"),
            "certificate: this server asks for no client certificate: set CGN_TLS_CLIENT_CA",
        ),
        (ENTRY + 'expires = "2027-01-01"', "caller 1: expires: must be a date such as"),
        (ENTRY + "rpcs_per_second = -1", "caller 1: rpcs_per_second: must be an integer"),
        (ENTRY + "images_per_request = true", "caller 1: images_per_request: must be an integer"),
        (ENTRY + "role = 1", "caller 1: role: is unknown; use certificate, expires"),
    ],
)
def test_a_fault_in_the_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        read(tmp_path / "tokens.toml", text)
    said = str(error.value)
    assert said.startswith(f"CGN_TOKENS_FILE={tmp_path / 'tokens.toml'}: ")
    assert message in said and "\n" not in said and HASH not in said


def test_make_token_prints_an_entry(tmp_path: Path) -> None:
    roles = ["--role", "train", "--role", "generate"]
    command = [sys.executable, "-m", "services.edge.new_token", "lab", *roles]
    created = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    (token,) = re.findall(r": (cgn_[\w-]{43})\n", created.stderr)
    assert token not in created.stdout
    assert tomllib.loads(created.stdout)["caller"][0]["name"] == "lab"
    result = read(
        tmp_path / "t", created.stdout + created.stdout.replace(token_hash(token).hex(), HASH)
    ).by_token(token)
    assert result is not None and result.caller.roles == {"train", "generate"} and not result.expired


def test_make_token_shows_its_own_usage() -> None:
    command = [sys.executable, "-m", "services.edge.new_token"]
    asked = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert asked.returncode == 2
    assert asked.stderr.startswith('usage: make token ARGS="name --role ROLE')
    assert "services.edge" not in asked.stderr


def test_an_unusable_certificate_is_refused(tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
    edge = EdgeSettings.from_env({"CGN_TLS_CERT": str(junk), "CGN_TLS_KEY": str(junk)})
    with pytest.raises(SettingsError, match="must be a PEM certificate and the private key that belongs"):
        server_credentials(edge)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def images(count: int) -> Any:
    request = generator_pb2.GenerateRequest(outputs=[generator_pb2.OUTPUT_MASK])
    request.composites.extend([generator_pb2.Composite()] * count)
    return request


def retry(call: Any) -> float:
    with pytest.raises(ApiError) as error:
        call()
    assert (error.value.code, error.value.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert error.value.retry_seconds is not None
    return error.value.retry_seconds


def test_one_second_of_rpcs_may_arrive_at_once() -> None:
    clock = Clock()
    limits = Limits(EdgeSettings.from_env({"CGN_RPCS_PER_SECOND": "4"}), clock)
    lab, other, free = Caller("lab"), Caller("other"), Caller("free", rpcs_per_second=0)
    for _ in range(4):
        limits.admit_rpc(lab)
    wait = retry(lambda: limits.admit_rpc(lab))
    assert wait == pytest.approx(0.25)
    limits.admit_rpc(other)
    for _ in range(100):
        limits.admit_rpc(free)
    clock.now += wait
    limits.admit_rpc(lab)
    assert retry(lambda: limits.admit_rpc(lab)) == pytest.approx(0.25)
    clock.now += 1000
    for _ in range(4):
        limits.admit_rpc(lab)
    retry(lambda: limits.admit_rpc(lab))


def test_a_large_request_delays_later_ones() -> None:
    clock = Clock()
    limits = Limits(EdgeSettings.from_env({"CGN_IMAGES_PER_SECOND": "10"}), clock)
    lab = Caller("lab")
    limits.admit_request(lab, RULES[GENERATE], images(100))
    wait = retry(lambda: limits.admit_request(lab, RULES[GENERATE], images(1)))
    assert wait == pytest.approx(9.1)
    clock.now += wait
    limits.admit_request(lab, RULES[GENERATE], images(1))


def test_a_stream_is_slowed_to_the_rate() -> None:
    clock = Clock()
    limits = Limits(EdgeSettings.from_env({"CGN_IMAGES_PER_SECOND": "10"}), clock)
    lab = Caller("lab")
    request = generator_pb2.SampleRequest()
    limits.admit_request(lab, RULES[SAMPLE], request)
    pace = limits.pace(lab, RULES[SAMPLE], request)
    assert pace is not None
    header = generator_pb2.SampleResponse(header=generator_pb2.SampleHeader())
    batch = generator_pb2.SampleResponse(batch=generator_pb2.SampleBatch(shape_labels=[1] * 5))
    assert [pace(header), pace(batch), pace(batch)] == [0, 0, 0]
    assert pace(batch) == pytest.approx(0.5)
    clock.now += 0.5
    assert pace(batch) == pytest.approx(0.5)
    retry(lambda: limits.admit_request(lab, RULES[SAMPLE], request))
    assert limits.pace(Caller("free", images_per_second=0), RULES[SAMPLE], request) is None
    assert limits.pace(lab, RULES[GENERATE], images(1)) is None


def test_images_per_request_are_limited() -> None:
    limits = Limits(EdgeSettings.from_env({"CGN_MAX_IMAGES": "10"}))
    limits.admit_request(Caller("lab"), RULES[GENERATE], images(10))
    limits.admit_request(Caller("free", images_per_request=0), RULES[GENERATE], images(1000))
    for who, most in ((Caller("lab"), 10), (Caller("small", images_per_request=2), 2)):
        with pytest.raises(ApiError, match=f"one request may ask for {most}") as error:
            limits.admit_request(who, RULES[GENERATE], images(11))
        assert error.value.violations[0][0] == "composites"


def test_an_error_has_the_request_id_and_fits_into_trailers() -> None:
    everything = "𝄞" * 5000
    error = ApiError(
        grpc.StatusCode.INVALID_ARGUMENT, "R", everything, [(everything, everything)] * 50, retry_seconds=2
    )
    status = to_status(error, "id-1")
    assert 'value: "id-1"' in str(status.details[0].value) or b"id-1" in status.details[0].value
    # grpc writes the message percent-encoded and the details as base64; clients take 8 KiB of trailers.
    assert 3 * len(status.message.encode()) + status.ByteSize() * 4 / 3 < 8000
