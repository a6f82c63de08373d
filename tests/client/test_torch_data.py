"""Samples as a PyTorch data set: independent of the number of workers, resumable, tolerant of restarts."""

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from cgn_client import CgnError, Policy
from cgn_client.torch_data import Batch, Counterfactuals
from common.settings import REPO
from testing.generator_process import GeneratorProcess
from testing.random_model import publish_random

BANKS = Policy(bank_masks=50, bank_textures=40, bank_backgrounds=30, jitter=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained") / "models"
    publish_random(root, "tiny")
    return root


@pytest.fixture(scope="module")
def generator(root: Path) -> Iterator[GeneratorProcess]:
    with GeneratorProcess(root) as process:
        yield process


def stream(generator: GeneratorProcess, start: int = 0) -> Counterfactuals:
    return Counterfactuals(
        "tiny", BANKS, generator=generator.address, seed=3, start=start, stop=1000, batch=32, patience=600
    )


def same(one: list[Batch], other: list[Batch]) -> bool:
    return [batch.position for batch in one] == [batch.position for batch in other] and all(
        torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels)
        for a, b in zip(one, other, strict=True)
    )


def test_batches_are_images_and_labels(generator: GeneratorProcess) -> None:
    batches = list(stream(generator))
    assert [len(batch.labels) for batch in batches] == [32] * 31 + [8]
    assert [batch.position for batch in batches] == [*range(32, 993, 32), 1000]
    images, labels, _ = batches[0]
    assert images.shape == (32, 3, 32, 32) and images.dtype == torch.float32
    assert -1 <= images.min() < 0 < images.max() <= 1
    assert labels.dtype == torch.int64 and set(labels.tolist()) <= set(range(10))
    samples = next(generator.client.sample("tiny", BANKS, seed=3, batch=32))
    levels = torch.from_numpy(samples["composite"].copy()).movedim(3, 1).float()
    assert torch.allclose((images + 1) * 127.5, levels, atol=1e-3)


@pytest.mark.parametrize(("workers", "start_method"), [(1, "fork"), (2, "fork"), (3, "forkserver")])
def test_workers_neither_lose_nor_repeat_a_sample(
    generator: GeneratorProcess, workers: int, start_method: str
) -> None:
    alone = list(stream(generator))
    loader = DataLoader(
        stream(generator), batch_size=None, num_workers=workers, multiprocessing_context=start_method
    )
    assert same(list(loader), alone)


def test_it_resumes_with_another_number_of_workers(generator: GeneratorProcess) -> None:
    whole = list(stream(generator))
    begun = []
    for batch in DataLoader(stream(generator), batch_size=None, num_workers=2):
        begun.append(batch)
        if len(begun) == 7:
            break
    rest = list(DataLoader(stream(generator, begun[-1].position), batch_size=None, num_workers=1))
    assert same(begun + rest, whole)


@pytest.mark.timeout(900)
def test_a_restart_of_the_server_loses_no_sample(root: Path, generator: GeneratorProcess) -> None:
    whole = list(stream(generator))
    first = GeneratorProcess(root)
    got: list[Batch] = []
    with first:
        data = iter(stream(first))
        got += [next(data) for _ in range(5)]
        port = first.address.rpartition(":")[2]
        first.stop()
        second: list[GeneratorProcess] = []
        starts = threading.Thread(
            target=lambda: second.append(GeneratorProcess(root, CGN_GENERATOR_PORT=port))
        )
        starts.start()
        got += data
        starts.join()
        second[0].stop()
    assert same(got, whole)


def test_another_model_of_the_same_name_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "models"
    publish_random(root, "tiny", "v1")
    with GeneratorProcess(root) as generator:
        data = stream(generator)
        publish_random(root, "tiny", "v2", seed=1)
        assert generator.client.load_model("tiny").version == "v2"
        assert same(list(data), list(data))  # v1's, to its end
        shutil.rmtree(root / "tiny/v1")
        publish_random(root, "tiny", "v1", seed=2)
        generator.client.load_model("tiny", "v1")
        with pytest.raises(CgnError, match="DIGEST_DIFFERS"):
            list(data)


def test_an_invalid_request_fails_when_the_data_set_is_created(generator: GeneratorProcess) -> None:
    with pytest.raises(CgnError, match="known: tiny"):
        Counterfactuals("huge", generator=generator.address)
    with pytest.raises(CgnError, match="policy.bank_masks: 5 rows cannot show 10 classes"):
        Counterfactuals("tiny", Policy(bank_masks=5), generator=generator.address)
    with pytest.raises(CgnError, match="batch: 0 is out of range"):
        Counterfactuals("tiny", generator=generator.address, batch=0)
    with pytest.raises(CgnError, match="policy.vary: 'colour' is unknown; use texture.background"):
        Counterfactuals("tiny", Policy("colour"), generator=generator.address)  # type: ignore[arg-type]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_documented_example_trains_a_classifier_of_shapes(tmp_path: Path) -> None:
    (example,) = re.findall(
        r"```python\n(import torch\n.*?)```", (REPO / "docs/serving.md").read_text(), re.DOTALL
    )
    assert example.count("\n") <= 27
    shutil.copytree(REPO / "models/colored_mnist", tmp_path / "models/colored_mnist")
    with GeneratorProcess(tmp_path / "models") as generator:
        # A shorter run of a generator on a free port is all that differs.
        example = example.replace("steps, batch = 2000, 32", "steps, batch = 600, 32")
        example = example.replace(
            '"colored_mnist", policy,', f'"colored_mnist", policy, generator={generator.address!r},'
        )
        script = tmp_path / "example.py"
        script.write_text(example)
        ran = subprocess.run(
            [sys.executable, str(script)],
            env={"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1", "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    assert "6400 samples, loss" in ran.stdout and "19200 samples, loss" in ran.stdout
    (accuracy,) = re.findall(r"random colours ([0-9.]+)", ran.stdout)
    assert float(accuracy) > 0.5  # a classifier that goes by colour is right in a tenth of them
