"""docs/settings.md is current, and no environment variable is missing from it."""

import re

from common.settings import REPO
from deploy.settings_page import PAGE, page

PRODUCT = ("cgn", "cgn_client", "common", "deploy", "services", "trainer")
NOT_VARIABLES = {"CGN_FILE"}  # a Python constant of trainer.reproduce


def test_the_committed_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"


def test_every_variable_has_a_row() -> None:
    files = [path for package in PRODUCT for path in (REPO / package).rglob("*.py")]
    texts = [path.read_text() for path in (*files, REPO / "docker-compose.yml", REPO / "Makefile")]
    names = {name for text in texts for name in re.findall(r"\bCGN_[A-Z0-9_]*[A-Z0-9]\b", text)}
    rows = re.findall(r"^\| `(CGN_\w+)` \| (.*) \| (.*) \| (.*) \| (.*) \|$", page(), re.MULTILINE)
    assert {name for name, *_ in rows} == names - NOT_VARIABLES
    assert all(all(cell.strip() for cell in row) for row in rows)
    assert len({name for name, *_ in rows}) == len(rows)
