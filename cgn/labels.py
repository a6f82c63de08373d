"""Classes by what people call them: a name, the beginning of one, or a WordNet id."""

from difflib import get_close_matches

from cgn.card import ModelCard
from cgn.errors import CgnInputError

_MOST_CANDIDATES = 10


def find_class(card: ModelCard, name: str) -> int:
    """The index of a class, by its name or the beginning of it that no other name has; case does not matter.

    Raises:
        CgnInputError: no name begins so, or several do; the message lists those.
    """
    wanted = name.casefold()
    names = [known.casefold() for known in card.class_names]
    if name in card.class_names:
        return card.class_names.index(name)
    if names.count(wanted) == 1:
        return names.index(wanted)
    found = [i for i, known in enumerate(names) if wanted and known.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        candidates = _list([card.class_names[i] for i in found])
        raise CgnInputError("label_name", f"{name!r:.80} begins {len(found)} names; give one of {candidates}")
    within = [known for known in card.class_names if wanted and wanted in known.casefold()]
    alike = [card.class_names[names.index(known)] for known in get_close_matches(wanted, names)]
    what = _list(within or alike or card.class_names)
    raise CgnInputError("label_name", f"{name!r:.80} begins no name; give one of {what}")


def parse_class(card: ModelCard, text: str) -> int:
    """The index of a class that a person has typed: an index, a WordNet id, a name or the beginning of one.

    A text that is a class's whole name is that class, whatever else it could be.

    Raises:
        CgnInputError: there is no such class, or several.
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
    """The index of a class by its WordNet id, such as ``n01518878``.

    Raises:
        CgnInputError: the model's classes have no ids, or none is this one.
    """
    if not card.class_ids:
        raise CgnInputError(
            "wordnet_id", "the classes of this model have none; give label_index or label_name"
        )
    if wordnet_id not in card.class_ids:
        example = f"{card.class_ids[0]} ({card.class_names[0]})"
        raise CgnInputError("wordnet_id", f"{wordnet_id!r:.40} is no class; ids are like {example}")
    return card.class_ids.index(wordnet_id)


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_CANDIDATES} more" if len(names) > _MOST_CANDIDATES else ""
    return ", ".join(names[:_MOST_CANDIDATES]) + more
