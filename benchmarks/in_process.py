"""Counterfactuals in one process, engine beside plain PyTorch: new ones, all combinations, from banks."""

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from benchmarks.baselines.authors_networks import NAME as AUTHORS
from benchmarks.baselines.authors_networks import authors_networks
from benchmarks.baselines.plain import Plain
from benchmarks.contender import Contender, Work
from benchmarks.results import Result, at_most, faster, reported
from benchmarks.sizes import Sizes
from cgn.card import ModelCard
from cgn.device import cpu_has_bfloat16
from cgn.engine import Engine, Row
from cgn.factors import Factor, noise_of, shifts_of
from cgn.families.family import Precision
from cgn.images.pixels import rows_to_uint8
from cgn.model import CGN
from cgn.noise import MECHANISMS, Mechanism
from cgn.sampling.banks import Counterfactuals
from cgn.sampling.policy import Policy
from cgn.sampling.sampler import Sampler
from cgn.store import checkpoint
from cgn_api.v1 import generator_pb2 as pb
from common.settings import REPO
from services.generator.answers.batches import image_batches
from services.generator.plan.product import plan_product
from trainer.classifier.config import TrainClassifierConfig

Name = TypeVar("Name")

MODELS_DIR, MODEL = REPO / "models", "wildlife_mnist"
PLAIN_BATCHES = (16, 32, 64, 128, 256)
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
FRESH_GOALS = {"float32": 4.0, "bfloat16": 6.0}
EXACT = 1e-4
ALL_GOAL, BANKS_GOAL = 150.0, 30.0
MOST_LOST = 0.3  # percentage points of accuracy that banks may cost a classifier
_BANK_BATCH = 1000  # images
_LOAD_IMAGES = 64  # images per request; plain computes them as a batch


def plain_work(images: int, models_dir: Path = MODELS_DIR, name: str = MODEL) -> dict[str, Work]:
    """Returns the work of plain PyTorch: new images by batch size, and all combinations."""
    plain = Plain(models_dir, name)
    labels = torch.cartesian_prod(*[torch.arange(10)] * 3).T.tolist()

    def in_batches(size: int) -> Work:
        return lambda turn: [plain.composites(plain.fresh(size, turn)) for _ in range(max(1, images // size))]

    def combinations(turn: int) -> None:
        for part in plain.causes(labels, turn).split(64):  # plain computes the rows of each image again
            plain.pixels(part)

    return {f"fresh {size}": in_batches(size) for size in PLAIN_BATCHES} | {"combinations": combinations}


def engine_work(
    images: int, precision: Precision, models_dir: Path = MODELS_DIR, name: str = MODEL
) -> dict[str, Work]:
    """Returns the same work for an engine with all threads; torch outside it has one, as in servers."""
    engine = Engine(torch.get_num_threads())
    torch.set_num_threads(1)
    model = checkpoint.load(models_dir, name, precision=precision)
    engine.add(model)
    return {
        "fresh": lambda turn: engine_composites(engine, model.card.digest, images, turn),
        "combinations": lambda turn: every_combination(engine, model.card, turn),
    }


@dataclass(frozen=True)
class Networks:
    """The networks to measure.

    Attributes:
        row: part of the rows' ids, after their number.
        measure: prefix of the rows' descriptions.
    """

    row: str
    measure: str
    models_dir: Path = MODELS_DIR
    name: str = MODEL


@contextmanager
def both_networks() -> Iterator[tuple[Networks, Networks]]:
    """Yields this project's networks and the authors'; the latter have random weights."""
    with authors_networks() as folder:
        yield Networks("", ""), Networks("authors-", "the authors' networks: ", folder, AUTHORS)


@contextmanager
def contenders(images: int, networks: Sequence[Networks]) -> Iterator[dict[tuple[str, str], Contender]]:
    """Yields per network a plain contender and an engine per precision, by (row, "plain" or precision)."""
    with ExitStack() as stack:
        processes = {}
        for one in networks:
            where = one.models_dir, one.name
            processes[one.row, "plain"] = stack.enter_context(Contender(plain_work, images, *where))
            for precision in PRECISIONS:
                engine = Contender(engine_work, images, precision, *where)
                processes[one.row, precision] = stack.enter_context(engine)
        yield processes


def seconds_in_turns(rounds: int, work: Mapping[Name, Callable[[int], float]]) -> dict[Name, float]:
    """Returns median seconds per work, measured in alternating turns; the first turn is a warm-up."""
    taken: dict[Name, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, seconds in work.items():
            taken[name].append(seconds(turn))
    return {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}


def fresh_rows_of(digest: str, images: int, turn: int) -> dict[Mechanism, list[Row]]:
    """Returns rows of new counterfactuals, each with its own label and seed."""
    random = np.random.default_rng(turn)
    labels = random.integers(10, size=(3, images)).tolist()
    seeds = random.integers(1 << 63, size=(3, images)).tolist()
    return {
        mechanism: [Row(digest, mechanism, y, s) for y, s in zip(ys, ss, strict=True)]
        for mechanism, ys, ss in zip(MECHANISMS, labels, seeds, strict=True)
    }


def engine_composites(engine: Engine, digest: str, images: int, turn: int) -> torch.Tensor:
    """Returns new composites (N, R, R, 3), float32 in [-1, 1]."""
    rows = fresh_rows_of(digest, images, turn)
    requests = [engine.submit(some) for some in rows.values()]
    m, f, b = (torch.from_numpy(np.stack(request.future.result())) for request in requests)
    return b.addcmul_(m, f - b)


def fresh(sizes: Sizes) -> list[Result]:
    """Row 1: new composites per second."""
    images = sizes.images
    with both_networks() as networks:
        with contenders(images, networks) as processes:
            work: dict[tuple[str, str], Callable[[int], float]] = {}
            for (row, which), contender in processes.items():
                if which == "plain":
                    work |= {(row, f"{b}"): partial(contender.seconds, f"fresh {b}") for b in PLAIN_BATCHES}
                else:
                    work[row, which] = partial(contender.seconds, "fresh")
            medians = seconds_in_turns(sizes.rounds, work)
        best: dict[str, tuple[int, float]] = {}  # batch and rate of plain
        for one in networks:
            rates = {b: max(1, images // b) * b / medians[one.row, f"{b}"] for b in PLAIN_BATCHES}
            best[one.row] = max(rates.items(), key=lambda rate: rate[1])
        results = []
        for one in networks:
            results += _beside_plain(
                one, {p: images / medians[one.row, p] for p in PRECISIONS}, *best[one.row]
            )
    own, theirs = networks
    for precision in PRECISIONS:
        measure = (
            f"fresh composites, this project's networks in the engine in {precision}, beside the authors' in "
            f"plain in batches of {best[theirs.row][0]}"
        )
        rate = images / medians[own.row, precision]
        results.append(faster(f"1/instead-{precision}", measure, "images/s", rate, best[theirs.row][1], None))
    return results


def _beside_plain(
    networks: Networks, rates: Mapping[Precision, float], batch: int, plain: float
) -> list[Result]:
    """Compares the engine's rates and images with those of plain, for the same networks."""
    models = {p: checkpoint.load(networks.models_dir, networks.name, precision=p) for p in PRECISIONS}
    largest, rms = _differences(Plain(networks.models_dir, networks.name), models)
    results = []
    for precision, rate in rates.items():
        measure = (
            f"{networks.measure}fresh composites, engine in {precision}, beside plain in batches of {batch}"
        )
        goal = None if precision == "bfloat16" and not cpu_has_bfloat16() else FRESH_GOALS[precision]
        results.append(faster(f"1/{networks.row}{precision}", measure, "images/s", rate, plain, goal))
    what = f"{networks.measure}largest difference of a float32 composite from plain"
    results.append(at_most(f"1/{networks.row}equality", what, "of [-1, 1]", largest, EXACT))
    what = f"{networks.measure}root mean square difference of a bfloat16 composite from plain"
    return [*results, reported(f"1/{networks.row}bfloat16-error", what, "of [-1, 1]", rms)]


def _differences(plain: Plain, models: dict[Precision, CGN]) -> tuple[float, float]:
    """Returns differences of 64 composites from plain: largest in float32, root mean square in bfloat16."""
    factors = {
        k: [Factor((i * (j + 1)) % 10, 100 * j + i) for i in range(64)] for j, k in enumerate(MECHANISMS)
    }
    noise = [noise_of(some, plain.network.latent) for some in factors.values()]
    labels = [[[factor.label] for factor in some] for some in factors.values()]
    rolls = [shifts_of(factors[k], k, plain.network.resolution) for k in MECHANISMS[1:]]
    causes = np.concatenate([*noise, *labels, *rolls], axis=1).astype(np.float32)
    exact = plain.composites(torch.from_numpy(causes))
    assert float(exact.std()) > 0.1  # constant images would make equality meaningless
    off = {p: model.generate(*factors.values()).composite - exact for p, model in models.items()}
    return float(off["float32"].abs().max()), float(off["bfloat16"].square().mean().sqrt())


def combinations(sizes: Sizes) -> list[Result]:
    """Row 2: all combinations of 10 shapes x 10 textures x 10 backgrounds."""
    with both_networks() as networks, contenders(sizes.images, networks) as processes:
        work = {name: partial(contender.seconds, "combinations") for name, contender in processes.items()}
        medians = seconds_in_turns(sizes.rounds, work)
    own, theirs = networks
    what = "every combination of 10 shapes, textures and backgrounds, no row cached, engine in"
    results = [
        faster(
            f"2/{one.row}{precision}",
            f"{one.measure}{what} {precision}",
            "images/s",
            1000 / medians[one.row, precision],
            1000 / medians[one.row, "plain"],
            ALL_GOAL,
        )
        for one in networks
        for precision in PRECISIONS
    ]
    for precision in PRECISIONS:
        rate, plain = 1000 / medians[own.row, precision], 1000 / medians[theirs.row, "plain"]
        measure = f"the same, this project's networks, engine in {precision}, beside the authors' in plain"
        results.append(faster(f"2/instead-{precision}", measure, "images/s", rate, plain, None))
    return results


def every_combination(engine: Engine, card: ModelCard, seed: int) -> list[pb.ImageBatch]:
    """Returns the 1,000 composites of ten rows per mechanism, as GenerateProduct sends them, without gRPC."""
    factors = [pb.Factor(label_index=y, seed=seed) for y in range(10)]
    request = pb.GenerateProductRequest(
        shapes=factors,
        textures=factors,
        backgrounds=factors,
        outputs=[pb.OUTPUT_COMPOSITE],
        encoding=pb.ENCODING_RAW_UINT8,
    )
    product = plan_product(request, card)
    rows = [row for rows in product.sets.values() for row in rows]
    pixels = dict(zip(rows, rows_to_uint8(engine.submit(rows).future.result()), strict=True))
    return [batch for start in product.starts() for batch in image_batches(product.chunk(start), pixels)]


def from_banks(sizes: Sizes) -> list[Result]:
    """Row 3: counterfactuals for training a classifier."""
    images, sample = sizes.bank_images, 2 * sizes.images
    masks, textures, backgrounds, why = bank_sizes()
    if images < masks:  # with --tiny
        masks = textures = backgrounds = images // 10
    policy = Policy(bank_masks=masks, bank_textures=textures, bank_backgrounds=backgrounds)
    with both_networks() as networks, ExitStack() as stack:
        recombined = stack.enter_context(Contender(banks_work, images, policy))
        plain = {
            one.row: stack.enter_context(Contender(plain_work, sample, one.models_dir, one.name))
            for one in networks
        }
        work = {row: partial(contender.seconds, f"fresh {_LOAD_IMAGES}") for row, contender in plain.items()}
        medians = seconds_in_turns(sizes.rounds, work)
        rate = images / recombined.seconds("banks", 1)
    drawn = max(_LOAD_IMAGES, sample // _LOAD_IMAGES * _LOAD_IMAGES)
    own, theirs = (drawn / medians[one.row] for one in networks)
    banks = f"banks of {masks:,} masks, {textures:,} textures and {backgrounds:,} backgrounds ({why})"
    measure = f"{images:,} labelled counterfactuals in batches, the banks' rows included: {banks}"
    instead = "the same, beside the authors' networks in plain"
    return [
        faster("3", measure, "images/s", rate, own, BANKS_GOAL),
        faster("3/instead", instead, "images/s", rate, theirs, None),
    ]


def banks_work(images: int, policy: Policy) -> dict[str, Work]:
    """Returns the work of drawing labelled counterfactuals from banks, including the banks' rows."""
    model = checkpoint.load(MODELS_DIR, MODEL)

    def recombined(turn: int) -> None:
        stream = Counterfactuals(model, Sampler(turn, 10, policy))
        for start in range(0, images, _BANK_BATCH):
            stream.images(start, min(start + _BANK_BATCH, images))

    return {"banks": recombined}


def bank_sizes() -> tuple[int, int, int, str]:
    """Returns the banks' sizes and their reason: the smallest measured ones that cost little accuracy."""
    path = REPO / "docs" / "results" / "recombination" / f"{MODEL}.json"
    if path.is_file():
        sizes = json.loads(path.read_text())["sizes"]
        good = [int(rows) for rows, result in sizes.items() if result.get("points_lost", 1e9) <= MOST_LOST]
        if good:
            rows = min(good)
            return rows, rows, rows, f"the smallest that cost at most {MOST_LOST} points"
    usual = TrainClassifierConfig(model_name=MODEL)
    return usual.bank_masks, usual.bank_textures, usual.bank_backgrounds, "as in the training recipe"
