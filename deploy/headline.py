"""The main metrics of a stack, summarised from its /metrics pages."""

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

Labels = dict[str, str]
_SECONDS = 5.0


@dataclass(frozen=True)
class Metrics:
    """The samples of one /metrics page: (name, labels, value)."""

    samples: tuple[tuple[str, Labels, float], ...]

    @classmethod
    def read(cls, address: str) -> Self:
        """Scrapes http://<address>/metrics. Raises OSError."""
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=_SECONDS) as answer:
            page = answer.read().decode()
        samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
        return cls(tuple((sample.name, sample.labels, sample.value) for sample in samples))

    def total(self, name: str, **labels: str) -> float:
        """Returns the sum of a metric's samples with these labels; 0 without any."""
        return sum(value for own, value in self._of(name) if labels.items() <= own.items())

    def values_of(self, name: str, label: str) -> list[str]:
        """Returns the values of a label, sorted."""
        return sorted({labels[label] for labels, _ in self._of(name)})

    def _of(self, name: str) -> Iterator[tuple[Labels, float]]:
        return ((labels, value) for sample, labels, value in self.samples if sample == name)


def generator_lines(metrics: Metrics) -> list[str]:
    """Returns the main metrics of a generator, one per line."""
    images = metrics.total("cgn_images_total")
    generate = "/cgn_api.v1.GeneratorService/Generate"
    seconds = metrics.total("cgn_request_seconds_sum", method=generate)
    rows, computed = metrics.total("cgn_rows_total"), metrics.total("cgn_rows_total", source="computed")
    lines = [
        f"images served       {images:.0f}, {_ratio(images, seconds):.0f} per second spent in Generate",
        f"rows from cache     {_ratio(rows - computed, rows):.0%} of {rows:.0f}",
    ]
    for mechanism in metrics.values_of("cgn_forward_seconds_count", "mechanism"):
        passes = metrics.total("cgn_forward_seconds_count", mechanism=mechanism)
        mean = _ratio(metrics.total("cgn_forward_seconds_sum", mechanism=mechanism), passes)
        lines.append(f"forward pass        {mechanism}: {1000 * mean:.1f} ms, mean over {passes:.0f}")
    for model in metrics.values_of("cgn_mu_mask_count", "model"):
        masks = metrics.total("cgn_mu_mask_count", model=model)
        mean = _ratio(metrics.total("cgn_mu_mask_sum", model=model), masks)
        lines.append(f"mean mask           {model}: {mean:.3f}, mean over {masks:.0f} masks")
    return lines


def trainer_lines(metrics: Metrics) -> list[str]:
    """Returns the main metrics of a trainer, one per line."""
    counts = {
        state: metrics.total("cgn_jobs", state=state) for state in metrics.values_of("cgn_jobs", "state")
    }
    jobs = ", ".join(f"{count:.0f} {state.lower()}" for state, count in counts.items() if count)
    return [
        f"jobs                {jobs or 'none'}",
        f"workers             {metrics.total('cgn_workers'):.0f}",
    ]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
