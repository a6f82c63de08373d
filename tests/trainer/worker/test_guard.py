"""No process of a run is left behind, however the run or its worker ends."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from common.settings import REPO
from testing.processes import alive, wait_for
from trainer.worker import guard
from trainer.worker.child import Child

# Prints the pid of a process that left its group, lost its parent and ignores SIGTERM.
ORPHAN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(600)
"""
PARENT = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {ORPHAN!r}], start_new_session=True)
"""
FAMILY = f"""
import subprocess, sys, time
parent = subprocess.Popen([sys.executable, "-c", {PARENT!r}], stdout=subprocess.PIPE, text=True)
print(parent.stdout.readline(), flush=True)
parent.wait()
"""


def python(code: str, memory_mb: int = 0) -> Child:
    return Child(["-c", code], REPO, os.environ, memory_mb)


def first_line(child: Child) -> str:
    line: str = wait_for("a line", lambda: child.lines(0.1))[0].text
    return line


def code_of(child: Child) -> int:
    wait_for("the run to end", lambda: child.exit_code() is not None)
    child.finish()
    code = child.exit_code()
    assert code is not None
    return code


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemExit(3)", 3),
        ("pass", 0),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("import os; os.abort()", -signal.SIGABRT),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
    ],
)
def test_a_run_ends_as_its_process_did(code: str, expected: int) -> None:
    assert code_of(python(code)) == expected


def test_all_processes_of_a_run_end_with_it() -> None:
    child = python(FAMILY)
    orphan = int(first_line(child))
    assert code_of(child) == 0
    assert not alive(orphan)


def test_a_killed_run_leaves_nothing_behind() -> None:
    child = python(FAMILY + "time.sleep(600)")
    orphan = int(first_line(child))
    child.kill()
    assert code_of(child) == -signal.SIGKILL
    assert not alive(orphan)


def test_a_stopped_run_gets_the_signal_and_chooses_its_exit_code() -> None:
    hears = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))"
    child = python(f"{hears}; print(1, flush=True); time.sleep(600)")
    first_line(child)
    child.stop()
    assert code_of(child) == 3


def test_all_processes_of_a_run_end_with_a_killed_worker(tmp_path: Path) -> None:
    starter = f"""
import os, sys, time
sys.path.insert(0, {str(REPO)!r})
from pathlib import Path
from trainer.worker.child import Child
child = Child(["-c", {FAMILY + "time.sleep(600)"!r}], Path({str(tmp_path)!r}), os.environ)
print(child.pid, flush=True)
while True:
    for line in child.lines(0.1):
        print(line.text, flush=True)
"""
    worker = subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True)
    assert worker.stdout
    pids = [int(worker.stdout.readline()) for _ in range(2)]  # of the guard, of the orphan
    worker.kill()
    worker.wait()
    wait_for("the run to end", lambda: not any(map(alive, pids)))
    worker.stdout.close()


def test_a_run_ends_with_its_killed_guard() -> None:
    child = python("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    run = int(first_line(child))
    os.kill(child.pid, signal.SIGKILL)
    assert code_of(child) == -signal.SIGKILL
    wait_for("the run to end", lambda: not alive(run))


def test_a_run_above_its_memory_limit_is_killed() -> None:
    greedy = "import time; block = bytearray(b'x') * (200 << 20); time.sleep(600)"
    assert code_of(python(greedy, memory_mb=100)) == guard.OVER_MEMORY
    assert code_of(python("block = bytearray(b'x') * (20 << 20)", memory_mb=100)) == 0


def test_descriptors_of_a_run_are_closed_at_its_end() -> None:
    end, held = os.pipe()
    child = Child(["-c", "import time; time.sleep(600)"], REPO, os.environ, held=[held])
    os.close(held)
    closed = threading.Event()

    def read() -> None:
        os.read(end, 1)  # returns when no process has the other end open
        closed.set()

    threading.Thread(target=read, daemon=True).start()
    assert not closed.wait(0.5)
    child.kill()
    code_of(child)
    assert closed.wait(30)
    os.close(end)
