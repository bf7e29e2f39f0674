"""Shows the champion and every decision about it; promotes and rolls back by hand.

`phiforge champion`, `phiforge promote VERSION --reason TEXT` and `phiforge rollback --reason TEXT`, or
`python -m flows.champion [promote | rollback] ...`.
"""

import argparse
import sys
from pathlib import Path

from components.errors import StepError
from components.foreign.terminal import printable_text
from components.params import PARAMS_FILE, load_params
from flows import settings
from flows.client.registry import Registry
from flows.promotion import describe, promote_by_hand, roll_back, standing

PROG = "python -m flows.champion"
COMMANDS = {
    "history": "show every decision, oldest first, and the champion (the default)",
    "promote": "make a version of the registered model the champion",
    "rollback": "restore the previous champion",
}


def main(argv: list[str] | None = None, prog: str = PROG, command: str = "") -> int:
    """Show or change the champion; returns the exit status. Options as of `parser`."""
    arguments = parser(prog, command).parse_args(argv)
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


def parser(prog: str = PROG, command: str = "") -> argparse.ArgumentParser:
    """The command line.

    Args:
        command: one of COMMANDS, of which the parser then has only the options. If empty, the first word names it.
    """
    if command:
        made = argparse.ArgumentParser(prog=prog, description=_sentence(COMMANDS[command]))
        made.set_defaults(command=command)
        _add_arguments(made, command)
        return made
    made = argparse.ArgumentParser(
        prog=prog, description="Show which version of the registered model is the champion, and why; or change it."
    )
    commands = made.add_subparsers(dest="command", metavar="COMMAND")
    for name, words in COMMANDS.items():
        _add_arguments(commands.add_parser(name, help=words, description=_sentence(words)), name)
    return made


def _add_arguments(parser: argparse.ArgumentParser, command: str) -> None:
    if command == "promote":
        parser.add_argument("version", metavar="VERSION", help="number of the version, as MLflow shows it")
    if command in {"promote", "rollback"}:
        parser.add_argument("--reason", required=True, metavar="TEXT", help="reason, recorded with the decision")


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


if __name__ == "__main__":
    sys.exit(main())
