"""Turns model versions into messages, and lists of versions into pages."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cgn.card import ModelCard
from cgn.families.table import find_family
from cgn.model import CGN
from cgn_api.v1 import generator_pb2 as pb
from services.errors import invalid
from services.generator.plan.plan import outputs_of

_DEFAULT_PAGE_SIZE = 100
_MAX_PAGE_SIZE = 1000


@dataclass(frozen=True)
class Version:
    """A version that can be requested.

    Attributes:
        card: the version's card.
        model: the loaded model; None if it is not loaded.
        unloaded: whether requests are refused until LoadModel.
        aliases: aliases that point at the version.
        budget_bytes: what the version counts against the memory budget while it is loaded.
    """

    card: ModelCard
    model: CGN | None
    unloaded: bool
    aliases: tuple[str, ...]
    budget_bytes: int


def describe(version: Version) -> pb.Model:
    """The message of a model version."""
    message = card_message(version.card)
    message.state = pb.MODEL_STATE_STORED
    if version.unloaded:
        message.state = pb.MODEL_STATE_UNLOADED
    elif version.model:
        message.state = pb.MODEL_STATE_RESIDENT
    message.aliases.extend(version.aliases)
    message.budget_bytes = version.budget_bytes
    if model := version.model:
        message.device = str(model.device)
        for mechanism in model.network.mechanisms:
            message.mechanisms.add(name=mechanism, resident_bytes=model.network.resident_bytes(mechanism))
    return message


def card_message(card: ModelCard) -> pb.Model:
    """The part of a version's message that its card determines."""
    message = pb.Model(
        name=card.name,
        version=card.version,
        digest=card.digest,
        family=card.family,
        classes=len(card.class_names),
        class_names=card.class_names,
        class_ids=card.class_ids,
        has_truncation=find_family(card.family).truncated,
        resolution=card.resolution,
        latent_size=card.latent_size,
        outputs=outputs_of(card),
        card_json=card.to_json(),
    )
    for bounds in card.mask_bounds:
        message.mask_bounds.add(lowest=bounds.lowest, highest=bounds.highest)
    message.create_time.FromDatetime(datetime.fromisoformat(card.created_at))
    return message


def page(models: Sequence[Version], page_size: int, page_token: str) -> pb.ListModelsResponse:
    """One page of versions, in the given order.

    Raises:
        ApiError: INVALID_ARGUMENT for a negative size or an unknown token.
    """
    if page_size < 0:
        raise invalid("page_size", f"{page_size} is out of range; give 0 to {_MAX_PAGE_SIZE}")
    size = min(page_size or _DEFAULT_PAGE_SIZE, _MAX_PAGE_SIZE)
    start = _start(models, page_token) if page_token else 0
    selected = models[start : start + size]
    more = start + size < len(models)
    return pb.ListModelsResponse(
        models=[describe(model) for model in selected],
        next_page_token=_token(selected[-1]) if more else "",
    )


def _token(last: Version) -> str:
    """Names the last model of a page: the next page then is right although models are added or removed."""
    return base64.urlsafe_b64encode(json.dumps([last.card.name, *age(last.card)]).encode()).decode()


def age(card: ModelCard) -> tuple[str, str]:
    """Sort key of a model's versions: the newest is highest, as in cgn.store.versions.newest_version."""
    return card.created_at, card.version


def _start(models: Sequence[Version], token: str) -> int:
    """Index of the first model after the token's model, in the order of Models.all."""
    try:
        name, created, version = json.loads(base64.urlsafe_b64decode(token))
        for i, model in enumerate(models):
            if model.card.name > name or (model.card.name == name and age(model.card) < (created, version)):
                return i
    except (binascii.Error, ValueError, TypeError):
        raise invalid("page_token", "is no token of ListModels; leave it empty to begin") from None
    return len(models)
