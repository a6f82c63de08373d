"""Writes animations of frames: GIF, WebP or MP4. Runs in a thread, not on the event loop."""

import io
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cgn_api.v1 import generator_pb2 as pb

Frames = Sequence[NDArray[np.uint8]]  # each (H, W, 1) or (H, W, 3), all of one size

_SMALLEST_SIDE = 256  # of a video, in pixels: players blur a smaller one when they enlarge it


def animate(images: Sequence[pb.Image], animation: int, frames_per_second: int) -> bytes:
    """The file of an animation of images in ENCODING_RAW_UINT8, in order."""
    frames = [
        np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, image.channels)
        for image in images
    ]
    write: Callable[[Frames, int], bytes] = _ANIMATIONS[animation]
    return write(frames, frames_per_second)


def _picture(frame: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame)


def _gif(frames: Frames, frames_per_second: int) -> bytes:
    # One palette for each frame, without dither: a changing grain would move more than the image itself.
    first, *others = (_picture(frame).convert("RGB").quantize(dither=Image.Dither.NONE) for frame in frames)
    out = io.BytesIO()
    first.save(
        out, "GIF", save_all=True, append_images=others, duration=round(1000 / frames_per_second), loop=0
    )
    return out.getvalue()


def _webp(frames: Frames, frames_per_second: int) -> bytes:
    first, *others = map(_picture, frames)
    out = io.BytesIO()
    duration = round(1000 / frames_per_second)
    first.save(
        out,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=duration,
        loop=0,
        lossless=True,
        method=0,
    )
    return out.getvalue()


def _mp4(frames: Frames, frames_per_second: int) -> bytes:
    out = io.BytesIO()
    times = -(-_SMALLEST_SIDE // frames[0].shape[0])  # each pixel becomes a square of this side
    with av.open(out, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=frames_per_second)
        stream.height, stream.width = (times * side for side in frames[0].shape[:2])
        stream.pix_fmt = "yuv420p"  # the format that every player shows
        stream.options = {"crf": "14", "preset": "veryfast"}
        stream.time_base = Fraction(1, frames_per_second)
        for number, frame in enumerate(frames):
            large = np.broadcast_to(frame, (*frame.shape[:2], 3)).repeat(times, axis=0).repeat(times, axis=1)
            picture = av.VideoFrame.from_ndarray(large, format="rgb24")
            picture.pts = number
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
    return out.getvalue()


_ANIMATIONS: dict[int, Callable[[Frames, int], bytes]] = {
    pb.ANIMATION_GIF: _gif,
    pb.ANIMATION_WEBP: _webp,
    pb.ANIMATION_MP4: _mp4,
}
