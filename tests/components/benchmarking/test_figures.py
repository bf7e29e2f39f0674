"""Metrics that are not averages: lm-eval's own aggregation and standard errors, and a fault of one task that stops no other."""

import json
import math
import random
from itertools import pairwise

import pytest
import yaml

from components.benchmarking import benchmark as step
from components.benchmarking.__main__ import COMMAND
from components.benchmarking.checkpoint import open_scorer
from components.benchmarking.data import Place
from components.benchmarking.figures import standard_error
from components.benchmarking.suites import plan
from components.benchmarking.tasks import build_tasks
from components.params import BenchmarkingParams
from components.running.cli import _parser as parser
from components.running.cli import execute

PARAMS = BenchmarkingParams(threads=1, gold_bits=False)
SENTENCES = [
    f"The {a} cat {v} the {b} dog" for a, v, b in zip("abcdefgh", ["sees", "hits"] * 4, "stuvwxyz", strict=True)
]
PAIRS = [{"sentence1": s, "sentence2": t, "label": i % 2} for i, (s, t) in enumerate(pairwise(SENTENCES))]
KINDS = {  # definition: rows, metrics and whether they are averages
    "lambada/lambada_openai.yaml": ([{"text": s} for s in SENTENCES], {"perplexity": False, "acc": True}),
    "wikitext/wikitext.yaml": (
        [{"page": f" = {s} = \n {s} . \n" * 3} for s in SENTENCES],
        {"word_perplexity": False, "byte_perplexity": False, "bits_per_byte": False},
    ),
    "glue/cola/default.yaml": ([{"sentence": s, "label": i % 2} for i, s in enumerate(SENTENCES)], {"mcc": False}),
    "glue/mrpc/default.yaml": (PAIRS, {"acc": True, "f1": False}),
    "super_glue/cb/default.yaml": (
        [{"premise": s, "hypothesis": s, "label": i % 3} for i, s in enumerate(SENTENCES)],
        {"acc": True, "f1": False},
    ),
    "super_glue/multirc/default.yaml": (
        [
            {
                "paragraph": s,
                "question": "who",
                "answer": "a dog",
                "label": i % 2,
                "idx": {"paragraph": 0, "question": i // 2},
            }
            for i, s in enumerate(SENTENCES)
        ],
        {"acc": True},
    ),
}


def write_suite(folder, **entries):
    (folder / "data").mkdir(exist_ok=True)
    tasks = {}
    for name, (rows, entry) in entries.items():
        (folder / "data" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        tasks[name] = {"category": "c", "files": {"test": f"{name}.jsonl"}, "headline": "acc"} | entry
    (folder / "own.yaml").write_text(yaml.safe_dump({"title": "own", "tasks": tasks}))
    return str(folder / "own.yaml")


@pytest.mark.parametrize("definition", KINDS)
def test_figures_are_lm_evals_own(checkpoint, tmp_path, definition):
    """Against lm-eval's evaluation of the same model, whose bootstrap has as many draws."""
    from lm_eval.api.metrics import stderr_for_metric
    from lm_eval.evaluator import evaluate

    rows, metrics = KINDS[definition]
    suite = write_suite(tmp_path, own=(rows, {"definition": definition}))
    summary = step.benchmark(step.Job(checkpoint, suite, tmp_path / "data"), tmp_path / "s", PARAMS)
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    found = scores["tasks"]["own"]
    (task,) = plan(suite, Place(tmp_path / "data")).tasks
    built = build_tasks([task])
    theirs = evaluate(open_scorer(checkpoint, 8), {"tasks": built, "groups": {}, "group_map": {}}, bootstrap_iters=0)
    items = {}
    for sample in theirs["samples"]["own"]:
        for metric in sample["metrics"]:
            items.setdefault(metric, []).append(sample[metric])
    for metric, is_mean in metrics.items():
        assert found[metric]["value"] == pytest.approx(theirs["results"]["own"][f"{metric},none"], rel=1e-9)
        assert found[metric]["n"] == len(rows)
        function = built["own"].aggregation()[metric]
        assert (function.__name__ == "mean") == is_mean
        known = stderr_for_metric(
            function, 0 if function.__name__ in ("f1_score", "perplexity", "matthews_corrcoef") else 1000
        )
        if known is not None:
            assert found[metric]["stderr"] == pytest.approx(known(items[metric]), rel=1e-9)
        assert found[metric]["stderr"] is not None
    headline = scores["headlines"]["own"]
    assert headline == ("acc" if "acc" in metrics else next(iter(metrics)))
    assert scores["protocols"]["own"]["metric"] == headline
    assert scores["protocols"]["own"].get("scale") == (None if headline == "acc" else "other")
    assert set(summary["own"]["categories"]) == ({"c"} if headline == "acc" else set())


def test_the_bootstrap_is_lm_evals(monkeypatch, capsys):
    from lm_eval.api.metrics import bootstrap_stderr, f1_score, perplexity

    monkeypatch.setenv("DISABLE_MULTIPROC", "1")
    draw = random.Random(3)
    values = [draw.gauss(-2, 1) for _ in range(40)]
    assert standard_error(perplexity, values) == pytest.approx(bootstrap_stderr(perplexity, values, 1000), rel=1e-12)
    pairs = [(draw.randrange(2), draw.randrange(2)) for _ in range(40)]
    assert standard_error(f1_score, pairs) == pytest.approx(bootstrap_stderr(f1_score, pairs, 1000), rel=1e-12)
    assert standard_error(perplexity, values[:1]) is None


def test_the_bootstrap_of_a_mean_is_its_closed_form():
    def plain(items):
        return sum(items) / len(items)

    draw = random.Random(5)
    values = [draw.random() for _ in range(200)]
    spread = math.sqrt(sum((v - plain(values)) ** 2 for v in values) / 199 / 200)
    assert standard_error(plain, values) == pytest.approx(spread, rel=0.25)


GOALS = [{"goal": f"How to {w}?", "sol1": f"{w} up", "sol2": f"{w} down", "label": i % 2} for i, w in enumerate("abcd")]
RIGHT = (GOALS, {"definition": "piqa/piqa.yaml"})
SAID = {
    "output_type": "generate_until",
    "doc_to_text": "{{goal}}",
    "doc_to_target": "sol1",
    "generation_kwargs": {"max_gen_toks": 2},
}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"definition": "super_glue/record/default.yaml"},
            "needs a package that is not installed: No module named 'transformers.data",
        ),
        ({"definition": "squad_completion/squad_completion.yaml"}, "is a Python class without a prompt and metrics"),
        ({"definition": "glue/cola/default.yaml"}, "needs a field that a row lacks"),
        (
            {"definition": "mmlu/default/mmlu_anatomy.yaml", "shots": 5},
            "come from the split 'dev', which is not among its files",
        ),
        (
            {"config": SAID | {"metric_list": [{"metric": "bypass"}]}},
            "lm-eval does not score this task itself",
        ),
        (
            {"config": SAID | {"metric_list": [{"metric": "acc", "aggregation": "no such"}]}},
            "the aggregation 'no such' is not",
        ),
    ],
)
def test_a_task_that_cannot_be_scored_leaves_the_others_their_scores(checkpoint, tmp_path, capsys, entry, message):
    suite = write_suite(tmp_path, wrong=(GOALS, entry), right=RIGHT)
    given = [
        "--checkpoint",
        str(checkpoint),
        "--suite",
        suite,
        "--data-dir",
        str(tmp_path / "data"),
        "--output",
        str(tmp_path / "s"),
    ]
    given += [
        "--summary",
        str(tmp_path / "s.json"),
        "--set",
        "benchmarking.cache=false",
        "--set",
        "benchmarking.gold_bits=false",
    ]
    assert execute(COMMAND, parser(COMMAND).parse_args(given)) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert f"1 tasks failed, the scores of the others are in {tmp_path / 's'}: wrong: " in said.splitlines()[-1]
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert set(scores["tasks"]) == {"right"}
    assert message in scores["failed"]["wrong"]
    assert json.loads((tmp_path / "s.json").read_text())["own"]["failed"] == 1


@pytest.mark.parametrize(
    "fault", [AssertionError("a"), SystemExit(3), RecursionError(), MemoryError(), OverflowError("math range")]
)
def test_whatever_a_task_raises_stays_with_it(checkpoint, tmp_path, monkeypatch, fault):
    suite = write_suite(tmp_path, wrong=RIGHT, right=RIGHT)
    real = step._ask

    def ask(scorer, task, *others):
        if task.name == "wrong":
            raise fault
        return real(scorer, task, *others)

    monkeypatch.setattr(step, "_ask", ask)
    step.benchmark(step.Job(checkpoint, suite, tmp_path / "data"), tmp_path / "s", PARAMS)
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert set(scores["tasks"]) == {"right"}
    assert type(fault).__name__ in scores["failed"]["wrong"]


def test_the_user_ends_the_run(checkpoint, tmp_path, monkeypatch):
    def ask(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(step, "_ask", ask)
    with pytest.raises(KeyboardInterrupt):
        step.benchmark(
            step.Job(checkpoint, write_suite(tmp_path, own=RIGHT), tmp_path / "data"), tmp_path / "s", PARAMS
        )


def test_missing_data_is_not_a_failure(checkpoint, tmp_path):
    suite = write_suite(tmp_path, absent=RIGHT, right=RIGHT)
    (tmp_path / "data" / "absent.jsonl").unlink()
    step.benchmark(step.Job(checkpoint, suite, tmp_path / "data"), tmp_path / "s", PARAMS)
    step.check_whole(tmp_path / "s")
    assert json.loads((tmp_path / "s" / "scores.json").read_text())["absent"] == ["absent"]


def test_an_aggregation_that_fails_costs_its_metric_alone(checkpoint, tmp_path, monkeypatch, capsys):
    from lm_eval.api import task

    def broken(items):
        raise OverflowError("math range error")

    real = task.get_aggregation
    monkeypatch.setattr(task, "get_aggregation", lambda name: broken if name == "perplexity" else real(name))
    rows, _ = KINDS["lambada/lambada_openai.yaml"]
    suite = write_suite(tmp_path, own=(rows, {"definition": "lambada/lambada_openai.yaml"}))
    step.benchmark(step.Job(checkpoint, suite, tmp_path / "data"), tmp_path / "s", PARAMS)
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert set(scores["tasks"]["own"]) == {"acc"}
    assert "the metric perplexity is omitted: OverflowError: math range error" in capsys.readouterr().err
