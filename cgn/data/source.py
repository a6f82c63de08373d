"""Finds raw data: in CGN_DATA_DIR, else in the download of `make data`. Also the error for unusable data.

Both folders have the same layout:

    mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz
    textures/{object,background}/<class>_<name>.jpg      ten files each, class 0 to 9
"""

import os
from pathlib import Path

from cgn.errors import CgnInputError

CGN_DATA_DIR = "CGN_DATA_DIR"
DOWNLOAD = "download"

DOWNLOAD_DIR = Path(__file__).resolve().parents[2] / "var" / "data"


class DataError(CgnInputError):
    """A bad parameter or an unusable file."""


def find(folder: str) -> tuple[str, Path] | None:
    """Returns (source, path) of `folder`, "mnist" or "textures"; None if neither place has it.

    CGN_DATA_DIR is always used if it is set. A fallback would train on other data than the user chose.
    """
    configured = os.environ.get(CGN_DATA_DIR, "")
    if configured:
        path = Path(configured).expanduser() / folder
        if not path.is_dir():
            raise DataError(CGN_DATA_DIR, f"there is no folder {path}; {cure(CGN_DATA_DIR)}")
        return CGN_DATA_DIR, path
    path = DOWNLOAD_DIR / folder
    return (DOWNLOAD, path) if path.is_dir() else None


def unusable(source: str, path: Path, problem: str) -> DataError:
    """Returns the error for a missing or damaged file of `source`."""
    return DataError(source, f"{path} {problem}; {cure(source)}")


def cure(source: str) -> str:
    """Returns advice for unusable data of `source`."""
    if source == CGN_DATA_DIR:
        return "put the file there, or unset CGN_DATA_DIR to use downloaded or bundled data"
    return f"run `make data` again, or delete {DOWNLOAD_DIR} to use the bundled data"
