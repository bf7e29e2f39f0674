"""`python -m components.synthesis`: write textbooks and verified exercises, and hold out an exam."""

from typing import Any

from components.params import Params
from components.running.cli import Argument, Command, Paths, main
from components.tracking import Tracker


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    from components.synthesis.synthesize import Outputs, synthesize

    names = ("output", "ledger", "exam", "plan", "page")
    places = Outputs(**{name: outputs[name] for name in names})
    summary = synthesize(inputs["seeds"], places, params.synthesis, params.seed, tracker)
    if outputs["page"]:
        tracker.artifact(outputs["page"], "textbooks")
    return summary


COMMAND = Command(
    step="synthesis",
    description="Write textbooks and verified exercises from the curriculum and the curated corpus; hold out an exam.",
    run=run,
    inputs=(Argument("seeds", "curated document set that seeds the chapters"),),
    outputs=(
        Argument("output", "directory for the document set of textbooks and exercises", holds="part-*.parquet"),
        Argument("exam", "directory for the held-out exam", required=False, holds="exam.json"),
        Argument("plan", "Parquet file for the table of jobs", required=False),
        Argument("page", "HTML file for the page about the textbooks", required=False),
        Argument("ledger", "Parquet file for the ledger"),
    ),
    sections=("seed", "synthesis"),
)

if __name__ == "__main__":
    main(COMMAND)
