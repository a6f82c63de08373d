"""GPUs as slots of a machine. The tests need no GPU."""

import subprocess
import sys
from pathlib import Path

from trainer.worker.gpus import free_slots, offered


def test_a_slot_has_one_holder_and_is_free_afterwards(tmp_path: Path) -> None:
    devices = offered(4, None)
    with free_slots(devices, tmp_path) as first:
        assert first.devices == ["0", "1", "2", "3"]
        with free_slots(devices, tmp_path) as second:
            assert second.devices == []
        first.keep(1)
        with free_slots(devices, tmp_path) as second:
            assert second.devices == ["1", "2", "3"]
    with free_slots(devices, tmp_path) as again:
        assert again.devices == devices


def test_a_process_that_inherits_a_slot_holds_it_to_its_end(tmp_path: Path) -> None:
    with free_slots(["0"], tmp_path) as slots:
        run = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=slots.locks)
    with free_slots(["0"], tmp_path) as none_free:
        assert none_free.devices == []
    run.kill()
    run.communicate()
    with free_slots(["0"], tmp_path) as free:
        assert free.devices == ["0"]


def test_a_worker_offers_only_visible_gpus() -> None:
    assert offered(2, "4,GPU-5, 6") == ["4", "GPU-5"]
    assert offered(4, "4,5") == ["4", "5"]
    assert offered(2, "") == []
    assert offered(0, None) == []
