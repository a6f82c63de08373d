"""A run's options: frozen dataclasses whose fields state default, help text and allowed values once.

A config checks itself on construction, so every config is valid. An option that may be absent has the type
``int | None`` or ``float | None``. None stands for a value that is chosen elsewhere, such as the preset's;
0 is a real 0. No torch in here: the trainer service validates jobs with these classes.
"""

import argparse
import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from types import UnionType
from typing import Any, ClassVar, Protocol, TypeVar, get_args, get_type_hints

from cgn.datasets import FOLDER, RESOLUTIONS
from cgn.errors import CgnInputError

PATH = re.compile(r"[^\0]{1,4096}")
HIGHEST_SEED = 2**63 - 1
HIGHEST_COUNT = 2**32 - 1  # counts are uint32 in the API
ZEROS = "zeros"  # key of the stored options: names of the options that may be absent and are really 0
_POWERS: dict[float, str] = {HIGHEST_SEED: "2^63 - 1", HIGHEST_COUNT: "2^32 - 1"}  # readable forms of limits


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
    """The values that a field allows. A bound of None does not apply."""

    low: float | None = None  # lowest value
    above: float | None = None  # values are greater than this
    high: float | None = None  # highest value
    zero: str = ""  # meaning of 0, if 0 is allowed below `low`
    choices: tuple[str, ...] | tuple[int, ...] = ()  # the only values
    pattern: re.Pattern[str] | None = None  # the whole text matches it
    pattern_help: str = ""  # the pattern in words
    empty: str = ""  # meaning of an empty text, if it is allowed
    absent: str = ""  # the value that applies if the option is None

    @property
    def words(self) -> str:
        """The rule in words, such as `1 to 1024`, without the meaning of None."""
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
        """Returns whether a value, which has the right type, is allowed."""
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
    """Returns a dataclass field with its default, its help text (a noun phrase) and the keywords of its Rule.

    An option that may be absent has the default None, and ``absent`` in words: "the preset's".
    """
    return dataclasses.field(default=default, metadata={"help": help, "rule": Rule(**rule)})


def value_types(cls: type[Dataclass]) -> dict[str, type]:
    """Returns the type of each option's value by name, without None for options that may be absent."""
    hints = get_type_hints(cls).items()
    return {name: get_args(hint)[0] if isinstance(hint, UnionType) else hint for name, hint in hints}


def absent_options(cls: type[Dataclass]) -> list[str]:
    """Returns the names of the options that may be absent."""
    return [f.name for f in dataclasses.fields(cls) if "rule" in f.metadata and f.metadata["rule"].absent]


def check_options(config: Dataclass) -> None:
    """Raises FieldError if a field has a value of the wrong type or one that its rule does not allow."""
    types = value_types(type(config))
    errors: list[FieldError] = []
    for field in dataclasses.fields(config):
        if "rule" not in field.metadata:
            continue
        value, expected = getattr(config, field.name), types[field.name]
        rule: Rule = field.metadata["rule"]
        if value is None and rule.absent:
            continue
        absence = f"; absent: {rule.absent}" if rule.absent else ""
        accepted = (int, float) if expected is float else (expected,)
        if not isinstance(value, accepted) or (isinstance(value, bool) and expected is not bool):
            words = _TYPE_WORDS[expected] + ("" if rule == Rule() else f", {rule.words}{absence}")
            errors.append(FieldError(field.name, f"must be {words}, is {_show(value)}"))
        elif not rule.allows(value):
            errors.append(FieldError(field.name, f"must be {rule.words}{absence}, is {_show(value)}"))
    if errors:
        first, *more = errors
        first.more = tuple(more)
        raise first


class DataOptions(Protocol):
    """The options that select the images of a run."""

    @property
    def dataset(self) -> str: ...
    @property
    def folder(self) -> str: ...
    @property
    def resolution(self) -> int: ...


def check_data_options(config: DataOptions) -> None:
    """Raises FieldError unless a folder is given for the data set "folder", and for no other data set."""
    if config.dataset == FOLDER and not config.folder:
        raise FieldError("folder", 'must be the path of your images if dataset is "folder", is empty')
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
    """Returns a config; absent fields take their defaults. Raises FieldError, also for unknown fields."""
    known = [field.name for field in dataclasses.fields(cls)]
    for name in values:
        if name not in known:
            raise FieldError(name, f"unknown field; the fields are {', '.join(known)}")
    return cls(**values)


def stored_options(config: Dataclass) -> dict[str, Any]:
    """Returns a run's options as `config.json` and a job's record hold them.

    Absent options are left out. Earlier releases wrote 0 for an absent option. So ZEROS names the options
    that may be absent and are really 0.
    """
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    stored = {name: value for name, value in values.items() if value is not None}
    zeros = [name for name in absent_options(type(config)) if stored.get(name) == 0]
    return stored | ({ZEROS: zeros} if zeros else {})


def read_options(cls: type[Dataclass], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of a JSON object: of `stored_options`, of a user's file or of an earlier release.

    An earlier release's object holds every option that may be absent, and no ZEROS: its 0 means absent. In
    all other objects 0 is a real 0.
    """
    values = {name: value for name, value in stored.items() if name != ZEROS}
    absent = absent_options(cls)
    if ZEROS not in stored and all(values.get(name) is not None for name in absent):
        values |= {name: None for name in absent if values[name] == 0}
    return values


def recorded_options(config: Dataclass) -> dict[str, Any]:
    """Returns a run's options as hashes and result files hold them.

    They are the stored options, with 0 for each absent option as in earlier releases. So the hashes of
    earlier releases stay valid. A real 0 has a different hash, as ZEROS names its option.
    """
    types = value_types(type(config))
    return {name: types[name]() for name in absent_options(type(config))} | stored_options(config)


def add_arguments(parser: argparse._ActionsContainer, cls: type[Dataclass]) -> None:
    """Adds an option --field-name for every field; its help states the allowed values and the default."""
    types = value_types(cls)
    for field in dataclasses.fields(cls):
        rule: Rule = field.metadata["rule"]
        allowed = rule.words
        if types[field.name] is bool:
            allowed = _TYPE_WORDS[bool]
        default = rule.absent or _show(field.default)
        words = f"{field.metadata['help']}: {allowed} (default: {default})"
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            type=_parser(types[field.name], allowed),
            default=None,  # so that the default does not override the value of a config file
            help=words.replace("%", "%%"),
            metavar=types[field.name].__name__.upper(),
        )


def _parser(kind: type, allowed: str) -> Callable[[str], Any]:
    """Returns a parser of command-line text; allowed: the allowed values in words, for the error."""

    def parse(text: str) -> Any:
        try:
            return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
        except (KeyError, ValueError):
            raise argparse.ArgumentTypeError(f"must be {allowed}, is {text!r}") from None

    return parse


def command_line_options(names: Iterable[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the options that the command line sets, by name."""
    return {name: value for name in names if (value := getattr(arguments, name)) is not None}
