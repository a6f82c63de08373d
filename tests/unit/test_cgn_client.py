"""The client stands alone: it imports neither torch nor the services."""

import subprocess
import sys
from pathlib import Path


def test_client_imports_nothing_heavy() -> None:
    code = (
        "import cgn_client, sys\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(*sorted(loaded & {'torch', 'cgn', 'services', 'trainer', 'common', 'redis', 'PIL'}))"
    )
    repo = Path(__file__).resolve().parents[2]
    ran = subprocess.run([sys.executable, "-c", code], cwd=repo, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
