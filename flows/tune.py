"""`phiforge tune [FILE ...]`: fine-tune a model of the pipeline, and see what that changes.

One run of the stages of studies/tuning/dvc.yaml, in its own workspace if there are options; what the pipeline has trained is
not trained again. Options with several values are a sweep: one run per combination, and a table of all.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.table import Table

from components.errors import StepError
from components.files import read_json
from components.foreign.terminal import printable_text
from components.params.tuning import TuningParams
from components.results.power import difference_words
from flows import run
from flows.definitions import TUNING
from flows.screen import Screen

PROG = "python -m flows.tune"
OPTIONS = (
    "model",
    "method",
    "objective",
    "rank",
    "learning_rate",
    "epochs",
    "template",
)  # parameters of their own name


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Run the study with the options of `parser`, once per combination of their values; returns the exit status."""
    arguments = parser(prog).parse_args(argv)
    found: dict[str, dict[str, Any]] = {}
    try:
        for name, words in combinations(arguments).items():
            screen = Screen()
            if status := run.main(words, prog, TUNING.flow, screen=screen):
                return status
            found[name] = read_json(screen.place / TUNING.numbers, "expected the result of the run")
    except StepError as error:
        print(f"error: {printable_text(str(error))}", file=sys.stderr)
        return 1
    if len(found) > 1:
        show(found)
    return 0


def combinations(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """The words of each run by its name, which has the options with several values.

    Raises:
        StepError: a file is not there.
    """
    common = [f"--set={one}" for one in arguments.set] + (["--profile", arguments.profile] if arguments.profile else [])
    if arguments.files:
        if missing := [file for file in arguments.files if not file.is_file()]:
            raise StepError(f"{missing[0]} is not a file; expected a JSONL file; correct the path")
        common.append(f"--set=tuning.data={json.dumps([str(file.resolve()) for file in arguments.files])}")
    given = {name: values for name in OPTIONS if (values := getattr(arguments, name))}
    runs = {}
    for values in itertools.product(*given.values()):
        chosen = dict(zip(given, values, strict=True))
        name = ", ".join(f"{option} {value}" for option, value in chosen.items() if len(given[option]) > 1)
        runs[name] = [f"--set=tuning.{option}={value}" for option, value in chosen.items()] + common
    return runs


def show(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the runs of a sweep beside one another, the best on the exam first."""
    table = Table(
        title="After minus before, with 95% intervals. The best of several is partly luck: choose on other questions."
    )
    for column in ("run", "exam", "held-out wordings", "held-out text (bits per byte)"):
        table.add_column(column)
    for name, row in sorted(found.items(), key=lambda item: -item[1]["exam"]["value"]):
        cells = [(row["exam"], 3), (row["reworded"], 3), (row["bits_per_byte"], 4)]
        table.add_row(name, *(difference_words(cell, digits) for cell, digits in cells))
    Console().print(table)


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Fine-tune a model of the pipeline on answers or preferences, and compare it with what it was: exam, held-out "
        "wordings, held-out text.",
        epilog="docs/tuning.md",
    )
    made.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="JSONL with messages, prompt and completion, or prompt, chosen and rejected (default: the verified exercises)",
    )
    for name in OPTIONS:
        field = TuningParams.model_fields[name]
        choices = [value for value in get_args(field.annotation) if isinstance(value, str)]
        made.add_argument(
            f"--{name.replace('_', '-')}",
            nargs="+",
            choices=choices or None,
            metavar=None if choices else "VALUE",
            help=f"{field.description} (default: tuning.{name}); several values: one run each, then a table",
        )
    made.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a parameter; repeatable"
    )
    made.add_argument("--profile", metavar="NAME", help="apply profiles/NAME.yaml")
    return made


if __name__ == "__main__":
    sys.exit(main())
