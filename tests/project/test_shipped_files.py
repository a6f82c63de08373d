"""What of the models folder belongs to the repository, and to the images."""

import re
import subprocess

from common.settings import REPO
from tests.shipped import SHIPPED


def kept(file: str) -> set[str]:
    """The model versions that an ignore file makes an exception of."""
    return set(re.findall(r"^!/?models/(\w+/\w+)/?$", (REPO / file).read_text(), re.MULTILINE))


def test_images_hold_the_models_of_the_repository() -> None:
    listed = subprocess.check_output(["git", "ls-files", "models"], cwd=REPO, text=True).split()
    versions = {"/".join(path.split("/")[1:3]) for path in listed}
    assert versions == {f"{name}/{version}" for name, version in SHIPPED.items()}
    assert kept(".gitignore") == kept(".dockerignore") == versions
