"""The page that starts runs: text, size, labels, seeds and the plan."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from components.errors import StepError
from components.params import Params
from flows.client import Launch
from flows.client import text as texts
from tests.ui.fakes import Lists, Open, html, opener, settle

WORDS = "The miller went down to the river, where his daughter waited with bread and a jug of water. "


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch, root) -> Iterator[Open]:
    yield from opener(monkeypatch, root)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder of text that is enough for a run, with a file that none reads."""
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(60):
        text = "".join(f"{WORDS} It was day {number} of week {line}.\n\n" for line in range(40))
        (folder / f"tale {number}.md").write_text(f"# Tale {number}\n\n{text}")
    (folder / "movie.mp4").write_bytes(b"\0" * 100)
    return folder


def field(at: AppTest, key: str) -> Any:
    return next(w for w in at.number_input if w.key and w.key.partition(":")[2] == key)


def said(at: AppTest) -> str:
    return " ".join([html(at), *(one.value for one in (*at.caption, *at.error))])


def test_without_own_text_the_example_is_the_run(open_page: Open) -> None:
    at = open_page("new_run", Lists())
    assert "Python's own library" in said(at)
    assert field(at, "small.tokens").value == Params().small.tokens
    assert not at.error


def test_own_text_is_shown_before_the_run_and_sizes_follow_from_it(open_page: Open, notes: Path) -> None:
    at = open_page("new_run", Lists(), text=str(notes))
    page = said(at)
    assert "60</dd>" in page, "files"
    assert "en 100%" in page
    assert "movie.mp4" in page
    assert page.count("<p># Tale ") == 10, "title and beginning of ten documents"
    assert WORDS[:60] in page
    assert "parameters follow from the size" in page
    assert field(at, "small.tokens").value != Params().small.tokens, "the field shows what the run will take"
    assert "Every parameter is at its default." in page, "what follows from the size is not a person's change"
    assert f"{notes}" in at.code[0].value
    assert "<dt>Small model</dt>" in page
    assert "19 of 19 stages" in page


def test_text_and_size_are_given_to_the_run(open_page: Open, notes: Path) -> None:
    lists = Lists()
    at = open_page("new_run", lists, text=str(notes), size="0.6M")
    assert at.text_input(key="widget_text").value == str(notes)
    settle(at.button(key="launch_start").click().run())
    assert lists.done == [("launch", Launch({}, "", "pipeline", str(notes), "0.6M"))]


def test_text_that_is_too_little_or_missing_cannot_be_started(open_page: Open, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text(WORDS)
    for text, why in ((tmp_path / "one.txt", "too little"), (tmp_path / "no such", "was not found")):
        at = open_page("new_run", Lists(), text=str(text))
        assert why in said(at)
        assert at.button(key="launch_start").disabled


def test_who_may_only_view_learns_nothing_of_the_files_here(open_page: Open, notes: Path) -> None:
    there = said(open_page("new_run", Lists(), role="reader", text=str(notes)))
    assert "Tale" not in there
    assert "Documents" not in there
    missing = said(open_page("new_run", Lists(), role="reader", text=str(notes / "no such")))
    assert "was not found" not in missing


def test_a_run_gets_its_name_tags_and_note(open_page: Open) -> None:
    lists = Lists()
    at = open_page("new_run", lists)
    at.text_input(key="widget_name").set_value("wider").run()
    at.text_input(key="widget_tags").set_value("wide, mine").run()
    at.text_area(key="widget_note").set_value("Does it help?").run()
    settle(at.button(key="launch_start").click().run())
    assert lists.done == [("launch", Launch({}, "", "pipeline", "", "", "wider", "Does it help?", ("wide", "mine")))]


def test_several_seeds_start_a_run_each(open_page: Open) -> None:
    lists = Lists()
    at = open_page("new_run", lists, overrides='{"seed": 7}')
    at.text_input(key="widget_name").set_value("wider").run()
    settle(at.number_input(key="widget_seeds").set_value(3).run())
    assert at.button(key="launch_start").label == "Start 3 runs"
    settle(at.button(key="launch_start").click().run())
    runs = [wanted for _, wanted in lists.done]
    assert [run.overrides["seed"] for run in runs] == [7, 8, 9]
    assert [run.name for run in runs] == ["wider, seed 7", "wider, seed 8", "wider, seed 9"]


def test_several_seeds_begin_at_the_one_of_the_parameters(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: 5\n")
    assert [run.overrides["seed"] for run in texts.launched(tmp_path, Launch(), 2)] == [5, 6]


def test_an_upload_without_a_usable_name_is_refused(open_page: Open) -> None:
    at = open_page("new_run", Lists())
    settle(at.segmented_control(key="widget_from").set_value("Upload files").run())
    settle(at.file_uploader(key="widget_upload").set_value([("..", b"text", "text/plain")]).run())
    assert "'..' has no usable name" in at.error[0].value


def test_no_more_than_ten_parameters_stand_before_the_others(open_page: Open) -> None:
    at = open_page("new_run", Lists())
    first = [w.key.partition(":")[2] for w in (*at.number_input, *at.selectbox) if w.key and ":" in w.key]
    shown = [
        key
        for key in first
        if not key.startswith("training.") or key in ("training.batch_tokens", "training.context_length")
    ]
    assert len(shown) == 10
    assert len(first) == len(set(first)), "no parameter is on the page twice"


def test_uploaded_files_are_kept_once_under_safe_names(tmp_path: Path) -> None:
    files = [("../../etc/passwd", b"a"), ("notes.md", b"b"), ("C:\\x\\notes.md", b"c"), (".hidden", b"d")]
    folder = texts.store(tmp_path, files)
    assert folder == texts.store(tmp_path, files)
    assert sorted(path.name for path in folder.iterdir()) == ["again-notes.md", "hidden", "notes.md", "passwd"]
    assert folder.is_relative_to(tmp_path / ".phiforge")
    with pytest.raises(StepError, match=r"'\.\.' has no usable name; .*rename it"):
        texts.store(tmp_path, [("..", b"")])
