"""The client is self-contained: it imports neither torch nor the services, and checks values itself."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from cgn_client import CgnError, Client, composite
from cgn_client import Factor as TypedFactor
from cgn_client import Policy as TypedPolicy
from cgn_client import Way as TypedWay

# As those see them who do not check types.
Factor: Any = TypedFactor
Policy: Any = TypedPolicy
Way: Any = TypedWay


def test_client_imports_nothing_heavy() -> None:
    code = (
        "import cgn_client, sys\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(*sorted(loaded & {'torch', 'cgn', 'services', 'trainer', 'common', 'redis', 'PIL'}))"
    )
    repo = Path(__file__).resolve().parents[2]
    ran = subprocess.run([sys.executable, "-c", code], cwd=repo, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


COUNT = "an integer of 0 or more, below 2^32"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: composite(Factor(-1)), f"shape.label_index: must be {COUNT}, is -1"),
        (lambda: composite(Factor(1.5)), f"shape.label_index: must be {COUNT}, is 1.5"),
        (lambda: composite(texture=Factor(1, seed=2**64)), "texture.seed: must be an integer, 0 to 2^64 - 1"),
        (lambda: composite(Factor({1: "half"})), "shape.mixture.weight: must be a number, is 'half'"),
        (lambda: composite(Factor(1, way=Way(2, "x"))), "shape.way.share: must be a number, is 'x'"),
        (lambda: composite(Factor(1, truncation="x")), "shape.truncation: must be a number, is 'x'"),
        (lambda: sample(Policy(bank_masks=-4)), f"policy.bank_masks: must be {COUNT}, is -4"),
        (lambda: sample(Policy(jitter="no")), "policy.jitter: must be true or false, is 'no'"),
        (lambda: sample(batch=-1), f"batch: must be {COUNT}, is -1"),
        (lambda: interpolate(midpoints=-1), f"midpoints: must be {COUNT}, is -1"),
        (lambda: product(start=-1), "start: must be an integer, 0 to 2^64 - 1, is -1"),
        (lambda: train(steps=-5), f"spec.train_cgn.steps: must be {COUNT}, is -5"),
        (lambda: train(dataset=3), "spec.train_cgn.dataset: must be text, is 3"),
        (lambda: train(gpus=-1), f"spec.resources.gpus: must be {COUNT}, is -1"),
        (lambda: train(priority="high"), "spec.priority: must be an integer, -2^31 to 2^31 - 1, is 'high'"),
        (lambda: train(job_labels={"run": 7}), "spec.labels: keys and values must be text, has 'run': 7"),
        (lambda: Client(timeout=0), "timeout: must be seconds, more than 0, is 0"),
        (lambda: Client(timeout=cast(Any, "long")), "timeout: must be seconds, more than 0, is 'long'"),
        (lambda: ask("generate", "any", ["a"]), "composites[0]: must come from composite(), is 'a'"),
        (lambda: ask("animate", "any", composite(1), 2), "end: must come from composite(), is 2"),
        (lambda: ask("get_model", 3), "model: must be text, is 3"),
        (lambda: sample("x"), "policy: must be a Policy, is 'x'"),
        (lambda: ask("get_job", 3), "job_id: must be text, is 3"),
        (lambda: ask("list_jobs", ["dream"]), "states: 'dream' is unknown; use pending, running"),
        (lambda: ask("list_jobs", "running"), "states: 'running' is one state; give a list"),
        (lambda: train(step=5), "spec.train_cgn.step: is unknown; the fields are model_name, dataset"),
    ],
)
def test_an_unsendable_value_is_named_with_the_allowed_ones(call: Callable[[], Any], says: str) -> None:
    with pytest.raises(CgnError, match=re.escape(says)) as caught:
        call()
    (violation,) = caught.value.violations
    assert says.startswith(f"{violation.field}: {violation.description[:10]}")


def test_numpy_numbers_are_accepted() -> None:
    factor = composite(Factor(np.int64(3), seed=np.uint64(2**64 - 1), truncation=np.float32(0.5))).shape
    assert (factor.label_index, factor.seed, factor.truncation) == (3, 2**64 - 1, 0.5)


def ask(method: str, *arguments: Any) -> Any:
    with Client() as client:
        return getattr(client, method)(*arguments)


def sample(policy: Any = None, **options: Any) -> None:
    with Client() as client:
        next(client.sample("any", policy, **options))


def interpolate(**options: Any) -> None:
    with Client() as client:
        next(client.interpolate("any", composite(1), composite(2), **options))


def product(**options: Any) -> None:
    with Client() as client:
        next(client.generate_product("any", [1], [2], [3], **options))


def train(**options: Any) -> None:
    with Client() as client:
        client.submit("train_cgn", **options)
