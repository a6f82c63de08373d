"""Aliases: moved as a whole, never back by one who was overtaken, and never lost by two writers at once."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from cgn.errors import CgnInputError
from cgn.store import aliases, versions
from cgn.store.aliases import AliasError, StaleToken
from cgn.store.versions import CheckpointError
from common.settings import REPO
from testing.random_model import publish_random
from tests.cgn.store.alias_writer import move_many


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for seed, version in enumerate(("v1", "v2", "v3")):
        publish_random(tmp_path, "tiny", version, seed=seed)
    return tmp_path


def test_an_alias_goes_where_it_is_moved(root: Path) -> None:
    assert aliases.read(root, "tiny") == {}
    aliases.move(root, "tiny", "stable", "v1")
    aliases.move(root, "tiny", "stable", "v2")
    assert aliases.read(root, "tiny") == {"stable": "v2"}
    aliases.move(root, "tiny", "stable", "")
    assert aliases.read(root, "tiny") == {}
    assert len(versions.all_versions(root)) == 3
    left = {path.name for path in (root / "tiny").iterdir()}
    assert left == {"v1", "v2", "v3", "aliases.json", ".aliases.lock"}


def test_an_overtaken_writer_is_refused(root: Path) -> None:
    aliases.move(root, "tiny", "stable", "v1", token=3)
    aliases.move(root, "tiny", "stable", "v2", token=7)
    with pytest.raises(StaleToken, match="3 is overtaken: tiny's stable was moved with 7"):
        aliases.move(root, "tiny", "stable", "v1", token=3)
    assert aliases.read(root, "tiny") == {"stable": "v2"}
    aliases.move(root, "tiny", "stable", "v1")  # a person may, and the token is kept
    with pytest.raises(StaleToken):
        aliases.move(root, "tiny", "stable", "v3", token=6)
    aliases.move(root, "tiny", "stable", "v3", token=7)
    assert aliases.read(root, "tiny") == {"stable": "v3"}


def test_of_writers_at_once_the_highest_token_wins(root: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=move_many, args=(root, first)) for first in (1, 2, 3, 4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert aliases.read(root, "tiny") == {"stable": f"v{1 + 99 % 3}"}
    with pytest.raises(StaleToken, match="moved with 99"):
        aliases.move(root, "tiny", "stable", "v1", token=98)


def test_what_cannot_be_is_refused_and_nothing_moves(root: Path) -> None:
    aliases.move(root, "tiny", "stable", "v1")
    for alias, version, token, error, says in (
        ("latest", "v1", None, CgnInputError, "alias: 'latest' cannot be moved"),
        ("best", "v1", None, CgnInputError, "no such alias.*use stable"),
        ("stable", "v9", None, AliasError, "there is no model"),
        ("stable", "../v1", None, CgnInputError, "version"),
        ("stable", "stable", None, CgnInputError, "is an alias"),
        ("stable", "v2", 0, CgnInputError, "token: 0 must be an integer, 1 or more"),
    ):
        with pytest.raises(error, match=says):
            aliases.move(root, "tiny", alias, version, token)
    with pytest.raises(AliasError, match="no model at .*other"):
        aliases.move(root, "other", "stable", "")
    assert aliases.read(root, "tiny") == {"stable": "v1"}


@pytest.mark.parametrize("text", ["{", "[]", '{"stable": 3}', '{"stable": {"version": "../x"}}', "\xff"])
def test_a_damaged_file_is_named(root: Path, text: str) -> None:
    (root / "tiny" / "aliases.json").write_bytes(text.encode("latin1"))
    with pytest.raises(AliasError, match="aliases.json is damaged.*remove it"):
        aliases.read(root, "tiny")


def test_no_torch_is_needed() -> None:
    code = "import sys, cgn.store.aliases; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_no_version_may_be_called_like_an_alias(root: Path) -> None:
    with pytest.raises(CgnInputError, match="'stable' is an alias"):
        publish_random(root, "tiny", "stable")


def test_a_deleted_version_is_gone_and_the_others_are_not(root: Path) -> None:
    versions.delete(root, "tiny", "v2")
    assert sorted(versions.all_versions(root)) == [("tiny", "v1"), ("tiny", "v3")]
    assert {path.name for path in (root / "tiny").iterdir()} == {"v1", "v3"}
    for name, version in (("tiny", "v2"), ("other", "v1")):
        with pytest.raises(CheckpointError, match="there is no model"):
            versions.delete(root, name, version)
