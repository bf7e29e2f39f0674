"""`phiforge safety MODEL [--beside MODEL]`: refusal, over-refusal, stereotypes and planted secrets, with intervals."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from components.errors import StepError
from components.foreign.terminal import printable_text
from flows import processes, settings
from flows.models import find_model

PROG = "python -m flows.safety"
OUTPUT = "reports/safety.json"


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Measure the models and print the figures; returns the exit status."""
    arguments = parser(prog).parse_args(argv)
    root = settings.project_root()
    try:
        models = [find_model(name, root).resolve() for name in (*arguments.beside, arguments.model)]
    except StepError as error:
        print(f"error: {printable_text(str(error))}", file=sys.stderr)
        return 1
    words = ["--model", *map(str, models), "--output", str((arguments.output or root / OUTPUT).resolve())]
    words += ["--secrets", str(arguments.secrets.resolve())] if arguments.secrets else []
    words += [word for one in arguments.set for word in ("--set", one)]
    command = [sys.executable, "-m", "components.alignment", *words]
    return subprocess.run(command, cwd=root, env=os.environ | processes.CODE, check=False).returncode


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Measure how safe a model is: whether it prefers to refuse harmful and harmless questions, how far it follows "
        "stereotypes, and how much it gives away of planted secrets. The differences are from the first model of --beside.",
        epilog="docs/safety.md",
    )
    named = (
        "small, large, control, a checkpoint folder, models:/NAME/3, models:/NAME@ALIAS, or an alias such as champion"
    )
    made.add_argument("model", metavar="MODEL", help=f"model to measure: {named}")
    made.add_argument(
        "--beside", action="append", default=[], metavar="MODEL", help="a model to compare with; repeatable"
    )
    made.add_argument(
        "--secrets", type=Path, metavar="FILE", help="secrets that components.alignment.plant put into the corpus"
    )
    made.add_argument("--output", type=Path, metavar="FILE", help=f"file for the figures (default: {OUTPUT})")
    made.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a parameter; repeatable"
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
