"""`phiforge forget --document ID | --source NAME | --licence L`: remove documents from raw data on, with a certificate.

The rules go into ingestion.exclude of params.yaml, which ingestion applies before anything else sees a document, and the
pipeline runs. So statistics, deduplication, tokenizer, order and models are as if the documents had never been there, and
they stay out when the source is read again. `phiforge forget --verify FILE` checks a certificate.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.documents import read_rows
from components.errors import StepError
from components.exclusions import IN_DATA, Exclusion, excluded
from components.files import read_json, write_json
from components.foreign.terminal import printable_text
from components.params import PARAMS_FILE, load_params
from components.running.contents import counted
from components.running.revision import read_revision
from flows import certificate, events, run, settings
from flows.certificate import NAMES, RAW, Check
from flows.definitions import PIPELINE
from flows.without import add_rules, given_rules
from flows.workspace import write_params

PROG = "python -m flows.forget"
FOLDER, PENDING = "certificates", "forget.json"
SHOWN = 5  # maximum documents to print
MARKS = {True: "yes", False: "NO", None: "?"}


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Forget documents, or verify a certificate, with the options of `parser`; returns the exit status."""
    arguments = parser(prog).parse_args(argv)
    root = settings.project_root()
    try:
        if arguments.verify:
            if any(getattr(arguments, name, None) for name in IN_DATA):
                raise StepError("--verify checks a certificate and forgets nothing; give it alone")
            return show(certificate.verify(root, arguments.verify))
        rules = given_rules(arguments, root)
        before = prepare(root, rules)
        if arguments.plan:
            return 0
        return forget(root, rules, before, arguments.certificate)
    except (StepError, ValueError) as error:
        print(f"error: {printable_text(str(error))}", file=sys.stderr)
        return 1


def prepare(root: Path, rules: Sequence[Exclusion]) -> dict[str, Any]:
    """Print what will be removed; returns the state before, which an interrupted run has kept.

    Raises:
        StepError: nothing is named, or no raw document has that name.
    """
    if not rules:
        raise StepError(
            f"nothing is to be forgotten; expected {', '.join(f'--{name}' for name in IN_DATA)}, or --verify FILE"
        )
    pending = settings.state_folder(root) / PENDING
    if pending.is_file():
        kept = read_json(pending, "remove it")
        if kept["rules"] == [str(rule) for rule in rules]:
            print("resuming an interrupted run with the same documents")
            return kept["before"]
    before = certificate.state(root)
    params = load_params(root / PARAMS_FILE)
    named = [row for row in read_rows(root / RAW, NAMES) if excluded(rules, row)]
    sources = {source.path for source in params.ingestion.sources}
    for rule in rules:
        whole = rule.field == "source" and rule.value in sources
        if whole:
            print(printable_text(f"to forget: every document of {rule.value} in ingestion.sources"))
        elif not any(excluded([rule], row) for row in named):
            raise StepError(
                f"{rule}: no raw document is named so; expected an id, source or licence that `phiforge step curation.why` shows"
            )
    if named:
        print(
            f"to forget: {counted(len(named), 'raw document')}, licences {dict(Counter(row['license'] for row in named))}"
        )
    for row in named[:SHOWN]:
        print(printable_text(f"  {row['id']}  {row['source']}"))
    if len(named) > SHOWN:
        print(f"  and {len(named) - SHOWN:,} more")
    return before


def forget(root: Path, rules: Sequence[Exclusion], before: dict[str, Any], output: Path | None) -> int:
    """Exclude the documents, run the pipeline and write the certificate; returns the exit status."""
    pending = settings.state_folder(root) / PENDING
    write_json(pending, {"rules": [str(rule) for rule in rules], "before": before})
    listed = load_params(root / PARAMS_FILE).ingestion.exclude
    write_params(
        root / PARAMS_FILE, {}, {"ingestion.exclude": [*listed, *(str(r) for r in rules if str(r) not in listed)]}
    )
    outcomes: dict[str, str] = {}

    def collect(event: events.Event) -> None:
        if event.kind in ("ran", "cached", "restored"):
            outcomes[event.stage] = event.kind

    with events.listen(collect):
        status = run.main(["--no-promote"], "phiforge forget", PIPELINE.flow)
    if status:
        print("params.yaml excludes the documents already; the same command resumes", file=sys.stderr)
        return status
    revision = read_revision(root)
    made = certificate.certificate(root, rules, before, outcomes, {"commit": revision.commit, "tree": revision.tree})
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{made['sha256'][:8]}.json"
    path = output or root / FOLDER / name
    certificate.write(path, made)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    pending.unlink()
    ran = sum(stage["outcome"] == "ran" for stage in made["stages"])
    print(
        f"\nforgotten: {counted(len(made['removed']['documents']), 'raw document')}; {ran} of {len(made['stages'])} stages ran"
    )
    if made["newly_kept"]:
        kept = ", ".join(entry["source"] for entry in made["newly_kept"][:SHOWN])
        print(
            printable_text(
                f"kept now, and not before: {counted(len(made['newly_kept']), 'document')} ({kept}); look for copies of the text"
            )
        )
    for model, weights in made["weights"].items():
        print(f"  {model:14} {str(weights['before'])[:12]} -> {str(weights['after'])[:12]}")
    print(f"certificate: {shown}; check it with: phiforge forget --verify {shown}")
    print("the sources themselves, earlier models and DVC's cache still have it: docs/counterfactuals.md")
    return show(certificate.verify(root, path))


def show(checks: Sequence[Check]) -> int:
    """Print the checks of a certificate; returns 1 if one does not hold."""
    for check in checks:
        print(printable_text(f"  {MARKS[check.holds]:4} {check.name:16} {check.detail}"))
    return int(any(check.holds is False for check in checks))


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Remove documents from raw data on: exclude them in params.yaml, run the pipeline, and write a certificate with "
        "the hashes before and after.",
        epilog="docs/counterfactuals.md",
    )
    add_rules(made, IN_DATA)
    made.add_argument("--plan", action="store_true", help="print what would be removed, then stop before any work")
    made.add_argument(
        "--certificate", type=Path, metavar="FILE", help=f"where to write the certificate (default: {FOLDER}/)"
    )
    made.add_argument(
        "--verify", type=Path, metavar="FILE", help="check a certificate; exit status 1 if something does not hold"
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
