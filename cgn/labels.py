"""Finds the index of a class by its name, a prefix of its name, or its WordNet id."""

from difflib import get_close_matches

from cgn.card import ModelCard
from cgn.errors import CgnInputError

_MOST_CANDIDATES = 10


def find_class(card: ModelCard, name: str) -> int:
    """Returns the index of a class by its name or by a unique prefix of its name. Case is ignored.

    Raises:
        CgnInputError: no class name or several class names begin with ``name``; the message lists candidates.
    """
    folded = name.casefold()
    names = [class_name.casefold() for class_name in card.class_names]
    if name in card.class_names:
        return card.class_names.index(name)
    if names.count(folded) == 1:
        return names.index(folded)
    matches = [i for i, class_name in enumerate(names) if folded and class_name.startswith(folded)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        candidates = _shortened([card.class_names[i] for i in matches])
        message = f"{len(matches)} class names begin with {name!r:.80}; give one of {candidates}"
        raise CgnInputError("label_name", message)
    within = [class_name for class_name in card.class_names if folded and folded in class_name.casefold()]
    similar = [card.class_names[names.index(match)] for match in get_close_matches(folded, names)]
    candidates = _shortened(within or similar or card.class_names)
    raise CgnInputError("label_name", f"no class name begins with {name!r:.80}; give one of {candidates}")


def parse_class(card: ModelCard, text: str) -> int:
    """Returns the index of a class from text: an index, a WordNet id, a name or a prefix of a name.

    A text that is the full name of a class is never read as an index or id.

    Raises:
        CgnInputError: no class or several classes match.
    """
    if text not in card.class_names:
        if text.isdecimal():
            if int(text) >= len(card.class_names):
                raise CgnInputError("label_index", f"{text} is out of range [0, {len(card.class_names) - 1}]")
            return int(text)
        if text in card.class_ids:
            return find_wordnet(card, text)
    return find_class(card, text)


def find_wordnet(card: ModelCard, wordnet_id: str) -> int:
    """Returns the index of a class by its WordNet id, such as ``n01518878``.

    Raises:
        CgnInputError: the model's classes have no ids, or no class has this id.
    """
    if not card.class_ids:
        raise CgnInputError("wordnet_id", "this model's classes have no ids; give label_index or label_name")
    if wordnet_id not in card.class_ids:
        example = f"{card.class_ids[0]} ({card.class_names[0]})"
        raise CgnInputError("wordnet_id", f"{wordnet_id!r:.40} is not a class; ids look like {example}")
    return card.class_ids.index(wordnet_id)


def _shortened(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_CANDIDATES} more" if len(names) > _MOST_CANDIDATES else ""
    return ", ".join(names[:_MOST_CANDIDATES]) + more
