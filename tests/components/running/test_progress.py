"""Progress lines: what is printed is what is parsed."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from components.running.progress import Pace, Progress, format_progress, parse


@given(st.integers(0, 10**9), st.integers(1, 10**9), st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_parse_is_the_inverse(done: int, total: int, loss: float) -> None:
    figures = parse(format_progress(done, total, loss=loss))
    assert figures is not None
    assert (figures["done"], figures["total"]) == (done, total)
    assert abs(figures["loss"] - loss) <= abs(loss) * 1e-3


@given(st.text())
def test_other_lines_are_not_progress(line: str) -> None:
    assert parse("x" + line) is None


def test_broken_figures_are_not_progress() -> None:
    assert parse("progress done=a total=3") is None
    assert parse("progress loss=3") is None


def test_the_last_unit_is_always_said(capsys) -> None:
    progress = Progress(3, every=1000)
    for done in (1, 2, 3):
        progress.update(done)
    assert capsys.readouterr().out.splitlines() == ["progress done=1 total=3", "progress done=3 total=3"]


def test_a_log_keeps_the_first_line_and_few_of_an_hour(monkeypatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("components.running.progress.time.monotonic", lambda: clock[0])
    pace, kept = Pace(), []
    while clock[0] < 3600:
        kept += [clock[0]] if pace.due() else []
        clock[0] += 0.25
    assert kept[:3] == [0.0, 5.0, 10.0]
    assert len(kept) < 170
    assert max(later - earlier for earlier, later in pairwise(kept)) <= 30.25
