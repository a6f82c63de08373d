"""Services of docker-compose.yml as local processes: they become healthy and end with their stack."""

import contextlib
import os
import re
import signal
import socket
import sys
import urllib.request
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis.exceptions import RedisError

from common.redis import client
from common.settings import REPO
from deploy.local import LocalStack, StackError
from deploy.process import Process
from testing.processes import ModuleProcess, alive, wait_for

OURS = ("redis-jobs", "redis-cache", "generator", "trainer", "worker")


def serving(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def test_every_service_becomes_healthy_and_stops(tmp_path: Path) -> None:
    with LocalStack(apart=tmp_path) as stack:
        assert set(OURS) <= set(stack.names)
        assert serving(stack.address("generator"))
        assert serving(stack.address("trainer"))

        with client(f"redis://{stack.address('redis-jobs')}/0") as redis:
            jobs = redis.config_get()
        assert jobs.items() >= {
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("maxmemory-policy", "noeviction"),
        }
        with client(f"redis://{stack.address('redis-cache')}/0") as redis:
            cache = redis.config_get()
        assert cache.items() >= {
            ("maxmemory", str(256 << 20)),
            ("maxmemory-policy", "allkeys-lru"),
            ("save", ""),
        }

        table = stack.table()
        for name in stack.names:
            assert f"\n{name} " in table
            assert (tmp_path / "log" / f"{name}.log").exists()
        stack.check()
        pids = [stack.process(name).pid for name in stack.names]
    assert not [pid for pid in pids if alive(pid)]


def test_the_error_of_an_ended_service_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with LocalStack(apart=tmp_path, services=["redis-jobs", "redis-cache"]) as stack:
        os.kill(stack.process("redis-cache").pid, signal.SIGKILL)
        wait_for("the end of redis-cache", lambda: stack.process("redis-cache").exit_code() is not None)
        with pytest.raises(
            StackError,
            match=r"(?s)The last lines of .*redis-cache.log:\n.*\nredis-cache ended \(killed by SIGKILL\)$",
        ):
            stack.check()


def test_a_service_that_cannot_start_is_reported(tmp_path: Path) -> None:
    environment = {"CGN_CACHE_MAXMEMORY": "plenty"}
    stack = LocalStack(apart=tmp_path, services=["redis-cache"], environment=environment)
    with pytest.raises(StackError, match=r"(?s)maxmemory.*\nredis-cache ended \(exit code 1\)$"), stack:
        pass


def test_the_error_of_a_used_port_names_its_variable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = {"CGN_REDIS_JOBS_PORT": str(port)}
        stack = LocalStack(apart=tmp_path, services=["redis-jobs"], environment=environment)
        with (
            pytest.raises(StackError, match=f"^port {port} .*set CGN_REDIS_JOBS_PORT to another port$"),
            stack,
        ):
            pass


def test_an_unknown_service_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="gateway: no such service; the services are redis-jobs, "):
        LocalStack(apart=tmp_path, services=["gateway"])


def stack_command(folder: Path, *more: str) -> ModuleProcess:
    """`make up` for the two Redis services and `more`, in a separate folder."""
    arguments = ["--apart", str(folder), "redis-jobs", "redis-cache", *more]
    return ModuleProcess("deploy.local", *arguments, log=folder / "up.log", env={})


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_make_up_stops_everything_at_the_end(tmp_path: Path, end: signal.Signals) -> None:
    with stack_command(tmp_path) as command:
        command.wait_for_log("Ctrl-C stops everything")
        services = children(command.process.pid)
        assert len(services) == 2
        assert command.stop(end) == 0
        assert command.log().endswith("Stopped\n")
        assert "oO0OoO0OoO0Oo" in (tmp_path / "log/redis-jobs.log").read_text()
        assert "redis-jobs  |" not in command.log() and "overcommit" not in command.log()
    assert not [pid for pid in services if alive(pid)]


def answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def pongs(address: str) -> bool:
    with contextlib.suppress(RedisError), client(f"redis://{address}/0") as redis:
        return bool(redis.ping())
    return False


def kill_and_await_another(command: ModuleProcess, pid: int) -> int:
    """Kills a service of a running stack. Returns the pid of its replacement."""
    others = {*children(command.process.pid)} - {pid}
    os.kill(pid, signal.SIGKILL)
    return int(wait_for("another", lambda: {*children(command.process.pid)} - {pid} - others).pop())


def test_make_up_restarts_ended_services(tmp_path: Path) -> None:
    with stack_command(tmp_path, "worker") as command:
        command.wait_for_log("Ctrl-C stops everything")
        jobs, cache, worker = children(command.process.pid)
        table = dict(re.findall(r"^(redis-cache|worker) +(\S*127\S+)", command.log(), re.MULTILINE))
        new = [kill_and_await_another(command, pid) for pid in (cache, worker)]
        wait_for("redis-cache", lambda: pongs(table["redis-cache"]))
        wait_for("the worker", lambda: answers(table["worker"]))
        for name in ("redis-cache", "worker"):
            assert f"\n{name} ended (killed by SIGKILL); restarting it\n" in command.log()
        # The new worker's lines are shown too, and are for reading; the files keep the JSON.
        ready = re.compile(
            r"^worker      \| \d\d:\d\d:\d\d ready worker=\S+ threads=\d+ gpus=0 memory_mb=\d+$", re.MULTILINE
        )
        wait_for("its line", lambda: len(ready.findall(command.log())) == 2)
        assert (tmp_path / "log" / "worker.log").read_text().count('"message": "ready"') == 2
        assert sorted(children(command.process.pid)) == sorted([jobs, *new])
        assert command.stop(signal.SIGINT) == 0
    assert not [pid for pid in (jobs, *new) if alive(pid)]


def test_make_up_fails_if_a_service_keeps_ending(tmp_path: Path) -> None:
    with stack_command(tmp_path) as command:
        command.wait_for_log("Ctrl-C stops everything")
        pid, other = children(command.process.pid)
        for _ in range(3):
            pid = kill_and_await_another(command, pid)
        os.kill(pid, signal.SIGKILL)
        assert command.process.wait(30) == 1
        last = command.log().splitlines()[-1]
        assert last.startswith("error: redis-jobs ended (killed by SIGKILL), 4 times within 60 s; all ")
        assert "Queued jobs are kept" in last
    assert not alive(other)


def test_no_service_outlives_a_stack_that_was_killed(tmp_path: Path) -> None:
    with stack_command(tmp_path) as command:
        command.wait_for_log("Ctrl-C stops everything")
        services = children(command.process.pid)
        command.kill()
    wait_for("the services' end", lambda: not [pid for pid in services if alive(pid)])


STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_process_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    log = tmp_path / "stubborn.log"
    process = Process("stubborn", [sys.executable, "-c", STUBBORN], os.environ, REPO, log, stop_seconds=0.5)
    child = int(wait_for("its child", lambda: process.last_lines())[0])
    assert alive(child)
    process.stop()
    assert process.exit_code() == -signal.SIGKILL
    wait_for("the child's end", lambda: not alive(child))
