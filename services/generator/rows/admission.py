"""How much work a model's requests may have in flight: bounded by its cost, pixels of mechanism rows."""

import contextlib
from collections.abc import Iterator

import grpc

from cgn.card import ModelCard
from common.metrics import GeneratorMetrics
from services.errors import ApiError

RETRY_SECONDS = 1.0


class Admission:
    """Shares of the work in flight, for each model by itself. For the event loop's thread.

    Args:
        most_pixels: of the rows that one model's requests may hold at a time; a row of a model of R x R
            pixels costs R * R.
    """

    def __init__(self, most_pixels: int, metrics: GeneratorMetrics) -> None:
        self._most = most_pixels
        self._metrics = metrics
        self._in_flight: dict[str, int] = {}  # pixels by digest; only those that have any

    @contextlib.contextmanager
    def admitted(self, card: ModelCard, rows: int) -> Iterator[None]:
        """Holds a share for so many rows of a model.

        Raises:
            ApiError: RESOURCE_EXHAUSTED (OVERLOADED) if there is not that much left, INVALID_ARGUMENT
                (REQUEST_TOO_LARGE) if there never is.
        """
        row_pixels = card.resolution**2
        pixels, taken = rows * row_pixels, self._in_flight.get(card.digest, 0)
        if pixels > self._most:
            text = (
                f"take {rows} rows of {row_pixels} pixels, and at most {self._most // row_pixels} rows of "
                "this model may be in flight; ask for the rest separately"
            )
            raise ApiError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "REQUEST_TOO_LARGE",
                f"composites: {text}",
                [("composites", text)],
            )
        if taken + pixels > self._most:
            self._metrics.refusals.labels(card.name, card.version, "overloaded").inc()
            raise ApiError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "OVERLOADED",
                f"{taken // row_pixels} rows of {card.name} are in flight and at most "
                f"{self._most // row_pixels} may be; try again later or ask for fewer images",
                retry_seconds=RETRY_SECONDS,
            )
        self._hold(card, pixels)
        try:
            yield
        finally:
            self._hold(card, -pixels)

    def _hold(self, card: ModelCard, pixels: int) -> None:
        held = self._in_flight.get(card.digest, 0) + pixels
        gauge = self._metrics.pixels_in_flight
        if held:
            self._in_flight[card.digest] = held
            gauge.labels(card.name, card.version).set(held)
        else:  # a model that is gone leaves no series behind
            self._in_flight.pop(card.digest, None)
            with contextlib.suppress(KeyError):
                gauge.remove(card.name, card.version)
