"""`python -m flows.champion`: which version is the champion and how it became that; `promote` and `rollback` by hand."""

import argparse
import sys
from pathlib import Path

from components.errors import StepError
from components.params import PARAMS_FILE, load_params
from components.terminal import printable_text
from flows import settings
from flows.client.registry import Registry
from flows.promotion import describe, promote_by_hand, roll_back, standing


def main(argv: list[str] | None = None) -> int:
    """Show or change the champion; returns the exit status."""
    arguments = _parser().parse_args(argv)
    root = settings.project_root()
    settings.configure(root)
    try:
        name = load_params(root / PARAMS_FILE).reporting.registered_model
        print(printable_text(_done(arguments, root, name)))  # reasons are tags of MLflow, which others may write
    except StepError as error:
        print(f"error: {printable_text(str(error))}", file=sys.stderr)
        return 1
    return 0


def _done(arguments: argparse.Namespace, root: Path, name: str) -> str:
    if arguments.command == "promote":
        return promote_by_hand(root, name, arguments.version, arguments.reason, print)
    if arguments.command == "rollback":
        return roll_back(root, name, arguments.reason, print)
    state = Registry(settings.mlflow_uri(root)).state(name)
    return "\n".join([*map(describe, state.decisions), standing(name, state)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m flows.champion", description="Which version of the registered model is the champion, and why."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("history", help="every decision, oldest first, and the champion (the default)")
    promote = commands.add_parser("promote", help="make a version the champion")
    promote.add_argument("version", metavar="VERSION", help="number of the version, as MLflow shows it")
    rollback = commands.add_parser("rollback", help="make the version before the present champion the champion again")
    for command in (promote, rollback):
        command.add_argument("--reason", required=True, metavar="TEXT", help="why; recorded with the decision")
    return parser


if __name__ == "__main__":
    sys.exit(main())
