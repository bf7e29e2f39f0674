"""The figure: equal bytes for equal curves, a readable range, labels that do not overlap."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.reporting.evidence import Case, Curve, Evidence
from components.reporting.figure import draw
from components.reporting.reading import read_case
from components.results.figures import BLUE, Line, flops_unit, spaced, tokens_unit, visible_range


def test_equal_curves_give_equal_bytes_whatever_the_users_style(arguments: Any, tmp_path: Path) -> None:
    import matplotlib

    case = read_case(**arguments[0])
    assert draw(case, tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black"}):
        assert draw(case, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert b"Software" not in (tmp_path / "a.png").read_bytes()


def test_without_curves_there_is_no_figure(tmp_path: Path) -> None:
    assert not draw(Case((Evidence("large"),)), tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("count", [1, 7])
def test_any_number_of_models_and_a_single_point_are_drawn(tmp_path: Path, count: int) -> None:
    one = Curve((0.0,), (0.0,), (3.0,))
    two = Curve((0.0, 10.0), (0.0, 10.0), (3.0, 3.0))
    models = tuple(Evidence(f"m{i}", curve=two if i else one) for i in range(count))
    assert draw(Case(models), tmp_path / "a.png")


def test_the_range_leaves_random_starts_out_and_keeps_the_grown_one() -> None:
    grown = Curve((0, 1, 2, 3, 4, 5), (0,) * 6, (3.3, 3.2, 3.1, 3.0, 2.9, 2.8))
    random = Curve((0, 1, 2, 3, 4, 5), (0,) * 6, (9.0, 4.0, 3.6, 3.4, 3.2, 3.1))
    low, high = visible_range([Line("", curve.tokens, curve.loss, *BLUE) for curve in (grown, random)], 1 / 5)
    assert low < 2.8
    assert 4.0 < high < 9.0


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0, 0.3))
def test_labels_keep_their_distance_order_and_panel(positions: list[float], gap: float) -> None:
    placed = spaced(positions, gap, 0.0, 1.0)
    assert len(placed) == len(positions)
    possible = min(gap, 1 / max(1, len(positions) - 1))
    in_order = [placed[i] for i in sorted(range(len(positions)), key=lambda i: positions[i])]
    assert all(b - a >= possible - 1e-9 for a, b in pairwise(in_order))
    assert all(-1e-9 <= p <= 1 + 1e-9 for p in placed)


def test_labels_that_are_far_apart_stay_where_they_are() -> None:
    assert spaced([0.2, 0.9, 0.5], 0.1, 0, 1) == [0.2, 0.9, 0.5]


def test_units_read_well() -> None:
    assert tokens_unit(1.5e6) == (1e6, "millions")
    assert tokens_unit(1.4e12) == (1e12, "trillions")
    assert tokens_unit(12) == (1.0, "")
    assert flops_unit(4.5e12) == (1e12, "$10^{12}$")
    assert flops_unit(0) == (1.0, "$10^{0}$")
