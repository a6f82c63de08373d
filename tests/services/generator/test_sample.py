"""Sample: endless labelled counterfactuals, each a function of digest, seed, policy and number only."""

import itertools
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from cgn.sampling.banks import Counterfactuals
from cgn.sampling.policy import Policy as SamplerPolicy
from cgn.sampling.sampler import Sampler
from cgn.store import checkpoint
from cgn_api.v1 import generator_pb2 as pb
from cgn_api.v1.generator_pb2_grpc import GeneratorServiceStub
from cgn_client import Client, Factor, Policy, Samples, composite
from testing.generator_process import GeneratorProcess
from testing.processes import wait_for
from testing.random_model import publish_random, publish_random_imagenet
from tests.refusal import refusal

BANKS = Policy(bank_masks=23, bank_textures=12, bank_backgrounds=17)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("samples") / "models"
    publish_random(root, "digits")
    publish_random_imagenet(root, "zoo")
    return root


@pytest.fixture(scope="module")
def generator(root: Path) -> Iterator[GeneratorProcess]:
    with GeneratorProcess(root) as process:
        yield process


@pytest.fixture
def client(generator: GeneratorProcess) -> Client:
    return generator.client


def whole(batches: Iterator[Samples]) -> dict[str, Any]:
    """Joins the batches of a finite stream."""
    parts = list(batches)
    return {
        "numbers": np.concatenate([part.start + np.arange(len(part)) for part in parts]),
        "labels": np.concatenate([part.labels for part in parts]),
        "composite": np.concatenate([part["composite"] for part in parts]),
    }


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        BANKS,
        Policy("texture", agreement=0.7, cf_ratio=3),
        Policy(labels="permuted", bank_masks=10, jitter=True),
        Policy("none"),
    ],
    ids=str,
)
def test_samples_equal_the_sampler_s(client: Client, root: Path, policy: Policy) -> None:
    sampler = Sampler(
        7,
        10,
        SamplerPolicy(
            policy.vary,
            policy.labels if policy.agreement is None else "other",
            policy.cf_ratio,
            policy.bank_masks,
            policy.bank_textures,
            policy.bank_backgrounds,
            policy.jitter,
            policy.agreement or 0.0,
        ),
    )
    images, labels = Counterfactuals(checkpoint.load(root, "digits"), sampler).images(30, 130)
    stream = whole(client.sample("digits", policy, seed=7, start=30, stop=130, batch=33))
    assert np.array_equal(stream["labels"], labels)
    levels = (images.clamp(-1, 1).permute(0, 2, 3, 1).numpy() + 1) * 127.5
    assert np.abs(stream["composite"] - levels).max() <= 0.51


@pytest.mark.parametrize("model", ["digits", "zoo"])
def test_any_sample_can_be_requested_alone(client: Client, model: str) -> None:
    truncation = 0.5 if model == "zoo" else None
    outputs: Any = ["composite", "mask", "foreground", "background"]
    (batch,) = client.sample(
        model, Policy(truncation=truncation), seed=1, stop=5, outputs=outputs, hard_mask=True
    )
    asked = [
        composite(*(
            Factor(int(labels[i]), int(batch.seeds[mechanism][i]), truncation=truncation)
            for mechanism, labels in (
                ("shape", batch.labels),
                ("texture", batch.texture_labels),
                ("background", batch.background_labels),
            )
        ))
        for i in range(5)
    ]  # fmt: skip
    for i, alone in enumerate(client.generate(model, asked, outputs, hard_mask=True)):
        for output in outputs:
            assert np.array_equal(batch[output][i], alone[output])


@pytest.mark.parametrize("policy", [Policy(), BANKS, Policy(cf_ratio=4, jitter=True)], ids=str)
def test_a_stream_can_be_resumed_and_split_without_gaps(client: Client, policy: Policy) -> None:
    one = whole(client.sample("digits", policy, seed=3, stop=120, batch=50))
    assert one["numbers"].tolist() == list(range(120))
    later = whole(client.sample("digits", policy, seed=3, start=77, stop=120))
    assert np.array_equal(later["composite"], one["composite"][77:])

    split = [
        whole(client.sample("digits", policy, seed=3, start=w * 8, stop=120, batch=8, stride=24))
        for w in range(3)
    ]
    numbers = np.concatenate([part["numbers"] for part in split])
    order = numbers.argsort()
    assert numbers[order].tolist() == list(range(120))
    assert np.array_equal(np.concatenate([part["composite"] for part in split])[order], one["composite"])


def test_a_stream_continues_after_a_restart_of_the_server(root: Path, client: Client) -> None:
    before = whole(client.sample("digits", BANKS, seed=5, stop=40))
    with GeneratorProcess(root) as other:
        after = whole(other.client.sample("digits", BANKS, seed=5, stop=40))
    assert np.array_equal(before["composite"], after["composite"])


def test_a_drawn_seed_is_in_the_header_and_the_digest_can_be_required(client: Client) -> None:
    with closing(client.sample("digits")) as endless:
        first = next(endless)
        second = next(endless)
    assert len(first) == 256 and second.start == 256
    header = first.header
    again = client.sample("digits", seed=header.seed, start=256, stop=512, digest=header.digest)
    assert np.array_equal(next(again)["composite"], second["composite"])


def test_banks_are_computed_once(root: Path) -> None:
    policy = Policy(bank_masks=30, bank_textures=20, bank_backgrounds=10)
    # A generator of its own: after a cancelled stream the engine's counts never equal those of requests.
    with GeneratorProcess(root) as generator:
        before = generator.settled_metrics()
        sample = generator.client.sample
        assert len(whole(sample("digits", policy, seed=11, stop=2000))["labels"]) == 2000
        assert len(whole(sample("digits", policy, seed=11, start=500, stop=900))["labels"]) == 400
        after = generator.settled_metrics()
    assert after["cgn_batch_rows_sum"] - before["cgn_batch_rows_sum"] == 60
    assert after["cgn_mu_mask_count"] == 2400


def test_agreement_is_as_requested(client: Client) -> None:
    policy = Policy(agreement=0.9, bank_masks=10, bank_textures=10, bank_backgrounds=10)
    parts = list(client.sample("digits", policy, seed=2, stop=3000))
    labels = np.concatenate([part.labels for part in parts])
    for name in ("texture_labels", "background_labels"):
        agree = labels == np.concatenate([getattr(part, name) for part in parts])
        assert agree.mean() == pytest.approx(0.9, abs=0.03)


def test_a_client_that_does_not_read_stops_the_work(generator: GeneratorProcess) -> None:
    before = generator.metrics()["cgn_images_total"]

    def no_progress() -> bool:
        images = generator.metrics()["cgn_images_total"]
        time.sleep(1)
        return generator.metrics()["cgn_images_total"] == images

    with closing(generator.client.sample("digits", BANKS, seed=1)) as endless:
        next(endless)
        wait_for("the stream to wait for its reader", no_progress)
        after = generator.metrics()
        assert after["cgn_images_total"] - before < 50_000
        assert after.get("cgn_pixels_in_flight", 0) == 0
        starts = [batch.start for batch in itertools.islice(endless, 20)]
    assert starts == list(range(256, 256 * 21, 256))  # the stream continues when the client reads again


def test_a_server_that_stops_ends_a_stream_between_two_batches(root: Path) -> None:
    with GeneratorProcess(root) as process, grpc.insecure_channel(process.address) as channel:
        request = pb.SampleRequest(model="digits", policy=BANKS.message(), seed=1)
        call = GeneratorServiceStub(channel).Sample(request)
        read = list(itertools.islice(call, 3))
        process.process.terminate()
        with pytest.raises(grpc.RpcError):
            read.extend(call)
        assert call.code() is grpc.StatusCode.UNAVAILABLE
        assert [part.batch.start for part in read[1:]] == list(range(0, 256 * (len(read) - 1), 256))
        assert process.process.wait(60) == 0


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"model": ""}, "model", "must be given; known: digits, zoo"),
        ({"version": "v9"}, "version", "is not served"),
        ({"policy": {"vary": 9}}, "policy.vary", "9 is unknown; use one of VARY_TEXTURE_AND"),
        ({"policy": {"labels": 9}}, "policy.labels", "9 is unknown; use one of LABEL_POLICY_"),
        (
            {"policy": pb.SamplePolicy(agreement=0.5)},
            "policy.agreement",
            "applies only to LABEL_POLICY_AGREEMENT",
        ),
        (
            {"policy": pb.SamplePolicy(labels=pb.LABEL_POLICY_AGREEMENT, agreement=1.5)},
            "policy.agreement",
            "1.5 is not within 0 to 1",
        ),
        ({"policy": pb.SamplePolicy(cf_ratio=0)}, "policy.cf_ratio", "0 must be an integer, 1 to 1000000"),
        ({"policy": pb.SamplePolicy(bank_masks=3)}, "policy.bank_masks", "3 rows cannot show 10 classes"),
        (
            {"policy": pb.SamplePolicy(bank_textures=1_000_001)},
            "policy.bank_textures",
            "1000001 is out of range; give 0 to 1000000",
        ),
        (
            {"policy": pb.SamplePolicy(labels=pb.LABEL_POLICY_PERMUTED, cf_ratio=10_001)},
            "policy.cf_ratio",
            "10001 is too large for permuted labels; give 1 to 10000",
        ),
        ({"policy": pb.SamplePolicy(bank_backgrounds=1)}, "policy.bank_backgrounds", "give at least 10"),
        (
            {"policy": pb.SamplePolicy(truncation=0.5)},
            "policy.truncation",
            "not supported by models of family mnist; omit it",
        ),
        (
            {"model": "zoo", "policy": pb.SamplePolicy(truncation=2)},
            "policy.truncation",
            "2.0 must be above 0, at most 1",
        ),
        ({"start": 2**63}, "start", "is out of range; give 0 to 1000000000000000000"),
        ({"start": 9, "stop": 8}, "stop", "8 is out of range; give start (9) to"),
        ({"batch": 0}, "batch", "0 is out of range; give 1 to "),
        ({"batch": 5000}, "batch", "5000 is out of range; give 1 to "),
        ({"batch": 64, "stride": 63}, "stride", "63 is out of range; give batch (64) to"),
        (
            {"outputs": [pb.OUTPUT_UNSPECIFIED]},
            "outputs[0]",
            "is not an output of family mnist; use OUTPUT_COMPOSITE",
        ),
        ({"outputs": [pb.OUTPUT_MASK] * 2}, "outputs[1]", "is requested twice"),
        ({"model": "zoo", "outputs": [pb.OUTPUT_REFERENCE]}, "outputs[0]", "REFERENCE"),
    ],
)
def test_bad_requests_are_refused_and_named(
    generator: GeneratorProcess, change: dict[str, Any], field: str, says: str
) -> None:
    with grpc.insecure_channel(generator.address) as channel:
        fields: dict[str, Any] = {"model": "digits", "stop": 10}
        request = pb.SampleRequest(**(fields | change))
        code, _, violations = refusal(GeneratorServiceStub(channel).Sample, request)
    assert code == ("NOT_FOUND" if field == "version" else "INVALID_ARGUMENT")
    assert says in violations[field]


def test_another_digest_is_refused(generator: GeneratorProcess) -> None:
    with grpc.insecure_channel(generator.address) as channel:
        request = pb.SampleRequest(model="digits", digest="blake2b:" + "0" * 32)
        code, reason, _ = refusal(GeneratorServiceStub(channel).Sample, request)
    assert (code, reason) == ("FAILED_PRECONDITION", "DIGEST_DIFFERS")
