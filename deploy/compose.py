"""Reads docker-compose.yml: what each service runs, with which environment, ports, folders and files.

Only the features that this project's file uses are supported; anything else raises ComposeError.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from common.settings import REPO

COMPOSE_FILE = REPO / "docker-compose.yml"

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Z][A-Z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<bad>.?))")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_RESTART = {"no": False, "unless-stopped": True}


class ComposeError(ValueError):
    """The compose file contains something unsupported; the message is one line."""


@dataclass(frozen=True)
class Port:
    """A published port."""

    container: int  # inside the container
    host: int  # on 127.0.0.1
    variable: str  # environment variable that sets `host`


@dataclass(frozen=True)
class Healthcheck:
    """The command that exits 0 when the service is healthy. Times in seconds."""

    command: tuple[str, ...]
    timeout: float
    patience: float  # after the start; a service that is unhealthy for longer has failed


@dataclass(frozen=True)
class Service:
    """One service of the default profile."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ports: tuple[Port, ...]
    folders: Mapping[str, str]  # container path -> volume name, or a path that starts with "." or "/"
    files: Mapping[str, Path]  # container path -> file on this machine (compose's configs)
    depends_on: tuple[str, ...]
    healthcheck: Healthcheck
    stop_seconds: float  # from SIGTERM to SIGKILL
    restart: bool  # whether it is restarted when it ends


@dataclass(frozen=True)
class Stack:
    """The services in start order, and the local folder of each volume."""

    services: tuple[Service, ...]
    volumes: Mapping[str, str]  # name -> path; relative ones are below the repository


def read_stack(variables: Mapping[str, str], path: Path = COMPOSE_FILE) -> Stack:
    """Returns the services without a profile. `variables` replace each ${NAME:-default}."""
    raw = yaml.safe_load(path.read_text())
    document = _substitute(raw, variables)
    configs = {name: path.parent / entry["file"] for name, entry in document.get("configs", {}).items()}
    services = [
        _service(name, entry, raw["services"][name], configs, variables)
        for name, entry in document["services"].items()
        if not entry.get("profiles")
    ]
    volumes = {
        name: str((entry or {}).get("x-local", f"var/{name}"))
        for name, entry in document.get("volumes", {}).items()
    }
    return Stack(tuple(_in_start_order(services)), volumes)


def _service(
    name: str,
    entry: Mapping[str, Any],
    raw: Mapping[str, Any],
    configs: Mapping[str, Path],
    variables: Mapping[str, str],
) -> Service:
    # A variable without a value is taken from the caller's environment, if it is set there.
    environment = {
        key: variables[key] if value is None else str(value)
        for key, value in entry.get("environment", {}).items()
        if value is not None or key in variables
    }
    volumes = [_words(volume, ":", 2, 3) for volume in entry.get("volumes", ())]
    return Service(
        name=name,
        command=(*_command(entry.get("entrypoint", ())), *_command(entry.get("command", ()))),
        environment=environment,
        ports=tuple(_port(*pair) for pair in zip(entry.get("ports", ()), raw.get("ports", ()), strict=True)),
        folders={target: source for source, target, *_ in volumes},
        files={config["target"]: configs[config["source"]] for config in entry.get("configs", ())},
        depends_on=tuple(entry.get("depends_on", ())),
        healthcheck=_healthcheck(name, entry),
        stop_seconds=_seconds(entry.get("stop_grace_period", "10s")),
        restart=_restart(name, entry.get("restart", "no")),
    )


def _restart(name: str, policy: object) -> bool:
    if not isinstance(policy, str) or policy not in _RESTART:
        raise ComposeError(f'{name}: restart: {policy}: must be unless-stopped or "no"')
    return _RESTART[policy]


def _healthcheck(name: str, entry: Mapping[str, Any]) -> Healthcheck:
    check = entry.get("healthcheck")
    if check is None or check["test"][0] != "CMD":
        raise ComposeError(f"{name}: needs a healthcheck whose test is [CMD, ...]")
    interval, timeout = _seconds(check["interval"]), _seconds(check["timeout"])
    patience = _seconds(check["start_period"]) + int(check["retries"]) * (interval + timeout)
    return Healthcheck(tuple(map(str, check["test"][1:])), timeout, patience)


def _port(port: str, raw: str) -> Port:
    """Parses 127.0.0.1:<host>:<container>. `raw` is the text before substitution, with the variable."""
    address, host, container = _words(port, ":", 3, 3)
    variable = _VARIABLE.search(raw)
    if address != "127.0.0.1" or variable is None or not variable["name"]:
        raise ComposeError(f'port {raw}: must be "127.0.0.1:${{VARIABLE:-default}}:<port>"')
    if not host.isdecimal() or not 1 <= int(host) <= 65535:
        raise ComposeError(f"{variable['name']}={host}: must be a port, 1 to 65535")
    return Port(int(container), int(host), variable["name"])


def _command(words: str | list[Any]) -> list[str]:
    return shlex.split(words) if isinstance(words, str) else [str(word) for word in words]


def _words(text: str, separator: str, fewest: int, most: int) -> list[str]:
    words = text.split(separator)
    if not fewest <= len(words) <= most:
        raise ComposeError(f'"{text}": must be {fewest} to {most} words with "{separator}" between them')
    return words


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+)(ms|s|m|h)", text)
    if match is None:
        raise ComposeError(f'"{text}": must be a number with ms, s, m or h, such as 10s')
    return int(match[1]) * _SECONDS[match[2]]


def _substitute(value: Any, variables: Mapping[str, str]) -> Any:
    """Replaces ${NAME}, ${NAME:-default} and $$ in every string of `value`."""

    def replace(match: re.Match[str]) -> str:
        if match["name"]:
            return variables.get(match["name"], "") or match["default"] or ""
        if match["bad"] is not None:
            raise ComposeError(f'"{match.string}": use ${{NAME}}, ${{NAME:-default}} or $$')
        return "$"

    if isinstance(value, str):
        return _VARIABLE.sub(replace, value)
    if isinstance(value, dict):
        return {key: _substitute(entry, variables) for key, entry in value.items()}
    if isinstance(value, list):
        return [_substitute(entry, variables) for entry in value]
    return value


def _in_start_order(services: list[Service]) -> list[Service]:
    """Sorts services so that each follows its dependencies; otherwise keeps the file's order."""
    waiting = list(services)
    started: list[Service] = []
    while waiting:
        names = {service.name for service in started}
        ready = next((service for service in waiting if names.issuperset(service.depends_on)), None)
        if ready is None:
            circle = ", ".join(service.name for service in waiting)
            raise ComposeError(f"depends_on: {circle} depend on each other or on a service with a profile")
        waiting.remove(ready)
        started.append(ready)
    return started
