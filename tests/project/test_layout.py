"""Rules of the layout: which package may import which, sizes of files and folders, what is generated."""

import ast
import graphlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PRODUCT = {"cgn", "cgn_api", "cgn_client", "common", "deploy", "services", "trainer"}
PACKAGES = PRODUCT | {"benchmarks", "testing", "tests"}
# What each package may import besides itself.
MAY_IMPORT = {
    "cgn": set(),
    "cgn_api": set(),
    "cgn_client": {"cgn_api"},
    "common": set(),
    "trainer": {"cgn", "common"},
    # A run needs no service: neither jobs nor a subject may be imported by what all runs share.
    "trainer/run": {"cgn", "common"},
    "services": {"cgn", "cgn_api", "common", "trainer.jobs", "trainer.kinds", "trainer.run"},
    "services/edge": {"common", "services.errors", "services.in_flight"},
    "deploy": PRODUCT,
    "testing": PRODUCT,
    "benchmarks": PRODUCT | {"testing"},
}
LONGEST_FILE = 400  # lines
LARGEST_FOLDER = 20  # files


def python_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imported_modules(path: Path) -> set[str]:
    """Absolute names of the modules that a file imports, wherever in it."""
    package = path.relative_to(REPO).with_suffix("").parts[:-1]
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            names.add(".".join([*base, *([node.module] if node.module else [])]))
    return names


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_point_one_way(package: str) -> None:
    allowed = {package.replace("/", ".")} | MAY_IMPORT[package]
    wrong = [
        f"{path.relative_to(REPO)} imports {name}"
        for path in python_files(REPO / package)
        for name in sorted(imported_modules(path))
        if name.split(".")[0] in PACKAGES
        and not any(name == good or name.startswith(f"{good}.") for good in allowed)
    ]
    assert not wrong


def test_no_handwritten_file_is_too_long() -> None:
    lengths = {
        str(path.relative_to(REPO)): len(path.read_text().splitlines())
        for package in PACKAGES - {"cgn_api"}
        for path in python_files(REPO / package)
    }
    assert lengths
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_no_folder_has_too_many_files() -> None:
    sizes = Counter(
        str(path.parent.relative_to(REPO))
        for package in PACKAGES - {"cgn_api"}
        for path in python_files(REPO / package)
    )
    assert sizes
    assert {folder: files for folder, files in sizes.items() if files > LARGEST_FOLDER} == {}


def imported_names(path: Path) -> set[str]:
    """Absolute names of everything that a file imports: modules, and what it takes from them."""
    names = imported_modules(path)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")


def room_imports() -> dict[str, set[str]]:
    """Which room imports which. A room is a folder, or a module of a folder that has sub-folders."""
    paths = {path for package in PACKAGES - {"cgn_api", "tests"} for path in python_files(REPO / package)}
    with_subfolders = {path.parent.parent for path in paths}
    room_of = {
        module_name(path): module_name(path if path.parent in with_subfolders else path.parent)
        for path in paths
    }
    imports: dict[str, set[str]] = {room: set() for room in room_of.values()}
    for path in paths:
        room = room_of[module_name(path)]
        imports[room] |= {room_of[name] for name in imported_names(path) if name in room_of} - {room}
    return imports


def test_no_rooms_import_each_other_in_a_circle() -> None:
    imports = room_imports()
    assert "trainer.run" in imports and "cgn.model" in imports
    try:
        list(graphlib.TopologicalSorter(imports).static_order())
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_generated_code_is_what_the_protos_give(tmp_path: Path) -> None:
    protos = sorted((REPO / "protos").rglob("*.proto"))
    outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={REPO / 'protos'}", *outputs]
    subprocess.run([*command, *map(str, protos)], check=True)
    fresh = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.py*")}
    assert fresh
    stale = [str(name) for name, text in fresh.items() if (REPO / name).read_text() != text]
    assert not stale, "run `make protos`"
