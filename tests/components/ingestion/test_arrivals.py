"""A corpus that grows: files keep the increment in which they arrived, and a run reads only those that are new."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.documents import increments, shards
from components.errors import StepError
from components.files import write_json
from components.ingestion import arrivals, ingest, inventory
from components.ingestion.arrivals import INCREMENTS, files_of, increments_of, number, units
from components.params import EngineParams, IngestionParams, Params, Source
from components.tracking import Tracker


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's main folder, where kept results and the inventory are."""
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def crawl(tmp_path: Path) -> Path:
    folder = tmp_path / "crawl"
    folder.mkdir()
    for name in "acegik":
        (folder / f"{name}.txt").write_text(f"the text of {name}\n")
    return folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the files that were read, as the runs of a test go on."""
    names: list[str] = []
    read_file = ingest.read_file

    def reading(file: Any, limits: Any) -> Iterator[Any]:
        names.append(file.name)
        yield from read_file(file, limits)

    monkeypatch.setattr(ingest, "read_file", reading)
    return names


def params(*paths: Path | str, incremental: bool = True, **fields: Any) -> Params:
    sources = [Source(path=str(path), **fields) for path in paths]
    return Params(
        ingestion=IngestionParams(sources=sources, incremental=incremental), engine=EngineParams(kind="serial")
    )


def night(place: Path, given: Params) -> dict[str, Any]:
    """The stages `inventory` and `ingest` in a checkout."""
    inventory.run({}, {"output": place / "inventory.json"}, given, Tracker())
    return ingest.run({"inventory": place / "inventory.json"}, {"output": place / "raw"}, given, Tracker())


def files(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in [place / "inventory.json", *(place / "raw").iterdir()]}


def rows(place: Path) -> list[dict[str, Any]]:
    return [row for path in shards(place / "raw") for row in pq.read_table(path).to_pylist()]


def test_a_night_reads_what_is_new_alone(crawl: Path, home: Path, read: list[str]) -> None:
    given = params(crawl)
    night(home, given)
    first = files(home)
    (crawl / "b.txt").write_text("a text that sorts between the others\n")
    (crawl / "z.txt").write_bytes(b"\x00 no text")
    read.clear()
    summary = night(home, given)
    assert read == ["b.txt", "z.txt"]
    assert list(increments(home / "raw")) == [0, 1]
    assert (home / "raw" / "part-00000.parquet").read_bytes() == first["part-00000.parquet"]
    second = files(home)
    read.clear()
    assert night(home, given) == summary
    assert files(home) == second
    assert not read
    whole = home / "whole"
    assert night(whole, params(crawl, incremental=False)) == summary
    assert sorted(rows(home), key=lambda row: row["source"]) == rows(whole)
    assert (home / "raw" / "quarantine.jsonl").read_bytes() == (whole / "raw" / "quarantine.jsonl").read_bytes()


def test_lost_results_are_read_again_to_the_same_bytes(crawl: Path, home: Path) -> None:
    given = params(crawl)
    night(home, given)
    (crawl / "b.txt").write_text("another text\n")
    night(home, given)
    before = files(home)
    shutil.rmtree(home / ".phiforge")
    night(home, given)
    assert files(home) == before


def test_one_increment_is_what_one_run_writes(crawl: Path, home: Path) -> None:
    night(home, params(crawl))
    night(home / "whole", params(crawl, incremental=False))
    grown, whole = files(home), files(home / "whole")
    grown.pop("inventory.json")
    whole.pop("inventory.json")
    assert grown == whole


def test_a_corpus_that_was_read_whole_can_grow(crawl: Path, home: Path) -> None:
    night(home, params(crawl, incremental=False))
    (crawl / "b.txt").write_text("another text\n")
    night(home, params(crawl))
    assert list(increments(home / "raw")) == [0, 1]


@pytest.mark.parametrize("change", ["changed", "removed"])
def test_what_changed_takes_its_increment_and_later_ones_with_it(
    change: str, crawl: Path, home: Path, read: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    given = params(crawl)
    for name in ("", "l.txt", "m.txt", "n.txt"):
        if name:
            (crawl / name).write_text(f"the text of {name}\n")
        night(home, given)
    if change == "changed":
        (crawl / "m.txt").write_text("another text\n")
    else:
        (crawl / "m.txt").unlink()
    read.clear()
    capsys.readouterr()
    night(home, given)
    assert read == (["m.txt", "n.txt"] if change == "changed" else [])  # n.txt alone was an increment before
    said = (
        "1 file of earlier runs changed or vanished, the earliest in increment 2 of 3: everything from there on is read"
    )
    assert said in capsys.readouterr().out
    texts = {row["text"] for row in rows(home)}
    assert "the text of m.txt\n" not in texts
    assert texts == {path.read_text() for path in crawl.iterdir()}


@pytest.mark.parametrize("change", ["changed", "removed"])
def test_a_file_that_changes_under_the_run_is_never_taken_for_what_was_listed(
    change: str, crawl: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = params(crawl)
    night(home, given)
    before = files(home)
    (crawl / "b.txt").write_text("another text\n")
    inventory.run({}, {"output": home / "inventory.json"}, given, Tracker())
    if change == "changed":
        (crawl / "b.txt").write_text("yet another text\n")
    else:
        (crawl / "b.txt").unlink()
    with pytest.raises(StepError, match=r"b\.txt changed or vanished since the inventory was made"):
        ingest.run({"inventory": home / "inventory.json"}, {"output": home / "raw"}, given, Tracker())
    assert {name: files(home)[name] for name in before if name != "inventory.json"} == {
        name: before[name] for name in before if name != "inventory.json"
    }
    night(home, given)
    assert {row["text"] for row in rows(home)} == {path.read_text() for path in crawl.iterdir()}


def test_a_run_that_is_cut_off_leaves_what_was_there_and_goes_on(
    crawl: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = params(crawl)
    night(home, given)
    before = files(home)
    (crawl / "b.txt").write_text("another text\n")

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "versions", cut)
        with pytest.raises(KeyboardInterrupt):
            night(home, given)
    listed = files(home).pop("inventory.json")
    assert files(home) == before | {"inventory.json": listed}
    night(home, given)
    after = files(home)
    assert after["inventory.json"] == listed
    shutil.rmtree(home / ".phiforge")
    night(home, given)
    assert files(home) == after


def test_an_increment_without_a_document_does_no_harm(crawl: Path, home: Path) -> None:
    given = params(crawl)
    night(home, given)
    (crawl / "z.txt").write_bytes(b"\x00 no text")
    assert night(home, given)["quarantined"] == 1
    assert list(increments(home / "raw")) == [0]
    (crawl / "y.txt").write_text("a text\n")
    assert night(home, given)["quarantined"] == 1
    assert list(increments(home / "raw")) == [0, 2]


def test_a_workspace_goes_on_from_the_main_folders_list(
    crawl: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = params(crawl)
    (home / ".git").mkdir()
    for _ in range(2):
        inventory.run({}, {"output": Path("inventory.json")}, given, Tracker())
        (crawl / "b.txt").write_text("another text\n")
    workspace = home / "workspaces" / "0123456789ab"
    workspace.mkdir(parents=True)
    (workspace / ".git").write_text(f"gitdir: {home / '.git' / 'worktrees' / workspace.name}\n")
    monkeypatch.chdir(workspace)
    inventory.run({}, {"output": Path("inventory.json")}, given, Tracker())
    assert (workspace / "inventory.json").read_bytes() == (home / "inventory.json").read_bytes()


def test_what_a_list_is_not_made_for_is_refused(crawl: Path, home: Path) -> None:
    given = params(crawl)
    with pytest.raises(
        StepError, match=r"--inventory is not given; expected the list of components\.ingestion\.inventory"
    ):
        ingest.run({}, {"output": home / "raw"}, given, Tracker())
    night(home, params(crawl, incremental=False))
    with pytest.raises(StepError, match=r"was made with other parameters; expected increments of .*run components"):
        ingest.run({"inventory": home / "inventory.json"}, {"output": home / "raw"}, given, Tracker())
    with pytest.raises(ValueError, match=r"source 'x' has a limit, which counts over a whole source; remove the limit"):
        params("x", limit=3)


def test_pythons_library_and_a_data_set_are_one_unit_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert units({"path": "python", "python": "CPython 3.11.2"}) == {arrivals.WHOLE: ["CPython 3.11.2"]}
    one, other = (
        units({"path": "hf:///folder", "listing": [["README.md", version], ["a.parquet", "2"]]}) for version in "13"
    )
    assert list(one) == list(other) == [arrivals.WHOLE]
    assert one != other


names = st.dictionaries(st.sampled_from("abcdefg"), st.sampled_from("12"), max_size=7)


@given(st.lists(names, min_size=1, max_size=6))
def test_laws_of_increments(nights: list[dict[str, str]]) -> None:
    """An increment is never added to; what is there is all that is there; and equal lists have equal increments."""
    with tempfile.TemporaryDirectory() as folder:
        path, before = Path(folder) / "inventory.json", {}
        for now in nights:
            entry = {"path": "crawl", "listing": [list(item) for item in sorted(now.items())]}
            number([entry], path)
            found = {n: files_of(entry, n) for n in increments_of([entry])}
            assert {name: version for one in found.values() for name, [version] in one.items()} == now
            kept = [n for n in before if before[n] == found.get(n)]
            assert kept == list(before)[: len(kept)]  # the first ones
            new = found.keys() - kept
            assert len(new) <= 1
            assert not new or new == {max(found)}
            again = {key: value for key, value in entry.items() if key != INCREMENTS}
            write_json(path, {"sources": [entry]})
            number([again], path)
            assert again == entry
            before = found
