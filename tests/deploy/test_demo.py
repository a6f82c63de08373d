"""The demo, from the first process to the last picture."""

import re
from pathlib import Path

import pytest
from PIL import Image

from deploy import demo


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_demo_runs_and_writes_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    few = {"steps": 3, "batch_size": 8, "train_images": 200}  # what is trained is looked at elsewhere
    monkeypatch.setattr(demo, "TRAINING", demo.TRAINING | few)
    monkeypatch.setattr(demo, "OUTPUT", tmp_path / "out")
    status = demo.main()
    said = capsys.readouterr()
    assert status == 0, said.out + said.err
    pictures = {path.name: Image.open(path) for path in (tmp_path / "out").iterdir()}
    assert set(pictures) == {f"{name}.png" for name in (*demo.VARIANTS, "trained")}
    for picture in pictures.values():
        assert min(picture.size) >= 10 * 32  # ten classes across, ten rows down
        colours = picture.convert("RGB").getcolors(picture.width * picture.height)
        assert colours and len(colours) > 100
    assert re.search(r"serves the new model demo/job-\w+, without a restart", said.out)
    assert "steps 3" in said.out and "5. Metrics, from the pages that Prometheus reads" in said.out
