"""Creates a token. Prints its entry for the tokens file to stdout, and the token, once, to stderr."""

import argparse
import secrets
import sys
from datetime import UTC, datetime, timedelta

from services.edge.caller import ROLES
from services.edge.callers import token_hash


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make token",
        usage='make token ARGS="name --role ROLE [--role ROLE] [--days DAYS]"',
        description=__doc__,
    )
    parser.add_argument("name", help="the caller's name")
    parser.add_argument(
        "--role",
        action="append",
        choices=ROLES,
        required=True,
        help="role of the caller; repeat the option for several roles",
    )
    parser.add_argument("--days", type=int, default=365, help="days until the token expires; default 365")
    args = parser.parse_args()
    token = f"cgn_{secrets.token_urlsafe(32)}"
    expires = (datetime.now(UTC) + timedelta(days=args.days)).date()
    roles = ", ".join(f'"{role}"' for role in dict.fromkeys(args.role))
    print(
        f'[[caller]]\nname = "{args.name}"\nroles = [{roles}]\n'
        f'token_sha256 = "{token_hash(token).hex()}"\nexpires = {expires}\n'
    )
    print(f"the token; store it now, it cannot be shown again: {token}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
