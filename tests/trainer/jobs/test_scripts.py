"""The Lua scripts: their headers, and the names that the linter knows."""

import re
from pathlib import Path

import pytest

from common.settings import REPO
from trainer.jobs.scripts import load

FOLDER = REPO / "trainer" / "jobs" / "lua"
SCRIPTS = sorted(path for path in FOLDER.glob("*.lua") if path.stem != "common")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_header_names_all_arguments_and_they_are_read_at_the_top(path: Path) -> None:
    text = path.read_text()
    header = re.match(r"(?:--.*\n)+", text)
    assert header
    assert "\n-- ARGV: " in header[0]
    assert "\n-- Returns " in header[0]
    code = text[header.end() :]
    assert all(line.startswith("local ") for line in code.splitlines() if re.search(r"ARGV\[\d", line))
    named = header[0].partition("ARGV:")[2]
    for number in re.findall(r"ARGV\[(\d+)\]", code):
        assert re.search(rf"\b{number} ", named), f"the header does not name ARGV {number}"


def test_the_linter_knows_no_name_that_is_not_in_front_of_a_script() -> None:
    known = set(re.findall(r'"([A-Za-z_]\w+)"', (REPO / ".luacheckrc").read_text())) - {"lua51"}
    front = load("read").removesuffix((FOLDER / "read.lua").read_text())
    defined = set(re.findall(r"^local (?:function )?(\w+)", front, re.MULTILINE))
    assert known - {"redis", "cjson", "KEYS", "ARGV"} <= defined
