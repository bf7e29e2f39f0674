"""The scores of main text: both sets' own rules, on texts small enough to count by hand."""

import json
from pathlib import Path

import pytest

from bench import main_text


def test_shingles_are_shares_of_all_runs_of_four_words() -> None:
    gold, text = "a b c d e", "a b c d f"
    assert main_text.shared_shingles(gold, text) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert main_text.shared_shingles(gold, "a b") == pytest.approx((0, 1 / 3, 2 / 3))
    assert main_text.shared_shingles("", "") == (0, 0, 0)


def test_the_score_of_articles_is_f1_of_mean_precision_and_mean_recall() -> None:
    whole, half = (1.0, 0.0, 0.0), (0.5, 0.5, 0.0)
    assert main_text.mean_of_pages([whole, half]) == pytest.approx((2 * 0.75 / 1.75, 0.75, 1.0))


def test_passages_are_found_whatever_their_blanks() -> None:
    gold = {"with": ["one  two", "three"], "without": ["menu", "imprint"]}
    assert main_text.found_passages(gold, "one\ntwo menu") == (1, 1, 1)
    assert main_text.sum_of_pages([(1, 1, 1), (3, 0, 0)]) == pytest.approx((0.8, 0.8, 0.8))


def test_a_folder_that_is_neither_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"neither ground-truth\.json nor tests/evaldata\.json"):
        main_text.read_gold(tmp_path)


def test_all_extractors_are_measured_on_a_set(tmp_path: Path) -> None:
    story = "The old bridge over the river was built of stone, and everybody in the village crossed it every day."
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "a.html").write_text(
        f"<main><p>{story}</p><p>{story[::-1]}</p></main><footer>Imprint</footer>"
    )
    gold = {"https://example.org": {"file": "a.html", "with": ["bridge over the river"], "without": ["Imprint"]}}
    (tmp_path / "evaldata.json").write_text(json.dumps(gold))
    found = main_text.read_gold(tmp_path)
    scores = main_text.measure(found, main_text.extractors(), 1)
    assert {score.counts[0] for score in scores.values()} == {(1, 0, 0)}
    assert all(row["f1"] == 1 for row in main_text.rows(scores, found, 1.0).values())
