"""Published scores: each has a source and a protocol, and a column has only scores with the same one."""

import pytest

from components.errors import StepError
from components.results.published import FILE, Column, Measured, merge, read_published, standings
from components.results.statistics import Estimate

BLOG = {  # table 1 of the Phi-2 blog
    "phi-2": (59.2, 68.8, 62.0, 61.1, 53.7),
    "mistral-7b": (57.2, 66.4, 63.7, 46.4, 39.4),
    "llama-2-7b": (40.0, 62.2, 56.7, 16.5, 21.0),
    "llama-2-13b": (47.8, 65.0, 61.9, 34.2, 25.4),
    "llama-2-70b": (66.5, 69.2, 67.6, 64.1, 38.3),
}


def estimate(value, n=100):
    return Estimate(value, 0.04, n)


def choice(task, value, shots=0, benchmark=None, n=100):
    metrics = {"acc": estimate(value, n), "acc_norm": estimate(value + 0.05, n)}
    return Measured(task, benchmark or task, metrics, shots)


def whole_suite():
    found = [choice(name, 0.3) for name in ("piqa", "winogrande", "arc_easy", "arc_challenge", "siqa")]
    found += [choice(name, 0.4) for name in ("hellaswag", "openbookqa", "boolq")]
    found += [choice("mmlu_law", 0.2, 5, "mmlu", 300), choice("mmlu_art", 0.6, 5, "mmlu", 100)]
    found += [Measured("squadv2", "squadv2", {"exact_match": estimate(0.5), "f1": estimate(0.6)}, 2)]
    found += [Measured("gsm8k", "gsm8k", {"exact_match": estimate(0.02)}, 8)]
    found += [
        Measured(f"bbh_{i}", "bbh", {"exact_match": estimate(i / 10, 50 * (i + 1))}, 3, "chain of thought")
        for i in range(3)
    ]
    found += [
        Measured("humaneval", "humaneval", {"pass@1": estimate(0.01)}, 0),
        Measured("mbpp", "mbpp", {"pass@1": estimate(0.03)}, 3),
    ]
    return found


def test_every_published_figure_has_its_source_and_its_protocol():
    reference = read_published()
    assert {figure.model for figure in reference.figures} == set(reference.models)
    assert {figure.source for figure in reference.figures} == set(reference.sources)
    for figure in reference.figures:
        source = reference.sources[figure.source]
        assert source["title"]
        assert source["url"].startswith("https://")
        assert source["read"]
        assert figure.column.metric in reference.metrics
        assert 0 < figure.value < 1
    for name, group in reference.groups.items():
        assert set(group["benchmarks"]) <= set(reference.benchmarks), name


def test_the_blogs_table_is_the_blogs():
    found = {(f.model, f.column.subject): f.value for f in read_published().figures if f.source == "phi-2-blog"}
    subjects = ("bbh", "commonsense", "language", "gsm8k", "coding")
    expected = {(m, s): v / 100 for m, values in BLOG.items() for s, v in zip(subjects, values, strict=True)}
    assert found == pytest.approx(expected)


def test_no_column_holds_two_metrics_shots_or_forms():
    """Each figure of each row belongs to the one protocol that its column states."""
    board = standings({"ours": whole_suite()})
    columns = {column["id"]: column for column in board["columns"]}
    assert len(columns) == len(board["columns"])
    for column in board["columns"]:
        assert column["metric"] in board["metrics"]
    for row in board["rows"]:
        assert set(row["figures"]) <= set(columns)
    hella = {c["id"]: c for c in board["columns"] if c["subject"] == "hellaswag"}
    assert {(c["metric"], c["shots"]) for c in hella.values()} == {
        ("acc", 0), ("acc_norm", 0), ("acc_norm", 10), ("unstated", None),
    }  # fmt: skip


def test_measured_and_published_rows_are_told_apart():
    board = standings({"ours": whole_suite()})
    kinds = [row["kind"] for row in board["rows"]]
    assert kinds == ["measured"] + ["published"] * (len(kinds) - 1)
    for row in board["rows"]:
        assert (row["source"] in board["sources"]) == (row["kind"] == "published")
        for cell in row["figures"].values():
            assert ("stderr" in cell) == (row["kind"] == "measured")


def test_ours_stand_in_the_published_columns_where_the_protocol_is_the_same():
    board = standings({"ours": whole_suite()})
    ours = board["rows"][0]["figures"]
    columns = {c["id"]: c for c in board["columns"]}
    shared = {columns[i]["subject"] for i in ours if columns[i]["published"]}
    assert {"bbh", "gsm8k", "coding", "winogrande", "arc_easy", "hellaswag", "humaneval", "mmlu"} <= shared
    assert not {"commonsense", "language", "piqa", "openbookqa"} & shared, "nobody says which metric those are"


def test_groups_are_plain_means_of_benchmarks_and_each_benchmark_averages_as_it_should():
    (row, *_), columns = (board := standings({"ours": whole_suite()}))["rows"], board["columns"]
    by = {(c["subject"], c["metric"]): row["figures"].get(c["id"]) for c in columns if c["measured"]}
    assert by["bbh", "exact_match"]["value"] == pytest.approx(0.1), "tasks weigh equally"
    assert by["mmlu", "acc"]["value"] == pytest.approx(0.3), "questions weigh equally"
    assert by["commonsense", "acc"]["value"] == pytest.approx(0.3)
    assert by["commonsense", "acc_norm"]["value"] == pytest.approx(0.35)
    assert by["commonsense", "acc"]["stderr"] == pytest.approx(0.04 / 5**0.5)
    assert by["language", "acc"]["value"] == pytest.approx((0.4 * 3 + 0.3 + 0.5) / 5)
    assert by["coding", "pass@1"]["value"] == pytest.approx(0.02)


def test_a_group_that_lacks_a_benchmark_has_no_mean():
    some = [score for score in whole_suite() if score.task not in ("siqa", "mbpp")]
    board = standings({"ours": some})
    subjects = {c["subject"] for c in board["columns"] if c["measured"]}
    assert "language" in subjects
    assert not {"commonsense", "coding"} & subjects


def test_other_shots_than_the_blogs_are_another_column():
    suite = [score for score in whole_suite() if score.task != "mbpp"]
    suite.append(Measured("mbpp", "mbpp", {"pass@1": estimate(0.03)}, 0))
    board = standings({"ours": suite})
    coding = [c for c in board["columns"] if c["subject"] == "coding"]
    assert {(c["measured"], c["published"]) for c in coding} == {(True, False), (False, True)}


def test_overlap_and_clean_scores_are_handed_on():
    scores = [
        Measured(
            f"bbh_{i}",
            "bbh",
            {"exact_match": estimate(0.5, n)},
            3,
            "chain of thought",
            o,
            {"exact_match": estimate(0.4, 9)},
        )
        for i, (n, o) in enumerate([(100, 0.5), (300, 0.1)])
    ]
    cell = standings({"ours": scores})["rows"][0]["figures"][Column("bbh", "exact_match", 3, "chain of thought").id]
    assert cell["overlap"] == pytest.approx((50 + 30) / 400)
    assert cell["clean"]["value"] == pytest.approx(0.4)
    assert (cell["tasks"], cell["n"]) == (2, 400)


def test_runs_are_merged_above_what_is_published():
    one, other = standings({"small": whole_suite()}), standings({"large": [choice("addition", 0.3)]})
    board = merge({"heron": one, "otter": other, "old": {}})
    measured = [(row["run"], row["model"]) for row in board["rows"] if row["kind"] == "measured"]
    assert measured == [("heron", "small"), ("otter", "large")]
    ids = [column["id"] for column in board["columns"]]
    assert len(ids) == len(set(ids))
    assert {i for row in board["rows"] for i in row["figures"]} <= set(ids)
    assert [c["id"] for c in one["columns"]] == [c["id"] for c in merge({"heron": one})["columns"]]
    both = [c for c in board["columns"] if c["measured"] and c["published"]]
    assert {"bbh", "gsm8k", "coding"} <= {c["subject"] for c in both}


def test_an_unknown_benchmark_has_its_own_column():
    board = standings({"ours": [choice("addition", 0.3)]})
    (column,) = [c for c in board["columns"] if c["measured"] and c["metric"] == "acc"]
    assert (column["title"], column["group"], column["published"]) == ("addition", None, False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("value: [", ""), "cannot be read as YAML"),
        (("metrics:", "metrix:"), "`metrics` is missing"),
        (("bbh: 59.2", "bbh: 592"), "expected a percentage"),
        (("bbh: 59.2", "bbh: high"), "expected a percentage"),
        (("      phi-2: {bbh", "      phi-3: {bbh"), "model 'phi-3' is not among"),
        (("      gsm8k: {metric: exact_match, shots: 8}\n", ""), "no protocol"),
        (("metric: exact_match, shots: 8", "metric: accuracy, shots: 8"), "expected a metric among"),
        (("metric: exact_match, shots: 8", "metric: exact_match, shots: few"), "expected a whole number"),
        (("    read: the abstract itself\n", ""), "has no 'read'"),
    ],
)  # fmt: skip
def test_a_file_that_breaks_the_rules_is_refused(tmp_path, change, message):
    text = FILE.read_text(encoding="utf-8")
    before, after = change
    text = text.replace(before, after, 1) if before in text else text + "\nx: [\n"
    path = tmp_path / "published.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StepError, match=r"published\.yaml") as refused:
        read_published(path)
    assert message in str(refused.value)
