"""The README's first picture shows the accuracies of the committed table."""

import json

from PIL import Image

from common.settings import REPO
from deploy import overview_picture

PICTURE = REPO / "docs" / "images" / overview_picture.NAME


def test_the_picture_of_the_readme_has_the_numbers_of_the_table() -> None:
    table = json.loads(overview_picture.TABLE.read_text(encoding="utf-8"))
    expected = overview_picture.as_text(overview_picture.accuracies(table))
    with Image.open(PICTURE) as picture:
        assert picture.info[overview_picture.ACCURACIES] == expected, "run `make pictures`"
    assert f"](docs/images/{overview_picture.NAME})" in (REPO / "README.md").read_text(encoding="utf-8")
