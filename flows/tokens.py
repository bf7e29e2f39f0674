"""Tokens: credentials of one person or machine that can be revoked, `phiforge token create|list|revoke`.

A token is a name, a role and a secret. Only the secret's hash is kept, in `.phiforge/tokens.json`; the servers read the file
again when it changes, so a revoked token is refused from the next request on.
"""

import argparse
import hashlib
import hmac
import json
import os
import re
import secrets
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import read_json, write_private
from components.running.locks import exclusive
from flows import settings
from flows.access import BEHIND_PROXY, OPERATOR, READER, WORKER, Team

PROG = "python -m flows.tokens"
ROLES = {
    OPERATOR: "everything",
    READER: "view the panel",
    WORKER: "Prefect and MLflow, not the panel",
}
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Tokens:
    """The tokens of a project, as its servers read them."""

    def __init__(self, root: Path) -> None:
        self.file = settings.state_folder(root) / "tokens.json"
        self._state: tuple[int, int, int] | None = None
        self._rows: dict[str, Any] = {}

    def rows(self) -> Mapping[str, Any]:
        """Name to role, hash and time of creation."""
        try:
            stat = self.file.stat()
        except FileNotFoundError:
            return {}
        state = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if state != self._state:
            self._rows = read_json(self.file, "", "restore it from a backup, or remove it and create the tokens again")
            self._state = state
        return self._rows

    def role(self, name: str, secret: str) -> str:
        """The role of a token; empty if there is no such token or the secret is another."""
        row = self.rows().get(name, {})
        return row["role"] if hmac.compare_digest(row.get("sha256", ""), _hash(secret)) else ""

    def create(self, name: str, role: str) -> str:
        """Add a token; returns its secret, which is kept nowhere.

        Raises:
            StepError: the name is taken or cannot be one.
        """
        if not NAME.fullmatch(name) or name in ROLES:
            raise StepError(
                f"{name!r}: expected a name of small letters, digits, dots and hyphens other than {', '.join(ROLES)}; choose "
                "another"
            )
        secret = secrets.token_urlsafe(24)
        with exclusive(self.file.with_suffix(".lock")):
            rows = dict(self.rows())
            if name in rows:
                raise StepError(f"{name!r}: this token exists; choose another name, or revoke it first")
            made = datetime.now(UTC).isoformat(timespec="seconds")
            self._write(rows | {name: {"role": role, "sha256": _hash(secret), "made": made}})
        return secret

    def revoke(self, name: str) -> None:
        """Remove a token.

        Raises:
            StepError: there is no such token.
        """
        with exclusive(self.file.with_suffix(".lock")):
            rows = dict(self.rows())
            if name not in rows:
                known = ", ".join(rows) or "none"
                raise StepError(f"{name!r}: no such token; expected one of: {known}")
            del rows[name]
            self._write(rows)

    def _write(self, rows: Mapping[str, Any]) -> None:
        write_private(self.file, json.dumps(rows, indent=1) + "\n")


def team() -> Team:
    """Who may use the servers of the project besides the operator, and the audit log."""
    from flows import audit_log  # which reads the acts as the panel does, by `flows.client`

    root = settings.project_root()
    return Team(Tokens(root), partial(audit_log.record, root), bool(os.environ.get(BEHIND_PROXY)))


def _hash(secret: str) -> str:
    """A plain hash is enough, since nobody can try 192 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Run a command about tokens; returns the exit status."""
    arguments = parser(prog).parse_args(argv)
    tokens = Tokens(settings.project_root())
    try:
        if arguments.command == "create":
            secret = tokens.create(arguments.name, arguments.role)
            print(f"{arguments.name}:{secret}")
            print(
                "This is shown once. Log in with this name and secret, or set PHIFORGE_AUTH to the line.",
                file=sys.stderr,
            )
        elif arguments.command == "revoke":
            tokens.revoke(arguments.name)
            print(f"{arguments.name}: revoked")
        else:
            for name, row in tokens.rows().items():
                print(f"{name:<24} {row['role']:<9} {row['made']}")
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog=prog, description="Credentials of persons and machines, which can be revoked.")
    commands = made.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="create a token and print it once")
    create.add_argument("name", help="whose it is; the audit log has this name")
    roles = "; ".join(f"{role}: {may}" for role, may in ROLES.items())
    create.add_argument("--role", choices=tuple(ROLES), default=OPERATOR, help=f"{roles} (default: %(default)s)")
    commands.add_parser("list", help="list the tokens, without their secrets")
    commands.add_parser("revoke", help="refuse a token from now on").add_argument("name", help="name of the token")
    return made


if __name__ == "__main__":
    sys.exit(main())
