"""Synthesis measured: how fast exercises are made and verified.

    python -m bench.synthesis [--exercises 400] [--only NAME]
    python -m bench.synthesis --exam data/exam --benchmark reports/benchmark_small.json

Exercises: each task draws, verifies and places drafts as the step does (`Collector`), the processes that run programs
included; drafts a CPU second, averaged over all tasks, none left out. Beside it the step as a whole.
"""

import json
import math
import os
import tempfile
from pathlib import Path

from bench.common import cpu_seconds, plain_parser
from components.params import SynthesisParams
from components.synthesis.curriculum import load_lexicon
from components.synthesis.generators import all_tasks
from components.synthesis.questions import Collector

WIDE = 0.15  # a margin over the baselines that counts


def exercises(count: int) -> None:
    """Drafts a CPU second, task by task and over all."""
    lexicon, rates, drafts = load_lexicon(), {}, 0
    begun = cpu_seconds()
    for name, task in all_tasks().items():
        start = cpu_seconds()
        pool = Collector({name: task}, lexicon, 1, 10, 0.1).collect(count)
        kept = len(pool.training[name]) + len(pool.exam[name])
        rates[name] = kept / (cpu_seconds() - start)
        drafts += kept
    seconds = cpu_seconds() - begun
    slow = sorted(rates, key=rates.__getitem__)[:5]
    print(f"exercises: {len(rates)} tasks, mean {sum(rates.values()) / len(rates):,.0f} verified a CPU second a task")
    print(f"           {drafts:,} in {seconds:.1f} CPU s over all: {drafts / seconds:,.0f} a CPU second")
    print("           slowest: " + ", ".join(f"{name} {rates[name]:,.0f}" for name in slow))


def step() -> None:
    """The step as it runs by default, if there is a curated corpus."""
    seeds = Path("data/curated")
    if not seeds.is_dir():
        print("step: no data/curated here; run the pipeline first")
        return
    from components.synthesis.synthesize import Outputs, synthesize

    with tempfile.TemporaryDirectory() as folder:
        root, started = Path(folder), cpu_seconds()
        outputs = Outputs(root / "textbooks", root / "ledger.parquet", root / "exam", page=root / "page.html")
        summary = synthesize(seeds, outputs, SynthesisParams(), 1)
        seconds = cpu_seconds() - started
    diversity = summary["diversity"]
    print(
        f"step: {sum(summary['documents'].values()):,} documents, {summary['questions']['exercises']:,} exercises in "
        f"{seconds:.1f} CPU s; compression {diversity['gzip_ratio']}, near-duplicates "
        f"{diversity['near_duplicates']['share']:.2%}, {diversity['templates']['distinct']} templates"
    )


def baselines(exam: Path, benchmark: Path) -> None:
    """A model's accuracy in each family of the exam beside the two baselines that need no look at the question.

    `p` is the chance that whoever knows the better baseline alone does as well (exact binomial, one-sided). A family
    counts where the margin over the better baseline is 15 points or more and p is under 0.05 over the number of families
    (Bonferroni).
    """
    about = json.loads((exam / "exam.json").read_text())["tasks"]
    scores = json.loads(benchmark.read_text())["exam"]["tasks"]
    rows = []
    for name, task in about.items():
        n, better = task["examples"], max(task["majority"], task["chance"])
        right = round(scores[name] * n)
        p = sum(math.comb(n, k) * better**k * (1 - better) ** (n - k) for k in range(right, n + 1))
        rows.append((scores[name] - better, name, task, scores[name], p))
    print("| family | category | n | majority | chance | accuracy | margin, points | p |")
    print("|---|---|---|---|---|---|---|---|")
    for margin, name, task, accuracy, p in sorted(rows, reverse=True):
        figures = f"{task['majority']:.3f} | {task['chance']:.3f} | {accuracy:.3f} | {100 * margin:+.1f} | {p:.1g}"
        print(f"| {name} | {task['category']} | {task['examples']} | {figures} |")
    wide = sum(margin >= WIDE and p < 0.05 / len(rows) for margin, *_, p in rows)
    print(
        f"\n{wide} of {len(rows)} families are {100 * WIDE:.0f} points or more, and significantly, over both baselines"
    )


def main() -> None:
    parser = plain_parser(__doc__)
    parser.add_argument("--exercises", type=int, default=400, help="a task")
    parser.add_argument("--only", choices=("exercises", "step"))
    parser.add_argument("--exam", type=Path, help="folder of the exam: prints a model's scores beside the baselines")
    parser.add_argument("--benchmark", type=Path, default=Path("reports/benchmark_small.json"), help="with --exam")
    given = parser.parse_args()
    if given.exam:
        baselines(given.exam, given.benchmark)
        return
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if given.only in (None, "exercises"):
        exercises(given.exercises)
    if given.only in (None, "step"):
        step()


if __name__ == "__main__":
    main()
