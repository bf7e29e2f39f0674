"""`phiforge without --source NAME | --family NAME | ...`: retrain without some documents, and see what that changes.

One run of the study of counterfactuals (studies/without/dvc.yaml) in its own workspace: models that have read everything, and
models without the documents, with the same seeds. What was trained before is not trained again.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from components.documents import metadata_of, read_batches
from components.errors import StepError
from components.exclusions import FIELDS, Exclusion, item_of, parse
from components.foreign.terminal import printable_text
from components.params import EVERYTHING
from flows import run, settings
from flows.definitions import WITHOUT

PROG = "python -m flows.without"
SHORTEST = 8  # minimum digits that identify a document
SETS = ("data/raw", "data/curated")  # where documents are looked for by id
HELP = {
    "document": "a document by its id, or the first eight digits or more of it, with all parts of its text",
    "source": "a source (a file, address or dotted name, as documents have it), with everything inside it, or one of ingestion.sources",
    "license": "all documents under a licence (SPDX identifier)",
    "kind": "a kind of text: web, prose, code, textbook or exercise",
    "family": "a family of exercises, such as planets",
}


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Run the study with the options of `parser`; returns the exit status."""
    arguments = parser(prog).parse_args(argv)
    try:
        rules = given_rules(arguments, settings.project_root())
        words = overrides(rules, arguments)
    except (StepError, ValueError) as error:
        print(f"error: {printable_text(str(error))}", file=sys.stderr)
        return 1
    return run.main(words, prog, WITHOUT.flow)


def overrides(rules: list[Exclusion], arguments: argparse.Namespace) -> list[str]:
    """The words for the run of the study.

    Raises:
        ValueError: no documents are named, or they make too long a name.
    """
    groups = [[rule] for rule in rules] if arguments.each else [rules] if rules else []
    if not groups and not arguments.profile and not any(one.startswith("without.items=") for one in arguments.set):
        raise ValueError(
            f"nothing is to be left out; expected {', '.join(f'--{name}' for name in FIELDS)}, or --profile without"
        )
    sets: dict[str, Any] = {"without.items": [EVERYTHING, *map(item_of, groups)]} if groups else {}
    sets |= {"without.seeds": arguments.seeds} if arguments.seeds else {}
    sets |= {"without.large": True} if arguments.both else {}
    words = [f"--set={name}={json.dumps(value)}" for name, value in sets.items()]
    words += [f"--set={one}" for one in arguments.set]
    return words + (["--profile", arguments.profile] if arguments.profile else [])


def given_rules(arguments: argparse.Namespace, root: Path) -> list[Exclusion]:
    """The documents that the command line names, with whole ids.

    Raises:
        StepError: an id is unknown, or that of several documents.
        ValueError: a rule is refused.
    """
    return [
        Exclusion(name, whole_id(root, value)) if name == "document" else parse(f"{name}={value}")
        for name in FIELDS
        for value in getattr(arguments, name, None) or ()
    ]


def whole_id(root: Path, digits: str) -> str:
    """The id by which ingestion knows a document, from the digits of its raw or curated id.

    For a part of a long text, it is that of the whole text.

    Raises:
        StepError: no document or several have such an id.
    """
    if len(digits) < SHORTEST:
        raise StepError(f"--document {digits}: {len(digits)} digits; expected at least {SHORTEST}: give more of the id")
    found = set()
    for name, metadata in _rows(root, SETS):
        own = metadata_of(metadata, name) if name.startswith(digits) or digits in metadata else {}
        part = own.get("part_of")
        whole = part["document"] if isinstance(part, dict) and "document" in part else own.get("raw_id", name)
        if (
            name.startswith(digits)
            or str(own.get("raw_id", "")).startswith(digits)
            or (part and whole.startswith(digits))
        ):
            found.add(whole)
    if len(found) != 1:
        several = (
            f"{len(found)} documents, {', '.join(sorted(found)[:3])}; give more digits" if found else "no document"
        )
        raise StepError(
            f"--document {digits} is {several}; expected an id in {' or '.join(SETS)}, as `phiforge run` leaves them"
        )
    return found.pop()


def _rows(root: Path, folders: Iterable[str]) -> Iterator[tuple[str, str]]:
    for folder in folders:
        if (root / folder).is_dir():
            for batch in read_batches(root / folder, ["id", "metadata"]):
                yield from zip(batch["id"].to_pylist(), batch["metadata"].to_pylist(), strict=True)


def add_rules(made: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Add the options that name documents."""
    for name in names:
        spelled = ["--license", "--licence"] if name == "license" else [f"--{name}"]
        made.add_argument(
            *spelled, action="append", default=[], metavar="ID" if name == "document" else "NAME", help=HELP[name]
        )


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Retrain without some documents, and compare with models that have read everything: by exam family and kind of "
        "text, with intervals. Several options leave all of them out together.",
        epilog="docs/counterfactuals.md",
    )
    add_rules(made, FIELDS)
    made.add_argument("--each", action="store_true", help="leave each of them out alone, in one comparison")
    made.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        metavar="N",
        help="seeds of the trainings (default: without.seeds, which is [1, 2, 3])",
    )
    made.add_argument("--both", action="store_true", help="also grow the small model and train the larger one")
    made.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a parameter; repeatable"
    )
    made.add_argument(
        "--profile", metavar="NAME", help="apply profiles/NAME.yaml; `without` leaves out each family and kind once"
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
