"""Bounds the work in flight of each model, measured in pixels of mechanism rows."""

import contextlib
from collections.abc import Iterator

import grpc

from cgn.card import ModelCard
from common.metrics import GeneratorMetrics
from services.errors import ApiError

RETRY_SECONDS = 1.0


class Admission:
    """The pixels that requests have in flight, for each model separately. For the event loop's thread.

    Args:
        max_pixels: pixels of rows that the requests of one model may have in flight together. A row of a
            model of R x R pixels counts R * R.
    """

    def __init__(self, max_pixels: int, metrics: GeneratorMetrics) -> None:
        self._max_pixels = max_pixels
        self._metrics = metrics
        self._in_flight: dict[str, int] = {}  # pixels by digest, without zeros

    @contextlib.contextmanager
    def admit(self, card: ModelCard, rows: int) -> Iterator[None]:
        """Counts so many rows of a model as in flight. Raises ApiError as `check`."""
        self.check(card, rows)
        pixels = rows * card.resolution**2
        self._add(card, pixels)
        try:
            yield
        finally:
            self._add(card, -pixels)

    def check(self, card: ModelCard, rows: int) -> None:
        """Refuses rows of a model that may not be in flight now.

        Raises:
            ApiError: RESOURCE_EXHAUSTED (OVERLOADED) if there is no room for the rows now, INVALID_ARGUMENT
                (REQUEST_TOO_LARGE) if there never is.
        """
        row_pixels = card.resolution**2
        pixels, in_flight = rows * row_pixels, self._in_flight.get(card.digest, 0)
        if pixels > self._max_pixels:
            text = (
                f"take {rows} rows of {row_pixels} pixels, and at most {self._max_pixels // row_pixels} rows "
                "of this model may be in flight; ask for the rest separately"
            )
            raise ApiError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "REQUEST_TOO_LARGE",
                f"composites: {text}",
                [("composites", text)],
            )
        if in_flight + pixels > self._max_pixels:
            self._metrics.refusals.labels(card.name, card.version, "overloaded").inc()
            raise ApiError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "OVERLOADED",
                f"{in_flight // row_pixels} rows of {card.name} are in flight and at most "
                f"{self._max_pixels // row_pixels} may be; try again later or ask for fewer images",
                retry_seconds=RETRY_SECONDS,
            )

    def _add(self, card: ModelCard, pixels: int) -> None:
        in_flight = self._in_flight.get(card.digest, 0) + pixels
        gauge = self._metrics.pixels_in_flight
        if in_flight:
            self._in_flight[card.digest] = in_flight
            gauge.labels(card.name, card.version).set(in_flight)
        else:  # a removed model leaves no time series behind
            self._in_flight.pop(card.digest, None)
            with contextlib.suppress(KeyError):
                gauge.remove(card.name, card.version)
