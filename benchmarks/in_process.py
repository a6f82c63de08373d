"""Counterfactuals made in one process, the engine beside plain: fresh, all combinations, from banks."""

import json
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.contender import Contender, Work
from benchmarks.plain import Plain
from benchmarks.results import Result, at_most, faster, reported
from benchmarks.sizes import Sizes
from cgn import checkpoint
from cgn.banks import Counterfactuals
from cgn.engine import Engine, Row
from cgn.factors import Factor, noise_of, shifts_of
from cgn.families import Precision
from cgn.model import CGN
from cgn.noise import MECHANISMS, Mechanism
from cgn.pixels import compose_product, to_uint8
from cgn.policy import Policy
from cgn.sampler import Sampler
from common.settings import REPO
from trainer.runs.precision import cpu_has_bfloat16
from trainer.runs.train_classifier_config import TrainClassifierConfig

MODELS_DIR, MODEL = REPO / "models", "wildlife_mnist"
PLAIN_BATCHES = (16, 32, 64, 128, 256)
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
FRESH_GOALS = {"float32": 4.0, "bfloat16": 6.0}
EXACT = 1e-4
ALL_GOAL, BANKS_GOAL = 150.0, 30.0
MOST_LOST = 0.3  # points of accuracy that banks may cost a classifier
_BANK_BATCH = 1000  # images
_LOAD_IMAGES = 64  # of a request, which plain takes as a batch


def plain_work(images: int) -> dict[str, Work]:
    """Images of plain: fresh ones by the size of a batch, and all combinations."""
    plain = Plain(MODELS_DIR, MODEL)
    labels = torch.cartesian_prod(*[torch.arange(10)] * 3).T.tolist()

    def in_batches(size: int) -> Work:
        return lambda turn: [plain.composites(plain.fresh(size, turn)) for _ in range(max(1, images // size))]

    def combinations(turn: int) -> None:
        for part in plain.causes(labels, turn).split(64):  # a combination's rows are computed for each image
            plain.pixels(part)

    return {f"fresh {size}": in_batches(size) for size in PLAIN_BATCHES} | {"combinations": combinations}


def engine_work(images: int, precision: Precision) -> dict[str, Work]:
    """The same of an engine that has as many threads as plain. Beside it others have one, as in a server."""
    engine = Engine(torch.get_num_threads())
    torch.set_num_threads(1)
    model = checkpoint.load(MODELS_DIR, MODEL, precision=precision)
    engine.add(model)
    return {
        "fresh": lambda turn: engine_composites(engine, model.card.digest, images, turn),
        "combinations": lambda turn: every_combination(engine, model.card.digest, turn),
    }


@contextmanager
def contenders(images: int) -> Iterator[dict[str, Contender]]:
    """Plain, and an engine in each precision."""
    with ExitStack() as stack:
        made = {"plain": stack.enter_context(Contender(plain_work, images))}
        for precision in PRECISIONS:
            made[precision] = stack.enter_context(Contender(engine_work, images, precision))
        yield made


def seconds_in_turns(rounds: int, work: Mapping[str, Callable[[int], float]]) -> dict[str, float]:
    """Medians of the seconds that each takes, in turns; the first turn warms up. Work is given its turn."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, seconds in work.items():
            taken[name].append(seconds(turn))
    return {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}


def fresh_rows_of(digest: str, images: int, turn: int) -> dict[Mechanism, list[Row]]:
    """Rows of fresh counterfactuals, each of its own label and seed."""
    random = np.random.default_rng(turn)
    labels = random.integers(10, size=(3, images)).tolist()
    seeds = random.integers(1 << 63, size=(3, images)).tolist()
    return {
        mechanism: [Row(digest, mechanism, y, s) for y, s in zip(ys, ss, strict=True)]
        for mechanism, ys, ss in zip(MECHANISMS, labels, seeds, strict=True)
    }


def engine_composites(engine: Engine, digest: str, images: int, turn: int) -> torch.Tensor:
    """Fresh composites (N, R, R, 3), float32 in [-1, 1]."""
    rows = fresh_rows_of(digest, images, turn)
    orders = [engine.submit(some) for some in rows.values()]
    m, f, b = (torch.from_numpy(np.stack(order.future.result())) for order in orders)
    return b.addcmul_(m, f - b)


def fresh(sizes: Sizes) -> list[Result]:
    """Row 1: fresh composites per second."""
    images = sizes.images
    with contenders(images) as made:
        work = {f"plain {b}": partial(made["plain"].seconds, f"fresh {b}") for b in PLAIN_BATCHES}
        work |= {precision: partial(made[precision].seconds, "fresh") for precision in PRECISIONS}
        took = seconds_in_turns(sizes.rounds, work)
    models = {p: checkpoint.load(MODELS_DIR, MODEL, precision=p) for p in PRECISIONS}
    largest, rms = _differences(Plain(MODELS_DIR, MODEL), models)
    rates = {b: max(1, images // b) * b / took[f"plain {b}"] for b in PLAIN_BATCHES}
    best = max(rates, key=lambda b: rates[b])
    results = []
    for precision in PRECISIONS:
        measure = f"fresh composites, engine in {precision}, beside plain in batches of {best}"
        goal = None if precision == "bfloat16" and not cpu_has_bfloat16() else FRESH_GOALS[precision]
        rate = images / took[precision]
        results.append(faster(f"1/{precision}", measure, "images/s", rate, rates[best], goal))
    what = "largest difference of a float32 composite from plain"
    results.append(at_most("1/equality", what, "of [-1, 1]", largest, EXACT))
    what = "root mean square difference of a bfloat16 composite from plain"
    return [*results, reported("1/bfloat16-error", what, "of [-1, 1]", rms)]


def _differences(plain: Plain, models: dict[Precision, CGN]) -> tuple[float, float]:
    """Of 64 composites from plain: the largest in float32, the root mean square in bfloat16."""
    factors = {
        k: [Factor((i * (j + 1)) % 10, 100 * j + i) for i in range(64)] for j, k in enumerate(MECHANISMS)
    }
    noise = [noise_of(some, plain.network.latent) for some in factors.values()]
    labels = [[[factor.label] for factor in some] for some in factors.values()]
    rolls = [shifts_of(factors[k], k, plain.network.resolution) for k in MECHANISMS[1:]]
    causes = np.concatenate([*noise, *labels, *rolls], axis=1).astype(np.float32)
    exact = plain.composites(torch.from_numpy(causes))
    assert float(exact.std()) > 0.1  # of pictures, without which equality would say nothing
    off = {p: model.generate(*factors.values()).composite - exact for p, model in models.items()}
    return float(off["float32"].abs().max()), float(off["bfloat16"].square().mean().sqrt())


def combinations(sizes: Sizes) -> list[Result]:
    """Row 2: all of 10 shapes x 10 textures x 10 backgrounds."""
    with contenders(sizes.images) as made:
        work = {name: partial(contender.seconds, "combinations") for name, contender in made.items()}
        took = seconds_in_turns(sizes.rounds, work)
    return [
        faster(
            f"2/{precision}",
            f"every combination of 10 shapes, textures and backgrounds, no row known, engine in {precision}",
            "images/s",
            1000 / took[precision],
            1000 / took["plain"],
            ALL_GOAL,
        )
        for precision in PRECISIONS
    ]


def every_combination(engine: Engine, digest: str, seed: int) -> NDArray[np.uint8]:
    """The 1,000 composites of ten rows of each mechanism, uint8 (10, 10, 10, R, R, 3)."""
    orders = [engine.submit([Row(digest, k, y, seed) for y in range(10)]) for k in MECHANISMS]
    m, f, b = (to_uint8(np.stack(order.future.result())) for order in orders)
    return compose_product(m, f, b)


def from_banks(sizes: Sizes) -> list[Result]:
    """Row 3: counterfactuals for a classifier."""
    images, sample = sizes.bank_images, 2 * sizes.images
    masks, textures, backgrounds, why = bank_sizes()
    if images < masks:  # a trial
        masks = textures = backgrounds = images // 10
    policy = Policy(bank_masks=masks, bank_textures=textures, bank_backgrounds=backgrounds)
    with Contender(plain_work, sample) as plain, Contender(banks_work, images, policy) as recombined:
        seconds = partial(plain.seconds, f"fresh {_LOAD_IMAGES}")
        plain_seconds = seconds_in_turns(sizes.rounds, {"plain": seconds})["plain"]
        took = {
            "plain": plain_seconds * images / max(_LOAD_IMAGES, sample // _LOAD_IMAGES * _LOAD_IMAGES),
            "banks": recombined.seconds("banks", 1),
        }
    banks = f"banks of {masks:,} masks, {textures:,} textures and {backgrounds:,} backgrounds ({why})"
    measure = f"{images:,} labelled counterfactuals in batches, the banks' rows included: {banks}"
    rate, plain_rate = images / took["banks"], images / took["plain"]
    return [faster("3", measure, "images/s", rate, plain_rate, BANKS_GOAL)]


def banks_work(images: int, policy: Policy) -> dict[str, Work]:
    """Labelled counterfactuals from banks, whose rows are computed first."""
    model = checkpoint.load(MODELS_DIR, MODEL)

    def recombined(turn: int) -> None:
        stream = Counterfactuals(model, Sampler(turn, 10, policy))
        for start in range(0, images, _BANK_BATCH):
            stream.images(start, min(start + _BANK_BATCH, images))

    return {"banks": recombined}


def bank_sizes() -> tuple[int, int, int, str]:
    """Rows of the banks, and why: the fewest that cost a classifier little, where that has been measured."""
    path = REPO / "docs" / "results" / "recombination" / f"{MODEL}.json"
    if path.is_file():
        sizes = json.loads(path.read_text())["sizes"]
        good = [int(rows) for rows, found in sizes.items() if found.get("points_lost", 1e9) <= MOST_LOST]
        if good:
            rows = min(good)
            return rows, rows, rows, f"the fewest that cost at most {MOST_LOST} points"
    usual = TrainClassifierConfig(model_name=MODEL)
    return usual.bank_masks, usual.bank_textures, usual.bank_backgrounds, "those of the training recipe"
