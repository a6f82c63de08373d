"""Checks the clients' ledgers: each call ended exactly once, with an allowed status and the right pixels."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.soak.client import ALLOWED, pixel_hash
from cgn.engine import Engine, Row
from cgn.images.pixels import compose_uint8, to_uint8
from cgn.model import CGN
from cgn.noise import MECHANISMS

_AT_ONCE = 1000  # images recomputed per batch


@dataclass
class LedgerReport:
    """The result of the check.

    Attributes:
        calls: number of calls started.
        ends: number of ended calls by status.
        lost: calls that never ended, of clients that were not killed.
        twice: calls that ended more than once.
        strange: calls that ended with a status that is not allowed, with details.
        images: number of images recomputed and compared.
        wrong: images that differ.
    """

    calls: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    images: int = 0
    wrong: list[str] = field(default_factory=list)


def check_ledgers(ledgers: Iterable[Path], killed: set[Path], models: Mapping[str, CGN]) -> LedgerReport:
    """Reads the ledgers and recomputes every image.

    Args:
        ledgers: one file per client process.
        killed: ledgers of killed clients, whose last calls may lack an end.
        models: all models that were served, by digest.
    """
    report = LedgerReport()
    images: list[tuple[str, Any]] = []
    for path in ledgers:
        open_calls: set[str] = set()
        ended: set[str] = set()
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            name, end = entry["id"], entry.get("end")
            if end is None:
                report.calls += 1
                open_calls.add(name)
                continue
            report.ends[end] = report.ends.get(end, 0) + 1
            if name in ended:
                report.twice.append(name)
            ended.add(name)
            open_calls.discard(name)
            if end == "OK" and entry["kind"] != "bad":
                images += [(name, image) for image in entry["images"]]
            elif end not in ALLOWED[entry["kind"]]:
                report.strange.append(f"{entry['kind']} {name}: {end}, {entry.get('details')}")
        if path not in killed:
            report.lost += sorted(open_calls)
    _compare(images, models, report)
    return report


def _compare(images: list[tuple[str, Any]], models: Mapping[str, CGN], report: LedgerReport) -> None:
    engine = Engine(threads=1)
    for model in models.values():
        engine.add(model)
    images.sort(key=lambda image: image[1][1])  # images that share rows are computed together
    for start in range(0, len(images), _AT_ONCE):
        part = images[start : start + _AT_ONCE]
        requested = {row for _, (digest, factors, _) in part for row in _rows(digest, factors)}
        pixels = engine.submit(list(requested)).future.result()
        drawn: dict[Row, NDArray[np.uint8]] = {
            row: to_uint8(row_pixels) for row, row_pixels in zip(requested, pixels, strict=True)
        }
        for name, (digest, factors, expected) in part:
            m, f, b = (drawn[row] for row in _rows(digest, factors))
            report.images += 1
            if pixel_hash(compose_uint8(m[:, :, :1], f, b).tobytes()) != expected:
                report.wrong.append(f"{name}: {digest} {factors}")
    engine.close()


def _rows(digest: str, factors: list[list[int]]) -> list[Row]:
    return [
        Row(digest, mechanism, label, seed)
        for mechanism, (label, seed) in zip(MECHANISMS, factors, strict=True)
    ]
