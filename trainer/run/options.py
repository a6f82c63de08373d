"""A run's options: frozen dataclasses whose fields state default, help text and allowed values once.

A config is checked when it is made, so one that exists is valid. No torch in here: the trainer service
validates jobs with these classes.
"""

import argparse
import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Protocol, TypeVar, get_type_hints

from cgn.datasets import FOLDER, RESOLUTIONS
from cgn.errors import CgnInputError

PATH = re.compile(r"[^\0]{1,4096}")
HIGHEST_SEED = 2**63 - 1
HIGHEST_COUNT = 2**32 - 1  # counts are uint32 in the API
_POWERS: dict[float, str] = {HIGHEST_SEED: "2^63 - 1", HIGHEST_COUNT: "2^32 - 1"}  # as people read them


class FieldError(CgnInputError):
    """A config's field has a value that is not allowed.

    Attributes:
        more: the errors of other fields of the same config.
    """

    more: tuple["FieldError", ...] = ()


class Dataclass(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


C = TypeVar("C", bound=Dataclass)


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a field's value may be. Bounds that are None do not bind."""

    low: float | None = None  # lowest value
    above: float | None = None  # values are greater than this
    high: float | None = None  # highest value
    zero: str = ""  # what 0 means where it is allowed below `low`
    choices: tuple[str, ...] | tuple[int, ...] = ()  # the only values
    pattern: re.Pattern[str] | None = None  # the whole text matches it
    pattern_help: str = ""  # the pattern in words
    empty: str = ""  # what an empty text means where it is allowed

    @property
    def words(self) -> str:
        """The rule in words, such as `1 to 1024`."""
        if self.choices:
            text = "one of " + ", ".join(json.dumps(choice) for choice in self.choices)
        elif self.pattern:
            text = self.pattern_help
        elif self.above is not None:
            text = f"above {self.above}" + ("" if self.high is None else f", at most {self.high}")
        elif self.low is None:
            text = "any"
        elif self.high is None:
            text = f"{self.low} or more"
        else:
            text = f"{self.low} to {_POWERS.get(self.high, self.high)}"
        return (
            text
            + (f"; 0: {self.zero}" if self.zero else "")
            + (f"; empty: {self.empty}" if self.empty else "")
        )

    def allows(self, value: Any) -> bool:
        if isinstance(value, str):
            if value == "" and self.empty:
                return True
            return not (
                (self.choices and value not in self.choices)
                or (self.pattern and not self.pattern.fullmatch(value))
            )
        if self.choices:
            return value in self.choices
        if value == 0 and self.zero:
            return True
        return (
            math.isfinite(value)
            and (self.low is None or value >= self.low)
            and (self.above is None or value > self.above)
            and (self.high is None or value <= self.high)
        )


def option(default: Any, help: str, **rule: Any) -> Any:
    """A dataclass field with its default, its help text (a noun phrase) and its Rule, given by keywords."""
    return dataclasses.field(default=default, metadata={"help": help, "rule": Rule(**rule)})


def check_options(config: Dataclass) -> None:
    """Raises FieldError for fields whose values are of the wrong type or against their rules."""
    types = get_type_hints(type(config))
    errors: list[FieldError] = []
    for field in dataclasses.fields(config):
        if "rule" not in field.metadata:
            continue
        value, expected = getattr(config, field.name), types[field.name]
        rule: Rule = field.metadata["rule"]
        accepted = (int, float) if expected is float else (expected,)
        if not isinstance(value, accepted) or (isinstance(value, bool) and expected is not bool):
            words = _TYPE_WORDS[expected] + ("" if rule == Rule() else f", {rule.words}")
            errors.append(FieldError(field.name, f"must be {words}, is {_show(value)}"))
        elif not rule.allows(value):
            errors.append(FieldError(field.name, f"must be {rule.words}, is {_show(value)}"))
    if errors:
        first, *more = errors
        first.more = tuple(more)
        raise first


class DataOptions(Protocol):
    """The options of every run that say what images it trains on."""

    @property
    def dataset(self) -> str: ...
    @property
    def folder(self) -> str: ...
    @property
    def resolution(self) -> int: ...


def check_data_options(config: DataOptions) -> None:
    """Raises FieldError unless a folder is named for the data set "folder", and for no other."""
    if config.dataset == FOLDER and not config.folder:
        raise FieldError("folder", 'must be the path of your images where dataset is "folder", is empty')
    if config.dataset != FOLDER and config.folder:
        raise FieldError("folder", f'must be empty unless dataset is "folder", is {_show(config.folder)}')
    if config.dataset != FOLDER and config.resolution != RESOLUTIONS[0]:
        allowed = f'must be {RESOLUTIONS[0]} unless dataset is "folder"'
        raise FieldError("resolution", f"{allowed}, is {config.resolution}")


_TYPE_WORDS = {int: "an integer", float: "a number", str: "text", bool: "true or false"}


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def config_from_dict(cls: type[C], values: Mapping[str, Any]) -> C:
    """Makes a config; absent fields take their defaults. Raises FieldError, for unknown fields too."""
    known = [field.name for field in dataclasses.fields(cls)]
    for name in values:
        if name not in known:
            raise FieldError(name, f"unknown field; the fields are {', '.join(known)}")
    return cls(**values)


def add_arguments(parser: argparse._ActionsContainer, cls: type[Dataclass]) -> None:
    """Adds an option --field-name for every field; its help states the allowed values and the default."""
    types = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        rule: Rule = field.metadata["rule"]
        allowed = rule.words
        if types[field.name] is bool:
            allowed = _TYPE_WORDS[bool]
        words = f"{field.metadata['help']}: {allowed} (default: {_show(field.default)})"
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            type=_parser(types[field.name], allowed),
            default=None,  # absent, so that a config file's value is not overridden by the default
            help=words.replace("%", "%%"),
            metavar=types[field.name].__name__.upper(),
        )


def _parser(kind: type, allowed: str) -> Callable[[str], Any]:
    """Makes a value of a text of the command line; allowed: what it may be, for the error."""

    def parse(text: str) -> Any:
        try:
            return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
        except (KeyError, ValueError):
            raise argparse.ArgumentTypeError(f"must be {allowed}, is {text!r}") from None

    return parse


def given_arguments(names: Iterable[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """The options among `names` that were given on the command line."""
    return {name: value for name in names if (value := getattr(arguments, name)) is not None}
