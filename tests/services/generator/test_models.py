"""Model versions over time: aliases, loading and unloading within a budget, deletion, retention."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from cgn.store import aliases, versions
from cgn_api.v1 import generator_pb2 as pb
from cgn_api.v1.generator_pb2_grpc import GeneratorServiceStub
from cgn_client import CgnError, Client, composite
from testing.generator_process import GeneratorProcess
from testing.processes import wait_for
from testing.random_model import publish_random
from tests.refusal import refusal

WANTED = [composite(1, 2, 3, seed=4)]


def publish(root: Path, name: str, number: int, **fields: Any) -> None:
    """Publishes version v<number>; a higher number is newer."""
    created = f"2026-01-{number:02}T00:00:00+00:00"
    publish_random(root, name, f"v{number}", seed=number, created_at=created, **fields)


def states(client: Client) -> dict[str, str]:
    return {
        f"{model.name}/{model.version}": pb.ModelState.Name(model.state).removeprefix("MODEL_STATE_")
        for model in client.list_models()
    }


def alias_targets(client: Client, name: str = "tiny") -> dict[str, str]:
    return {
        alias: model.version
        for model in client.list_models()
        if model.name == name
        for alias in model.aliases
    }


@contextmanager
def load_on(client: Client, version: str) -> Iterator[list[str]]:
    """Sends requests without pause from three threads; yields the versions that answered, in order."""
    answered: list[str] = []
    failed: list[Exception] = []
    done = threading.Event()

    def ask(number: int) -> None:
        seed = number
        while not done.is_set():
            try:
                seed += 3
                (result,) = client.generate("tiny", [composite(1, 2, 3, seed=seed)], version=version)
                answered.append(result.version)
            except Exception as error:
                failed.append(error)
                return

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_for("the load", lambda: len(answered) > 5 or failed)
        yield answered
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failed, failed[0]


def more(answered: list[str]) -> None:
    """Waits until some more requests are answered."""
    count = len(answered)
    wait_for("more answers", lambda: len(answered) > count + 10)


def test_aliased_versions_are_loaded_and_others_at_their_first_request(tmp_path: Path) -> None:
    root = tmp_path / "models"
    for number in (1, 2, 3):
        publish(root, "tiny", number)
    aliases.move(root, "tiny", "stable", "v1")
    with GeneratorProcess(root) as generator:
        client = generator.client
        assert states(client) == {"tiny/v3": "RESIDENT", "tiny/v2": "STORED", "tiny/v1": "RESIDENT"}
        assert alias_targets(client) == {"latest": "v3", "stable": "v1"}
        stored = client.get_model("tiny", "v2")
        assert not stored.device and not stored.mechanisms and stored.budget_bytes > 10_000
        for asked, version in (("", "v3"), ("latest", "v3"), ("stable", "v1"), ("v2", "v2")):
            (result,) = client.generate("tiny", WANTED, version=asked)
            assert result.version == version == client.get_model("tiny", asked).version
        assert states(client)["tiny/v2"] == "RESIDENT"
        assert generator.metrics()["cgn_model_loads_total{loaded}"] == 3


def test_small_models_need_not_wait_for_a_large_one(tmp_path: Path) -> None:
    root = tmp_path / "models"
    publish_random(root, "a_large", width=64, resolution=64)
    publish_random(root, "b_small")
    with GeneratorProcess(root) as generator:
        log = generator.log()
    served = [line for line in log.splitlines() if "model served" in line]
    assert ["a_large" in line for line in served] == [False, True]


def test_an_alias_moves_under_load_and_no_request_fails(tmp_path: Path) -> None:
    root = tmp_path / "models"
    for number in (1, 2):
        publish(root, "tiny", number)
    aliases.move(root, "tiny", "stable", "v1")
    with GeneratorProcess(root) as generator, load_on(generator.client, "stable") as answered:
        moved = generator.client.set_alias("tiny", "stable", "v2")
        assert (moved.version, list(moved.aliases)) == ("v2", ["latest", "stable"])
        wait_for("the new version", lambda: answered[-1] == "v2")
        aliases.move(root, "tiny", "stable", "v1", token=3)  # as a worker does, beside the server
        wait_for("the old version again", lambda: answered[-1] == "v1")
        more(answered)
    assert set(answered) == {"v1", "v2"}


def test_new_versions_replace_old_ones_under_load_and_bad_ones_do_not(tmp_path: Path) -> None:
    root = tmp_path / "models"
    publish(root, "tiny", 1)
    with GeneratorProcess(root) as generator, load_on(generator.client, "") as answered:
        publish(tmp_path / "elsewhere", "tiny", 2)
        weights = tmp_path / "elsewhere/tiny/v2/weights.safetensors"
        good = weights.read_bytes()
        weights.write_bytes(good[:-2] + bytes(2))  # changes the digest
        shutil.copytree(weights.parent, root / "tiny/v2")
        wait_for("the scan of v2", lambda: "model left out" in generator.log())
        more(answered)
        assert set(answered) == {"v1"} and alias_targets(generator.client) == {"latest": "v1"}
        with pytest.raises(CgnError, match="v2 does not load: digest: .* its card says") as refused:
            generator.client.set_alias("tiny", "stable", "v2")
        assert (refused.value.code, refused.value.reason) == ("FAILED_PRECONDITION", "MODEL_BROKEN")
        with pytest.raises(CgnError, match="v2 does not load: digest: .* its card says"):
            generator.client.get_model("tiny", "v2")
        assert aliases.read(root, "tiny") == {}

        publish(root, "tiny", 3)
        wait_for("v3", lambda: answered[-1] == "v3")
        # Removed and then republished under the same name.
        shutil.rmtree(root / "tiny/v3")
        publish_random(root, "tiny", "v3", seed=33, created_at="2026-01-04T00:00:00+00:00")
        digest = versions.read_card(root, "tiny", "v3").digest
        wait_for("the other v3", lambda: digest in {m.digest for m in generator.client.list_models()})
        more(answered)
        # A file is damaged in place.
        (root / "tiny/v3/weights.safetensors").write_bytes(good[:1000])
        wait_for("the scan of it", lambda: generator.log().count("model left out") == 2)
        more(answered)
        shutil.rmtree(root / "tiny/v3")
        wait_for("the fall-back", lambda: answered[-1] == "v1")


def test_a_stream_stays_with_the_version_that_began_it(tmp_path: Path) -> None:
    root = tmp_path / "models"
    for number in (1, 2):
        publish(root, "tiny", number)
    with GeneratorProcess(root) as generator:
        client = generator.client
        whole = [batch["composite"] for batch in client.sample("tiny", seed=1, stop=8000, version="v1")]
        stream = client.sample("tiny", seed=1, stop=8000, version="v1")
        parts = [next(stream)]
        client.delete_model("tiny", "v1")
        assert states(client) == {"tiny/v2": "RESIDENT"}
        parts += stream
        assert all(np.array_equal(part["composite"], w) for part, w in zip(parts, whole, strict=True))
        wait_for("its memory", lambda: generator.metrics()["cgn_model_memory_bytes"] < 2 * _bytes(client))
        with pytest.raises(CgnError, match="known: v2"):
            client.generate("tiny", WANTED, version="v1")


def _bytes(client: Client) -> int:
    return client.get_model("tiny").budget_bytes


def test_an_unloaded_version_is_refused_until_it_is_loaded(tmp_path: Path) -> None:
    root = tmp_path / "models"
    publish(root, "tiny", 1)
    with GeneratorProcess(root) as generator:
        client = generator.client
        assert client.unload_model("tiny").state == pb.MODEL_STATE_UNLOADED
        wait_for("memory", lambda: generator.metrics()["cgn_model_memory_bytes"] == 0)
        for _ in range(2):
            with pytest.raises(CgnError, match="tiny/v1 was unloaded; LoadModel serves it again") as refused:
                client.generate("tiny", WANTED)
            assert (refused.value.code, refused.value.reason) == ("FAILED_PRECONDITION", "MODEL_UNLOADED")
            publish(root, "other", 1)
            wait_for("a scan", lambda: "other/v1" in states(client))
            shutil.rmtree(root / "other")
            wait_for("a scan", lambda: "other/v1" not in states(client))
        assert client.load_model("tiny", "latest").state == pb.MODEL_STATE_RESIDENT
        assert client.generate("tiny", WANTED)[0].version == "v1"
        publish(root, "tiny", 2)
        assert client.load_model("tiny", "v2").version == "v2"  # without waiting for a scan


def test_the_least_recently_used_versions_are_unloaded(tmp_path: Path) -> None:
    root = tmp_path / "models"
    for name in ("one", "three", "two"):
        publish(root, name, 1, width=64)
    with GeneratorProcess(root, CGN_MODEL_MEMORY_MB="16") as generator:
        client = generator.client
        assert 16 / 3 < client.get_model("one").budget_bytes / 2**20 < 16 / 2  # room for two
        assert states(client) == {"one/v1": "RESIDENT", "three/v1": "RESIDENT", "two/v1": "STORED"}
        client.generate("one", WANTED)
        client.generate("two", WANTED)
        assert states(client) == {"one/v1": "RESIDENT", "three/v1": "STORED", "two/v1": "RESIDENT"}
        client.load_model("three")
        assert states(client) == {"one/v1": "STORED", "three/v1": "RESIDENT", "two/v1": "RESIDENT"}
        assert generator.metrics()["cgn_model_unloads_total{memory}"] == 2
        assert generator.metrics()["cgn_model_memory_bytes"] <= 16 << 20

        publish(root, "large", 1, width=192)
        with pytest.raises(
            CgnError, match=r"large/v1 needs .* MiB; .* of 16.0 MiB for models are taken .* raise"
        ) as refused:
            client.load_model("large")
        assert (refused.value.code, refused.value.reason) == ("RESOURCE_EXHAUSTED", "MODEL_MEMORY")
        assert states(client)["three/v1"] == states(client)["two/v1"] == "RESIDENT"


@pytest.mark.parametrize("keep", [2])
def test_old_versions_are_deleted_unless_an_alias_points_at_them(tmp_path: Path, keep: int) -> None:
    root = tmp_path / "models"
    for number in (1, 2, 3, 4):
        publish(root, "tiny", number)
    publish(root, "other", 1)
    aliases.move(root, "tiny", "stable", "v1")
    with GeneratorProcess(root, CGN_KEEP_VERSIONS=str(keep)) as generator:
        left = {("tiny", "v4"), ("tiny", "v3"), ("tiny", "v1"), ("other", "v1")}
        wait_for("v2 to go", lambda: set(versions.all_versions(root)) == left)
        publish(root, "tiny", 5)
        (root / "tiny/v5/weights.safetensors").write_bytes(b"")
        publish(root, "tiny", 6)
        left = left - {("tiny", "v3")} | {("tiny", "v5"), ("tiny", "v6")}
        # The version that does not load is not counted, and is left for inspection.
        wait_for("v3 to go", lambda: set(versions.all_versions(root)) == left)
        listed = {"tiny/v6", "tiny/v4", "tiny/v1", "other/v1"}
        wait_for("the list of the rest", lambda: states(generator.client).keys() == listed)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GeneratorProcess]:
    root = tmp_path_factory.mktemp("kept") / "models"
    for number in (1, 2):
        publish(root, "tiny", number)
    aliases.move(root, "tiny", "stable", "v1")
    with GeneratorProcess(root) as process:
        yield process


@pytest.mark.parametrize(
    ("method", "request_", "code", "says"),
    [
        ("LoadModel", pb.LoadModelRequest(), "INVALID_ARGUMENT", {"model": "must be given; known: tiny"}),
        ("LoadModel", pb.LoadModelRequest(model="big"), "NOT_FOUND", {"model": "known: tiny"}),
        (
            "LoadModel",
            pb.LoadModelRequest(model="tiny", version="v9"),
            "NOT_FOUND",
            {"version": "known: v2, v1"},
        ),
        ("UnloadModel", pb.UnloadModelRequest(), "INVALID_ARGUMENT", {"model": "must be given"}),
        (
            "UnloadModel",
            pb.UnloadModelRequest(model="tiny", version="../x"),
            "NOT_FOUND",
            {"version": "known"},
        ),
        ("DeleteModel", pb.DeleteModelRequest(model="tiny"), "INVALID_ARGUMENT", {"version": "not an alias"}),
        (
            "DeleteModel",
            pb.DeleteModelRequest(model="tiny", version="latest"),
            "INVALID_ARGUMENT",
            {"version": "'latest' must name the version itself"},
        ),
        (
            "DeleteModel",
            pb.DeleteModelRequest(model="..", version="v1"),
            "NOT_FOUND",
            {"model": "'..' is not served"},
        ),
        ("DeleteModel", pb.DeleteModelRequest(model="tiny", version="v1"), "FAILED_PRECONDITION", {}),
        (
            "SetAlias",
            pb.SetAliasRequest(model="tiny", alias="latest", version="v1"),
            "INVALID_ARGUMENT",
            {"alias": "'latest' cannot be moved; use stable"},
        ),
        (
            "SetAlias",
            pb.SetAliasRequest(model="tiny", alias="stable", version="v9"),
            "NOT_FOUND",
            {"version": "known: v2, v1"},
        ),
        (
            "SetAlias",
            pb.SetAliasRequest(model="tiny", alias="stable", version="stable"),
            "INVALID_ARGUMENT",
            {"version": "not an alias"},
        ),
        (
            "SetAlias",
            pb.SetAliasRequest(alias="stable", version="v1"),
            "INVALID_ARGUMENT",
            {"model": "known"},
        ),
    ],
)
def test_bad_requests_are_refused_and_change_nothing(
    generator: GeneratorProcess, method: str, request_: Any, code: str, says: dict[str, str]
) -> None:
    before = states(generator.client)
    with grpc.insecure_channel(generator.address) as channel:
        got, reason, violations = refusal(getattr(GeneratorServiceStub(channel), method), request_)
    assert got == code and (code != "FAILED_PRECONDITION" or reason == "MODEL_ALIASED")
    assert violations.keys() == says.keys()
    assert all(says[field] in violations[field] for field in says)
    assert states(generator.client) == before and alias_targets(generator.client) == {
        "latest": "v2",
        "stable": "v1",
    }


def test_an_alias_can_be_removed(generator: GeneratorProcess) -> None:
    client = generator.client
    client.set_alias("tiny", "stable", "")
    with pytest.raises(CgnError, match="'stable' is not served, as it is not set .*; known: v2, v1"):
        client.generate("tiny", WANTED, version="stable")
    client.set_alias("tiny", "stable", "v1")
    assert client.generate("tiny", WANTED, version="stable")[0].version == "v1"


def test_a_read_only_models_directory_is_named_in_the_error(tmp_path: Path) -> None:
    root = tmp_path / "models"
    publish(root, "tiny", 1)
    (
        root / "tiny" / ".aliases.lock"
    ).mkdir()  # blocks the lock file, even for root, whom permissions do not stop
    with GeneratorProcess(root) as generator:
        with pytest.raises(CgnError, match="the models directory cannot be written") as refused:
            generator.client.set_alias("tiny", "stable", "v1")
        assert (refused.value.code, refused.value.reason) == ("FAILED_PRECONDITION", "MODELS_DIRECTORY")
        assert alias_targets(generator.client) == {"latest": "v1"}
