"""The page that compares runs."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.ui.fakes import Dead, Lists, Open, flow_run, history, html, opener
from ui import text

HARD = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0] * 12
EASY = [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0] * 12


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch, root) -> Iterator[Open]:
    yield from opener(monkeypatch, root)


def two(**measured_on: str) -> Lists:
    """A baseline, and a run with another parameter."""
    lists = Lists(flow_run("otter", overrides={"training.beta1": 0.8}), flow_run("heron"))
    lists.losses = {"heron": {"large": 2.9}, "otter": {"large": 2.8}}
    lists.scores = {("heron", "large"): HARD, ("otter", "large"): EASY}
    lists.measured_on = {"otter": measured_on}
    return lists


BOTH = {"runs": "id-heron,id-otter"}


def said(at: AppTest) -> str:
    return " ".join([html(at), *(one.value for one in (*at.info, *at.caption))])


def test_only_what_differs_is_shown(open_page: Open) -> None:
    page = html(open_page("compare", two(), **BOTH))
    assert "training.beta1" in page
    assert "training.beta2" not in page
    assert "What differs · 1 of 1" in page


def test_a_better_score_is_told_apart_by_a_paired_interval(open_page: Open) -> None:
    page = html(open_page("compare", two(), **BOTH))
    assert "0.700" in page
    assert "<b>better</b> +0.300 [" in page
    assert "detects 0." in page


def test_scores_that_cannot_be_told_apart_name_no_winner(open_page: Open) -> None:
    lists = two()
    lists.scores["otter", "large"] = [1.0, *HARD[1:3], 1.0, *HARD[4:]]
    page = html(open_page("compare", lists, **BOTH))
    assert "not told apart" in page
    assert "better" not in page


def test_one_seed_a_side_names_no_winner_by_loss(open_page: Open) -> None:
    page = html(open_page("compare", two(), **BOTH, figure="acc"))
    assert "2.8000<br><small>-0.1000</small>" in page


@pytest.mark.parametrize(
    ("changed", "why", "loss", "bits", "exam"),
    [
        ({"questions": "other"}, "otter has another set of questions than heron", True, False, False),
        ({"protocol": "other"}, "otter has another protocol", True, False, False),
        ({"questions": ""}, "the set of questions of otter is not recorded", True, False, False),
        ({"tokenizer": "other"}, "otter has another tokenizer than heron", False, True, True),
        ({"documents": "other"}, "otter has another held-out text than heron", False, False, True),
    ],
)
def test_incomparable_runs_are_said_to_be_so(
    open_page: Open, changed: dict[str, str], why: str, loss: bool, bits: bool, exam: bool
) -> None:
    at = open_page("compare", two(**changed), **BOTH)
    page = html(at)
    assert why in said(at)
    assert ("2.8000" in page) == loss
    assert ("1.4000" in page) == bits
    assert "-0.0500" not in page, "bits per byte with another tokenizer have no difference"
    assert ("0.700" in page) == exam
    assert len(at.get("plotly_chart")) == int(loss)


def test_seeds_are_folded_and_their_interval_decides(open_page: Open) -> None:
    ids = [f"id-{name}{seed}" for name in ("baseline", "wider") for seed in ("", "-seed-2", "-seed-3")]
    at = open_page("compare", history(), runs=",".join(ids))
    page = html(at)
    assert "wider and 2 more seeds" in page
    assert "mean of 3 seeds" in page
    assert page.count("<th>") >= 3
    at = open_page("compare", history(), runs=",".join(ids), fold_seeds="false")
    assert "more seeds" not in html(at)


def test_seeds_with_their_own_held_out_text_are_compared_seed_by_seed(open_page: Open) -> None:
    runs = [
        flow_run(f"{name}{s}", overrides={"seed": s, **more})
        for name, more in (("a", {}), ("b", {"x.y": 1}))
        for s in (1, 2)
    ]
    lists = Lists(*runs)
    lists.losses = {"a1": {"large": 2.9}, "a2": {"large": 2.7}, "b1": {"large": 2.81}, "b2": {"large": 2.6}}
    lists.measured_on = {name: {"documents": name[1]} for name in lists.losses}
    at = open_page("compare", lists, runs="id-a1,id-a2,id-b1,id-b2")
    assert not at.info
    assert "-0.0950 [" in html(at)


def test_the_view_is_in_the_address_and_the_file_has_its_figures(open_page: Open, monkeypatch: Any) -> None:
    given: list[str] = []
    monkeypatch.setattr(
        "streamlit.delta_generator.DeltaGenerator.download_button",
        lambda _, label, data, *__, **___: given.append(data),
    )
    at = open_page("compare", two(), **BOTH, against="FLOPs", rows="overall")
    assert at.segmented_control(key="against").value == "FLOPs"
    rows = list(csv.reader(io.StringIO(given[-1])))
    assert rows[0] == ["part", "name", "heron", "otter"]
    assert ["last validation", "large loss", "2.9", "2.8"] in rows
    assert any(row[0] == "exam accuracy" and row[3].startswith("0.7") for row in rows)


def test_a_cell_is_no_formula(root, monkeypatch: pytest.MonkeyPatch) -> None:
    import ast

    source = (root / "ui/views/compare.py").read_text(encoding="utf-8")
    kept = [node for node in ast.parse(source).body if not isinstance(node, ast.Expr)]
    module: dict[str, Any] = {}
    exec(compile(ast.Module(kept, []), "compare", "exec"), module)
    assert module["as_csv"]([["=HYPERLINK()", "-0.5", "@x"]]) == "'=HYPERLINK(),-0.5,'@x\r\n"


def test_without_runs_or_servers_the_page_says_so(open_page: Open) -> None:
    assert "Nothing to compare yet" in html(open_page("compare", Lists()))
    at = open_page("compare", Dead())
    assert "Runs cannot be shown now" in html(at)
    assert text.plain("Phiforge")
