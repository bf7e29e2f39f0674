"""Write the exports of record of one model."""

import json
from pathlib import Path
from typing import Any

from components.files import atomic_directory, write_json
from components.params import Params
from components.reporting.card import model_card
from components.reporting.comparison import compare
from components.reporting.leaderboard import leaderboard
from components.reporting.records.bom import bill, problem
from components.reporting.records.content import UNKNOWN, as_markdown, content_summary
from components.reporting.records.croissant import metadata
from components.reporting.records.facts import Facts
from components.reporting.records.gather import Record, gather
from components.results.tables import Table
from components.running.cli import Paths
from components.tracking import Tracker

CARD, SUMMARY, BILL, DATA = "model-card.md", "training-content", "ml-bom.cdx.json", "croissant.json"


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write the card, the summary of training content (Markdown and JSON), the bill of materials and, where the data was found,
    its metadata; equal records give equal bytes.

    Returns:
        the model's hash, the run whose records were found, the written files, and the unknown fields of the summary.

    Raises:
        StepError: the checkpoint or a record of its run is damaged.
    """
    facts = Facts.read(inputs["facts"]) if inputs["facts"] else Facts()
    record = gather(inputs["name"], inputs["checkpoint"], [Path(run) for run in inputs["runs"] or []], facts)
    fields = content_summary(record)
    with atomic_directory(outputs["output"]) as folder:
        (folder / CARD).write_text(_card(record), encoding="utf-8")
        (folder / f"{SUMMARY}.md").write_text(as_markdown(record, fields), encoding="utf-8")
        write_json(folder / f"{SUMMARY}.json", [field._asdict() for field in fields])
        write_json(folder / BILL, _checked(bill(record)))
        if record.corpus:
            write_json(folder / DATA, metadata(record, record.corpus))
        written = sorted(path.name for path in folder.iterdir())
    return {
        "weights_sha256": record.weights,
        "run": str(record.run) if record.run else None,
        "with_data": record.corpus is not None,
        "written": written,
        "fields": len(fields),
        "unknown": [f"{field.section} {field.name}" for field in fields if field.origin == UNKNOWN],
    }


def _checked(document: dict[str, Any]) -> dict[str, Any]:
    """The bill, if it conforms to the schema of CycloneDX."""
    if reason := problem(json.dumps(document)):
        raise ValueError(f"the bill of materials does not conform to CycloneDX 1.6: {reason}")
    return document


def _card(record: Record) -> str:
    board = leaderboard(record.case, compare(record.case))
    return model_card(record.case, board, record.name, _sources(record) if record.corpus else None)


def _sources(record: Record) -> Table:
    rows = [
        [one.origin, one.kind, one.license, one.created_by, f"{one.documents:,}", f"{one.tokens:,}"]
        for one in (record.corpus.holdings if record.corpus else ())
    ]
    note = "Distinct documents of the training split; the tokens count repeated documents each time."
    return Table("Origins and licences", note, ["origin", "kind", "licence", "created by", "documents", "tokens"], rows)
