"""Benchmarks of several tasks, the better of two forms, categories: by hand."""

import json
import math

import pyarrow.parquet as pq
import pytest

from components.benchmarking.aggregate import average, benchmark_scores, group, score_task
from components.benchmarking.benchmark import Job, benchmark, summarise, tracked_figures
from components.benchmarking.checkpoint import open_scorer
from components.benchmarking.suites import Suite, Task
from components.params import BenchmarkingParams

PARAMS = BenchmarkingParams(threads=1)


def task(name, benchmark, headline="acc", category="c", kind="lm_eval", form=""):
    return Task(name, benchmark, category, kind, headline, {"test": [{}]}, "test", "0", form=form)


def scored(tasks, values, metric="acc", choices=4):
    rows = {t.name: [{metric: v, "choices": ["x"] * choices} for v in values[t.name]] for t in tasks}
    return {t.name: score_task(t, rows[t.name], [metric]) for t in tasks}, rows


def test_parts_weigh_equally_or_by_their_examples():
    tasks = (task("m_a", "m"), task("m_b", "m"))
    figures, rows = scored(tasks, {"m_a": [1.0, 0.0, 0.0, 0.0], "m_b": [1.0]})
    by_tasks = benchmark_scores(Suite("s", tasks, {"m": "tasks"}, {}), figures, rows, {})["m"]
    by_examples = benchmark_scores(Suite("s", tasks, {"m": "examples"}, {}), figures, rows, {})["m"]
    assert by_tasks[0]["acc"]["value"] == pytest.approx((0.25 + 1) / 2)
    assert by_examples[0]["acc"] == {"value": 0.4, "stderr": pytest.approx(math.sqrt(0.3 / 5)), "n": 5}
    assert by_examples[0]["chance"] == {"value": 0.25, "stderr": pytest.approx(math.sqrt(3 / 16 / 5)), "n": 5}
    assert by_tasks[1] == by_examples[1] == "acc"


@pytest.mark.parametrize("average", ["tasks", "examples"])
@pytest.mark.parametrize(
    ("headlines", "metrics", "headline"),
    [(("f1", "f1"), ({"acc": 0.5, "f1": 0.4}, {"acc": 0.5, "f1": 0.6}), "f1"), (("acc", "f1"), ({"acc": 0.4}, {"f1": 0.6}), "accuracy")],
)  # fmt: skip
def test_a_headline_that_examples_or_tasks_lack_still_has_a_mean(average, headlines, metrics, headline):
    tasks = (*(task(name, "m", own) for name, own in zip("ab", headlines, strict=True)), task("x", "x", "exact_match"))
    values = dict(zip("abx", (*metrics, {"exact_match": 0.1}), strict=True))
    figures = {name: {m: {"value": v, "stderr": 0.1, "n": 2} for m, v in own.items()} for name, own in values.items()}
    rows = {"a": [{"acc": 0.0}, {"acc": 1.0}], "b": [{"acc": None}, {"acc": 1.0}]}
    plan = Suite("s", tasks, {"m": average}, {})
    found = benchmark_scores(plan, figures, rows, {})
    assert found["m"][1] == headline
    assert found["m"][0][headline]["value"] == pytest.approx(0.5)
    assert group(plan, found)[1]["accuracy"]["value"] == pytest.approx(0.3)


def test_a_benchmark_of_which_a_task_failed_has_no_score():
    tasks = (task("m_a", "m"), task("m_b", "m"), task("p", "p"))
    figures, rows = scored(tasks, {"m_a": [1.0], "m_b": [0.0], "p": [1.0]})
    del figures["m_b"]
    found = benchmark_scores(Suite("s", tasks, {"m": "tasks", "p": "tasks"}, {}), figures, rows, {"m_b": "why"})
    assert set(found) == {"p"}


def test_the_better_form_counts_as_a_whole():
    tasks = tuple(
        task(f"m_{p}_{f}", "m", h, form=f) for p in "ab" for f, h in (("cloze", "acc_norm"), ("letters", "acc"))
    )
    rows = {
        "m_a_cloze": [{"acc": 0.0, "acc_norm": 1.0}], "m_b_cloze": [{"acc": 1.0, "acc_norm": 0.0}],
        "m_a_letters": [{"acc": 0.0}], "m_b_letters": [{"acc": 0.9}],
    }  # fmt: skip
    figures = {name: score_task(t, rows[name], list(rows[name][0])) for t in tasks for name in [t.name]}
    found, headline = benchmark_scores(Suite("s", tasks, {"m": "best"}, {}), figures, rows, {})["m"]
    assert headline == "accuracy"
    assert found["accuracy"]["value"] == found["cloze"]["value"] == 0.5  # not the better form of each part: 0.95
    assert found["letters"]["value"] == pytest.approx(0.45)


def test_categories_average_what_they_share_and_unlike_headlines_as_accuracy():
    one = (
        {"acc": {"value": 0.4, "stderr": 0.03, "n": 10}, "bits_per_byte": {"value": 2.0, "stderr": 0.1, "n": 10}},
        "acc",
    )
    two = ({"exact_match": {"value": 0.8, "stderr": 0.04, "n": 5}}, "exact_match")
    assert average([one, two]) == {"accuracy": {"value": pytest.approx(0.6), "stderr": pytest.approx(0.025), "n": 15}}
    assert set(average([one, one])) == {"acc", "bits_per_byte"}


def test_the_safety_score_enters_no_mean():
    tasks = (task("p", "p"), task("t", "t", "safety", "safety", "safety"))
    figures = {"acc": {"value": 0.5, "stderr": 0.1, "n": 3}}
    safety = {"safety": {"value": 0.2, "stderr": None, "n": 9}}
    categories, overall = group(Suite("s", tasks, {}, {}), {"p": (figures, "acc"), "t": (safety, "safety")})
    assert overall == figures
    assert categories == {"c": figures, "safety": safety}


def test_olmes_asks_both_forms_and_normalises_by_pmi(checkpoint, tmp_path):
    rows = [
        {
            "id": f"q{i}",
            "question": f"What is the opposite of {w}?",
            "choices": {"text": list(c), "label": ["A", "B"]},
            "answerKey": "AB"[i % 2],
        }
        for i, (w, *c) in enumerate([("hot", "cold", "warm"), ("big", "large", "small"), ("up", "down", "over")])
    ]
    shots = [{"dataset": "ARC-Challenge", "doc": row} for row in rows * 2]
    for name, content in (("arc_challenge/test", rows), ("fewshot_olmes/fewshot", shots)):
        path = tmp_path / "data" / f"{name}.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    summary = benchmark(Job(checkpoint, "olmes", tmp_path / "data"), tmp_path / "s", PARAMS)["olmes"]
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert set(scores["tasks"]) == {"arc_challenge_cloze", "arc_challenge_letters"}
    cloze = scores["tasks"]["arc_challenge_cloze"]["acc_pmi"]["value"]
    letters = scores["tasks"]["arc_challenge_letters"]["acc"]["value"]
    assert (
        scores["benchmarks"]["arc_challenge"]["accuracy"]["value"]
        == max(cloze, letters)
        == pytest.approx(summary["accuracy"], abs=1e-6)
    )
    assert scores["protocols"]["arc_challenge_cloze"]["shots"] == 5
    assert scores["protocols"]["arc_challenge_letters"]["form"] == "letters"
    scorer = open_scorer(checkpoint, 4)
    for row in pq.read_table(tmp_path / "s" / "examples.parquet").to_pylist():
        if row["task"] == "arc_challenge_cloze":
            alone = [p for p, _ in scorer.score_pairs([("Answer:", f" {choice}") for choice in row["choices"]])]
            gains = [p - q for p, q in zip(row["log_probabilities"], alone, strict=True)]
            assert row["acc_pmi"] == float(gains.index(max(gains)) == row["answer"])


def test_figures_for_mlflow_have_names_that_it_takes(tmp_path):
    entry = {"pass@1": {"value": 0.5, "stderr": None, "n": 2}}
    scores = {"overall": entry, "categories": {"coding": entry}, "tasks": {}, "protocols": {}}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    assert tracked_figures(tmp_path) == {
        "overall.pass_at_1.value": 0.5, "overall.pass_at_1.n": 2,
        "categories.coding.pass_at_1.value": 0.5, "categories.coding.pass_at_1.n": 2,
    }  # fmt: skip
    flat = summarise("s", scores | {"failed": {}, "truncated_prompts": 0})["s"]
    assert flat["accuracy"] == 0.5
    assert "chance" not in flat
