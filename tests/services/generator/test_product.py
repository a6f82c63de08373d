"""GenerateProduct: every combination, in order, in chunks, from few rows."""

import itertools
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import grpc
import numpy as np
import pytest

from cgn.card import MaskBounds, ModelCard
from cgn_api.v1 import generator_pb2 as pb
from cgn_api.v1.generator_pb2_grpc import GeneratorServiceStub
from cgn_client import Chunk, Client, Factor, composite
from cgn_client.composites import Encoding, Output
from services.errors import ApiError
from services.generator.plan.plan import Plan
from services.generator.plan.sizes import usual_batch
from testing.generator_process import GeneratorProcess
from testing.processes import wait_for
from testing.random_model import publish_random, publish_random_imagenet
from tests.refusal import refusal

ALL: list[Output] = ["composite", "mask", "foreground", "background"]


def factors(count: int, first_seed: int) -> list[Factor]:
    return [Factor(i % 10, seed=first_seed + i) for i in range(count)]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GeneratorProcess]:
    """A generator without a row cache: a stream must hold the rows that it needs again."""
    root = tmp_path_factory.mktemp("products") / "models"
    publish_random(root, "digits")
    publish_random_imagenet(root, "zoo")
    with GeneratorProcess(root, CGN_ROW_CACHE_MB="0") as process:
        yield process


@pytest.fixture
def client(generator: GeneratorProcess) -> Client:
    return generator.client


def joined(chunks: list[Chunk], output: str) -> Any:
    return np.concatenate([chunk[output] for chunk in chunks])


@pytest.mark.parametrize("encoding", ["raw_uint8", "raw_float32"])
def test_combinations_come_in_the_documented_order_and_equal_generate_s(
    client: Client, encoding: Encoding
) -> None:
    sets = factors(3, 100), factors(4, 200), factors(5, 300)
    chunks = list(client.generate_product("digits", *sets, ALL, encoding=encoding))
    composites = [composite(*three) for three in itertools.product(*sets)]
    alone = client.generate("digits", composites, ALL, encoding=encoding)
    for output in ALL:
        assert np.array_equal(joined(chunks, output), np.stack([result[output] for result in alone]))
    mu_masks = np.concatenate([chunk.mu_mask for chunk in chunks])
    assert mu_masks == pytest.approx([result.mu_mask for result in alone], abs=1e-6)
    header = chunks[0].header
    assert header.combinations == 60 and header.model == "digits" and header.digest == alone[0].digest
    assert [factor.seed for factor in header.textures] == [200, 201, 202, 203]


@pytest.mark.parametrize("model", ["digits", "zoo"])
@pytest.mark.parametrize("encoding", ["png", "webp"])
def test_files_hold_the_same_pixels(client: Client, model: str, encoding: Encoding) -> None:
    sets = [Factor(0, 1), Factor(1, 2)], [Factor(2, 3)], [Factor(3, 4), Factor(1, 5), Factor(0, 6)]
    outputs: list[Output] = [*ALL, "pre_mask", "reference"] if model == "zoo" else ALL
    chunks = list(client.generate_product(model, *sets, outputs, encoding=encoding, hard_mask=True))
    composites = [composite(*three) for three in itertools.product(*sets)]
    alone = client.generate(model, composites, outputs, encoding=encoding, hard_mask=True)
    for output in outputs:
        files = [file for chunk in chunks for file in chunk[output]]
        assert files == [result[output] for result in alone]


def test_ten_by_ten_by_ten_takes_thirty_rows_even_without_a_cache(generator: GeneratorProcess) -> None:
    before = generator.settled_metrics()
    sets = factors(10, 1000), factors(10, 2000), factors(10, 3000)
    chunks = list(generator.client.generate_product("digits", *sets))
    after = generator.settled_metrics()
    assert sum(chunk.count for chunk in chunks) == 1000 and len(chunks) > 1
    assert [chunk.start for chunk in chunks] == list(
        itertools.accumulate([0, *(chunk.count for chunk in chunks[:-1])])
    )
    assert after["cgn_batch_rows_sum"] - before["cgn_batch_rows_sum"] == 30
    assert after["cgn_images_total"] - before["cgn_images_total"] == 1000


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_hundred_thousand_combinations_come_in_bounded_memory(generator: GeneratorProcess) -> None:
    sets = factors(100, 1000), factors(100, 2000), factors(10, 3000)
    before = generator.settled_metrics()
    count, memory = 0, []
    for number, chunk in enumerate(generator.client.generate_product("digits", *sets)):
        assert chunk.start == count and chunk["composite"].nbytes <= 1 << 20
        count += chunk.count
        if number % 10 == 5:
            memory.append(generator.metrics()["process_resident_memory_bytes"])
    assert count == 100_000
    assert max(memory) - memory[0] < 100 << 20  # all images together take 293 MiB
    after = generator.settled_metrics()
    assert after["cgn_batch_rows_sum"] - before["cgn_batch_rows_sum"] == 210


def test_a_product_continues_from_any_combination(client: Client) -> None:
    sets = factors(5, 1), factors(9, 2), factors(20, 3)
    whole = list(client.generate_product("digits", *sets))
    for start in (1, 500, 899):
        rest = list(client.generate_product("digits", *sets, start=start))
        assert rest[0].start == start
        assert np.array_equal(joined(rest, "composite"), joined(whole, "composite")[start:])


def test_drawn_seeds_are_in_the_header_and_shared_by_combinations(client: Client) -> None:
    (chunk,) = client.generate_product("digits", [1, 1], [2, 3], [4])
    resolved = [
        [Factor(factor.label_index, factor.seed) for factor in factors]
        for factors in (chunk.header.shapes, chunk.header.textures, chunk.header.backgrounds)
    ]
    assert resolved[0][0] != resolved[0][1]
    shapes, textures, backgrounds = resolved
    (again,) = client.generate_product("digits", shapes, textures, backgrounds)
    assert np.array_equal(chunk["composite"], again["composite"])


def test_outputs_of_one_mechanism_need_its_factors_only(client: Client) -> None:
    (chunk,) = client.generate_product("digits", textures=factors(7, 1), outputs=["foreground"])
    assert chunk["foreground"].shape == (7, 32, 32, 3) and chunk.mu_mask.size == 0
    (chunk,) = client.generate_product("zoo", shapes=[Factor("owl", 1)], outputs=["reference"])
    assert chunk["reference"].shape == (1, 32, 32, 3)


def test_a_client_that_does_not_read_stops_its_own_work_only(generator: GeneratorProcess) -> None:
    sets = factors(100, 5000), factors(100, 6000), factors(10, 7000)
    before = generator.metrics()["cgn_images_total"]

    def no_progress() -> bool:
        images = generator.metrics()["cgn_images_total"]
        time.sleep(1)
        return generator.metrics()["cgn_images_total"] == images

    with closing(generator.client.generate_product("digits", *sets)) as stream:
        next(stream)
        wait_for("the stream to wait for its reader", no_progress)
        after = generator.metrics()
        assert after["cgn_images_total"] - before < 50_000
        assert after.get("cgn_pixels_in_flight", 0) == 0
        assert generator.client.generate("digits", [composite(1, 2, 3, seed=9)])


FACTOR = pb.Factor(label_index=1, seed=1)


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"model": "nobody"}, "model", "is not served; known: digits, zoo"),
        ({"version": "v9"}, "version", "is not served; known: v1"),
        ({"shapes": []}, "shapes", "has 0 factors; give 1 to 4096"),
        ({"textures": [FACTOR] * 4097}, "textures", "has 4097 factors; give 1 to 4096"),
        ({"backgrounds": [FACTOR, pb.Factor()]}, "backgrounds[1].label_index", "no label is given"),
        ({"shapes": [pb.Factor(label_index=10)]}, "shapes[0].label_index", "10 is out of range"),
        ({"textures": [pb.Factor(label_name="zebra")]}, "textures[0].label_name", "zebra"),
        (
            {"shapes": [pb.Factor(label_index=1, way=pb.Way(share=2))]},
            "shapes[0].way.share",
            "2.0 is not within 0 to 1",
        ),
        (
            {"shapes": [pb.Factor(label_index=1, truncation=0.5)]},
            "shapes[0].truncation",
            "not supported by models of family mnist; omit it",
        ),
        ({"outputs": []}, "outputs", "must have at least 1 entry"),
        ({"outputs": [1, 1]}, "outputs[1]", "is requested twice"),
        ({"outputs": [pb.OUTPUT_PRE_MASK]}, "outputs[0]", "is not an output of family mnist"),
        (
            {"outputs": [pb.OUTPUT_MASK]},
            "textures",
            "has 1 factors, but no requested output needs them; omit them",
        ),
        ({"encoding": 99}, "encoding", "99 is unknown; use one of ENCODING_PNG"),
        ({"start": 1}, "start", "1 is out of range; give 0 to 0"),
    ],
)
def test_bad_requests_are_refused_and_named(
    generator: GeneratorProcess, change: dict[str, Any], field: str, says: str
) -> None:
    fields: dict[str, Any] = {
        "model": "digits",
        "shapes": [FACTOR],
        "textures": [FACTOR],
        "backgrounds": [FACTOR],
        "outputs": [pb.OUTPUT_COMPOSITE],
    }
    request = pb.GenerateProductRequest(**(fields | change))
    with grpc.insecure_channel(generator.address) as channel:
        code, _, violations = refusal(GeneratorServiceStub(channel).GenerateProduct, request)
    assert code == ("NOT_FOUND" if field in ("model", "version") else "INVALID_ARGUMENT")
    assert says in violations[field]


def test_images_that_no_message_can_hold_are_refused() -> None:
    card = ModelCard(
        name="large", version="v1", digest="blake2b:" + "0" * 32, family="imagenet", architecture={},
        class_names=["a"], resolution=512, latent_size=1, mask_bounds=[MaskBounds(0, 1, 1, 1)],
        mask_mean=[], mask_border=[], mask_soft=[], trained=False,
    )  # fmt: skip
    outputs = (pb.OUTPUT_COMPOSITE, pb.OUTPUT_FOREGROUND)
    with pytest.raises(ApiError, match="outputs: need 6291456 bytes per image, but a message holds 4194304"):
        usual_batch(Plan(card, outputs, pb.ENCODING_RAW_FLOAT32))
    assert usual_batch(Plan(card, outputs, pb.ENCODING_RAW_UINT8)) == 1
