"""What the step reads: good files come through unchanged, bad ones are refused by file and key."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from components.reporting.evidence import Accuracy, mean_accuracy
from components.reporting.reading import read_case, read_curve, read_scores, read_training
from components.reporting.scores import benchmark_of
from components.tracking import weights_sha256

SCORES = Path("reports/scores/large/scores.json")


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def test_models_are_named_after_their_files_in_order(arguments: Any) -> None:
    case = read_case(**arguments[0])
    assert [m.name for m in case.models] == ["small", "large", "control"]
    assert all(m.scores and m.training and m.curve for m in case.models)
    assert case.subject == "large"
    assert case.config["hidden_size"] == 160


def test_scores_alone_are_enough(arguments: Any) -> None:
    case = read_case(arguments[0]["scores"][:1])
    assert [m.name for m in case.models] == ["small"]
    assert case.models[0].training is None


def test_a_model_named_twice_is_refused(workspace: Path) -> None:
    copy = workspace / "elsewhere/large"
    copy.mkdir(parents=True)
    (copy / "scores.json").write_bytes(SCORES.read_bytes())
    with pytest.raises(StepError, match=r"--scores: .*both name the model 'large'"):
        read_case([SCORES.parent, copy])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("tasks"), "`tasks` is missing"),
        (lambda s: s.update(tasks=[]), "`tasks` is a list"),
        (lambda s: s.update(tasks={}), "`tasks` is empty"),
        (lambda s: s.update(categories=3), "`categories` is a int"),
        (lambda s: s["tasks"].update(addition={"chance": 0.5}), "`tasks.addition` has no accuracy"),
        (lambda s: s["tasks"].update(addition=0.5), "`tasks.addition` has no accuracy"),
        (lambda s: s["tasks"]["addition"]["acc"].update(value="0.5"), "`tasks.addition.acc.value` is '0.5'"),
        (lambda s: s["tasks"]["addition"]["acc"].update(value=50), "not a percentage"),
        (lambda s: s["tasks"]["addition"]["acc"].update(value=True), "`tasks.addition.acc.value` is True"),
        (lambda s: s["tasks"]["addition"]["acc"].update(stderr=-0.1), "`tasks.addition.acc.stderr` is -0.1"),
        (lambda s: s["tasks"]["addition"]["acc"].update(n="many"), "`tasks.addition.acc.n` is 'many'"),
        (lambda s: s["tasks"]["addition"].update(chance="guess"), "`tasks.addition.chance` is 'guess'"),
    ],
)
def test_malformed_scores_name_file_and_key(
    workspace: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    edit(SCORES, change)
    with pytest.raises(StepError) as error:
        read_scores(SCORES.parent)
    assert str(SCORES) in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"tasks": {"a": {"acc": {"value": NaN}}}}'])
def test_what_is_not_a_json_object_is_refused(workspace: Path, content: bytes) -> None:
    SCORES.write_bytes(content)
    with pytest.raises(StepError, match=r"scores\.json"):
        read_scores(SCORES.parent)


def test_missing_scores_are_refused(workspace: Path) -> None:
    SCORES.unlink()
    with pytest.raises(StepError, match=r"scores\.json is not there"):
        read_scores(SCORES.parent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("validation_loss"), "`validation_loss` is missing"),
        (lambda s: s.update(validation_loss=None), "`validation_loss` is None"),
        (lambda s: s.update(flops="much"), "`flops` is 'much'"),
    ],
)
def test_malformed_training_summaries_name_file_and_key(
    workspace: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    path = Path("reports/train_large.json")
    edit(path, change)
    with pytest.raises(StepError) as error:
        read_training(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tokens,flops\n1,2\n", "column 'validation_loss' is missing"),
        ("", "column 'tokens' is missing"),
        ("tokens,flops,validation_loss\n", "no row has a validation_loss"),
        ("tokens,flops,validation_loss\n0,0,\n", "no row has a validation_loss"),
        ("tokens,flops,validation_loss\n0,0,3\nten,1,2\n", "line 3: tokens is 'ten'"),
        ("tokens,flops,validation_loss\n0,0,nan\n", "line 2: validation_loss is 'nan'"),
        ("tokens,flops,validation_loss\n0,,3\n", "line 2: flops is ''"),
        ("tokens,flops,validation_loss\n0,0,3\n5,5,2\n5,5,2\n", "tokens go from 5 to 5"),
        ("tokens,flops,validation_loss\n0,9,3\n5,5,2\n", "must rise"),
    ],
)
def test_malformed_curves_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "large.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StepError) as error:
        read_curve(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_rows_between_validations_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("step,tokens,flops,validation_loss\n0,0,0,3\n1,5,50,\n2,10,100,2\n", encoding="utf-8")
    curve = read_curve(path)
    assert (curve.tokens, curve.flops, curve.loss) == ((0, 10), (0, 100), (3, 2))


@pytest.mark.parametrize("content", ["{}", '{"operator": 3}', '{"operator": "exact", "kl": "none"}'])
def test_a_malformed_proof_is_refused(arguments: Any, content: str) -> None:
    arguments[0]["transfer"].write_text(content, encoding="utf-8")
    with pytest.raises(StepError, match=r"transfer\.json: `(operator|kl)`"):
        read_case(**arguments[0])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.5), st.integers(1, 1000)), min_size=1, max_size=20))
def test_the_mean_is_plain_and_its_error_that_of_independent_tasks(parts: list[tuple[float, float, int]]) -> None:
    mean = mean_accuracy([Accuracy(value, stderr, n, 0.5) for value, stderr, n in parts])
    assert mean.value == pytest.approx(sum(p[0] for p in parts) / len(parts))
    assert mean.stderr == pytest.approx(math.sqrt(sum(p[1] ** 2 for p in parts)) / len(parts))
    assert mean.n == sum(p[2] for p in parts)
    assert mean.chance == 0.5


def test_what_one_part_does_not_say_the_mean_does_not_claim() -> None:
    mean = mean_accuracy([Accuracy(0.5, 0.1, 10, 0.25), Accuracy(0.7)])
    assert (mean.stderr, mean.n, mean.chance, mean.above_baselines) == (None, None, None, None)


def test_above_the_baselines_takes_two_standard_errors_over_the_higher() -> None:
    assert Accuracy(0.46, 0.1, 10, 0.25).above_baselines
    assert not Accuracy(0.44, 0.1, 10, 0.25).above_baselines
    assert not Accuracy(0.46, 0.1, 10, 0.25, majority=0.3).above_baselines


def test_scores_hold_both_baselines_bits_and_examples(workspace: Path) -> None:
    scores = read_scores(SCORES.parent)
    assert (scores.overall.chance, scores.overall.majority) == (0.25, 0.26)
    assert scores.bits_per_byte == pytest.approx(2 - 0.55)
    assert scores.weights == weights_sha256(Path("models/large"))
    assert len(scores.examples) == 150
    assert sum(scores.examples.values()) == 50 + 30


def test_baselines_may_be_plain_numbers_or_absent(workspace: Path) -> None:
    plain = {"tasks": {"a": {"acc": {"value": 0.5}, "chance": 0.25}, "b": {"exact_match": {"value": 0.1}}}}
    SCORES.write_text(json.dumps(plain), encoding="utf-8")
    scores = read_scores(SCORES.parent)
    assert (scores.tasks["a"].chance, scores.tasks["a"].majority, scores.tasks["b"].chance) == (0.25, None, None)
    assert (scores.overall.value, scores.overall.stderr, scores.overall.chance) == (0.3, None, None)
    assert scores.bits_per_byte is None


@pytest.mark.parametrize("rows", [None, [{"task": "a"}], [{"task": "a", "id": "b", "acc": 1.0}] * 2])
def test_malformed_examples_are_refused(workspace: Path, rows: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = SCORES.parent / "examples.parquet"
    if rows is None:
        path.write_text("no parquet", encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(StepError, match=r"examples\.parquet"):
        read_scores(SCORES.parent)


def test_figures_of_different_weights_are_refused(arguments: Any) -> None:
    read_case(**arguments[0])
    Path("models/large/model.safetensors").write_bytes(b"other weights")
    with pytest.raises(StepError, match=r"models/large describes other weights .* than reports/train_large\.json"):
        read_case(**arguments[0])
    edit(SCORES, lambda s: s["checkpoint"].update(weights_sha256="1" * 64))
    with pytest.raises(StepError, match=r"reports/scores/large/scores\.json describes other weights \(111111111111\)"):
        read_case(**arguments[0])


def test_a_growth_from_another_small_model_is_refused(arguments: Any) -> None:
    edit(arguments[0]["transfer"], lambda s: s.update(source_sha256="2" * 64))
    with pytest.raises(StepError, match=r"transfer\.json describes a growth from other weights \(222222222222\)"):
        read_case(**arguments[0])


def put_scores(directory: Path, content: dict[str, Any], rows: list[dict[str, Any]] | None = None) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    directory.mkdir(parents=True)
    (directory / "scores.json").write_text(json.dumps(content), encoding="utf-8")
    if rows:
        pq.write_table(pa.Table.from_pylist(rows), directory / "examples.parquet")
    return directory


def figure(value: float, n: int = 4) -> dict[str, Any]:
    return {"value": value, "stderr": 0.1, "n": n}


@pytest.mark.parametrize(
    ("metrics", "headline"),
    [
        ({"exact_match": 0.2, "f1": 0.4}, "exact_match"),
        ({"pass@1": 0.1, "pass@10": 0.3}, "pass@1"),
        ({"pass_at_1": 0.1}, "pass_at_1"),
        ({"f1": 0.4}, "f1"),
        ({"safety": 0.45, "chance": 0.5}, "safety"),
        ({"acc_norm": 0.3, "acc": 0.2, "bits_per_byte": 1.5}, "acc"),
        ({"rouge_l": 0.3}, "rouge_l"),
    ],
)
def test_a_task_may_have_any_metric(tmp_path: Path, metrics: dict[str, float], headline: str) -> None:
    entry = {name: figure(value) for name, value in metrics.items()}
    scores = read_scores(put_scores(tmp_path / "large", {"suite": "phi2", "tasks": {"t": entry}}))
    assert (scores.tasks["t"].metric, scores.tasks["t"].value) == (headline, metrics[headline])
    assert (scores.overall.value, scores.suite) == (metrics[headline], "phi2")


@pytest.mark.parametrize("metrics", [{"bits_per_byte": 1.2}, {"chance": 0.5, "majority": 0.5}, {"perplexity": 12.0}])
def test_what_is_not_a_score_from_0_to_1_is_refused(tmp_path: Path, metrics: dict[str, float]) -> None:
    entry = {name: figure(value) for name, value in metrics.items()}
    with pytest.raises(StepError, match=r"has no accuracy or other score|expected a score from 0 to 1"):
        read_scores(put_scores(tmp_path / "large", {"tasks": {"t": entry}}))


def test_the_metric_that_the_file_names_is_the_headline(tmp_path: Path) -> None:
    entry = {"acc": figure(0.2), "acc_norm": figure(0.3)}
    content = {"tasks": {"t": entry}, "protocols": {"t": {"metric": "acc_norm"}}}
    assert read_scores(put_scores(tmp_path / "large", content)).tasks["t"].metric == "acc_norm"


def test_a_safety_score_is_not_part_of_the_mean_accuracy(tmp_path: Path) -> None:
    tasks = {"a": {"acc": figure(0.2)}, "b": {"exact_match": figure(0.4)}, "toxigen": {"safety": figure(0.9)}}
    assert read_scores(put_scores(tmp_path / "large", {"tasks": tasks})).overall.value == pytest.approx(0.3)


def test_examples_are_read_by_their_tasks_metric(tmp_path: Path) -> None:
    tasks = {"a": {"acc": figure(0.5)}, "b": {"exact_match": figure(0.5)}, "toxigen": {"safety": figure(0.9)}}
    rows = [
        {"task": "a", "id": "0", "acc": 1.0, "exact_match": None, "bits_per_byte": 1.5},
        {"task": "b", "id": "0", "acc": None, "exact_match": 0.0, "bits_per_byte": None},
        {"task": "toxigen", "id": "0", "acc": None, "exact_match": None, "bits_per_byte": None},
    ]
    scores = read_scores(put_scores(tmp_path / "large", {"tasks": tasks}, rows))
    assert scores.examples == {("a", "0"): 1.0, ("b", "0"): 0.0}
    assert scores.bits == {("a", "0"): 1.5}


def test_a_model_may_have_several_suites_but_none_twice(workspace: Path, arguments: Any) -> None:
    more = put_scores(workspace / "reports/phi2/large", {"suite": "phi2", "tasks": {"piqa": {"acc": figure(0.5)}}})
    arguments[0]["scores"].append(more)
    case = read_case(**arguments[0])
    large = case.model("large")
    assert large.scores.suite == "exam"
    assert large.on("phi2").tasks["piqa"].value == 0.5
    assert large.on("olmes") is None
    again = put_scores(workspace / "reports/again/large", {"suite": "phi2", "tasks": {"piqa": {"acc": figure(0.5)}}})
    arguments[0]["scores"].append(again)
    with pytest.raises(StepError, match=r"both name the model 'large', with suite 'phi2'"):
        read_case(**arguments[0])


def test_a_suite_of_other_weights_is_refused(workspace: Path, arguments: Any) -> None:
    content = {"suite": "phi2", "tasks": {"piqa": {"acc": figure(0.5)}}, "checkpoint": {"weights_sha256": "3" * 64}}
    arguments[0]["scores"].append(put_scores(workspace / "reports/phi2/large", content))
    with pytest.raises(StepError, match=r"reports/phi2/large/scores\.json describes other weights \(333333333333\)"):
        read_case(**arguments[0])


def test_the_protocol_and_the_overlap_come_with_each_score(tmp_path: Path) -> None:
    content = {
        "suite": "phi2",
        "num_fewshot": 0,
        "tasks": {"mmlu_law": {"acc": figure(0.5), "bits_per_byte": figure(1.0)}, "piqa": {"acc": figure(0.6)}},
        "protocols": {"mmlu_law": {"benchmark": "mmlu", "shots": 5}},
        "contamination": {
            "corpus": {"documents": 3},
            "tasks": {"mmlu_law": {"n": 13, "overlap": 0.25, "clean": {"acc": figure(0.4, 3)}}},
        },
    }
    scores = read_scores(put_scores(tmp_path / "large", content))
    law, piqa = scores.measured
    assert (law.benchmark, law.shots, law.overlap, law.suite) == ("mmlu", 5, 0.25, "phi2")
    assert set(law.metrics) == {"acc"}
    assert (law.clean["acc"].value, law.clean["acc"].n) == (0.4, 3)
    assert (piqa.benchmark, piqa.shots, piqa.overlap) == ("piqa", 0, None)
    assert scores.tasks["mmlu_law"].as_json()["clean"] == figure(0.4, 3)
    assert (scores.tasks["mmlu_law"].overlap, scores.n_grams) == (0.25, {"mmlu_law": 13})


@pytest.mark.parametrize(
    ("contamination", "message"),
    [
        ([], "`contamination` is a list"),
        ({"tasks": {"t": 1}}, "`contamination.tasks.t` is a int"),
        ({"tasks": {"t": {"overlap": 0.5}}}, "`contamination.tasks.t.n` is missing"),
        ({"tasks": {"t": {"n": 13, "overlap": "much"}}}, "`contamination.tasks.t.overlap` is 'much'"),
        ({"tasks": {"t": {"n": 13, "clean": [1]}}}, "expected an object per metric"),
    ],
)
def test_a_malformed_overlap_names_file_and_key(tmp_path: Path, contamination: Any, message: str) -> None:
    content = {"tasks": {"t": {"acc": figure(0.5)}}, "contamination": contamination}
    with pytest.raises(StepError) as error:
        read_scores(put_scores(tmp_path / "large", content))
    assert "scores.json" in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("task", "benchmark"),
    [
        ("mmlu_anatomy", "mmlu"),
        ("squadv2", "squadv2"),
        ("bbh_navigate", "bbh"),
        ("addition", "addition"),
        ("piqa", "piqa"),
    ],
)
def test_a_task_belongs_to_its_published_benchmark(task: str, benchmark: str) -> None:
    assert benchmark_of(task) == benchmark


def test_a_checkpoint_with_a_link_that_leads_out_of_it_is_refused(workspace: Path) -> None:
    """Its lineage goes into the model card, and MLflow copies the whole folder."""
    (workspace / "secret.json").write_text("{}")
    (workspace / "models/large/lineage.json").unlink()
    (workspace / "models/large/lineage.json").symlink_to(workspace / "secret.json")
    with pytest.raises(StepError, match=r"'lineage\.json' is a link that leads out of its folder"):
        read_case([], model=workspace / "models/large")
