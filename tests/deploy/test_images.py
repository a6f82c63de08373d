"""Checks of the container images that need no container engine."""

import fnmatch
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPO = Path(__file__).resolve().parents[2]
# What each role's processes import, those that they start included.
MODULES = {
    "generator": ["services.generator.__main__", "services.probe"],
    "trainer": ["services.trainer.__main__", "services.probe"],
    "worker": [
        "trainer.worker.__main__",
        "trainer.worker.app",
        "trainer.mnist.train",
        "trainer.classifier.train",
        "trainer.reproduce.table2.cell",
    ],
}
IMPORT_WITHOUT = """
import importlib, sys

class Hider:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden}:
            raise ModuleNotFoundError(f"the image has no {{name}}", name=name)

sys.meta_path.insert(0, Hider())
for module in {modules}:
    importlib.import_module(module)
"""
OURS = {"cgn", "cgn_api", "common", "services", "trainer"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_by(dockerfile: str) -> set[str]:
    """Returns the distributions that the image's pip commands install, with dependencies."""
    commands = re.findall(r"pip install(.*?)(?:&&|\n\n|\nCOPY)", dockerfile.replace("\\\n", " "), re.DOTALL)
    asked = {word for command in commands for word in command.split() if re.fullmatch(r"[a-z][a-z-]+", word)}
    waiting, result = list(asked), set()
    while waiting:
        name = normal(waiting.pop())
        if name in result:
            continue
        result.add(name)
        try:
            needed = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # only on another platform
        for text in needed:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return result


@pytest.mark.parametrize("role", sorted(MODULES))
def test_an_image_has_what_its_role_imports(role: str) -> None:
    dockerfile = (REPO / "deploy" / "docker" / f"{role}.Dockerfile").read_text()
    installed = installed_by(dockerfile)
    owners = importlib.metadata.packages_distributions()
    hidden = {module for module, names in owners.items() if not installed & {normal(name) for name in names}}
    hidden |= OURS - set(re.findall(r"^COPY (\w+) ", dockerfile, re.MULTILINE))
    assert "pytest" in hidden
    program = IMPORT_WITHOUT.format(hidden=hidden, modules=MODULES[role])
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO, check=False, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("role", ["trainer", "worker"])
def test_an_image_has_the_scripts_of_the_jobs(role: str) -> None:
    dockerfile = (REPO / "deploy" / "docker" / f"{role}.Dockerfile").read_text()
    assert re.search(r"^COPY trainer trainer$", dockerfile, re.MULTILINE)
    lines = (REPO / ".dockerignore").read_text().splitlines()
    for script in (REPO / "trainer" / "jobs" / "lua").glob("*.lua"):
        path, ignored = script.relative_to(REPO), False
        for pattern in (line for line in lines if line and not line.startswith("#")):
            bare = pattern.removeprefix("!").removeprefix("**/")
            if any(fnmatch.fnmatch(str(part), bare) for part in (path, *path.parents)):
                ignored = not pattern.startswith("!")  # the last match decides
        assert not ignored, path


def test_the_trainer_needs_no_torch() -> None:
    program = "import services.trainer.__main__, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=REPO, check=False).returncode == 0
