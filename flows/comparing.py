"""`phiforge compare`: the runs whose workspaces are here, folded over their seeds; docs/experiments.md.

Runs that differ in nothing but the seed are an arm. Arms are compared with those of the parameters as they are, or of
`--reference`. Exit status: 0 done, 1 refused.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.foreign.terminal import printable_text
from components.params import PARAMS_FILE, load_params
from components.running.revision import source_tree
from components.trials.figures import METRICS, Measurement, Metric, metric_of, read
from components.trials.folding import fold, table
from components.trials.forms import PART, SEALED
from components.trials.sweep import name_of
from flows import settings
from flows.workspace import record_of

PROG = "python -m flows.comparing"
Arms = dict[str, dict[int, Measurement]]


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Print a folded comparison; returns the exit status."""
    arguments = parser(prog).parse_args(argv)
    root = settings.project_root()
    try:
        metric = metric_of(arguments.metric)
        arms = arms_of(root, metric)
        if not arms:
            raise StepError(f"no run of today's source here has {arguments.metric}; start one with `make run`")
        reference = arguments.reference or next(iter(arms))
        if reference not in arms:
            listed = "; ".join(arms)
            raise StepError(f"--reference {reference!r}: there is no such arm; expected one of: {listed}; correct it")
        folded = fold(metric, arms, reference)
        if arguments.mlflow:
            log(root, folded)
        print(json.dumps(folded, indent=2) if arguments.json else printable_text(table(folded)))
    except StepError as error:
        print(f"error: {printable_text(str(error))}", file=sys.stderr)
        return 1
    return 0


def arms_of(root: Path, metric: Metric) -> Arms:
    """The figures of the runs in the main folder and in workspaces of today's source, by arm and seed.

    Those nearest to the parameters as they are come first.
    """
    tree, usual = source_tree(root), load_params(root / PARAMS_FILE).seed
    found: dict[str, tuple[int, dict[int, Measurement]]] = {}
    for place in [root, *sorted(settings.workspace_folders(root))]:
        usually: dict[str, Any] = {"tree": tree, "overrides": {}, "profile": {}}
        record = usually if place == root else record_of(root, place.name)
        if record.get("tree") != tree or not (place / metric.file).is_file():
            continue
        changes = {**record["profile"], **record["overrides"]}
        if changes.get(PART) == SEALED:  # only the re-test of a try looks at it
            continue
        seed = int(changes.pop("seed", usual))
        _, seeds = found.setdefault(name_of(changes), (len(changes), {}))
        seeds[seed] = read(place, metric)
    return {name: seeds for name, (_, seeds) in sorted(found.items(), key=lambda item: (item[1][0], item[0]))}


def log(root: Path, folded: dict[str, Any]) -> None:
    """Log a comparison to MLflow as a run with the folded metrics."""
    from components.tracking import ensure_experiment
    from flows.children import Parent
    from flows.lineage import client

    mlflow = client(root)
    run = mlflow.create_run(
        ensure_experiment(mlflow), run_name=f"comparison of {folded['metric']}", tags={"pipeline.source": "comparison"}
    )
    parent = Parent(root, run.info.run_id, mlflow)
    parent.fold(folded)
    mlflow.set_terminated(run.info.run_id)


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Compare the runs whose workspaces are here, folded over their seeds.",
        epilog=f"metrics: {', '.join(METRICS)}",
    )
    made.add_argument(
        "--metric",
        default="small.exam_bits_per_byte",
        metavar="METRIC",
        help="figure to compare (default %(default)s)",
    )
    made.add_argument(
        "--reference", metavar="ARM", help="arm to compare with, as the table names it (default: the first)"
    )
    made.add_argument("--mlflow", action="store_true", help="log the folded metrics to MLflow")
    made.add_argument("--json", action="store_true", help="print the comparison as JSON")
    return made


if __name__ == "__main__":
    sys.exit(main())
