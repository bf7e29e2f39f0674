"""The step: score a checkpoint on a suite and write the scores and every example's record."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.benchmarking import records as rows_of
from components.benchmarking.aggregate import BASELINES, Figures, benchmark_scores, group, score_task
from components.benchmarking.contamination import contamination, texts_of
from components.benchmarking.data import Place, offline, take_evenly
from components.benchmarking.exam import REWORDED
from components.benchmarking.figures import aggregated, is_share
from components.benchmarking.gold import gold_bits
from components.benchmarking.journal import CODE, Journal
from components.benchmarking.programs import with_samples
from components.benchmarking.safety import measure_safety
from components.benchmarking.suites import BITS, EXAM, Suite, Task, join_reasons, plan, reason_of
from components.errors import StepError
from components.files import atomic_directory, sha256_file, write_json
from components.foreign.terminal import printable
from components.params import BenchmarkingParams
from components.results.power import entry_words, error_words
from components.running.revision import code_sha256
from components.tracking import project_home, weights_sha256

if TYPE_CHECKING:
    from components.benchmarking.scorer import ChoiceScorer
    from components.sandbox import Sandbox

FORMAT_VERSION = 1
OF_REWORDED = ("data", "truncated_prompts", "tasks", "protocols", "categories", "overall", "failed")  # its entries
SCORER_VERSION = 3  # increase this when equal inputs may give other scores


@dataclass
class TaskResult:
    """The result of one task.

    Attributes:
        records: one row per example.
        scores: figures by metric.
        truncated: number of prompts that were cut at the start; `empty`: number of completions without text.
        groups: the safety score of each group.
        texts: the text of each example that is searched for in the training corpus.
        headline: the task's metric that averages use; `share`: whether it is a share of right answers.
    """

    records: list[dict[str, Any]]
    scores: Figures
    truncated: int = 0
    empty: int = 0
    groups: dict[str, float] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    headline: str = ""
    share: bool = True


@dataclass(frozen=True)
class Job:
    """One scoring run.

    Attributes:
        suite: name of the suite, or a YAML file.
        data_dir: folder of the suite's data; None takes that of the parameters.
        limit: maximum number of examples per task; 0 = all.
        journals: folder of the model's answers, from which an interrupted run resumes; None stores none.
        corpus: folders of the training data, which are searched for the examples.
        set_back: the grown checkpoint that this one was trained from; the entries that growth added get its values.
    """

    checkpoint: Path
    suite: str
    data_dir: Path | None = None
    limit: int = 0
    journals: Path | None = None
    corpus: Sequence[Path] = ()
    set_back: Path | None = None


def benchmark(job: Job, output: Path, params: BenchmarkingParams) -> dict[str, Any]:
    """Score a checkpoint on a suite; write `scores.json` and `examples.parquet` to `output`.

    If a task cannot run, a warning names it with the reason and the fix, and the others continue.

    Returns:
        The summary as flat numbers: accuracy overall, per category and per task, and bits per byte.

    Raises:
        StepError: the data folder is missing, the suite is unknown, the checkpoint cannot be read, or no task could be
            scored.
    """
    folder = job.data_dir or (project_home() / params.data_dir if params.data_dir else None)
    if folder is not None and not folder.is_dir():
        raise StepError(f"the data folder {folder} is not there; name another with --data-dir or benchmarking.data_dir")
    place = Place(folder, params.hub)
    offline(place)
    suite = plan(job.suite, place, params.exam_part)
    suite = replace(suite, tasks=tuple(with_samples(task, params.samples, params.temperature) for task in suite.tasks))
    from components.phi.machine import prepare

    prepare(params.threads)
    from components.benchmarking.checkpoint import describe, open_scorer

    scorer = open_scorer(job.checkpoint, params.batch_size, params.device, job.set_back)
    about = describe(job.checkpoint) | ({"set_back": weights_sha256(job.set_back)} if job.set_back else {})
    identity = _Identity(job.journals, job.checkpoint, params, job.set_back)
    asked, failed = _ask_all(scorer, suite, job.limit, params, identity)
    if not asked:
        raise StepError(f"no task could be scored: {join_reasons(failed)}")
    scores = _scores(suite, asked, failed) | {"limit": job.limit, "checkpoint": about}
    scores |= {"absent": list(suite.absent)} if suite.absent else {}
    reworded: dict[str, TaskResult] = {}
    if suite.reworded:
        reworded, missing = _ask_all(scorer, suite.reworded, job.limit, params, identity)
        found = _scores(suite.reworded, reworded, missing)
        scores[REWORDED] = {key: found[key] for key in OF_REWORDED}
    if job.corpus:
        together = contamination(asked | {f"{REWORDED}/{name}": found for name, found in reworded.items()}, job.corpus)
        of_exam = {name: found for name, found in together["tasks"].items() if name in asked}
        scores["contamination"] = together | {"tasks": of_exam}
        if suite.reworded:
            scores[REWORDED]["contamination"] = {name: together["tasks"][f"{REWORDED}/{name}"] for name in reworded}
    _show(suite, scores)
    with atomic_directory(output) as partial:
        write_json(partial / "scores.json", scores)
        _write_examples(asked, partial / "examples.parquet")
        if reworded:
            _write_examples(reworded, partial / f"{REWORDED}.parquet")
    return summarise(suite.name, scores)


def check_whole(output: Path) -> None:
    """Refuse scores in which a task failed. A task whose data is missing does not count as failed.

    Raises:
        StepError: a task failed.
    """
    scores = json.loads((Path(output) / "scores.json").read_text(encoding="utf-8"))
    failed = {name: reason for name, reason in scores["failed"].items() if name not in scores.get("absent", ())}
    failed |= {f"{REWORDED}/{name}": reason for name, reason in scores.get(REWORDED, {}).get("failed", {}).items()}
    if failed:
        raise StepError(f"{len(failed)} tasks failed, the scores of the others are in {output}: {join_reasons(failed)}")


def _write_examples(asked: Mapping[str, TaskResult], path: Path) -> None:
    rows_of.write([record for task in asked.values() for record in task.records], path)


class Disagreement(Exception):
    """This module's mean differs from lm-eval's, which is a defect of this module."""


class _Identity:
    """Journals by task, each named by everything that an answer depends on except the request."""

    def __init__(
        self, folder: Path | None, checkpoint: Path, params: BenchmarkingParams, set_back: Path | None
    ) -> None:
        self.folder = folder
        if folder is None:
            return
        self.facts = {
            "weights": weights_sha256(checkpoint),
            # All files count: the shapes of the weights do not show heads, rotary share and the like, and the tokens
            # that begin and end a text may be named in any of the others.
            **{
                path.name: sha256_file(path)
                for path in sorted(checkpoint.glob("*.json"))
                if path.name != "lineage.json"
            },
            "scorer_version": SCORER_VERSION,
            "code": code_sha256(CODE),
            "threads": params.threads,
            "dtype": "float32",
        }
        if set_back is not None:
            from components.phi.weights import NEW_PARAMETERS

            self.facts |= {"set_back": weights_sha256(set_back), "new": sha256_file(set_back / NEW_PARAMETERS)}

    def journal(self, scorer: "ChoiceScorer", task: Task) -> Journal:
        if self.folder is None:
            return Journal(None, {})
        from importlib.metadata import version

        import torch

        from components.benchmarking.tasks import definition_sha256

        on = torch.cuda.get_device_name() if scorer.on.type == "cuda" else torch.backends.cpu.get_cpu_capability()
        versions = {name: version(name) for name in ("torch", "tokenizers")}
        machine = {"device": scorer.on.type, "processor": on} | versions
        of_task = {"task": definition_sha256(task), "data": task.sha256}
        return Journal(self.folder, self.facts | machine | of_task)


def _ask_all(
    scorer: "ChoiceScorer",
    suite: Suite,
    limit: int,
    params: BenchmarkingParams,
    identity: _Identity,
) -> tuple[dict[str, TaskResult], dict[str, str]]:
    """Run each task separately, so that a fault in one does not affect the others.

    Returns:
        The results by task, and the reasons by failed task.
    """
    failed = dict(suite.failed)
    for name, reason in failed.items():
        _warn(f"{name}: {reason}")
    asked: dict[str, TaskResult] = {}
    sandbox, refused = None, ""
    if any(_runs_programs(task) for task in suite.tasks):
        sandbox, refused = _sandbox(params)
    journals: list[Journal] = []
    try:
        for task in suite.tasks:
            before, empty = scorer.truncated, scorer.empty_completions
            try:
                scorer.journal = identity.journal(scorer, task)
                journals.append(scorer.journal)
                if _runs_programs(task) and sandbox is None:
                    raise StepError(refused)
                found = _ask(scorer, task, limit, sandbox, params.gold_bits)
            except BaseException as error:  # noqa: BLE001 - see reason_of
                failed[task.name] = reason_of(error)
            else:
                found.truncated, found.empty = scorer.truncated - before, scorer.empty_completions - empty
                asked[task.name] = found
            if task.name in failed:
                _warn(f"{task.name}: {failed[task.name]}")
    finally:
        if sandbox is not None:
            sandbox.close()
    if reused := sum(journal.reused for journal in journals):
        print(f"benchmarking: {reused} batches reused from an earlier run", flush=True)
    _report(scorer, suite, asked)
    return asked, failed


def _runs_programs(task: Task) -> bool:
    return task.kind == "code" and task.headline != BITS


def _sandbox(params: BenchmarkingParams) -> tuple["Sandbox | None", str]:
    """The sandbox, or the reason why programs cannot run here. It is checked before the model spends time on them."""
    from components.sandbox import Sandbox

    try:
        return Sandbox(allow_unisolated_execution=params.allow_unisolated_execution), ""
    except StepError as error:
        return None, f"{error} (benchmarking.allow_unisolated_execution=true)"


def _ask(scorer: "ChoiceScorer", task: Task, limit: int, sandbox: "Sandbox | None", gold: bool) -> TaskResult:
    if task.kind == "safety":
        records, scores, groups = measure_safety(scorer, take_evenly(task.rows, "label", limit))
        records = [{"task": task.name} | record for record in records]
        return TaskResult(records, scores, groups=groups, texts=[record["question"] for record in records])
    from components.benchmarking.programs import Judge
    from components.benchmarking.tasks import asked_alone, build_tasks, explained, run_tasks

    judge = Judge(sandbox) if sandbox is not None and task.kind == "code" else None
    built = build_tasks([task], judge)
    one = built[task.name]
    if task.headline == BITS and one.OUTPUT_TYPE == "generate_until":
        with explained(task, only_rows=True):
            samples = asked_alone(one, limit)
        bits = gold_bits(one, samples, scorer)
        if bits is None:
            raise StepError("an example has no correct answer; correct the file in the data folder (--data-dir)")
        rows = rows_of.unique_ids(rows_of.referenced(task, one, samples))
        records = [row | {BITS: b} for row, b in zip(rows, bits, strict=True)]
        return TaskResult(
            records, score_task(task, records, [BITS]), texts=_texts(one, samples), headline=BITS, share=False
        )
    with explained(task, only_rows=True):
        evaluated = run_tasks(scorer, built, limit)
    samples = evaluated["samples"][task.name]
    if one.OUTPUT_TYPE == "multiple_choice":

        def unconditional(pairs: Sequence[tuple[str, str]]) -> list[float]:
            return [logprob for logprob, _ in scorer.score_pairs(pairs)]

        records = rows_of.multiple_choice(task, one, samples, unconditional)
    elif one.OUTPUT_TYPE == "generate_until":
        records = rows_of.generated(task, one, samples, judge.verdicts if judge else ())
        if gold:
            with scorer.counting_no_truncation():  # the prompts were counted when their answers were generated
                records = _with_bits(records, task, lambda: gold_bits(one, samples, scorer))
    else:
        records = rows_of.rated(task, one, samples)
    records = rows_of.with_all_metrics(rows_of.unique_ids(records))
    whole, missing = aggregated(one, samples)
    means = score_task(task, records, rows_of.metrics_of(records))
    scores = means | whole
    for name, reason in missing.items():
        _warn(f"{task.name}: the metric {name} is omitted: {reason}")
    _agree(task.name, means, evaluated["results"][task.name])
    headline = _headline(task, scores, missing)
    share = is_share(
        one, headline, [scores[headline]["value"], *(r[headline] for r in records if r.get(headline) is not None)]
    )
    return TaskResult(records, scores, texts=_texts(one, samples), headline=headline, share=share)


def _texts(built: Any, samples: Sequence[Mapping[str, Any]]) -> list[str]:
    """The texts to search for in the training corpus; the prompts, if the task's form has no question and answer."""
    try:
        return texts_of(built, samples)
    except (LookupError, TypeError, ValueError, AttributeError):
        return [str(sample["arguments"][0][0]) for sample in rows_of.first_samples(samples)]


def _headline(task: Task, scores: Figures, missing: Mapping[str, str]) -> str:
    """The headline metric that the suite names; if the task lacks it, the task's first metric, with a warning.

    Raises:
        StepError: the task has no metric at all.
    """
    if task.headline in scores:
        return task.headline
    others = sorted((name for name in scores if name not in BASELINES), key="bits_per_byte".__eq__)  # which is last
    if not others:
        raise StepError(f"none of its metrics has a value: {'; '.join(f'{n}: {why}' for n, why in missing.items())}")
    _warn(
        f"{task.name}: it has no metric {task.headline!r}, so {others[0]!r} is its headline; set `headline` in the suite"
    )
    return others[0]


def _with_bits(
    records: list[dict[str, Any]], task: Task, ask: Callable[[], list[float] | None]
) -> list[dict[str, Any]]:
    """The records with the correct answers' bits per byte, or unchanged if the model cannot score these answers."""
    try:
        bits = ask()
    except StepError as error:
        _warn(f"{task.name}: bits per byte of the correct answers are omitted: {error}")
        return records
    return [record | {"bits_per_byte": b} for record, b in zip(records, bits, strict=True)] if bits else records


def _scores(suite: Suite, asked: Mapping[str, TaskResult], failed: Mapping[str, str]) -> dict[str, Any]:
    """The content of scores.json, without the checkpoint."""
    known = (replace(t, headline=asked[t.name].headline or t.headline) if t.name in asked else t for t in suite.tasks)
    suite = replace(suite, tasks=tuple(known))
    other_scales = {task.benchmark for task in suite.tasks if task.name in asked and not asked[task.name].share}
    if {task.headline for task in suite.tasks if task.name in asked} == {BITS}:
        other_scales = set()  # their scale is the same
    tasks = {name: found.scores for name, found in asked.items()}
    benchmarks = benchmark_scores(suite, tasks, {name: found.records for name, found in asked.items()}, failed)
    categories, overall = group(suite, benchmarks, other_scales)
    shots = {task.shots for task in suite.tasks if task.name in asked}
    scores = {
        "format_version": FORMAT_VERSION,
        "scorer_version": SCORER_VERSION,
        "suite": suite.name,
        "num_fewshot": shots.pop() if len(shots) == 1 else None,
        "data": {task.name: task.sha256 for task in suite.tasks if task.name in asked},
        "truncated_prompts": sum(found.truncated for found in asked.values()),
        "empty_completions": sum(found.empty for found in asked.values()),
        "tasks": tasks,
        "protocols": {task.name: _protocol(task, asked[task.name]) for task in suite.tasks if task.name in asked},
        "benchmarks": {name: figures for name, (figures, _) in benchmarks.items()},
        "headlines": {name: headline for name, (_, headline) in benchmarks.items()},
        "categories": categories,
        "overall": overall,
        "averages": dict(suite.average),
        "failed": dict(failed),
    }
    groups = {name: found.groups for name, found in asked.items() if found.groups}
    return scores | ({"safety_groups": groups} if groups else {}) | ({"prompt": suite.prompt} if suite.prompt else {})


def _protocol(task: Task, found: TaskResult) -> dict[str, Any]:
    """A task's protocol, which comparable scores must share, and its counts of cut prompts and empty completions."""
    stated = {"benchmark": task.benchmark, "metric": task.headline, "shots": task.shots, "form": task.form}
    stated |= {} if found.share else {"scale": "other"}
    return stated | {"truncated_prompts": found.truncated, "empty_completions": found.empty}


def _warn(text: str) -> None:
    print(f"warning: benchmarking: {printable(' '.join(text.split()))}", file=sys.stderr, flush=True)


def _report(scorer: "ChoiceScorer", suite: Suite, asked: Mapping[str, TaskResult]) -> None:
    """Print what a score may depend on besides the model, such as cut prompts."""

    def by_benchmark(count: Callable[[TaskResult], int]) -> str:
        found: dict[str, list[int]] = {}
        for task in suite.tasks:
            if task.name in asked:
                own = found.setdefault(task.benchmark, [0, 0])
                own[0] += count(asked[task.name])
                own[1] += len(asked[task.name].records)
        return ", ".join(f"{name} ({some} of {all_})" for name, (some, all_) in found.items() if some)

    if long := by_benchmark(lambda found: found.truncated):
        _warn(f"prompts longer than the context of {scorer.max_length} tokens were cut at the start: {long}")
    if empty := by_benchmark(lambda found: found.empty):
        _warn(f"empty completions, counted as wrong answers: {empty}")
    if scorer.endless and any("completion" in found.records[0] for found in asked.values()):
        _warn("the tokenizer has no end-of-text token: continuations end only at a task's stop strings or token limit")


def _show(suite: Suite, scores: Mapping[str, Any]) -> None:
    """Print one line per benchmark and one of the whole, with what their questions can detect."""
    shown = [(name, scores["benchmarks"][name], metric) for name, metric in scores["headlines"].items()]
    if suite.name == EXAM:
        shown = [(f"{EXAM}, {name}", entry, "acc") for name, entry in scores["categories"].items()]
    whole = scores["overall"]
    if metric := next((m for m in ("acc", *HEADLINES) if m in whole), None):
        shown.append((f"{suite.name}, mean of {len(scores['headlines'])}", whole, metric))
    for name, entry, metric in shown:
        if found := entry.get(metric):
            error = error_words(found["stderr"], found.get("clustered_stderr"), found.get("clusters"), 4)
            detects = f"; detects {words}" if (words := entry_words(entry, metric)) else ""
            line = f"{name}: {metric} {found['value']:.4f}{error}, n {found['n']}{detects}"
            print(f"benchmarking: {printable(line)}", flush=True)


def summarise(suite: str, scores: Mapping[str, Any]) -> dict[str, Any]:
    """Flat metrics for `dvc metrics`, rounded to six digits, since further digits depend on the processor."""
    overall, protocols = scores["overall"], scores["protocols"]

    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 6)

    def headline(figures: Mapping[str, Any], metric: str = "") -> float | None:
        name = next((m for m in (metric, *mains) if m in figures), None)
        return rounded(figures[name]["value"]) if name else None

    mains = main_metrics(scores)
    main = next((overall[m] for m in mains if m in overall), {"value": None, "stderr": None, "n": 0})
    summary = {
        **({} if mains[0] == BITS else {"accuracy": rounded(main["value"])}),
        "stderr": rounded(main["stderr"]),
        **{name: rounded(overall[name]["value"]) for name in ("chance", "majority", BITS) if name in overall},
        "examples": main["n"],
        "truncated_prompts": scores["truncated_prompts"],
        "categories": {name: headline(entry) for name, entry in scores["categories"].items()},
        "tasks": {name: headline(entry, protocols[name]["metric"]) for name, entry in scores["tasks"].items()},
    }
    if scores["failed"]:
        summary["failed"] = len(scores["failed"])
    if reworded := scores.get(REWORDED):
        summary[REWORDED] = {
            name: rounded(reworded["overall"][name]["value"])
            for name in ("acc", "chance", "majority")
            if name in reworded["overall"]
        } | {"categories": {name: headline(entry) for name, entry in reworded["categories"].items()}}
    return {suite: summary}


HEADLINES = ("acc", "accuracy", "answer_match", "exact_match", "pass@1", "safety", "safety_all")


def main_metrics(scores: Mapping[str, Any]) -> tuple[str, ...]:
    """The main metric of the suite's averages is the first of these that they have."""
    return (BITS, *HEADLINES) if set(scores.get("headlines", {}).values()) == {BITS} else HEADLINES


def tracked_figures(output: Path) -> dict[str, float]:
    """The headline of each entry of `scores.json` with its standard errors, and the standard error of guessing, for MLflow:
    `categories.math.acc.stderr`, `categories.math.acc.chance_stderr`."""
    scores = json.loads((Path(output) / "scores.json").read_text(encoding="utf-8"))
    entries = {"overall": scores["overall"]}
    if REWORDED in scores:
        entries[REWORDED] = scores[REWORDED]["overall"]
    for group_name in ("categories", "tasks"):
        entries |= {f"{group_name}.{name}": entry for name, entry in scores[group_name].items()}
    found = {}
    for name, entry in entries.items():
        metric = next((m for m in main_metrics(scores) if m in entry), None)
        parts = entry[metric] | {"chance_stderr": (entry.get("chance") or {}).get("stderr")} if metric else {}
        for part, value in parts.items():
            if value is not None:
                # MLflow does not accept @ in a name.
                found[f"{name}.{str(metric).replace('@', '_at_')}.{part}"] = float(value)
    return found


def _agree(name: str, scores: Figures, results: Mapping[str, Any]) -> None:
    """Check that our means and standard errors equal lm-eval's. A difference is a defect here, not the user's mistake."""
    for key, theirs in results.items():
        metric, _, filtered = key.partition(",")
        metric, stderr = metric.removesuffix("_stderr"), metric.endswith("_stderr")
        ours = scores.get(f"{metric}_{filtered.replace('-', '_')}", scores.get(metric))  # as in records.generated
        if not filtered or ours is None:
            continue
        a, b = ours["stderr" if stderr else "value"], theirs
        known = [isinstance(x, int | float) and x == x for x in (a, b)]  # lm-eval writes words for "not known"
        if known[0] != known[1] or (all(known) and abs(a - b) > 1e-9):
            raise Disagreement(f"{name}.{metric}: {a} here, {b} in lm-eval")


def check_limit(limit: int) -> int:
    """The limit from the command line: examples per task.

    Raises:
        StepError: the limit is negative.
    """
    if limit < 0:
        raise StepError(f"--limit is {limit}; expected a number of examples per task, or 0 for all")
    return limit
