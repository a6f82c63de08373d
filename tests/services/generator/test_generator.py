"""The generator service from outside: pixels, formats, models, start and stop."""

import io
import os
import pickle
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from PIL import Image

from cgn.images.sheets import SCALE
from cgn_api.v1 import generator_pb2 as pb
from cgn_api.v1 import generator_pb2_grpc as pb_grpc
from cgn_client import CgnError, Client, Factor, composite
from cgn_client.composites import Encoding, Output
from common.settings import REPO
from deploy.counterfactuals import counterfactual_sheet
from services.probe import probe
from testing.generator_process import GeneratorProcess
from testing.processes import free_port, wait_for
from testing.random_model import DIGITS, publish_random

ALL: list[Output] = ["composite", "mask", "foreground", "background"]
MECHANISMS = ("shape", "texture", "background")


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served") / "models"
    publish_random(root, "tiny", "v1", seed=1)
    return root


@pytest.fixture(scope="module")
def generator(models_dir: Path) -> Iterator[GeneratorProcess]:
    """A generator without any row cache: every answer is computed."""
    with GeneratorProcess(models_dir, CGN_ROW_CACHE_MB="0") as process:
        yield process


@pytest.fixture
def client(generator: GeneratorProcess) -> Client:
    return generator.client


def test_same_factor_same_pixels_alone_among_others_and_after_restart(
    client: Client, models_dir: Path
) -> None:
    requested = composite(Factor(3, 11), Factor(7, 12), Factor(1, 2**64 - 1))
    others = [composite(i % 10, i // 10 % 10, i % 7, seed=1000 + i) for i in range(255)]
    asked: list[tuple[Encoding, int]] = [("raw_uint8", 255), ("raw_float32", 70)]
    for encoding, count in asked:
        (alone,) = client.generate("tiny", [requested], ALL, encoding=encoding)
        crowd = [*others[: count // 2], requested, *others[count // 2 : count]]
        among = client.generate("tiny", crowd, ALL, encoding=encoding)[count // 2]
        with GeneratorProcess(models_dir, CGN_ROW_CACHE_MB="0") as second:
            (again,) = second.client.generate("tiny", [requested], ALL, encoding=encoding)
        for output in ALL:
            assert alone[output].tobytes() == among[output].tobytes() == again[output].tobytes()
        assert not any(result.shape and result.shape.cache_hit for result in (alone, among, again))


def test_a_model_of_a_users_own_classes_at_64_pixels_is_served_like_any_other(tmp_path: Path) -> None:
    birds = ["coot", "dipper", "finch", "gull", "heron", "jay", "kite"]
    publish_random(tmp_path / "models", "birds", class_names=birds, resolution=64)
    with GeneratorProcess(tmp_path / "models") as process:
        described = process.client.get_model("birds")
        assert (described.classes, list(described.class_names), described.resolution) == (7, birds, 64)
        asked = [composite("kite", label, "coot", seed=3) for label in range(7)]
        for encoding in ("raw_uint8", "raw_float32"):
            results = process.client.generate("birds", asked, ALL, encoding=encoding)
            assert all(result["composite"].shape == (64, 64, 3) for result in results)
            assert all(result["mask"].shape == (64, 64, 1) for result in results)
        with pytest.raises(CgnError, match="7 is out of range; give label_index 0 to 6"):
            process.client.generate("birds", [composite(1, 7, 1)])
        with pytest.raises(CgnError, match="at most .* composites .* fit"):
            process.client.generate("birds", [asked[0]] * 4000, ALL, encoding="raw_float32")
        assert counterfactual_sheet(process.client, "birds").width > 7 * 64 * SCALE


def test_raw_formats_are_as_documented(client: Client) -> None:
    asked = [composite(label, 9 - label, 4, seed=label) for label in range(10)]
    floats = client.generate("tiny", asked, ALL, encoding="raw_float32")
    levels = client.generate("tiny", asked, ALL, encoding="raw_uint8")
    for real, level in zip(floats, levels, strict=True):
        m, f, b = real["mask"], real["foreground"], real["background"]
        assert m.shape == (32, 32, 1) and f.shape == b.shape == real["composite"].shape == (32, 32, 3)
        assert m.dtype == f.dtype == np.float32 and level["mask"].dtype == np.uint8
        assert 0 <= m.min() <= m.max() <= 1 and -1 <= min(f.min(), b.min()) <= max(f.max(), b.max()) <= 1
        assert np.array_equal(level["mask"], np.rint(m * np.float32(255)))
        assert np.array_equal(level["foreground"], np.rint((f + 1) * np.float32(127.5)))
        assert np.array_equal(level["background"], np.rint((b + 1) * np.float32(127.5)))

        assert np.allclose(real["composite"], m * f + (1 - m) * b, atol=1e-6)
        m8, f8, b8 = (level[output].astype(int) for output in ALL[1:])
        assert np.array_equal(level["composite"], np.rint((m8 * f8 + (255 - m8) * b8) / 255))
        assert np.abs(level["composite"] - (real["composite"] + 1) * 127.5).max() <= 1.01

        assert real.mu_mask == pytest.approx(m.mean(dtype=np.float64), abs=1e-6)
        assert level.mu_mask == pytest.approx(m8.mean() / 255, abs=1e-6)


@pytest.mark.parametrize("encoding", ["png", "webp", "jpeg"])
def test_files_decode_to_the_raw_pixels(client: Client, encoding: Encoding) -> None:
    asked = [composite(5, 6, 7, seed=8)]
    (raw,) = client.generate("tiny", asked, ALL, encoding="raw_uint8")
    (files,) = client.generate("tiny", asked, ALL, encoding=encoding)
    for output in ALL:
        image = Image.open(io.BytesIO(files[output]))
        assert image.format == encoding.upper()
        pixels = np.asarray(image).reshape(32, 32, -1)
        if encoding == "webp":  # WebP has no single channel: a mask comes back as three equal channels
            pixels = pixels[:, :, : raw[output].shape[2]]
        if encoding == "jpeg":
            assert np.abs(pixels.astype(int) - raw[output]).mean() < 3
        else:
            assert np.array_equal(pixels, raw[output])


def test_absent_seeds_are_drawn_per_factor_and_returned(client: Client) -> None:
    first, second = client.generate("tiny", [composite(1, 1, 1)] * 2)
    factors = [getattr(result, name) for result in (first, second) for name in MECHANISMS]
    assert len({factor.seed for factor in factors}) == 6
    (again,) = client.generate("tiny", [composite(*(Factor(f.label, f.seed) for f in factors[:3]))])
    assert np.array_equal(again["composite"], first["composite"])


def test_labels_by_name_and_by_index_are_the_same(client: Client) -> None:
    by_index, by_name = client.generate(
        "tiny", [composite(2, 3, 4, seed=0), composite("two", "three", "four", seed=0)], ALL
    )
    assert by_name.texture is not None and by_name.texture.label_name == "three"
    assert (by_name.shape, by_name.texture, by_name.background) == (
        by_index.shape,
        by_index.texture,
        by_index.background,
    )
    assert np.array_equal(by_index["composite"], by_name["composite"])


def test_only_needed_mechanisms_are_resolved(client: Client) -> None:
    (result,) = client.generate("tiny", [composite(texture=3)], ["foreground"])
    assert result.shape is None and result.background is None and result.mu_mask is None
    assert result.texture is not None and result.texture.label == 3
    (result,) = client.generate("tiny", [composite(shape=3, texture=99)], ["mask"])
    assert result.texture is None and result.mu_mask is not None


def test_model_is_described(client: Client) -> None:
    model = client.get_model("tiny")
    assert (model.name, model.version, model.family, model.device) == ("tiny", "v1", "mnist", "cpu")
    assert list(model.class_names) == DIGITS and model.classes == 10
    assert [m.name for m in model.mechanisms] == list(MECHANISMS)
    assert all(m.resident_bytes > 10_000 for m in model.mechanisms)
    assert model.mask_bounds[9].highest == pytest.approx(0.6)
    assert '"random weights, for tests"' in model.card_json and model.create_time.seconds > 0


def test_reflection_and_health(generator: GeneratorProcess) -> None:
    with grpc.insecure_channel(generator.address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = list(database.get_services())
        assert {"cgn_api.v1.GeneratorService", "grpc.health.v1.Health"} <= set(services)
        service = DescriptorPool(database).FindServiceByName("cgn_api.v1.GeneratorService")
        assert set(service.methods_by_name) == set(
            pb.DESCRIPTOR.services_by_name["GeneratorService"].methods_by_name
        )
    assert probe(generator.address, 3.0) == "SERVING"


def test_metrics_follow_requests(generator: GeneratorProcess) -> None:
    before = generator.settled_metrics()
    generator.client.generate("tiny", [composite(s, 0, 1, seed=77) for s in range(4)], ["composite", "mask"])
    after = generator.settled_metrics()
    gained = {name: after[name] - before.get(name, 0.0) for name in after}
    assert gained["cgn_images_total"] == 8
    assert gained["cgn_rows_total{shape}"] == 4 and gained["cgn_rows_total{texture}"] == 1
    assert gained["cgn_batch_rows_sum"] == 6 and gained["cgn_forward_seconds_count"] == 3
    assert gained["cgn_mu_mask_count{three}"] == 1
    # Masks of random weights have nearly the same value everywhere.
    assert gained["cgn_mask_border_count{three}"] == gained["cgn_mask_soft_count{three}"] == 1
    assert gained["cgn_mask_border_sum{three}"] == pytest.approx(0.34, abs=0.05)
    assert gained["cgn_mask_soft_sum{three}"] > 0.9
    assert gained["cgn_requests_total{OK}"] == gained["cgn_request_seconds_count{OK}"] == 1
    assert after["cgn_mu_mask_highest{tiny}"] == pytest.approx(6.0)
    assert after["cgn_mask_border_highest{tiny}"] == pytest.approx(5.0)
    assert after["cgn_mask_soft_highest{tiny}"] == pytest.approx(10.0)
    assert after["cgn_mechanism_resident_bytes{shape}"] > 0 and after["cgn_model_info{tiny}"] == 1


def test_models_are_added_and_removed_without_a_restart(tmp_path: Path) -> None:
    root = tmp_path / "models"
    with GeneratorProcess(root) as generator:
        client = generator.client
        with pytest.raises(CgnError, match="no model is served") as error:
            client.generate("tiny", [composite(0, 0, 0)])
        assert (error.value.code, error.value.reason) == ("NOT_FOUND", "MODEL_NOT_FOUND")

        publish_random(root, "tiny", "v1", created_at="2026-01-01T00:00:00+00:00")
        publish_random(root, "other", "v1", seed=9)
        publish_random(root, "tiny", "v0", seed=2, created_at="2026-01-02T00:00:00+00:00")
        wait_for("the models", lambda: len(client.list_models()) == 3)
        assert [(m.name, m.version) for m in client.list_models()] == [
            ("other", "v1"),
            ("tiny", "v0"),
            ("tiny", "v1"),
        ]
        # Listed at once; "latest" moves to the newest by its card as soon as that version is warm.
        wait_for("the newest version", lambda: client.get_model("tiny").version == "v0")
        (new,) = client.generate("tiny", [composite(1, 2, 3, seed=4)])
        (old,) = client.generate("tiny", [composite(1, 2, 3, seed=4)], version="v1")
        assert (new.version, old.version) == ("v0", "v1") and new.digest != old.digest
        assert not np.array_equal(new["composite"], old["composite"])

        (root / "tiny" / "v0").rename(tmp_path / "taken-out")
        wait_for("the fall-back", lambda: client.get_model("tiny").version == "v1")
        assert generator.metrics()["cgn_model_info"] == 2


def test_broken_models_are_left_out_and_the_others_served(tmp_path: Path) -> None:
    root, outside = tmp_path / "models", tmp_path / "outside"
    publish_random(root, "good")
    publish_random(outside, "elsewhere")

    def broken(name: str) -> tuple[Path, Path]:
        publish_random(root, name)
        return root / name / "v1" / "weights.safetensors", root / name / "v1" / "card.json"

    weights, _ = broken("truncated")
    weights.write_bytes(weights.read_bytes()[:-100])
    weights, _ = broken("garbage")
    weights.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
    weights, _ = broken("no_weights")
    weights.unlink()
    weights, _ = broken("link_to_weights")
    weights.unlink()
    weights.symlink_to(outside / "elsewhere" / "v1" / "weights.safetensors")
    _, card = broken("not_json")
    card.write_text(card.read_text()[:-30])
    _, card = broken("other_name")
    card.write_text(card.read_text().replace('"other_name"', '"good"'))
    _, card = broken("does_not_fit")
    card.write_text(card.read_text().replace('"width": 8', '"width": 16'))
    _, card = broken("wrong_types")
    card.write_text(card.read_text().replace('"three"', "3"))
    _, card = broken("other_weights")
    shutil.copy(outside / "elsewhere" / "v1" / "card.json", card)
    (root / "link_to_folder").mkdir()
    (root / "link_to_folder" / "v1").symlink_to(outside / "elsewhere" / "v1")

    with GeneratorProcess(root) as generator:
        client = generator.client
        assert [model.name for model in client.list_models()] == ["good"]
        for name in ("truncated", "link_to_weights", "link_to_folder"):
            with pytest.raises(CgnError, match="known: good"):
                client.generate(name, [composite(1, 2, 3)])
        publish_random(root, "later")
        wait_for("the next scan", lambda: len(client.list_models()) == 2)
        lines = [line for line in generator.log().splitlines() if "model left out" in line]
        assert len(lines) == 10 and all('"reason": "' in line for line in lines)

        shutil.rmtree(root / "truncated")
        publish_random(root, "truncated")
        wait_for("the cured one", lambda: len(client.list_models()) == 3)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CGN_GENERATOR_PORT", "taken"),
        ("CGN_GENERATOR_METRICS_PORT", "taken"),
        ("CGN_DEVICE", "cuda:99"),
        ("CGN_ROW_CACHE_MB", "much"),
    ],
)
def test_a_start_that_fails_prints_one_line(variable: str, value: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {name: str(free_port()) for name in ("CGN_GENERATOR_PORT", "CGN_GENERATOR_METRICS_PORT")}
        setting = {variable: str(taken.getsockname()[1]) if value == "taken" else value}
        command = [sys.executable, "-m", "services.generator"]
        env = os.environ | ports | setting
        ended = subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1
    assert variable in ended.stderr


def test_after_sigterm_accepted_requests_are_answered(models_dir: Path) -> None:
    with GeneratorProcess(models_dir) as generator, ThreadPoolExecutor() as threads:
        before = generator.metrics()["cgn_batch_rows_sum"]
        asked = [composite(i % 10, i % 9, i % 8, seed=i) for i in range(1000)]
        answer = threads.submit(Client(generator.address).generate, "tiny", asked)
        wait_for("work", lambda: generator.metrics()["cgn_batch_rows_sum"] > before)
        generator.process.terminate()
        with Client(generator.address) as late:
            refused = wait_for("a refusal", lambda: _refusal(late))
        assert "UNAVAILABLE" in refused
        assert generator.stop() == 0
        assert len(answer.result()) == 1000


def _refusal(client: Client) -> str | None:
    try:
        client.generate("tiny", [composite(1, 2, 3)])
    except CgnError as error:
        return str(error)
    return None


def test_ended_calls_do_not_delay_the_shutdown(models_dir: Path) -> None:
    """Covers a call that its caller cancelled, a refused call and a successful one."""
    with GeneratorProcess(models_dir) as generator:
        request = pb.GenerateRequest(model="tiny", outputs=[pb.OUTPUT_COMPOSITE])
        for seed in range(1000):
            same = pb.Factor(label_index=seed % 10, seed=seed)
            request.composites.append(pb.Composite(shape=same, texture=same, background=same))
        with grpc.insecure_channel(generator.address) as channel:
            stub = pb_grpc.GeneratorServiceStub(channel)
            call = stub.Generate.future(request)
            wait_for("work", lambda: generator.metrics()["cgn_batch_rows_sum"] > 3)
            assert call.cancel()
            with pytest.raises(grpc.RpcError):
                stub.GetModel(pb.GetModelRequest(model="no_such"))
            stub.GetModel(pb.GetModelRequest(model="tiny"))
        assert generator.stop() == 0
        assert "shutdown grace period ended" not in generator.log()
