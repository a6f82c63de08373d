"""Translates what a compose file says for containers into what holds for local processes."""

import os
import re
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.local_redis import redis_server
from common.settings import REPO
from deploy.compose import Service, Stack, read_stack

LOCALHOST = "127.0.0.1"


class StackError(RuntimeError):
    """The stack cannot start or has lost a service; the message says which, why and what cures it."""


class Localiser:
    """Commands, environments, addresses and folders of a stack's services, as local processes have them.

    Service hosts become 127.0.0.1, container ports the published ones, container paths local folders,
    program names the programs of this machine.

    apart: a folder for everything the stack writes; its ports are then free ones. None: the
    repository's var/ and models/, and the ports of the compose file. extra: variables on top of the
    caller's environment.
    """

    def __init__(self, apart: Path | None, extra: Mapping[str, str]) -> None:
        self._apart = apart
        variables = dict(os.environ)
        if apart:
            variables = {name: value for name, value in variables.items() if not _names_a_place(name)}
            ports = [port.variable for service in read_stack(variables).services for port in service.ports]
            variables |= _free_ports(ports)
        self._variables = {**variables, **extra}
        self._names: dict[str, dict[str, str]] = {}
        self.stack: Stack = read_stack(self._variables)
        self._local_address = {
            f"{service.name}:{port.container}": f"{LOCALHOST}:{port.host}"
            for service in self.stack.services
            for port in service.ports
        }

    def address(self, name: str, port: int | None = None) -> str:
        """host:port at which a service's container port is reached; None: its first port."""
        for service in self.stack.services:
            if service.name == name:
                return self._local_address[f"{name}:{port or service.ports[0].container}"]
        raise KeyError(name)

    def folder(self, volume: str) -> Path:
        """Where a volume of the compose file lies; made if it is not there."""
        usual = REPO / Path(self.stack.volumes[volume]).expanduser()
        folder = self._apart / volume if self._apart else usual
        if not folder.exists() and usual.is_dir() and not usual.is_relative_to(REPO / "var"):
            shutil.copytree(usual, folder)  # shipped content, which the image seeds the volume with
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def command(self, service: Service, command: Sequence[str]) -> list[str]:
        """A command of a service (its own or its healthcheck's)."""
        program, *words = command
        local = self._local_names(service)
        return [_program(program) or program, *(_replace(word, local) for word in words)]

    def environment(self, service: Service) -> dict[str, str]:
        """The caller's environment, and over it the service's own."""
        local = self._local_names(service)
        own = {name: _replace(value, local) for name, value in service.environment.items()}
        return {**self._variables, **own}

    def _local_names(self, service: Service) -> dict[str, str]:
        """What stands for what in a service's words. Its folders and files are made at the first call."""
        if service.name not in self._names:
            self._names[service.name] = self._make_local(service)
        return self._names[service.name]

    def _make_local(self, service: Service) -> dict[str, str]:
        local = {"0.0.0.0": LOCALHOST} | self._local_address
        local |= {str(port.container): str(port.host) for port in service.ports}
        for target, source in service.folders.items():
            named = source in self.stack.volumes
            local[target] = str(self.folder(source) if named else REPO / Path(source).expanduser())
        for target, file in service.files.items():
            # A container finds its files below one root; so does the local process, in a copy whose
            # addresses are local ones.
            copy = self._files_root(service) / target.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(_replace(file.read_text(), local))
            local[target] = str(copy)
        return local

    def _files_root(self, service: Service) -> Path:
        return (self._apart or REPO / "var") / "files" / service.name


def is_installed(service: Service) -> bool:
    """True if this machine has the programs of the service's command and healthcheck.

    Redis, which every stack needs, is not left out: StackError if a program of it is missing.
    """
    return all(_program(command[0]) for command in (service.command, service.healthcheck.command))


def _program(name: str) -> str | None:
    if name == "python":
        return sys.executable
    if name in ("redis-server", "redis-cli"):
        return _redis_program(name)
    return shutil.which(name)


def _redis_program(name: str) -> str:
    try:
        server = Path(redis_server())
    except FileNotFoundError as error:
        raise StackError(str(error)) from None
    # The server's own first, so that the two are of one version.
    found = shutil.which(name, path=str(server.parent)) or shutil.which(name)
    if not found:
        raise StackError(f"{name} is neither beside {server} nor on PATH: apt-get install redis-tools")
    return found


def _replace(text: str, local: Mapping[str, str]) -> str:
    """`text` with every whole word of `local` replaced, in one pass and the longest first."""
    words = "|".join(re.escape(word) for word in sorted(local, key=len, reverse=True))
    return re.sub(rf"(?<![\w.-])(?:{words})(?![\w.-])", lambda match: local[match[0]], text)


def _names_a_place(variable: str) -> bool:
    """True for a variable by which the caller's environment points to another stack's data or servers."""
    return bool(re.fullmatch(r"CGN_\w+_(PORT|URL|DIR)", variable)) and variable != "CGN_DATA_DIR"


def _free_ports(variables: Sequence[str]) -> dict[str, str]:
    """A free port for each variable; all are held open until the last is found, so that no two are alike."""
    sockets = [socket.create_server((LOCALHOST, 0)) for _ in variables]
    try:
        return {name: str(s.getsockname()[1]) for name, s in zip(variables, sockets, strict=True)}
    finally:
        for held in sockets:
            held.close()
