"""The rule of promotion: its laws, each of its refusals, and what it reads."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import StepError
from components.params import PromotionParams, check_params
from components.reporting import promotion
from components.reporting.evidence import Accuracy, Scores
from components.reporting.promotion import Check, Gap, accuracy_gap, judge, loss_gap
from components.tracking import Tracker
from tests.components.reporting.conftest import put_json

RULE = PromotionParams()
INPUTS = {argument.name: None for argument in promotion.COMMAND.inputs}


def rated(nats: list[float], sizes: list[int]) -> dict[str, Any]:
    return {"nats": nats, "bytes": sizes}


def scored(answers: dict[tuple[str, str], float]) -> Scores:
    return Scores(Accuracy(0.5), {}, {}, examples=answers)


@st.composite
def pairs(draw: Any) -> tuple[Any, Any, Any, Any, PromotionParams]:
    """Two models on the same documents and questions, and a rule."""
    documents, questions = draw(st.integers(2, 12)), draw(st.integers(2, 12))
    sizes = draw(st.lists(st.integers(1, 5000), min_size=documents, max_size=documents))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    level, spread = draw(st.floats(-1, 1)), draw(st.sampled_from([0.0, 0.01, 1.0]))
    first = rng.uniform(0.1, 5, documents) * sizes
    second = np.maximum(first * (1 + level + spread * rng.standard_normal(documents)), 0)
    keys = [(f"task{i % 2 if questions > 3 else 0}", str(i)) for i in range(questions)]
    answers = [dict(zip(keys, rng.integers(0, 2, questions).astype(float).tolist(), strict=True)) for _ in range(2)]
    rule = PromotionParams(
        max_loss_difference=draw(st.sampled_from([0.0, -0.01, -1.0])),
        min_accuracy_difference=draw(st.sampled_from([-1.0, -0.1, 0.0])),
        confidence=draw(st.sampled_from([0.5, 0.9, 0.95])),
    )
    a, b = rated(first.tolist(), sizes), rated(second.tolist(), sizes)
    return a, b, scored(answers[0]), scored(answers[1]), rule


def verdict(ours: Any, theirs: Any, our_scores: Scores, their_scores: Scores, rule: PromotionParams) -> bool:
    gaps = loss_gap(ours, theirs, rule.confidence), accuracy_gap(our_scores, their_scores, set(), rule.confidence)
    return judge(rule, {}, gaps).promoted


@given(pairs())
@settings(max_examples=200)
def test_of_two_models_at_most_one_is_promoted_over_the_other(case: Any) -> None:
    first, second, our_scores, their_scores, rule = case
    assert not (
        verdict(first, second, our_scores, their_scores, rule)
        and verdict(second, first, their_scores, our_scores, rule)
    )


@given(pairs())
def test_a_model_is_never_promoted_over_itself(case: Any) -> None:
    first, _, scores, _, rule = case
    assert not verdict(first, first, scores, scores, rule)


def test_equal_is_not_better_and_the_reason_says_so() -> None:
    same = Gap(1.5, 1.5, 0.0, 0.0, 0.0, 30)
    decision = judge(RULE, {}, (same, same))
    assert not decision.promoted
    assert decision.reason.startswith("equal to the champion, not better")


@given(pairs(), st.integers(0, 2**32 - 1))
def test_no_verdict_hangs_on_the_order_of_documents(case: Any, seed: int) -> None:
    first, second, *_ = case
    order = np.random.default_rng(seed).permutation(len(first["bytes"]))
    turned = [{name: [column[i] for i in order] for name, column in model.items()} for model in (first, second)]
    assert loss_gap(*turned, 0.95).value == pytest.approx(loss_gap(first, second, 0.95).value, abs=1e-9)


def gap(low: float, high: float) -> Gap:
    return Gap(1.0, 1.0, (low + high) / 2, low, high, 100)


@pytest.mark.parametrize(
    ("loss", "accuracy", "promoted", "words"),
    [
        ((-0.2, -0.1), (-0.01, 0.03), True, "better than the champion with 95% confidence"),
        ((-0.2, 0.0), (0.01, 0.03), False, "the loss is not below the champion's"),
        ((0.1, 0.2), (0.01, 0.03), False, "the loss is not below the champion's"),
        ((-0.2, -0.1), (-0.03, -0.01), False, "the accuracy is below the champion's"),
        ((-0.2, -0.1), (-0.03, 0.0), True, "better"),
    ],
)
def test_the_whole_interval_decides(loss: Any, accuracy: Any, promoted: bool, words: str) -> None:
    decision = judge(RULE, {}, (gap(*loss), gap(*accuracy)))
    assert (decision.promoted, words in decision.reason) == (promoted, True)
    assert f"{loss[0]:+.4f} to {loss[1]:+.4f}" in decision.reason, "a reason has its figures"


def test_a_failed_check_comes_before_every_figure() -> None:
    checks = {"validation": Check(True, "fine"), "control": Check(False, "over the control's")}
    decision = judge(RULE, checks, (gap(-1, -0.5), gap(0.1, 0.2)))
    assert (decision.promoted, decision.reason) == (False, "control: over the control's")
    assert not judge(RULE, checks, None).promoted
    assert judge(RULE, {}, None).promoted, "the first model needs its checks alone"


def test_a_single_document_decides_nothing() -> None:
    alone = loss_gap(rated([1.0], [10]), rated([9.0], [10]), 0.95)
    assert alone.high is None
    assert "cannot be decided" in judge(RULE, {}, (alone, gap(0.1, 0.2))).reason


def test_questions_of_the_corpus_do_not_count() -> None:
    keys = [("sums", str(i)) for i in range(6)]
    ours, theirs = scored(dict.fromkeys(keys, 1.0)), scored({key: float(i < 3) for i, key in enumerate(keys)})
    assert accuracy_gap(ours, theirs, set(), 0.95).value == 0.5
    clean = accuracy_gap(ours, theirs, set(keys[3:]), 0.95)
    assert (clean.value, clean.n) == (0.0, 3)
    with pytest.raises(StepError, match="fewer than two questions"):
        accuracy_gap(ours, theirs, set(keys), 0.95)


@pytest.mark.parametrize(
    ("large", "control", "allowed", "passed"),
    [
        (3.0, 3.1, 0.0, True),
        (3.1, 3.1, 0.0, True),
        (3.2, 3.1, 0.0, False),
        (3.2, 3.1, 0.2, True),
        (3.0, 3.1, -0.2, False),
    ],
)
def test_the_control_is_compared(large: float, control: float, allowed: float, passed: bool) -> None:
    check = promotion.control_check({"validation_loss": large}, {"validation_loss": control}, allowed)
    assert check.passed is passed
    assert f"{large:.4f}" in check.reason
    assert f"{control:.4f}" in check.reason


def safety(folder: Path, value: float, stderr: float) -> Path:
    figures = {"safety_all": {"value": value, "stderr": stderr, "n": 100}}
    put_json(folder / "scores.json", {"tasks": {"toxigen": figures}})
    return folder


@pytest.mark.parametrize(("value", "passed"), [(0.5, True), (0.45, True), (0.3, False), (0.7, True)])
def test_safety_is_worse_only_outside_the_errors(tmp_path: Path, value: float, passed: bool) -> None:
    ours, theirs = safety(tmp_path / "ours", value, 0.03), safety(tmp_path / "theirs", 0.5, 0.03)
    assert promotion.safety_check(ours, theirs, 0.95).passed is passed
    assert promotion.safety_check(ours, None, 0.95).passed, "the first model has nothing to be worse than"


@pytest.fixture
def records(workspace: Path) -> dict[str, Any]:
    """Records of a candidate (`large`) and a champion (`small`) on disk, and the candidate's summaries."""
    for name, level in (("large", 1.0), ("small", 1.2)):
        trained = json.loads(Path(f"reports/train_{name}.json").read_text())
        nats = [level * (100 + 7 * i) for i in range(20)]
        rating = {
            "weights_sha256": trained["checkpoint_sha256"],
            "text_sha256": "t",
            "documents": [str(i) for i in range(20)],
        }
        put_json(Path(f"held/{name}.json"), rating | {"nats": nats, "bytes": [100] * 20})
        path = Path(f"reports/scores/{name}/scores.json")
        scores = json.loads(path.read_text())
        tasks = {task: {"n": 8, "overlap": 0.1, "clean": {}} for task in scores["tasks"]}
        path.write_text(json.dumps(scores | {"contamination": {"tasks": tasks}}))
    for asset in ("raw", "tokens"):
        put_json(Path(f"reports/validate_{asset}.json"), {"expectations": {"passed": 9, "failed": 0, "error": 0}})
    return INPUTS | {
        "scores": Path("reports/scores/large"),
        "training": Path("reports/train_large.json"),
        "control": Path("reports/train_control.json"),
        "validation": [Path("reports/validate_raw.json"), Path("reports/validate_tokens.json")],
        "held_out": Path("held/large.json"),
        "champion_scores": Path("reports/scores/small"),
        "champion_held_out": Path("held/small.json"),
    }


def decide(records: dict[str, Any], **rule: Any) -> dict[str, Any]:
    return promotion.run(records, {}, check_params({"promotion": rule}), Tracker())


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_records_are_read_and_the_decision_has_its_figures(records: dict[str, Any]) -> None:
    found = decide(records)
    assert found["promoted"], found["reason"]
    assert list(found["checks"]) == ["validation", "contamination", "control"]
    assert found["loss"]["value"] == pytest.approx(found["loss"]["candidate"] - found["loss"]["champion"])
    assert found["accuracy"]["candidate"] == pytest.approx(0.55)
    assert found["rule"] == PromotionParams().model_dump(mode="json")
    turned = records | {"champion_scores": records["scores"], "champion_held_out": records["held_out"]}
    turned |= {"scores": records["champion_scores"], "held_out": records["champion_held_out"]}
    assert not decide(turned | {"training": Path("reports/train_small.json")}, required=[])["promoted"]


def test_questions_in_the_corpus_are_marked_in_the_records(records: dict[str, Any]) -> None:
    path = records["scores"] / "examples.parquet"
    table = pq.read_table(path)
    marked = pa.array([task == "addition" for task in table["task"].to_pylist()])
    pq.write_table(table.append_column("in_corpus", marked), path)
    assert decide(records)["accuracy"]["n"] == 50


@pytest.mark.parametrize(
    ("path", "values", "words"),
    [
        (
            "reports/validate_raw.json",
            {"expectations": {"passed": 8, "failed": 1, "error": 0}},
            "validation: 1 expectations of raw",
        ),
        (
            "reports/scores/large/scores.json",
            {"contamination": {"tasks": {}}},
            "contamination: the training corpus was not searched for the exam",
        ),
        (
            "reports/train_control.json",
            {"validation_loss": 1.0},
            "control: the validation loss 2.9000 is over the control's 1.0000",
        ),
    ],
)
def test_each_required_check_refuses(records: dict[str, Any], path: str, values: Any, words: str) -> None:
    change(Path(path), **values)
    found = decide(records)
    assert not found["promoted"]
    assert found["reason"].startswith(words)
    assert decide(records, required=[])["promoted"], "only what is required is checked"


def test_too_much_of_the_exam_in_the_corpus_refuses(records: dict[str, Any]) -> None:
    assert decide(records, max_overlap=0.05)["reason"].startswith("contamination: 10.0% of the exam")


@pytest.mark.parametrize(
    ("path", "values", "words"),
    [
        ("held/small.json", {"text_sha256": "other"}, "describes other text"),
        ("held/small.json", {"weights_sha256": "0" * 64}, "describes other weights"),
        ("held/large.json", {"nats": []}, "not lists of one length"),
        ("reports/train_large.json", {"checkpoint_sha256": "0" * 64}, "describes other weights"),
    ],
)
def test_records_that_do_not_belong_together_are_refused(
    records: dict[str, Any], path: str, values: Any, words: str
) -> None:
    change(Path(path), **values)
    with pytest.raises(StepError, match=words):
        decide(records)


def test_as_a_command_the_summary_is_the_decision(records: dict[str, Any], root: Path) -> None:
    given = [word for name in ("scores", "training", "control") for word in (f"--{name}", str(records[name]))]
    given += [
        "--validation",
        *map(str, records["validation"]),
        "--params",
        str(root / "params.yaml"),
        "--summary",
        "d.json",
    ]
    subprocess.run(
        [sys.executable, "-m", "components.reporting.promotion", *given],
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
    )
    assert json.loads(Path("d.json").read_text())["reason"] == promotion.FIRST
