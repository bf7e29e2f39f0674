"""`phiforge completion bash` or `zsh`: the script that completes every command and option in a shell.

The script is made from the parsers of all commands and names no file of this machine, so it can be made once and kept.
"""

import argparse
import sys

import shtab

from flows.step import steps

SHELLS = ("bash", "zsh")
PROG = "python -m flows.completion"


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Print the script; returns the exit status."""
    print(shtab.complete(tree(), parser(prog).parse_args(argv).shell))
    return 0


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Print the script that completes commands and options in a shell.",
        epilog="bash: phiforge completion bash > ~/.local/share/bash-completion/completions/phiforge. "
        "zsh: phiforge completion zsh > _phiforge, in a folder of $fpath. Open a new shell afterwards.",
    )
    made.add_argument("shell", choices=SHELLS, help="shell for which to print the script")
    return made


def tree() -> argparse.ArgumentParser:
    """The parser of all commands, with each command's parser below it."""
    from flows.command import COMMANDS, NAME

    whole = argparse.ArgumentParser(prog=NAME)
    commands = whole.add_subparsers()
    for name, entry in COMMANDS.items():
        own = entry.load().parser(prog=f"{NAME} {name}", **entry.options)
        for action in own._actions:
            if action.dest in {"texts", "model"}:
                action.complete = shtab.FILE  # shtab looks for this attribute
            elif action.dest == "name":
                action.choices = tuple(steps())
        commands.add_parser(name, help=entry.help, parents=[own], add_help=False)
    return whole


if __name__ == "__main__":
    sys.exit(main())
