"""How much one caller may ask for: RPCs and images per second, images per request."""

import time
from collections.abc import Callable
from typing import Any

import grpc

from common.settings import EdgeSettings
from services.edge.caller import Caller
from services.errors import ApiError, invalid

_MOST_BUCKETS = 10_000  # of callers who have called; those that are full again are forgotten first


def _of_generate(request: Any) -> int:
    return len(request.composites) * len(request.outputs)


def _of_interpolate(request: Any) -> int:
    midpoints = request.midpoints if request.HasField("midpoints") else 8
    return (midpoints + 2) * len(request.outputs)


def _of_product(request: Any, response: Any) -> int:
    return response.chunk.count * len(request.outputs)


def _of_sample(request: Any, response: Any) -> int:
    return len(response.batch.shape_labels) * max(1, len(request.outputs))


# Images that a request asks for, counting every output, where the answer is made as a whole; and the field
# that has to be smaller to ask for fewer.
_IMAGES: dict[str, tuple[str, Callable[[Any], int]]] = {
    "/cgn_api.v1.GeneratorService/Generate": ("composites", _of_generate),
    "/cgn_api.v1.GeneratorService/Interpolate": ("midpoints", _of_interpolate),
}
# Images in a part of an answer that is made as it is read, and may have no end.
_IMAGES_SENT: dict[str, Callable[[Any, Any], int]] = {
    "/cgn_api.v1.GeneratorService/GenerateProduct": _of_product,
    "/cgn_api.v1.GeneratorService/Sample": _of_sample,
}


class _Bucket:
    """Fills at a rate up to one second's worth, at least 1. Taking may leave it in debt."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._level: float | None = None  # full
        self._since = clock()

    def wait(self, rate: float, cost: float) -> float:
        """Takes `cost` and returns 0 if anything is in; else takes nothing and returns seconds to wait."""
        if (level := self._fill(rate)) < 1 - 1e-9:  # what was told to wait for is enough
            return (1 - level) / rate
        self._level = level - cost
        return 0.0

    def owe(self, rate: float, cost: float) -> float:
        """Takes `cost` in any case, and returns seconds until it is paid for."""
        self._level = level = self._fill(rate) - cost
        return max(0.0, -level / rate)

    def is_full(self, rate: float) -> bool:
        return self._fill(rate) >= max(rate, 1.0)

    def _fill(self, rate: float) -> float:
        now, most = self._clock(), max(rate, 1.0)
        level = most if self._level is None else min(most, self._level + (now - self._since) * rate)
        self._since, self._level = now, level
        return level


class Limits:
    """The limits of every caller: their own of the tokens file, else the server's.

    A request of many images is let in if the caller owes none, and what it takes beyond the rate has to be
    waited for by the next one: so a large request is never impossible, and the rate holds in the long run.
    """

    def __init__(self, settings: EdgeSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def admit_rpc(self, caller: Caller) -> None:
        """Counts an RPC. Raises ApiError, RESOURCE_EXHAUSTED with RetryInfo."""
        own = caller.rpcs_per_second
        self._take(caller, "RPCs", self._settings.rpcs_per_second if own is None else own, 1)

    def admit_request(self, caller: Caller, method: str, request: Any) -> None:
        """Counts the images that a request asks for.

        Raises ApiError: INVALID_ARGUMENT if one request may not ask for so many, else RESOURCE_EXHAUSTED
        with RetryInfo.
        """
        if method in _IMAGES_SENT:
            self._take(caller, "images", self._image_rate(caller), 0)
        if method not in _IMAGES:
            return
        field, count = _IMAGES[method]
        images = count(request)
        own = caller.images_per_request
        most = self._settings.max_images if own is None else own
        if most and images > most:
            raise _too_many(field, images, most)
        self._take(caller, "images", self._image_rate(caller), images)

    def pace(self, caller: Caller, method: str, request: Any) -> Callable[[Any], float] | None:
        """What counts the images of a part of a stream, and gives the seconds to wait before the next.

        None if there is nothing to count.
        """
        rate = self._image_rate(caller)
        if not rate or method not in _IMAGES_SENT:
            return None
        count = _IMAGES_SENT[method]

        def after(response: Any) -> float:
            return self._bucket(caller, "images", rate).owe(rate, count(request, response))

        return after

    def _image_rate(self, caller: Caller) -> int:
        own = caller.images_per_second
        return self._settings.images_per_second if own is None else own

    def _take(self, caller: Caller, what: str, rate: float, cost: int) -> None:
        if not rate:
            return
        if wait := self._bucket(caller, what, rate).wait(rate, cost):
            raise ApiError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "RATE_LIMITED",
                f"{caller.name} may ask for {rate:g} {what} per second; try again in {wait:.3f} s",
                retry_seconds=max(wait, 0.001),
            )

    def _bucket(self, caller: Caller, what: str, rate: float) -> _Bucket:
        if len(self._buckets) >= _MOST_BUCKETS:
            self._buckets = {key: b for key, b in self._buckets.items() if not b.is_full(rate)}
        return self._buckets.setdefault((caller.name, what), _Bucket(self._clock))


def _too_many(field: str, images: int, most: int) -> ApiError:
    return invalid(
        field,
        f"{images} images asked, counting every output, and one request may ask for {most}; "
        "ask for the rest separately",
        "TOO_MANY_IMAGES",
    )
