"""Translates a compose file's services from containers to local processes."""

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
    """The stack cannot start or a service has ended; the message states which, why, and the cure."""


class Localiser:
    """Commands, environments, addresses and folders of a stack's services as local processes.

    Service hosts become 127.0.0.1, container ports become the published ports, container paths become local
    folders, and program names become this machine's programs.

    apart: folder for everything that the stack writes; the stack then listens on free ports. None: the
    repository's var/ and models/, and the ports of the compose file. extra: variables added to the caller's
    environment.
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
        """Returns host:port of a service's container port; None: its first port."""
        for service in self.stack.services:
            if service.name == name:
                return self._local_address[f"{name}:{port or service.ports[0].container}"]
        raise KeyError(name)

    def folder(self, volume: str) -> Path:
        """Returns the local folder of a volume; creates it if necessary."""
        usual = REPO / Path(self.stack.volumes[volume]).expanduser()
        folder = self._apart / volume if self._apart else usual
        if not folder.exists() and usual.is_dir() and not usual.is_relative_to(REPO / "var"):
            shutil.copytree(usual, folder)  # shipped models, which the image also copies into the volume
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def command(self, service: Service, command: Sequence[str]) -> list[str]:
        """Translates a command of a service (its own or its healthcheck's)."""
        program, *words = command
        local = self._local_names(service)
        return [_program(program) or program, *(_replace(word, local) for word in words)]

    def environment(self, service: Service) -> dict[str, str]:
        """Returns the caller's environment, overridden by the service's own variables."""
        local = self._local_names(service)
        own = {name: _replace(value, local) for name, value in service.environment.items()}
        return {**self._variables, **own}

    def _local_names(self, service: Service) -> dict[str, str]:
        """Returns the replacements for a service's words; the first call creates its folders and files."""
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
            # The local process reads a copy of the file in which addresses are local.
            copy = self._files_root(service) / target.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(_replace(file.read_text(), local))
            local[target] = str(copy)
        return local

    def _files_root(self, service: Service) -> Path:
        return (self._apart or REPO / "var") / "files" / service.name


def is_installed(service: Service) -> bool:
    """Whether this machine has the programs of the service's command and healthcheck.

    Every stack needs Redis: raises StackError if one of its programs is missing.
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
    # First beside the server, so that both have the same version.
    program = shutil.which(name, path=str(server.parent)) or shutil.which(name)
    if not program:
        raise StackError(f"{name} is neither beside {server} nor on PATH: apt-get install redis-tools")
    return program


def _replace(text: str, local: Mapping[str, str]) -> str:
    """Replaces every whole word of `local` in `text`, in one pass, the longest first."""
    words = "|".join(re.escape(word) for word in sorted(local, key=len, reverse=True))
    return re.sub(rf"(?<![\w.-])(?:{words})(?![\w.-])", lambda match: local[match[0]], text)


def _names_a_place(variable: str) -> bool:
    """Whether a variable points to data or servers of another stack."""
    return bool(re.fullmatch(r"CGN_\w+_(PORT|URL|DIR)", variable)) and variable != "CGN_DATA_DIR"


def _free_ports(variables: Sequence[str]) -> dict[str, str]:
    """Returns a free port per variable. All sockets stay open until the last, so that the ports differ."""
    sockets = [socket.create_server((LOCALHOST, 0)) for _ in variables]
    try:
        return {name: str(s.getsockname()[1]) for name, s in zip(variables, sockets, strict=True)}
    finally:
        for held in sockets:
            held.close()
