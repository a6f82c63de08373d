"""Limits per caller: RPCs per second, images per second, images per request."""

import time
from collections.abc import Callable
from typing import Any

import grpc

from common.settings import EdgeSettings
from services.edge.caller import Caller
from services.edge.rules import RpcRule
from services.errors import ApiError, invalid

_MAX_BUCKETS = 10_000  # above this, full buckets are dropped: a full bucket equals a new one


class _Bucket:
    """A token bucket. It refills at a rate per second and holds one second's worth, at least 1.

    Its level may be negative: the caller has taken more than the bucket held.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._level: float | None = None  # None: full
        self._updated = clock()

    def take(self, rate: float, cost: float) -> float:
        """Takes `cost` and returns 0 if the bucket holds 1 or more.

        Otherwise takes nothing and returns the seconds until the bucket holds 1.
        """
        if (level := self._refill(rate)) < 1 - 1e-9:  # rounding: after the wait, the caller must be admitted
            return (1 - level) / rate
        self._level = level - cost
        return 0.0

    def overdraw(self, rate: float, cost: float) -> float:
        """Takes `cost`, even below 0. Returns the seconds until the level is 0 again, or 0."""
        self._level = level = self._refill(rate) - cost
        return max(0.0, -level / rate)

    def is_full(self, rate: float) -> bool:
        return self._refill(rate) >= max(rate, 1.0)

    def _refill(self, rate: float) -> float:
        now, capacity = self._clock(), max(rate, 1.0)
        level = capacity if self._level is None else min(capacity, self._level + (now - self._updated) * rate)
        self._updated, self._level = now, level
        return level


class Limits:
    """Enforces the limits of each caller: those of the tokens file, else those of the server's settings.

    A request for many images is admitted if the caller's bucket holds at least one image. Its images may
    overdraw the bucket, and later requests wait until it has refilled. So no request is too large for the
    rate, and the rate holds in the long run.
    """

    def __init__(self, settings: EdgeSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def admit_rpc(self, caller: Caller) -> None:
        """Counts an RPC. Raises ApiError, RESOURCE_EXHAUSTED with RetryInfo, above the rate."""
        own = caller.rpcs_per_second
        self._take(caller, "RPCs", self._settings.rpcs_per_second if own is None else own, 1)

    def admit_request(self, caller: Caller, rule: RpcRule, request: Any) -> None:
        """Counts the images that a request asks for.

        Raises ApiError: INVALID_ARGUMENT if the request asks for more images than one request may,
        RESOURCE_EXHAUSTED with RetryInfo above the rate.
        """
        if rule.images_sent:
            self._take(caller, "images", self._image_rate(caller), 0)
        if not rule.images_requested:
            return
        images = rule.images_requested.count(request)
        own = caller.images_per_request
        limit = self._settings.max_images if own is None else own
        if limit and images > limit:
            raise _too_many(rule.images_requested.field, images, limit)
        self._take(caller, "images", self._image_rate(caller), images)

    def pace(self, caller: Caller, rule: RpcRule, request: Any) -> Callable[[Any], float] | None:
        """Returns a function that counts a response's images and returns seconds to wait before the next one.

        Returns None if the caller has no image rate or the RPC is not counted by response.
        """
        rate, images_sent = self._image_rate(caller), rule.images_sent
        if not rate or not images_sent:
            return None

        def after(response: Any) -> float:
            return self._bucket(caller, "images", rate).overdraw(rate, images_sent(request, response))

        return after

    def _image_rate(self, caller: Caller) -> int:
        own = caller.images_per_second
        return self._settings.images_per_second if own is None else own

    def _take(self, caller: Caller, unit: str, rate: float, cost: int) -> None:
        if not rate:
            return
        if wait := self._bucket(caller, unit, rate).take(rate, cost):
            raise ApiError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "RATE_LIMITED",
                f"{caller.name} may ask for {rate:g} {unit} per second; try again in {wait:.3f} s",
                retry_seconds=max(wait, 0.001),
            )

    def _bucket(self, caller: Caller, unit: str, rate: float) -> _Bucket:
        if len(self._buckets) >= _MAX_BUCKETS:
            self._buckets = {key: b for key, b in self._buckets.items() if not b.is_full(rate)}
        return self._buckets.setdefault((caller.name, unit), _Bucket(self._clock))


def _too_many(field: str, images: int, limit: int) -> ApiError:
    return invalid(
        field,
        f"{images} images requested, counting each output; one request may ask for {limit}; "
        "split it into several requests",
        "TOO_MANY_IMAGES",
    )
