"""Plans the batches of a SampleRequest: labelled random factors from cgn.sampling.sampler."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import grpc

from cgn import noise
from cgn.card import ModelCard
from cgn.engine import Row
from cgn.errors import CgnInputError
from cgn.noise import Mechanism
from cgn.sampling.policy import LABELS, VARY, Policy
from cgn.sampling.sampler import Factors, Numbers, Sampler, permuted_group
from cgn_api.v1 import generator_pb2 as pb
from services.errors import ApiError, Violation, invalid_fields
from services.generator.plan.factors import truncation_violations
from services.generator.plan.generate import outputs_violations
from services.generator.plan.plan import Plan, needed_mechanisms, outputs_of
from services.generator.plan.sizes import largest_batch, usual_batch

_DEFAULT_BATCH = 256  # fewer if they would not fit into one streamed message of the usual size
_MAX_BANK_ROWS = 1_000_000  # more than a row cache holds; their seeds take memory as well
_MAX_GROUP = 1_000_000  # samples per permutation of labels; each sample needs the labels of its whole group
_MAX_INDEX = 10**18  # of a sample; far below 2^64, so that sums cannot overflow
_OUTPUTS = (pb.OUTPUT_COMPOSITE, pb.OUTPUT_MASK, pb.OUTPUT_FOREGROUND, pb.OUTPUT_BACKGROUND)
_VARY = dict(enumerate((VARY[0], *VARY)))
_LABELS: dict[int, str] = {
    pb.LABEL_POLICY_UNSPECIFIED: LABELS[0],
    pb.LABEL_POLICY_UNIFORM: "uniform",
    pb.LABEL_POLICY_PERMUTED: "permuted",
    pb.LABEL_POLICY_AGREEMENT: "other",
}


@dataclass(frozen=True)
class BatchPlan:
    """The plan of one batch of consecutive samples.

    Attributes:
        message: the response's batch without its images.
        plan: plan of the images.
        jitter: random numbers of each sample's jitter, by mechanism; empty without jitter.
    """

    message: pb.SampleBatch
    plan: Plan
    jitter: Mapping[Mechanism, Numbers]


@dataclass(frozen=True)
class Samples:
    """A stream of samples, or a part of one.

    Attributes:
        plan: common part of the batches' plans; it has no composites.
        sampler: draws the factors.
        truncation: truncation of all noise, in (0, 1].
        header: the first message of the stream.
        start, stop: index of the first sample, and of the one after the last.
        stride: samples from the start of one batch to the start of the next.
    """

    plan: Plan
    sampler: Sampler
    truncation: float
    header: pb.SampleHeader
    start: int
    stop: int
    stride: int

    def starts(self) -> range:
        """Returns the index of the first sample of every batch."""
        return range(self.start, self.stop, self.stride)

    def batch(self, start: int) -> BatchPlan:
        """Returns the batch that begins at sample `start`."""
        drawn = self.sampler.plan(start, min(start + self.header.batch, self.stop))
        message = pb.SampleBatch(start=start)
        for mechanism, factors in drawn.items():
            getattr(message, f"{mechanism}_labels").extend(factors.labels.tolist())
            getattr(message, f"{mechanism}_seeds").extend(factors.seeds.tolist())
        needed = needed_mechanisms(self.plan.outputs)
        composites = {mechanism: self._rows(mechanism, drawn[mechanism]) for mechanism in needed}
        jitter = {name: factors.jitter for name, factors in drawn.items() if factors.jitter is not None}
        return BatchPlan(message, self.plan.with_composites(composites), jitter)

    def _rows(self, mechanism: Mechanism, factors: Factors) -> list[Row]:
        digest, truncation = self.plan.card.digest, self.truncation
        pairs = zip(factors.labels.tolist(), factors.seeds.tolist(), strict=True)
        return [Row(digest, mechanism, label, seed, None, truncation) for label, seed in pairs]


def plan_samples(request: pb.SampleRequest, card: ModelCard) -> Samples:
    """Plans a request for a model.

    Raises:
        ApiError: INVALID_ARGUMENT with a violation per invalid field; FAILED_PRECONDITION (DIGEST_DIFFERS).
    """
    if request.digest and request.digest != card.digest:
        message = f"{card.name}/{card.version} has digest {card.digest}, not {request.digest:.80}"
        cure = "request the version with which the stream began, or start a new stream without a digest"
        raise ApiError(grpc.StatusCode.FAILED_PRECONDITION, "DIGEST_DIFFERS", f"{message}; {cure}")
    outputs = tuple(request.outputs) or (pb.OUTPUT_COMPOSITE,)
    available = [output for output in outputs_of(card) if output in _OUTPUTS]
    if violations := outputs_violations(outputs, available, card):
        raise invalid_fields(violations)
    plan = Plan(card, outputs, pb.ENCODING_RAW_UINT8, request.hard_mask)
    max_batch = largest_batch(plan)
    batch = request.batch if request.HasField("batch") else min(usual_batch(plan), _DEFAULT_BATCH)
    violations = list(_violations(request, card, batch, max_batch))
    seed = request.seed if request.HasField("seed") else noise.draw_seed()
    try:
        sampler = Sampler(seed, len(card.class_names), _policy(request.policy))
    except CgnInputError as error:
        field = "labels" if error.field == "classes" else error.field
        violations.append((f"policy.{field}", error.description))
    if violations:
        raise invalid_fields(violations)
    header = pb.SampleHeader(
        model=card.name, version=card.version, digest=card.digest, seed=seed, batch=batch
    )
    return Samples(
        plan,
        sampler,
        request.policy.truncation if request.policy.HasField("truncation") else 1.0,
        header,
        request.start,
        request.stop if request.HasField("stop") else _MAX_INDEX,
        request.stride if request.HasField("stride") else batch,
    )


def _policy(policy: pb.SamplePolicy) -> Policy:
    """Returns the policy of a message. Raises CgnInputError."""
    if policy.vary not in _VARY:
        raise CgnInputError("vary", f"{policy.vary} is unknown; use one of {', '.join(pb.Vary.keys()[1:])}")
    if policy.labels not in _LABELS:
        known = ", ".join(pb.LabelPolicy.keys()[1:])
        raise CgnInputError("labels", f"{policy.labels} is unknown; use one of {known}")
    if policy.HasField("agreement") and policy.labels != pb.LABEL_POLICY_AGREEMENT:
        raise CgnInputError(
            "agreement", "applies only to LABEL_POLICY_AGREEMENT; set labels to it, or omit agreement"
        )
    return Policy(
        vary=_VARY[policy.vary],
        labels=_LABELS[policy.labels],
        agreement=policy.agreement,
        cf_ratio=policy.cf_ratio if policy.HasField("cf_ratio") else 1,
        bank_masks=policy.bank_masks,
        bank_textures=policy.bank_textures,
        bank_backgrounds=policy.bank_backgrounds,
        jitter=policy.jitter,
    )


def _violations(
    request: pb.SampleRequest, card: ModelCard, batch: int, max_batch: int
) -> Iterator[Violation]:
    if not 1 <= batch <= max_batch:
        yield "batch", f"{batch} is out of range; give 1 to {max_batch}, which fit into one message"
    if request.start > _MAX_INDEX:
        yield "start", f"{request.start} is out of range; give 0 to {_MAX_INDEX}"
    if request.HasField("stop") and not request.start <= request.stop <= _MAX_INDEX:
        yield (
            "stop",
            f"{request.stop} is out of range; give start ({request.start}) to {_MAX_INDEX}, or omit it",
        )
    if request.HasField("stride") and not batch <= request.stride <= _MAX_INDEX:
        yield "stride", f"{request.stride} is out of range; give batch ({batch}) to {_MAX_INDEX}"
    policy = request.policy
    for name in ("bank_masks", "bank_textures", "bank_backgrounds"):
        if (rows := getattr(policy, name)) > _MAX_BANK_ROWS:
            yield f"policy.{name}", f"{rows} is out of range; give 0 to {_MAX_BANK_ROWS}"
    group = permuted_group(len(card.class_names))
    if policy.labels == pb.LABEL_POLICY_PERMUTED and policy.cf_ratio * group > _MAX_GROUP:
        max_ratio = _MAX_GROUP // group
        yield "policy.cf_ratio", f"{policy.cf_ratio} is too large for permuted labels; give 1 to {max_ratio}"
    if policy.HasField("truncation"):
        for name, text in truncation_violations(card, policy.truncation):
            yield f"policy.{name}", text
