"""Speed of making and verifying exercises.

    python -m bench.synthesis [--exercises 400] [--only NAME]
    python -m bench.synthesis --exam data/exam --benchmark reports/benchmark_small.json

Exercises: each task makes, verifies and places drafts as in the step (`Collector`), including the processes that run programs.
Rates are drafts per CPU second, averaged over all tasks, and those of the step as a whole.
"""

import json
import sys
import tempfile
from functools import partial
from operator import itemgetter
from pathlib import Path

from scipy.stats import binom

from bench.common import Report, cpu_seconds, in_turn, machine, parser
from components.params import SynthesisParams
from components.synthesis.curriculum import load_lexicon
from components.synthesis.generators import all_tasks
from components.synthesis.questions import Collector

WIDE = 0.15  # a margin over the baselines that counts


def exercises(count: int, report: Report) -> None:
    """Drafts a CPU second, task by task and over all."""
    lexicon, tasks, drafts = load_lexicon(), all_tasks(), 0
    ways = {name: partial(Collector({name: task}, lexicon, 1, 10, 0.1).collect, count) for name, task in tasks.items()}
    seconds, pools = in_turn(ways, 1)
    kept = {name: len(pool.training[name]) + len(pool.exam[name]) for name, pool in pools.items()}
    rates = {name: kept[name] / spent for name, (spent,) in seconds.items()}
    drafts, spent = sum(kept.values()), sum(spent for (spent,) in seconds.values())
    table = [["mean over the tasks", sum(rates.values()) / len(rates)], [f"all {drafts:,}", drafts / spent]]
    table += [[f"slowest: {name}", rates[name]] for name in sorted(rates, key=rates.__getitem__)[:5]]
    report.table(f"Exercises of {len(rates)} tasks", ["", "verified per CPU second"], table)
    report.measurements = rates


def step(report: Report) -> None:
    """The step as it runs by default, if there is a curated corpus."""
    seeds = Path("data/curated")
    if not seeds.is_dir():
        return report.note("The step was not run: there is no data/curated here; run the pipeline first.")
    from components.synthesis.synthesize import Outputs, synthesize

    with tempfile.TemporaryDirectory() as folder:
        root, started = Path(folder), cpu_seconds()
        outputs = Outputs(root / "textbooks", root / "ledger.parquet", root / "exam", page=root / "page.html")
        summary = synthesize(seeds, outputs, SynthesisParams(), 1)
        seconds = cpu_seconds() - started
    diversity = summary["diversity"]
    row = {"documents": sum(summary["documents"].values()), "exercises": summary["questions"]["exercises"]}
    row |= {"CPU s": seconds, "compression": diversity["gzip_ratio"]}
    row |= {"near-duplicates": diversity["near_duplicates"]["share"], "templates": diversity["templates"]["distinct"]}
    report.table("The step", list(row), [list(row.values())])
    return None


def baselines(exam: Path, benchmark: Path, report: Report) -> None:
    """A model's accuracy in each family of the exam beside the two baselines that ignore the question.

    `p` is the probability that the better baseline alone reaches the score (exact binomial, one-sided). A family
    counts where the margin over the better baseline is 15 points or more and p is under 0.05 over the number of families
    (Bonferroni).
    """
    about = json.loads((exam / "exam.json").read_text())["tasks"]
    scores = json.loads(benchmark.read_text())["exam"]["tasks"]
    rows = []
    for name, task in about.items():
        n, better = task["examples"], max(task["majority"], task["chance"])
        right = round(scores[name] * n)
        p = float(binom.sf(right - 1, n, better))
        rows.append(
            [name, task["category"], n, task["majority"], task["chance"], scores[name], scores[name] - better, p]
        )
    rows.sort(key=itemgetter(6), reverse=True)
    wide = sum(margin >= WIDE and p < 0.05 / len(rows) for *_, margin, p in rows)
    report.table("Families", ["", "category", "n", "majority", "chance", "accuracy", "margin", "p"], rows)
    report.note(
        f"{wide} of {len(rows)} families are {100 * WIDE:.0f} points or more, and significantly, over both baselines"
    )


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--exercises", type=int, default=400, help="per task")
    options.add_argument("--only", choices=("exercises", "step"))
    options.add_argument("--exam", type=Path, help="folder of the exam: prints a model's scores beside the baselines")
    options.add_argument("--benchmark", type=Path, default=Path("reports/benchmark_small.json"), help="with --exam")
    given = options.parse_args()
    report = Report("Synthesis", machine())
    if given.exam:
        baselines(given.exam, given.benchmark, report)
        return report.finish(given)
    if given.only != "step":
        exercises(given.exercises, report)
    if given.only != "exercises":
        step(report)
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
