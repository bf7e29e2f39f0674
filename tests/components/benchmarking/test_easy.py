"""The suite `easy`: bits per byte as headline, in scores, means, summary and report."""

import gzip
import json
import math

import pyarrow.parquet as pq
import pytest

from components.benchmarking.benchmark import Job, benchmark, tracked_figures
from components.benchmarking.checkpoint import open_scorer
from components.params import BenchmarkingParams
from components.reporting.beside import score_cell
from components.reporting.scores import read_scores
from components.results.published import standings

QUESTIONS = [
    {"id": str(i), "question": f"Is it {w}?", "choices": {"text": [w, "not"], "label": ["A", "B"]}, "answerKey": "A"}
    for i, w in enumerate(["hot", "cold", "wet", "dry", "big", "small"])
]
SUMS = [
    {"question": "How many?", "answer": f"He has 1 + {n} = <<1+{n}={n + 1}>>{n + 1} hats.\n#### {n + 1}"}
    for n in (1, 2)
]
PROGRAM = {
    "task_id": "HumanEval/0",
    "prompt": "def one():\n",
    "canonical_solution": "    return 1\n",
    "entry_point": "one",
    "test": "def check(f):\n    assert f() == 1\n",
}
PASSAGES = [
    {
        "id": "a",
        "title": "T",
        "context": "Ann is in Rome.",
        "question": "Who?",
        "answers": {"text": ["Ann"], "answer_start": [0]},
    },
    {
        "id": "b",
        "title": "T",
        "context": "Ann is in Rome.",
        "question": "Why?",
        "answers": {"text": [], "answer_start": []},
    },
]
SHOTS = [{"dataset": "ARC-Easy", "doc": row} for row in QUESTIONS[:5]]
FILES = {
    "arc_easy/test.jsonl.gz": QUESTIONS,
    "fewshot_olmes/fewshot.jsonl": SHOTS,
    "gsm8k/test.jsonl.gz": SUMS,
    "humaneval/test.jsonl.gz": [PROGRAM],
    "squadv2/validation_half.jsonl.gz": PASSAGES,
}


@pytest.fixture(scope="module")
def scored(checkpoint, tmp_path_factory):
    """Scores of `easy` and `olmes`, and the summary of the first."""
    root = tmp_path_factory.mktemp("easy")
    for name, rows in FILES.items():
        path = root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with (gzip.open if path.suffix == ".gz" else open)(path, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    params = BenchmarkingParams(threads=1)
    summary = benchmark(Job(checkpoint, "easy", root / "data"), root / "easy", params)
    benchmark(Job(checkpoint, "olmes", root / "data"), root / "olmes", params)
    return root, summary["easy"]


def scores(root, suite):
    return json.loads((root / suite / "scores.json").read_text(encoding="utf-8"))


def test_every_headline_is_in_bits_and_means_are_plain_means(scored):
    root, summary = scored
    found = scores(root, "easy")
    assert found["headlines"] == dict.fromkeys(["arc_easy", "gsm8k", "humaneval", "squadv2"], "bits_per_byte")
    bits = {name: figures["bits_per_byte"] for name, figures in found["benchmarks"].items()}
    overall = found["overall"]["bits_per_byte"]
    assert overall["value"] == pytest.approx(sum(b["value"] for b in bits.values()) / 4)
    assert overall["stderr"] is None  # a single program, a single passage
    assert found["categories"]["qa"]["bits_per_byte"]["value"] == pytest.approx(
        (bits["arc_easy"]["value"] + bits["squadv2"]["value"]) / 2
    )
    assert set(found["absent"]) == set(found["failed"])
    assert summary["bits_per_byte"] == round(overall["value"], 6)
    assert "accuracy" not in summary
    assert summary["categories"]["math"] == round(bits["gsm8k"]["value"], 6)
    tracked = tracked_figures(root / "easy")
    assert tracked["overall.bits_per_byte.value"] == overall["value"]
    assert tracked["tasks.arc_easy.bits_per_byte.stderr"] == bits["arc_easy"]["stderr"]


def test_questions_are_olmess_in_the_cloze_form(scored):
    root, _ = scored
    ours, theirs = scores(root, "easy")["tasks"], scores(root, "olmes")["tasks"]
    assert [name for name in ours if name.startswith("arc")] == ["arc_easy"]
    assert ours["arc_easy"] == theirs["arc_easy_cloze"]
    assert {"acc", "acc_norm", "bits_per_byte"} <= ours["arc_easy"].keys()


def test_of_answers_that_are_generated_only_the_right_one_is_rated(scored, checkpoint):
    root, _ = scored
    rows = {}
    for row in pq.read_table(root / "easy" / "examples.parquet").to_pylist():
        rows.setdefault(row["task"], []).append(row)
    assert [row["target"] for row in rows["gsm8k"]] == [
        "He has 1 + 1 = 2 hats. The answer is 2.",
        "He has 1 + 2 = 3 hats. The answer is 3.",
    ]
    assert [row["target"] for row in rows["squadv2"]] == ["Ann"]  # the one question with an answer
    assert all(
        row["bits_per_byte"] > 0 and "completion" not in row for name in ("gsm8k", "humaneval") for row in rows[name]
    )
    solution = PROGRAM["canonical_solution"].rstrip()
    ((logprob, _),) = open_scorer(checkpoint, 1).score_pairs([(PROGRAM["prompt"], solution)])
    assert rows["humaneval"][0]["bits_per_byte"] == pytest.approx(-logprob / math.log(2) / len(solution), rel=1e-5)


def test_the_report_shows_bits_as_they_are_and_fewer_as_better(scored):
    root, _ = scored
    found = read_scores(root / "easy")
    assert {score.metric for score in found.tasks.values()} == {"bits_per_byte"}
    assert found.overall.value == pytest.approx(scores(root, "easy")["overall"]["bits_per_byte"]["value"])
    assert found.overall.chance is None
    assert found.examples == found.bits
    board = standings({"mine": found.measured})
    columns = {column["subject"]: column for column in board["columns"] if column["metric"] == "bits_per_byte"}
    assert columns.keys() == {"arc_easy", "gsm8k", "humaneval", "squadv2"}
    assert (columns["arc_easy"]["shots"], columns["arc_easy"]["form"]) == (5, "cloze")
    cell = next(row for row in board["rows"] if row["kind"] == "measured")["figures"][columns["arc_easy"]["id"]]
    assert score_cell(cell, "bits_per_byte") == f"{cell['value']:.3f} ± {cell['stderr']:.3f} †"
