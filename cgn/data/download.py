"""Downloads raw data into var/data: `python -m cgn.data.download` (or `make data`).

torchvision downloads and checks MNIST (12 MB) and the Describable Textures Dataset (600 MB, for research
use). Only the twenty images of Wildlife MNIST are kept. Complete parts are moved into place, so an
interrupted download does no harm.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from cgn.data.source import DOWNLOAD_DIR
from cgn.data.textures import DTD_BACKGROUND, DTD_OBJECT


def download(target: Path) -> None:
    """Downloads mnist/ and textures/ if `target` lacks them. Raises OSError or RuntimeError on failure."""
    # Imported here: nothing else in this package needs torchvision.
    from torchvision.datasets import DTD, MNIST  # type: ignore[import-untyped]

    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".partial-") as name:
        scratch = Path(name)
        if not (target / "mnist").is_dir():
            print("MNIST, 12 MB", flush=True)
            MNIST(scratch, download=True)
            keep_mnist(scratch / "MNIST" / "raw", target)
        if not (target / "textures").is_dir():
            print("Describable Textures Dataset, 600 MB", flush=True)
            DTD(scratch, download=True)
            keep_textures(scratch / "dtd" / "dtd" / "images", target)


def keep_mnist(raw: Path, target: Path) -> None:
    """Moves the four gzipped files of torchvision's download to target/mnist."""
    whole = raw.parent / "mnist"
    whole.mkdir()
    for file in raw.glob("*.gz"):
        file.rename(whole / file.name)
    whole.rename(target / "mnist")


def keep_textures(images: Path, target: Path) -> None:
    """Copies the twenty textures among DTD's images/<category>/<name>.jpg to target/textures."""
    whole = images.parent / "textures"
    for folder, category, names in (
        ("object", "striped", DTD_OBJECT),
        ("background", "veined", DTD_BACKGROUND),
    ):
        (whole / folder).mkdir(parents=True)
        for label, name in enumerate(names):
            shutil.copyfile(images / category / name, whole / folder / f"{label}_{name}")
    whole.rename(target / "textures")


def main() -> int:
    try:
        download(DOWNLOAD_DIR)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        print(
            f"error: the download failed ({reason}); check the network and disk and run it again, or set "
            "CGN_DATA_DIR to a folder that has the files",
            file=sys.stderr,
        )
        return 1
    print(f"MNIST and textures are in {DOWNLOAD_DIR}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
