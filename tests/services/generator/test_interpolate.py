"""Interpolate: frames from one composite to another, and animations of them."""

import io
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from cgn_client import CgnError, Client, Factor, Way, composite
from cgn_client.composites import Output
from testing.generator_process import GeneratorProcess
from testing.processes import wait_for
from testing.random_model import publish_random, publish_random_imagenet

ALL: list[Output] = ["composite", "mask", "foreground", "background"]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GeneratorProcess]:
    root = tmp_path_factory.mktemp("ways") / "models"
    publish_random(root, "digits")
    publish_random_imagenet(root, "zoo")
    with GeneratorProcess(root) as process:
        yield process


@pytest.fixture
def client(generator: GeneratorProcess) -> Client:
    return generator.client


@pytest.mark.parametrize("model", ["digits", "zoo"])
def test_the_first_and_last_frames_are_the_ends_and_frames_between_differ(client: Client, model: str) -> None:
    start, end = composite(0, 1, 2, seed=5), composite(3, 2, 1, seed=5)
    frames = list(client.interpolate(model, start, end, ALL, midpoints=3, encoding="raw_float32"))
    ends = client.generate(model, [start, end], ALL, encoding="raw_float32")
    assert len(frames) == 5
    for output in ALL:
        assert np.array_equal(frames[0][output], ends[0][output])
        assert np.array_equal(frames[-1][output], ends[1][output])
        assert len({frame[output].tobytes() for frame in frames}) == 5
    assert frames[2].shape and frames[2].shape.mixture == {0: pytest.approx(0.5), 3: pytest.approx(0.5)}


def test_fields_that_the_end_leaves_open_stay(client: Client) -> None:
    start = composite(Factor(0), Factor(1, 7), Factor(2, 8))
    frames = list(client.interpolate("digits", start, composite(texture=4), ALL, midpoints=2))
    for still in ("mask", "background"):
        assert len({frame[still].tobytes() for frame in frames}) == 1
    assert len({frame["foreground"].tobytes() for frame in frames}) == 4
    assert {frame.texture.seed for frame in frames if frame.texture} == {7}


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_noise_moves_from_seed_to_seed(client: Client, path: Any) -> None:
    start, end = composite(shape=Factor(0, 1)), composite(shape=Factor(0, 2))
    frames = list(client.interpolate("digits", start, end, ["mask"], midpoints=1, path=path))
    by_hand = composite(shape=Factor(0, 1, way=Way(2, 0.5, path)))
    (middle,) = client.generate("digits", [by_hand], ["mask"])
    (last,) = client.generate("digits", [end], ["mask"])
    assert np.array_equal(frames[1]["mask"], middle["mask"])
    assert np.array_equal(frames[2]["mask"], last["mask"])  # a shape has no roll that would stay the start's


def test_the_two_paths_differ(client: Client) -> None:
    start, end = composite(shape=Factor(0, 1)), composite(shape=Factor(0, 2))
    middles = [
        list(client.interpolate("digits", start, end, ["mask"], midpoints=1, path=path))[1]["mask"]
        for path in ("linear", "spherical")
    ]
    assert not np.array_equal(*middles)


def test_frames_share_rows(generator: GeneratorProcess, client: Client) -> None:
    before = generator.settled_metrics()
    start = composite(Factor(5, 901), Factor(6, 902), Factor(7, 903))
    list(client.interpolate("digits", start, composite(texture=8), midpoints=4))
    after = generator.settled_metrics()
    computed = {
        mechanism: after[f"cgn_batch_rows_sum{{{mechanism}}}"] - before[f"cgn_batch_rows_sum{{{mechanism}}}"]
        for mechanism in ("shape", "texture", "background")
    }
    assert computed == {"shape": 1, "texture": 6, "background": 1}


def test_truncation_is_interpolated(client: Client) -> None:
    start = composite(texture=Factor(0, 1, truncation=1.0))
    end = composite(texture=Factor(0, 1, truncation=0.5))
    frames = list(client.interpolate("zoo", start, end, ["foreground"], midpoints=1))
    assert [frame.texture.truncation for frame in frames if frame.texture] == [1.0, 0.75, 0.5]


@pytest.mark.parametrize("animation", ["gif", "webp"])
def test_an_animation_shows_the_frames(client: Client, animation: Any) -> None:
    start, end = composite(0, 1, 2, seed=5), composite(texture=Factor(4, 6))
    frames = list(client.interpolate("digits", start, end, midpoints=6))
    film = client.animate("digits", start, end, animation=animation, midpoints=6, frames_per_second=20)
    with Image.open(io.BytesIO(film)) as picture:
        shown = [
            (np.asarray(frame.convert("RGB")).astype(int), frame.info["duration"])
            for frame in ImageSequence.Iterator(picture)
        ]
        assert picture.info["loop"] == 0
    assert len(shown) == 8
    for (pixels, duration), frame in zip(shown, frames, strict=True):
        difference = np.abs(pixels - frame["composite"])
        assert duration == 50
        assert difference.mean() < (4 if animation == "gif" else 1e-9)


def test_a_video_shows_the_frames_enlarged(client: Client) -> None:
    start, end = composite(0, 1, 2, seed=5), composite(texture=Factor(4, 6))
    frames = list(client.interpolate("digits", start, end, midpoints=6))
    film = client.animate("digits", start, end, animation="mp4", midpoints=6, frames_per_second=20)
    with av.open(io.BytesIO(film), "r") as video:
        shown = [frame.to_ndarray(format="rgb24").astype(int) for frame in video.decode(video=0)]
        assert video.streams.video[0].average_rate == 20
    assert len(shown) == 8 and shown[0].shape == (256, 256, 3)
    for pixels, frame in zip(shown, frames, strict=True):
        assert np.abs(pixels[4::8, 4::8] - frame["composite"]).mean() < 20


def test_a_mask_can_be_animated(client: Client) -> None:
    film = client.animate(
        "digits", composite(shape=0), composite(shape=1), "mask", animation="gif", midpoints=1
    )
    with Image.open(io.BytesIO(film)) as picture:
        assert picture.size == (32, 32)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"midpoints": 1001}, "midpoints: 1001 is out of range; give 0 to 1000"),
        ({"end": composite()}, "end: must differ"),
        ({"end": composite(texture=12)}, "end.texture.label_index: 12 is out of range"),
        (
            {"start": composite(texture=Factor(0, 1, way=Way(2, 0.5)))},
            "start.texture.way: is set by Interpolate",
        ),
        ({"start": composite(shape=1)}, "start.texture: is required"),
        ({"outputs": []}, "outputs: must have at least 1 entry"),
    ],
)
def test_bad_requests_are_refused_and_named(client: Client, change: dict[str, Any], says: str) -> None:
    request: dict[str, Any] = {
        "start": composite(texture=0),
        "end": composite(texture=1),
        "outputs": ["foreground"],
    }
    with pytest.raises(CgnError, match=says) as refused:
        list(client.interpolate("digits", **(request | change)))
    assert refused.value.code == "INVALID_ARGUMENT"


def test_an_animation_out_of_range_is_refused(client: Client) -> None:
    ends = composite(texture=0), composite(texture=1)
    with pytest.raises(CgnError, match="frames_per_second: 61 is out of range; give 1 to 60"):
        client.animate("digits", *ends, "foreground", frames_per_second=61)
    with pytest.raises(CgnError, match="'avi' is unknown; use gif, webp, mp4"):
        client.animate("digits", *ends, "foreground", animation="avi")  # type: ignore[arg-type]


def test_a_slow_reader_has_no_work_in_flight(generator: GeneratorProcess) -> None:
    start, end = composite(0, 1, 2, seed=5), composite(3, 2, 1, seed=6)

    def no_progress() -> bool:
        """Also true while a frame is computed slowly on a busy machine."""
        images = generator.metrics()["cgn_images_total"]
        time.sleep(1)
        return generator.metrics()["cgn_images_total"] == images

    def waits_for_reader() -> bool:
        return no_progress() and generator.metrics().get("cgn_pixels_in_flight", 0) == 0

    client = Client(generator.address, timeout=600)
    frames = client.interpolate("zoo", start, end, ALL, midpoints=1000, encoding="raw_float32")
    with closing(frames):
        next(frames)
        wait_for("the stream to wait for its reader with no work in flight", waits_for_reader)
        cancelled = generator.metrics().get("cgn_requests_total{CANCELLED}", 0)
    wait_for("its end", lambda: generator.metrics().get("cgn_requests_total{CANCELLED}", 0) > cancelled)
    assert "ERROR" not in generator.log() and "Traceback" not in generator.log()
