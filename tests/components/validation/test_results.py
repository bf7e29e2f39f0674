"""Outcomes, the broken check, and the page."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from components.errors import StepError
from components.validation.expectations import Validator
from components.validation.outcome import Outcome, exception_message, format_percent, plain
from components.validation.page import html_page
from components.validation.suites import Rule, suite
from components.validation.validate import failure_message, validate


def test_a_broken_check_is_told_apart_from_bad_data(documents: Any) -> None:
    rules = [
        Rule("rows", "ExpectColumnValuesToBeInSet", {"column": "colour", "value_set": ["red"]}, "red"),
        Rule("rows", "ExpectColumnValuesToBeInSet", {"column": "kind", "value_set": ["web"]}, "web"),
        Rule("facts", "ExpectColumnValuesToBeBetween", {"column": "documents", "min_value": 1}, "some"),
    ]
    results = validate("raw", documents(), rules)
    assert results["counts"] == {"passed": 1, "failed": 1, "error": 1}
    assert [row["state"] for row in results["expectations"]] == ["error", "failed", "passed"]
    message = failure_message(results, Path("reports/x"))
    assert "colour: expect_column_values_to_be_in_set could not be evaluated, so the data is unchecked" in message
    assert (
        "kind: expect_column_values_to_be_in_set - 120 of 120 rows (100.00%), e.g. ['prose', 'prose', 'prose']"
        in message
    )
    page = html_page(results)
    assert "not evaluated" in page
    assert "1 could not be evaluated" in page


def test_counts_are_summed_and_the_first_three_examples_kept() -> None:
    import pandas as pd

    rule = Rule("rows", "ExpectColumnValuesToBeBetween", {"column": "x", "max_value": 9}, "at most 9")
    frames = [pd.DataFrame({"x": values}) for values in ([1, 20], [30, None], [], [40, 50, 2])]
    (outcome,) = Validator().check("rows", [rule], frames)
    assert (outcome.rows, outcome.checked, outcome.unexpected) == (7, 6, 4)
    assert [example["value"] for example in outcome.examples] == [20, 30, 40]
    assert outcome.state == "failed"


@pytest.mark.parametrize(("unexpected", "state"), [(0, "passed"), (10, "passed"), (11, "failed")])
def test_mostly_allows_exactly_its_share(unexpected: int, state: str) -> None:
    rule = Rule("rows", "ExpectColumnValuesToNotBeNull", {"column": "x"}, "there", mostly=1 - 0.01)
    assert Outcome(rule, "x", rows=1000, checked=1000, unexpected=unexpected).state == state


def test_exceptions_are_read_in_both_forms() -> None:
    assert exception_message(None) == exception_message({"raised_exception": False}) == ""
    assert exception_message({"raised_exception": True, "exception_message": "a\n b"}) == "a b"
    assert exception_message({"metric": {"raised_exception": True, "exception_message": "c"}}) == "c"


def test_cells_become_json() -> None:
    import numpy as np

    assert plain((np.int64(3), np.float32("nan"))) == [3, None]
    assert len(plain("x" * 1000)) == 120
    assert format_percent(0.0004) == "<0.01%"
    assert format_percent(0.0) == "0.00%"


@pytest.mark.parametrize("asset", ["raw", "curated", "textbooks", "tokens"])
def test_every_rule_is_a_known_expectation(asset: str) -> None:
    from components.params import Params

    rules = suite(asset, Params().validation)
    validator = Validator()
    for number, rule in enumerate(rules):
        validator._build(rule, number)  # refuses an unknown name or argument
        assert rule.meaning
    assert len({json.dumps([r.table, r.expectation, r.arguments]) for r in rules}) == len(rules)


class Addresses(HTMLParser):
    """The tags and addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "data", "action")]


def test_the_page_needs_nothing_and_escapes_the_data(gate: Any, documents: Any, tmp_path: Path) -> None:
    with pytest.raises(StepError):
        gate("raw", documents(kind="<script>alert(1)</script>"))
    page = (tmp_path / "report" / "raw" / "index.html").read_text(encoding="utf-8")
    parser = Addresses()
    parser.feed(page)
    assert parser.addresses == []
    assert not parser.tags & {"script", "link", "img", "iframe"}
    assert not re.search(r"@import|url\(|https?://", page)
    assert "&lt;script&gt;" in page
    assert "Failed: 1 of 17 expectations" in page
    assert "prefers-color-scheme: dark" in page


def test_the_command_writes_the_results_then_fails(documents: Any, tmp_path: Path, root: Path) -> None:
    command = [sys.executable, "-m", "components.validation", "--asset", "raw", "--input", str(documents(kind="poem"))]
    command += ["--output", str(tmp_path / "out"), "--summary", str(tmp_path / "summary.json")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: validation: documents: kind: expect_column_values_to_be_in_set - 1 of 120 rows (0.83%), e.g. ['poem'] "
        f"(expected: one of web, prose, code, textbook, exercise); see {tmp_path / 'out' / 'index.html'}"
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["index.html", "results.json"]
    assert not (tmp_path / "summary.json").exists()
