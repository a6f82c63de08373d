"""One environment variable: its name, meaning, allowed values and default, and how its value is read.

A variable that is unset or empty has its default, as in compose's ${VAR:-default}.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

Environ = Mapping[str, str]

T = TypeVar("T")


class SettingsError(ValueError):
    """An environment variable has a value that cannot be used.

    The message is one line with the variable, its value, the allowed values and the cure.
    """


@dataclass(frozen=True)
class Variable(Generic[T]):
    """An environment variable of type T.

    Attributes:
        name: such as CGN_HOST.
        meaning: one line, with the unit.
        allowed: the values that it may have, in words.
        default: the text that an unset variable stands for; may be empty.
        parse: turns the text into the value; raises SettingsError.
    """

    name: str
    meaning: str
    allowed: str
    default: str
    parse: Callable[[str], T]

    def read(self, env: Environ) -> T:
        """Returns the value in an environment. Raises SettingsError."""
        return self.parse(env.get(self.name, "").strip() or self.default)


def text(name: str, meaning: str, allowed: str, default: str) -> Variable[str]:
    """A text that is used as it is."""
    return Variable(name, meaning, allowed, default, str)


def integer(name: str, meaning: str, default: int, lowest: int, highest: int) -> Variable[int]:
    """An integer in [lowest, highest]."""

    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            number = lowest - 1
        if not lowest <= number <= highest:
            raise SettingsError(
                f"{name}={value}: must be an integer, {lowest} to {highest}; unset it for {default}"
            )
        return number

    return Variable(name, meaning, f"integer, {lowest} to {highest}", str(default), parse)


def port(name: str, meaning: str, default: int) -> Variable[int]:
    """A TCP port."""
    return integer(name, meaning, default, 1, 65535)


def flag(name: str, meaning: str) -> Variable[bool]:
    """1 or 0; default 0."""

    def parse(value: str) -> bool:
        if value not in ("0", "1"):
            raise SettingsError(f"{name}={value}: must be 1 or 0; unset it for 0")
        return value == "1"

    return Variable(name, meaning, "1 or 0", "0", parse)


def choice(name: str, meaning: str, pattern: str, allowed: str, default: str) -> Variable[str]:
    """One of some texts. pattern: regular expression of the texts; allowed: the same in words."""

    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise SettingsError(f"{name}={value}: must be {allowed}; unset it for {default}")
        return value

    return Variable(name, meaning, allowed, default, parse)


def file(name: str, meaning: str) -> Variable[Path | None]:
    """A file that this process can read; None: unset."""

    def parse(value: str) -> Path | None:
        if not value:
            return None
        path = Path(value).expanduser().absolute()
        try:
            path.open("rb").close()
        except OSError as error:
            why = error.strerror or "it cannot be read"
            raise SettingsError(f"{name}={path}: {why}: name a file that this process can read") from None
        return path

    return Variable(name, meaning, "path of a readable file", "", parse)


def directory(name: str, meaning: str, default: Path) -> Variable[Path]:
    """A directory, which need not exist yet."""

    def parse(value: str) -> Path:
        path = Path(value).expanduser().absolute()
        if path.exists() and not path.is_dir():
            raise SettingsError(f"{name}={path}: must be a directory; set it to one or remove the file there")
        return path

    return Variable(name, meaning, "path of a directory", str(default), parse)


def redis_url(name: str, meaning: str, default: str) -> Variable[str]:
    """The URL of a Redis database."""
    return Variable(name, meaning, _REDIS_URLS, default, lambda value: _redis_url(name, value, default, ""))


def optional_redis_url(name: str, meaning: str, default: str) -> Variable[str | None]:
    """The URL of a Redis database, or "none" for None."""

    def parse(value: str) -> str | None:
        return None if value == "none" else _redis_url(name, value, default, ' or "none"')

    return Variable(name, meaning, f"{_REDIS_URLS}, or none", default, parse)


_REDIS_URLS = "URL: redis://, rediss:// or unix://"


def _redis_url(name: str, value: str, default: str, also: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("redis", "rediss", "unix") or not (parts.hostname or parts.path):
        raise SettingsError(f"{name}={value}: must be redis://host:port/db{also}; unset it for {default}")
    return value
