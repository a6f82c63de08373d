"""Sends invalid input to a generator and a trainer, and checks that both stay healthy."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from cgn_api.v1 import generator_pb2, trainer_pb2
from cgn_client import composite
from services.edge.callers import token_hash
from services.probe import probe
from testing.generator_process import GeneratorProcess
from testing.processes import ModuleProcess, free_port
from testing.random_model import publish_random
from testing.redis_process import JOBS_FLAGS, LocalRedis
from testing.trainer_process import TrainerProcess
from tests.fuzz.inputs import Call, Input, Raw, calls, raws, variants

TOKEN = "fuzz"
_ROUND = 10_000  # inputs per round, half to each service
_TOGETHER = 10  # inputs per batch
_VARIANTS = 4  # variants of each input with changed bytes
_SECONDS = 120.0  # timeout of a response; far more than any response needs
_READ = 3  # messages read of a stream
_NEVER = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED)
_RAW_SHARE = 12  # one in so many inputs is raw bytes


@dataclass
class Report:
    """The result.

    Attributes:
        answers: RPCs by method and code.
        raw: connections of raw bytes.
        memory: resident bytes of each server after every batch, by service.
    """

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    raw: int = 0
    memory: dict[str, list[int]] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        return self.raw + sum(self.answers.values())

    def growth(self, service: str) -> int:
        """Returns the growth in bytes over the second half: the difference of medians over tenths."""
        taken = self.memory[service]
        tenth = max(1, len(taken) // 10)
        middle = sorted(taken[len(taken) // 2 - tenth : len(taken) // 2])
        end = sorted(taken[-tenth:])
        return end[len(end) // 2] - middle[len(middle) // 2]


def fuzz(
    inputs: int, folder: Path, *, first_seed: int = 0, say: Callable[[str], None] = lambda line: None
) -> Report:
    """Sends about `inputs` inputs, half to each service; fewer after Ctrl-C.

    Raises AssertionError with the harmful input.
    """
    report = Report()
    tokens = folder / "tokens.toml"
    tokens.write_text(
        f'[[caller]]\nname = "fuzz"\nroles = ["admin"]\ntoken_sha256 = "{token_hash(TOKEN).hex()}"\n'
    )
    env = {"CGN_TOKENS_FILE": str(tokens), "CGN_CACHE_URL": "none", "CGN_ROW_CACHE_MB": "1"}
    models = folder / "models"
    for name in ("tiny", "spare"):
        publish_random(models, name, "v1")
    rounds = max(1, inputs // _ROUND)
    with ExitStack() as stack:
        generator = stack.enter_context(GeneratorProcess(models, **env))
        redis = stack.enter_context(LocalRedis(free_port(), folder / "redis", JOBS_FLAGS))
        trainer = stack.enter_context(TrainerProcess(redis.url, folder, **env))
        trainer.wait_for_health("SERVING")
        generator_service = generator_pb2.DESCRIPTOR.services_by_name["GeneratorService"]
        trainer_service = trainer_pb2.DESCRIPTOR.services_by_name["TrainerService"]
        targets = (
            _Target(generator, generator.address, generator_service, GENERATOR_GOODS),
            _Target(trainer, trainer.address, trainer_service, TRAINER_GOODS),
        )
        try:
            for number in range(rounds):
                for target in targets:
                    target.fuzz(inputs // rounds // 2, first_seed * 1000 + number, report)
                say(f"{report.inputs} of {inputs} inputs")
        except KeyboardInterrupt:
            say("interrupted; these are the results so far")
    return report


_IMAGE = composite(1, 2, 3, seed=4)
_COMMON: dict[str, Any] = {"model": "tiny", "outputs": [generator_pb2.OUTPUT_COMPOSITE]}
# A valid request per method; other methods start from an empty message.
GENERATOR_GOODS: dict[str, Message] = {
    "Generate": generator_pb2.GenerateRequest(composites=[_IMAGE], **_COMMON),
    "Interpolate": generator_pb2.InterpolateRequest(start=_IMAGE, end=composite(5), midpoints=2, **_COMMON),
    "GenerateProduct": generator_pb2.GenerateProductRequest(
        shapes=[_IMAGE.shape] * 2, textures=[_IMAGE.texture], backgrounds=[_IMAGE.background], **_COMMON
    ),
    "Sample": generator_pb2.SampleRequest(model="tiny", seed=1, stop=10),
    "GetModel": generator_pb2.GetModelRequest(model="tiny"),
}
TRAINER_GOODS: dict[str, Message] = {
    "SubmitJob": trainer_pb2.SubmitJobRequest(
        spec=trainer_pb2.JobSpec(train_cgn=trainer_pb2.TrainCgnSpec(steps=1)), validate_only=True
    ),
}
# Texts with a meaning for the servers. Calls that change the served models use the model "spare".
_KNOWN = ("tiny", "v1", "latest", "three", "shape", "colored_mnist", "2026-01-01", "1-0")
_KNOWN_TO_ADMIN = ("spare", "v1", "latest", "stable")
_ADMIN = ("LoadModel", "UnloadModel", "DeleteModel", "SetAlias")


class _Target:
    """A server and the input for it."""

    def __init__(
        self, process: ModuleProcess, address: str, service: ServiceDescriptor, goods: dict[str, Message]
    ) -> None:
        self._process, self._address, self._name = process, address, service.name
        each = []
        for method in service.methods:
            good = goods.get(method.name) or GetMessageClass(method.input_type)()
            known = _KNOWN_TO_ADMIN if method.name in _ADMIN else _KNOWN
            each.append(calls(method, good, known, TOKEN))
        health = health_pb2.DESCRIPTOR.services_by_name["Health"].methods_by_name["Check"]
        each.append(calls(health, health_pb2.HealthCheckRequest(service=service.full_name), _KNOWN, TOKEN))
        names = [f"/{service.full_name}/{method.name}" for method in service.methods]
        raw_or_call = st.sampled_from([True] + [False] * (_RAW_SHARE - 1))
        one = raw_or_call.flatmap(lambda raw: raws(names) if raw else st.one_of(*each))
        self._batches = st.lists(one, min_size=_TOGETHER, max_size=_TOGETHER)

    def fuzz(self, inputs: int, first_seed: int, report: Report) -> None:
        """Sends about `inputs` inputs. Checks that the server still serves and has logged no failure."""
        memory = report.memory.setdefault(self._name, [])
        with asyncio.Runner() as runner:
            channel = runner.run(_open(self._address))

            @seed(first_seed)
            @settings(
                max_examples=max(1, inputs // (_TOGETHER * (1 + _VARIANTS))),
                deadline=None,
                database=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            )
            @given(self._batches)
            def send(batch: list[Input]) -> None:
                everything = [variant for one in batch for variant in variants(one, _VARIANTS)]
                runner.run(_send_all(channel, self._address, everything, report))
                assert self._process.process.poll() is None, self._process.log()[-5000:]
                memory.append(_resident_bytes(self._process.process.pid))

            send()
            runner.run(channel.close(None))
        assert probe(self._address, 60.0) == "SERVING"
        lines = self._process.log().splitlines()
        failed = [place for place, line in enumerate(lines) if _is_failure(line)]
        assert not failed, "\n".join(lines[max(0, failed[0] - 2) : failed[0] + 20])


async def _open(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address)


async def _send_all(channel: grpc.aio.Channel, address: str, batch: Sequence[Input], report: Report) -> None:
    await asyncio.gather(*(_send(channel, address, one, report) for one in batch))


async def _send(channel: grpc.aio.Channel, address: str, one: Input, report: Report) -> None:
    if isinstance(one, Raw):
        await _send_raw(address, one.data)
        report.raw += 1
        return
    code = await _send_call(channel, one)
    report.answers[one.method, code.name] += 1


async def _send_call(channel: grpc.aio.Channel, one: Call) -> grpc.StatusCode:
    """Returns the status code. Raises AssertionError for a code that no input may cause."""
    aio: Any = grpc.aio  # its stubs lack EOF
    open_stub: Any = channel.unary_stream if one.streams else channel.unary_unary
    call = open_stub(one.method)(one.request, metadata=one.metadata, timeout=_SECONDS)
    try:
        if one.streams:
            for _ in range(_READ):
                if await call.read() is aio.EOF:
                    break
            else:
                return grpc.StatusCode.OK  # the rest of the stream is not needed
        else:
            await call
    except grpc.aio.AioRpcError as error:
        refused: Any = error
    else:
        return grpc.StatusCode.OK
    finally:
        call.cancel()
    _check(refused, one)
    code: grpc.StatusCode = refused.code()
    return code


def _check(error: Any, one: Call) -> None:
    """Asserts that an error has an allowed code, a reason and the request id."""
    assert error.code() not in _NEVER, f"{error.code()} {error.details()}: {one}"
    if one.method.startswith("/grpc.") and error.code() is grpc.StatusCode.NOT_FOUND:
        return  # raised by the health service
    status = rpc_status.from_call(error)
    assert status is not None, f"no details with {error.code()} {error.details()}: {one}"
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info) and info.domain == "cgn" and info.metadata["request_id"], one


async def _send_raw(address: str, data: bytes) -> None:
    """Sends bytes, closes the sending side, and waits until the server closes the connection."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        await asyncio.wait_for(reader.read(), _SECONDS)
    except OSError:
        pass  # a connection that the server resets
    finally:
        writer.close()


def _resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024


def _is_failure(line: str) -> bool:
    """Whether a line of a server's log reports a failure.

    Two errors of grpc's aio server, raised before any interceptor, are harmless: a method name that is not
    UTF-8 (answered as UNKNOWN), and a client that disconnects before its status is sent.
    """
    if '"level": "ERROR"' not in line:
        return False
    own = '"logger": "grpc._cython' not in line
    return own or ("Unexpected [" in line and "Unexpected [UnicodeDecodeError]" not in line)
