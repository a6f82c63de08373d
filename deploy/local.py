"""Runs the services of docker-compose.yml as local processes: `python -m deploy.local`, or `make up`.

The compose file is the only definition of the stack: it gives each service's command, environment, ports,
folders and healthcheck, and the order of start.
"""

import argparse
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import BinaryIO, NoReturn, Self

from common.logs import as_text
from common.settings import REPO
from deploy.compose import ComposeError, Service
from deploy.localise import LOCALHOST, Localiser, StackError, is_installed
from deploy.process import Process

__all__ = ["LocalStack", "ServiceEndedError", "StackError", "sigterm_as_ctrl_c"]

_POLL_SECONDS = 0.3
# If a service ends more often than this, restarting does not help.
_RESTARTS = 3
_RESTARTS_WITHIN_SECONDS = 60.0
_REDIS_STARTS = re.compile(
    r"\d+:[CM] .{20,30} [#*] "
    r"(oO0OoO0OoO0Oo|Redis version=|Configuration loaded|Server initialized|WARNING Memory overcommit"
    r"|WARNING: The TCP backlog|WARNING You have Transparent Huge Pages)",
    re.IGNORECASE,
)


class ServiceEndedError(StackError):
    """A service has ended unexpectedly. log_end: last lines of its log; summary: one line, how it ended."""

    def __init__(self, process: Process, repeated: str = "") -> None:
        lines = (part for line in process.last_lines() for part in as_text(line).split("\n"))
        self.log_end = "".join([f"The last lines of {process.log}:", *(f"\n  {line}" for line in lines)])
        self.summary = f"{process.name} ended ({process.end()}){repeated}"
        super().__init__(f"{self.log_end}\n{self.summary}")


class LocalStack:
    """The stack as local processes; they run while the context is entered.

        with LocalStack(apart=folder) as stack:
            channel = grpc.insecure_channel(stack.address("generator"))

    apart: folder for everything that the stack writes; the stack listens on free ports, so that it shares no
    data or ports with another stack (tests, the demo). None: the repository's var/ and models/, and the ports
    of the compose file. services: run only these; None: all whose programs are installed. environment:
    variables added to the caller's. say: prints a progress message.
    """

    def __init__(
        self,
        *,
        apart: Path | None = None,
        services: Collection[str] | None = None,
        environment: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._local = Localiser(apart, environment or {})
        self.logs = (apart or REPO / "var") / "log"
        self._say = say
        known = self._local.stack.services
        for name in services or ():
            if name not in {service.name for service in known}:
                raise StackError(
                    f"{name}: no such service; the services are {', '.join(s.name for s in known)}"
                )
        requested = [service for service in known if services is None or service.name in services]
        self._services = [service for service in requested if is_installed(service)]
        self._left_out = [service for service in requested if not is_installed(service)]
        if services is not None and self._left_out:
            raise StackError(f"{self._left_out[0].command[0]} is not on PATH: install it")
        self._processes: dict[str, Process] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def names(self) -> list[str]:
        """Names of the services, in the order of their start."""
        return [service.name for service in self._services]

    def address(self, name: str, port: int | None = None) -> str:
        """Returns host:port of a service's container port; None: its first port."""
        return self._local.address(name, port)

    def folder(self, volume: str) -> Path:
        """Returns the local folder of a volume of the compose file."""
        return self._local.folder(volume)

    def process(self, name: str) -> Process:
        """Returns the process of a running service; tests kill it."""
        return self._processes[name]

    def check(self) -> None:
        """Raises ServiceEndedError, with the end of its log, if a service has ended."""
        for process in list(self._processes.values()):
            if process.exit_code() is not None:
                raise ServiceEndedError(process)

    def follow(self, write: Callable[[str], None]) -> NoReturn:
        """Writes the services' log lines, each after its service's name, and restarts services that end.

        Messages of a starting Redis, also about kernel settings, stay in its log file. Raises
        ServiceEndedError if a service ends that the compose file does not restart, or that was restarted too
        often.
        """
        width = max(map(len, self._processes))
        starts: dict[str, deque[float]] = {name: deque(maxlen=_RESTARTS) for name in self._processes}
        with contextlib.ExitStack() as files:
            logs = {
                process.name: files.enter_context(process.log.open("rb"))
                for process in self._processes.values()
            }
            while True:
                ended = [s for s in self._services if self._processes[s.name].exit_code() is not None]
                for name, log in logs.items():
                    for line in filter(_is_news, _whole_lines(log)):
                        for part in as_text(line).split("\n"):
                            write(f"{name:<{width}} | {part}")
                for service in ended:
                    self._restart(service, starts[service.name], write)
                time.sleep(_POLL_SECONDS)

    def _restart(self, service: Service, starts: deque[float], write: Callable[[str], None]) -> None:
        """Restarts a service. starts: times of its last restarts, at most _RESTARTS."""
        process = self._processes[service.name]
        now = time.monotonic()
        if not service.restart:
            raise ServiceEndedError(process)
        if len(starts) == _RESTARTS and now - starts[0] < _RESTARTS_WITHIN_SECONDS:
            repeated = f", {_RESTARTS + 1} times within {_RESTARTS_WITHIN_SECONDS:.0f} s"
            raise ServiceEndedError(process, repeated)
        starts.append(now)
        write(f"{service.name} ended ({process.end()}); restarting it")
        process.kill()  # other processes of its group may hold its port
        self._run(service, keep_log=True)

    def table(self) -> str:
        """Returns a table: name, addresses and state of every service."""
        rows = [("SERVICE", "ADDRESS", "METRICS", "STATE")]
        for service in self._services:
            columns = {False: "", True: ""}
            for port in service.ports:
                is_metrics = port.variable.endswith("_METRICS_PORT")
                address = f"{LOCALHOST}:{port.host}"
                columns[is_metrics] = f"http://{address}/metrics" if is_metrics else address
            process = self._processes.get(service.name)
            running = process is not None and process.exit_code() is None
            rows.append((service.name, columns[False], columns[True], "healthy" if running else "stopped"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows)
        return "\n".join(line.rstrip() for line in lines)

    def stop(self) -> None:
        """Stops all services in reverse order of their start. Ctrl-C meanwhile kills the rest at once."""
        running = list(reversed(self._processes.values()))
        try:
            for process in running:
                process.stop()
        finally:
            for process in running:
                process.kill()
            self._processes.clear()

    def _start(self) -> None:
        for service in self._services:
            for port in service.ports:
                if not _is_free(port.host):
                    raise StackError(
                        f"port {port.host} ({service.name}) is in use: stop the program that uses it, or set "
                        f"{port.variable} to another port"
                    )
        for service in self._left_out:
            self._say(
                f"{service.command[0]} is not on PATH, so {service.name} is not started; "
                "the METRICS addresses below work without it"
            )
        for service in self._services:
            for needed in self._services:
                if needed.name in service.depends_on:
                    self._await_healthy(needed)
            self._say(f"starting {service.name}")
            self._run(service)
        for service in self._services:
            self._await_healthy(service)

    def _run(self, service: Service, *, keep_log: bool = False) -> None:
        self._processes[service.name] = Process(
            service.name,
            self._local.command(service, service.command),
            self._local.environment(service),
            REPO,
            self.logs / f"{service.name}.log",
            service.stop_seconds,
            keep_log=keep_log,
        )

    def _await_healthy(self, service: Service) -> None:
        """Repeats the service's healthcheck until it succeeds. Raises StackError after its patience."""
        check = service.healthcheck
        command = self._local.command(service, check.command)
        environment = self._local.environment(service)
        deadline = time.monotonic() + check.patience
        while True:
            self.check()
            with contextlib.suppress(subprocess.TimeoutExpired):
                answer = subprocess.run(
                    command,
                    check=False,
                    env=environment,
                    cwd=REPO,
                    capture_output=True,
                    timeout=check.timeout,
                )
                if answer.returncode == 0:
                    return
            if time.monotonic() > deadline:
                log = self._processes[service.name].log
                raise StackError(f"{service.name} is not healthy after {check.patience:.0f} s: see {log}")
            time.sleep(_POLL_SECONDS)


def _whole_lines(log: BinaryIO) -> Iterator[str]:
    """Yields the complete lines up to the log's end; an incomplete line is left for the next call."""
    while line := log.readline():
        if not line.endswith(b"\n"):
            log.seek(-len(line), os.SEEK_CUR)
            return
        yield line.decode(errors="replace").rstrip()


def _is_news(line: str) -> bool:
    return not _REDIS_STARTS.match(line)


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((LOCALHOST, port))
        except OSError:
            return False
    return True


def sigterm_as_ctrl_c() -> None:
    """Makes SIGTERM raise KeyboardInterrupt, as Ctrl-C does, so that the services are stopped."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local",
        description="Runs the services of docker-compose.yml as local processes.",
    )
    parser.add_argument(
        "services", nargs="*", help="services to run; default: all whose programs are installed"
    )
    parser.add_argument(
        "--apart", type=Path, metavar="FOLDER", help="write all data to FOLDER and listen on free ports"
    )
    args = parser.parse_args()

    def say(line: str) -> None:
        print(line, flush=True)

    sigterm_as_ctrl_c()
    try:
        apart = args.apart and args.apart.absolute()
        with LocalStack(apart=apart, services=args.services or None, say=say) as stack:
            say(f"\n{stack.table()}\n\nAll services run. Logs: {stack.logs}. Ctrl-C stops everything.\n")
            try:
                stack.follow(say)
            except KeyboardInterrupt:
                say("\nStopping; press Ctrl-C again to kill at once")
        say("Stopped")
    except KeyboardInterrupt:
        say("Stopped")
    except ServiceEndedError as error:
        print(
            f"{error.log_end}\n\nerror: {error.summary}; all services were stopped. "
            "Queued jobs are kept and continue at the next start (`make up`)",
            file=sys.stderr,
        )
        return 1
    except (StackError, ComposeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
