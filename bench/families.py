"""The exam's families: questions, standard errors without and with clusters, and the smallest differences that they detect.

    python -m bench.families reports/scores/large [reports/scores/small]

With the scores of a second model, the last column is the smallest paired difference between the two that the questions
detect. Families are the clusters, so a single family has no clustered error.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from components.reporting.evidence import Accuracy, Scores
from components.reporting.paired import Matched, difference, matched
from components.reporting.scores import read_scores
from components.results.tables import Table


def table(scores: Scores, other: Scores | None = None) -> Table:
    """One row per family, per category, and for the whole exam."""
    pairs = matched(scores.examples, other.examples, scores.clusters) if other else {}
    rows = [
        _row(name, accuracy, {name: pairs[name]} if name in pairs else {}) for name, accuracy in scores.tasks.items()
    ]
    rows += [_row(f"all of {name}", accuracy, {}) for name, accuracy in scores.categories.items()]
    rows.append(_row("the exam", scores.overall, pairs))
    header = ["family", "n", "accuracy", "stderr", "clustered", "from chance", "from another model", "paired"]
    note = (
        "The last three columns: the smallest true difference that the questions distinguish from 0 in 8 of 10 cases."
    )
    return Table(
        "Families of the exam", note, header if other else header[:-1], rows if other else [r[:-1] for r in rows]
    )


def _row(name: str, accuracy: Accuracy, pairs: Mapping[str, Matched]) -> list[str]:
    paired = difference(pairs.values())["detectable"] if pairs else None
    figures = (accuracy.stderr, accuracy.clustered_stderr, *accuracy.detects.values(), paired)
    return [name, str(accuracy.n), f"{accuracy.value:.3f}", *("-" if x is None else f"{x:.3f}" for x in figures)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", type=Path, help="scores directory of the exam")
    parser.add_argument("other", type=Path, nargs="?", help="scores directory of a second model on the same exam")
    given = parser.parse_args()
    print("\n\n".join(table(read_scores(given.scores), read_scores(given.other) if given.other else None).markdown()))


if __name__ == "__main__":
    main()
