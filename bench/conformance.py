"""Our figures beside lm-eval's own on 40 tasks of the suites phi2, olmes and easy, over real data and a trained checkpoint.

    python -m bench.conformance --data-dir ../shared/data/benchmarks --checkpoint models/small [--limit 10]

lm-eval's HFLM and our scorer answer the same requests through lm-eval's own evaluation. The table has the figure of both and the
greatest difference between two log-probabilities. Where answers are generated, the texts must be equal. For the tasks of `easy`
whose correct answer is rated, HFLM rates the same pairs of prompt and answer.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.common import Report, machine, parser
from bench.scoring import contenders

QUESTIONS = ("piqa", "winogrande", "arc_easy", "arc_challenge", "siqa", "hellaswag", "openbookqa", "boolq")
SUBJECTS = ("anatomy", "astronomy", "marketing", "philosophy", "virology", "world_religions")
GENERATED = ("gsm8k", "squadv2", "bbh_navigate")
TASKS = {
    "phi2": (*QUESTIONS, *(f"mmlu_{subject}" for subject in SUBJECTS), *GENERATED),
    "olmes": tuple(f"{name}_{form}" for name in (*QUESTIONS, "mmlu_anatomy") for form in ("cloze", "letters")),
    "easy": ("mmlu_astronomy", "squadv2", "gsm8k", "humaneval", "mbpp"),
}
NEW_TOKENS = 24  # HFLM refuses as many new tokens as a small model has positions
MOST = 1e-4  # nats


@dataclass
class Pairs:
    """Rates pairs of prompt and answer in the place of our scorer, and keeps the log-probabilities."""

    rate: Callable[[Sequence[tuple[str, str]]], list[tuple[float, bool]]]
    tokenizer: Any
    max_length: int
    logprobs: list[float] = field(default_factory=list)

    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        found = self.rate(pairs)
        self.logprobs += [logprob for logprob, _ in found]
        return found


def rated_by(hflm: Any) -> Callable[[Sequence[tuple[str, str]]], list[tuple[float, bool]]]:
    from lm_eval.api.instance import Instance

    def rate(pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        requests = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
        return hflm.loglikelihood(requests, disable_tqdm=True)

    return rate


def chosen(data_dir: Path, suite: str) -> list[Any]:
    """The suite's tasks, with short answers."""
    from components.benchmarking.data import Place
    from components.benchmarking.suites import plan

    tasks = {task.name: task for task in plan(suite, Place(data_dir)).tasks}
    if missing := [name for name in TASKS[suite] if name not in tasks]:
        sys.exit(f"no data for {', '.join(missing)} in {data_dir}; its layout is in docs/benchmarking.md")
    found = []
    for task in (tasks[name] for name in TASKS[suite]):
        given = task.config.get("generation_kwargs")
        short = {"generation_kwargs": given | {"max_gen_toks": NEW_TOKENS}} if given else {}
        found.append(replace(task, config=task.config | short))
    return found


def row_of(suite: str, task: Any, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[Any]:
    """A row of the table for a task that lm-eval has evaluated with both."""
    names = [name for name in ours["results"] if "," in name and "stderr" not in name]
    metric = next(name for name in ("acc_norm,none", "acc,none", *names) if name in names)
    worst: float | None = 0.0
    for a, b in zip(theirs["samples"], ours["samples"], strict=True):
        assert a["prompt_hash"] == b["prompt_hash"], f"{task.name}: the prompts differ"
        if isinstance(a["filtered_resps"][0], str):
            worst = None if a["resps"] == b["resps"] else math.inf
        else:
            pairs = zip(a["filtered_resps"], b["filtered_resps"], strict=True)
            worst = max(worst or 0.0, *(abs(p - q) for (p, _), (q, _) in pairs))
    figures = (each["results"][metric] for each in (theirs, ours))
    asked = len({sample["doc_id"] for sample in ours["samples"]})  # a sample is logged once per filter
    return [f"{suite}/{task.name}", metric.partition(",")[0], asked, *figures, worst]


def compare(suite: str, tasks: Sequence[Any], limit: int, hflm: Any, ours: Any) -> list[list[Any]]:
    from components.benchmarking.gold import gold_bits
    from components.benchmarking.suites import BITS
    from components.benchmarking.tasks import asked_alone, build_tasks, run_tasks

    rows = []
    for task in tasks:
        built = build_tasks([task])[task.name]
        if task.headline == BITS and built.OUTPUT_TYPE == "generate_until":
            samples = asked_alone(built, limit)
            raters = [Pairs(rate, ours.tokenizer, ours.max_length) for rate in (rated_by(hflm(1)), ours.score_pairs)]
            means = [fmean(gold_bits(built, samples, rater) or [math.nan]) for rater in raters]
            worst = max(abs(p - q) for p, q in zip(*(rater.logprobs for rater in raters), strict=True))
            rows.append([f"{suite}/{task.name}", BITS, len(samples), *means, worst])
            continue
        by_model = []
        for model in (hflm(1 if built.OUTPUT_TYPE == "generate_until" else 8), ours):
            whole = run_tasks(model, build_tasks([task]), limit)
            by_model.append({"results": whole["results"][task.name], "samples": whole["samples"][task.name]})
        rows.append(row_of(suite, task, *by_model))
    return rows


def main() -> None:
    made = parser(__doc__, threads=1, rounds=1)
    made.add_argument("--data-dir", type=Path, required=True, help="folder of the benchmarks' data")
    made.add_argument("--checkpoint", type=Path, required=True, help="a trained checkpoint")
    made.add_argument("--limit", type=int, default=10, help="questions per task")
    arguments = made.parse_args()
    from components.benchmarking.data import Place, offline
    from components.phi.machine import prepare

    offline(Place())
    prepare(arguments.threads)
    hflm, ours = contenders(arguments.checkpoint)
    report = Report("Conformance with lm-eval", machine(arguments.threads) | {"questions per task": arguments.limit})
    rows = []
    for suite in TASKS:
        rows += compare(suite, chosen(arguments.data_dir, suite), arguments.limit, hflm, ours)
        print(f"{suite}: done", file=sys.stderr, flush=True)
    columns = ["task", "metric", "questions", "HFLM", "ours", "greatest difference (nats)"]
    report.table(f"{len(rows)} tasks", columns, rows)
    report.target("figures that differ", sum(abs(row[3] - row[4]) > MOST for row in rows), 0, at_least=False)
    report.target("greatest difference of log-probabilities", max(row[5] or 0.0 for row in rows), MOST, at_least=False)
    report.note("Without a difference, the answers are generated texts, which are equal.")
    sys.exit(report.finish(arguments))


if __name__ == "__main__":
    main()
