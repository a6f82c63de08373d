"""The old path of `python -m cgn.imports.import_weights`; it works until the next release."""

import sys

from cgn.imports.import_weights import main

if __name__ == "__main__":
    command = "python -m cgn.imports.import_weights"
    print(f"note: `python -m cgn.import_weights` is now `{command}`", file=sys.stderr)
    sys.exit(main())
