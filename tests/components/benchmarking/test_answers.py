"""Written answers: right by number, option or words, whatever surrounds them."""

import json

import pytest

from components.benchmarking.answers import as_number, final_answer, is_right
from components.benchmarking.benchmark import Job, benchmark
from components.params import BenchmarkingParams

OPTIONS = "Which?\nOptions:\n(A) a red dog\n(B) A blue, old cat\n(C) neither"


@pytest.mark.parametrize(
    ("completion", "target", "right"),
    [
        ("So the answer is 180.", "180", True),
        ("So the answer is 180", "180", True),
        ("So the answer is 180", "18", False),
        ("The answer is 18", "18", True),
        ("The answer is $1,450.00 per year.", "1,450", True),
        ("The answer is 1450 dollars", "1,450", True),
        ("The answer is 18.0.", "18", True),
        ("The answer is 18.5", "18", False),
        ("The answer is -5", "5", False),
        ("The answer is $-5$.", "-5", True),
        ("The answer is \u22125", "-5", True),
        ("The answer is 3 * 6 = 18.", "18", True),
        ("The answer is **18**", "18", True),
        ("the final answer is: 1/2", "0.5", True),
        ("The answer is 20%.", "20", True),
        ("the answer is 5. But one leaves, so the answer is 4.", "4", True),
        ("He sells 3 and has 15 left.\n#### 15", "15", True),
        ("It is \\\\boxed{15} in all, of 20.".replace("\\\\", "\\"), "15", True),
        ("First 3, then 15 apples", "15", True),
        ("First 3, then 15 apples", "3", False),
        ("", "0", False),
        ("The answer is", "0", False),
        ("The answer is " + "9" * 5000, "9", False),
        ("So the answer is (B).", "(B)", True),
        ("So the answer is (B)", "(B)", True),
        ("So the answer is B", "(B)", True),
        ("So the answer is B.", "(B)", True),
        ("So the answer is (b)", "(B)", True),
        ("So the answer is option B", "(B)", True),
        ("So the answer is (A).", "(B)", False),
        ("So the answer is a blue, old cat", "(B)", True),
        ("So the answer is A blue, old cat.", "(B)", True),
        ("So the answer is a red dog.", "(B)", False),
        ("(B)", "(B)", True),
        ("So the answer is Yes", "Yes", True),
        ("So the answer is yes, they return.", "Yes", True),
        ("So the answer is No.", "Yes", False),
        ("So the answer is invalid", "valid", False),
        ("So the answer is ] ]", "] ]", True),
        ("So the answer is ] ].", "] ]", True),
        ("So the answer is ]", "] ]", False),
        ("So the answer is apple pear fig", "apple pear fig", True),
        ("So the answer is apple fig pear.", "apple pear fig", False),
        ("Both are odd.\nTrue", "True", True),
    ],
)
def test_an_answer_is_right_by_what_it_says(completion, target, right):
    assert is_right(completion, target, OPTIONS) == right


def test_the_correct_answer_itself_is_right_in_real_data(shared_data):
    """Every answer of BBH and GSM8K, with and without a full stop, and no other option or number."""
    import gzip

    for name in ("bbh", "gsm8k"):
        with gzip.open(shared_data / "benchmarks" / name / "test.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        targets = [row.get("target") or row["answer"].split("####")[-1].strip() for row in rows]
        questions = [row.get("input", "") for row in rows]
        for said in ("So the answer is {}.", "So the answer is {}", "The answer is **{}**."):
            missed = [
                target
                for target, question in zip(targets, questions, strict=True)
                if not is_right(said.format(target), target, question)
            ]
            assert missed == []
        wrong = [
            (target, other)
            for target, other, question in zip(targets, [*targets[1:], targets[0]], questions, strict=True)
            if is_right(f"So the answer is {other}.", target, question) != (other == target)
        ]
        assert [pair for pair in wrong if as_number(pair[0]) != as_number(pair[1])] == []


def test_what_introduces_the_answer():
    assert final_answer("The answer is 3.\n#### 4") == "3."
    assert final_answer("nothing of it") is None


def test_lm_evals_figure_stands_beside_ours_which_is_the_headline(checkpoint, tmp_path, monkeypatch):
    from components.benchmarking import checkpoint as opener
    from components.benchmarking.scorer import ChoiceScorer

    said = {"Ann": " She has 180 now. The answer is 180", "Bob": " The answer is 18", "Cid": " The answer is 7."}

    class Says(ChoiceScorer):
        def generate_until(self, requests, disable_tqdm=False):
            return [
                next(text for name, text in said.items() if name in request.doc["question"]) for request in requests
            ]

    monkeypatch.setattr(opener, "open_scorer", lambda *_: Says(None, None, None, 0, 8, 8))
    rows = [
        {"question": f"{name}: how many?", "answer": f"So.\n#### {n}"}
        for name, n in (("Ann", 18), ("Bob", 18), ("Cid", 7))
    ]
    (tmp_path / "data" / "gsm8k").mkdir(parents=True)
    (tmp_path / "data" / "gsm8k" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    params = BenchmarkingParams(threads=1, gold_bits=False)
    summary = benchmark(Job(checkpoint, "phi2", tmp_path / "data"), tmp_path / "s", params)["phi2"]
    scores = json.loads((tmp_path / "s" / "scores.json").read_text())
    found = {name: round(figure["value"] * 3) for name, figure in scores["tasks"]["gsm8k"].items()}
    assert found == {"answer_match": 2, "exact_match": 2, "exact_match_flexible_extract": 2}
    assert scores["headlines"]["gsm8k"] == scores["protocols"]["gsm8k"]["metric"] == "answer_match"
    assert summary["tasks"]["gsm8k"] == pytest.approx(2 / 3, abs=1e-6)
    import pyarrow.parquet as pq

    examples = pq.read_table(tmp_path / "s" / "examples.parquet").to_pylist()
    assert [row["answer_match"] for row in examples] == [0.0, 1.0, 1.0]
    assert [row["exact_match"] for row in examples] == [1.0, 0.0, 1.0]  # 180 counts as 18, and 18 as 1
