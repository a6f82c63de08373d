"""Words of the code: names that say what a value is, and sentences that can be read once."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.settings import REPO

PACKAGES = ("benchmarks", "cgn", "cgn_client", "common", "deploy", "services", "testing", "tests", "trainer")
# Verbs that say how a value came about. A noun says what the value is.
NO_NAMES = {"found", "given", "kept", "made", "told", "wanted"}
MOST_WORDS = 35  # in a sentence


def names_of_values(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Names that the code assigns, and those of parameters, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno


def texts(source: str) -> Iterator[str]:
    """Docstrings, and comments that have lines of their own."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
    block: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or token.line[: token.start[1]].strip():
            continue
        if token.start[0] != last + 1:
            yield "\n".join(block)
            block = []
        block.append(token.string.removeprefix("#").strip())
        last = token.start[0]
    yield "\n".join(block)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text. Code counts as one word; an item of a list is a text of its own."""
    text = re.sub(r"`+[^`]*`+", "CODE", text)
    for part in re.split(r"\n\s*\n|\n(?=\s*[-*] )|\n(?=\s*[\w, .*|/-]{1,60}: )|\n(?=\s{2,}\w+ {2,})", text):
        yield from re.split(r"(?<=[.!?:;])\s+", " ".join(part.split()))


@pytest.mark.parametrize("package", PACKAGES)
def test_values_have_nouns_as_names_and_sentences_are_short(package: str) -> None:
    files = sorted(path for path in (REPO / package).rglob("*.py") if "__pycache__" not in path.parts)
    assert files
    faults = [fault for path in files for fault in faults_of(path)]
    assert not faults, "\n".join(faults)


def faults_of(path: Path) -> list[str]:
    source, name = path.read_text(encoding="utf-8"), path.relative_to(REPO)
    faults = [
        f"{name}:{line}: {value} is no noun"
        for value, line in names_of_values(ast.parse(source))
        if value in NO_NAMES
    ]
    for text in texts(source):
        long = [sentence for sentence in sentences(text) if len(sentence.split()) > MOST_WORDS]
        faults += [f"{name}: {len(sentence.split())} words: {sentence}" for sentence in long]
    return faults


def test_a_fault_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.project.test_words.REPO", tmp_path)
    (tmp_path / "file.py").write_text(
        f'"""{"word " * MOST_WORDS}end."""\n\ntold = 1\n# Short. {"word " * 35}end.\n'
    )
    faults = faults_of(tmp_path / "file.py")
    assert [fault.split(" ")[1] for fault in faults] == ["told", "36", "36"]
