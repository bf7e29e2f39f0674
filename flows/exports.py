"""`phiforge records MODEL --output DIR`: the exports of record of a model, `python -m flows.exports`."""

import argparse
import os
import sys
from pathlib import Path

from components.errors import StepError
from components.foreign.terminal import printable_text
from flows.client.exports import export_records
from flows.settings import configure, project_root

PROG = "python -m flows.exports"


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Write the exports and say what is unknown; returns the exit status."""
    arguments = parser(prog).parse_args(argv)
    root = project_root()
    configure(root)
    try:
        made = export_records(root, arguments.model, arguments.output, arguments.facts)
    except StepError as error:
        print(f"error: {printable_text(str(error))}", file=sys.stderr)
        return 1
    run = os.path.relpath(made["run"], root) if made["run"] else ""
    found = (
        f"records of the run in {'the main folder' if run == '.' else run}"
        if run
        else "no run of these weights; only the checkpoint's own files"
    )
    print(printable_text(f"{arguments.model}: {found}"))
    if not made["with_data"]:
        print("The training data was not found, so croissant.json is not written.")
    print(printable_text(f"{arguments.output}: {', '.join(made['written'])}"))
    print(
        f"{made['fields'] - len(made['unknown'])} of {made['fields']} fields of the training-content summary are known; unknown:"
    )
    for field in made["unknown"]:
        print(f"  {field}")
    return 0


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Write the model card, the EU training-content summary, a CycloneDX bill of materials and Croissant "
        "metadata of a model. A field that no record holds says `unknown`.",
    )
    add = made.add_argument
    named = (
        "small, large, control, a checkpoint folder, models:/NAME/3, models:/NAME@ALIAS, or an alias such as champion"
    )
    add("model", metavar="MODEL", help=f"model to describe: {named}")
    add(
        "--output", type=Path, required=True, metavar="DIR", help="folder for the exports; replaced if it holds exports"
    )
    add("--facts", type=Path, metavar="FILE", help="YAML file with facts of the provider, such as `provider: Name`")
    return made


if __name__ == "__main__":
    sys.exit(main())
