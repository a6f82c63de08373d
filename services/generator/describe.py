"""Served models as messages, and in pages."""

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import datetime

from cgn.model import CGN
from cgn.noise import MECHANISMS
from cgn_api.v1 import generator_pb2 as pb
from services.errors import invalid
from services.generator.validate import FAMILY_OUTPUTS

_DEFAULT_PAGE = 100
_LARGEST_PAGE = 1000


def describe(model: CGN) -> pb.Model:
    """The message of a served model."""
    card = model.card
    message = pb.Model(
        name=card.name,
        version=card.version,
        digest=card.digest,
        family=card.family,
        classes=len(card.class_names),
        class_names=card.class_names,
        resolution=card.resolution,
        latent_size=card.latent_size,
        outputs=FAMILY_OUTPUTS[card.family],
        device=str(model.device),
        card_json=card.to_json(),
    )
    for mechanism in MECHANISMS:
        message.mechanisms.add(name=mechanism, resident_bytes=model.resident_bytes(mechanism))
    for bounds in card.mask_bounds:
        message.mask_bounds.add(lowest=bounds.lowest, highest=bounds.highest)
    message.create_time.FromDatetime(datetime.fromisoformat(card.created_at))
    return message


def page(models: Sequence[CGN], page_size: int, page_token: str) -> pb.ListModelsResponse:
    """One page of models in their given order.

    Raises:
        ApiError: INVALID_ARGUMENT for a negative size or a token that was not given out.
    """
    if page_size < 0:
        raise invalid("page_size", f"{page_size} is out of range; give 0 to {_LARGEST_PAGE}")
    size = min(page_size or _DEFAULT_PAGE, _LARGEST_PAGE)
    start = _start(models, page_token) if page_token else 0
    chosen = models[start : start + size]
    more = start + size < len(models)
    return pb.ListModelsResponse(
        models=[describe(model) for model in chosen],
        next_page_token=_token(chosen[-1]) if more else "",
    )


def _token(last: CGN) -> str:
    """Names the last model of a page, so that the next one is right though models come and go."""
    return base64.urlsafe_b64encode(json.dumps([last.card.name, *age(last)]).encode()).decode()


def age(model: CGN) -> tuple[str, str]:
    """Orders the versions of one model, the newest highest; as in cgn.checkpoint.newest_version."""
    return model.card.created_at, model.card.version


def _start(models: Sequence[CGN], token: str) -> int:
    """Index of the first model behind the token's, in the order of Models.all."""
    try:
        name, created, version = json.loads(base64.urlsafe_b64decode(token))
        for i, model in enumerate(models):
            if model.card.name > name or (model.card.name == name and age(model) < (created, version)):
                return i
    except (binascii.Error, ValueError, TypeError):
        raise invalid("page_token", "is not one that ListModels gave; leave it empty to begin") from None
    return len(models)
