"""Ingestion: every readable row becomes a document, every unreadable one is named."""

import ast
import gzip
import json
import os
import sys
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from components.files import sha256_file
from components.ingestion import files, ingest, inventory, unread
from components.ingestion.__main__ import COMMAND
from components.ingestion.formats import base_name, suffixes
from components.ingestion.inventory import take
from components.ingestion.python_library import library_files, module_documents, read_module
from components.ingestion.unread import Unread
from components.params import BenchmarkingParams, EngineParams, IngestionParams, Params, Source
from components.running.cli import main
from components.tracking import Tracker
from tests.documents import read_documents


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with blanks in its name, with one file of each kind and several broken ones."""
    root = tmp_path / "my texts"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("plain text\n")
    (root / "b.md").write_text("\ufeff# Title\n", encoding="utf-8")
    (root / "sub" / "c.rst").write_text("Title\n=====\n")
    (root / "d.py").write_text("def f():\n    return 1\n")
    rows = [
        {"text": "row one", "url": "https://example.org/1", "license": "MIT", "year": 1999},
        {"text": "row two", "kind": "web"},
    ]
    (root / "e.jsonl").write_text(
        "\n".join([json.dumps(rows[0]), "{no json", "[1]", '{"text": 3}', "", json.dumps(rows[1])])
    )
    (root / "f.jsonl.gz").write_bytes(gzip.compress(b'{"text": "zipped"}\n'))
    pq.write_table(pa.table({"text": ["parquet row", None], "n": [1, 2]}), root / "g.parquet")
    (root / "latin1.txt").write_bytes("caf\xe9".encode("latin-1"))
    (root / "binary.txt").write_bytes(b"a\x00b")
    (root / "empty.txt").write_text("")
    (root / "torn.jsonl.gz").write_bytes(gzip.compress(b'{"text": "' + bytes(range(48, 90)) * 999 + b'"}\n')[:-40])
    (root / "torn.parquet").write_bytes(b"PAR1")
    pq.write_table(pa.table({"name": ["x"], "town": ["y"]}), root / "other.parquet")
    (root / "image.png").write_bytes(b"png")
    (root / ".hidden.txt").write_text("hidden")
    return root


def params(*sources: Source, kind: str = "serial", **knobs: int) -> Params:
    return Params(ingestion=IngestionParams(sources=list(sources), **knobs), engine=EngineParams(kind=kind, workers=2))


def ingested(tmp_path: Path, given: Params) -> tuple[dict, list, list]:
    summary = ingest.run({}, {"output": tmp_path / "raw"}, given, Tracker())
    quarantine = [json.loads(line) for line in (tmp_path / "raw" / "quarantine.jsonl").read_text().splitlines()]
    return summary, list(read_documents(tmp_path / "raw")), quarantine


def test_every_readable_row_becomes_a_document(folder: Path, tmp_path: Path) -> None:
    _, documents, _ = ingested(tmp_path, params(Source(path=str(folder), license="CC-BY-4.0")))
    by_text = {document.text: document for document in documents}
    assert set(by_text) == {
        "plain text\n", "# Title\n", "Title\n=====\n", "def f():\n    return 1\n", "row one", "row two", "zipped", "parquet row",
        "café",
    }  # fmt: skip
    assert by_text["row one"].source == "https://example.org/1"
    assert (by_text["row one"].license, by_text["zipped"].license) == ("MIT", "CC-BY-4.0")
    assert by_text["row one"].metadata == {
        "url": "https://example.org/1",
        "year": 1999,
        "file": "e.jsonl",
        "line": 1,
    }
    assert (by_text["row two"].kind, by_text["def f():\n    return 1\n"].kind, by_text["zipped"].kind) == (
        "web",
        "code",
        "prose",
    )
    assert by_text["Title\n=====\n"].source == "sub/c.rst"


def test_every_unreadable_row_is_named(folder: Path, tmp_path: Path) -> None:
    summary, _, quarantine = ingested(tmp_path, params(Source(path=str(folder))))
    named = {(entry["file"], entry["line"]): entry["reason"] for entry in quarantine}
    assert set(named) == {
        ("e.jsonl", 2), ("e.jsonl", 3), ("e.jsonl", 4), ("g.parquet", 2), ("binary.txt", 0),
        ("empty.txt", 0), ("torn.jsonl.gz", 0), ("torn.parquet", 0), ("other.parquet", 0),
    }  # fmt: skip
    assert "not JSON" in named["e.jsonl", 2]
    assert "its fields: name (string), town (string); set text_column: name" in named["other.parquet", 0]
    assert summary["quarantined"] == len(quarantine) == 9


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_the_engine_changes_nothing(folder: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "BATCH_BYTES", 100)  # many units of work
    ingest.run({}, {"output": tmp_path / "one"}, params(Source(path=str(folder))), Tracker())
    ingest.run({}, {"output": tmp_path / "two"}, params(Source(path=str(folder)), kind=kind), Tracker())
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_large_files_are_streamed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, expected, _ = ingested(tmp_path, params(Source(path=str(folder))))
    monkeypatch.setattr(ingest, "LARGE_FILE_BYTES", 1)
    assert ingested(tmp_path, params(Source(path=str(folder))))[1] == expected


def test_too_long_a_text_is_quarantined(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "long.txt").write_text("x" * 1001)
    (tmp_path / "t" / "short.txt").write_text("x")
    _, documents, quarantine = ingested(tmp_path, params(Source(path=str(tmp_path / "t")), max_document_chars=1000))
    assert [document.source for document in documents] == ["short.txt"]
    assert "1,001 characters" in quarantine[0]["reason"]


def test_nothing_readable_stops_the_run_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "empty.txt").write_text("")
    with pytest.raises(StepError, match=r"no document could be read .* 1 quarantined \(empty.txt: is empty\)"):
        ingested(tmp_path, params(Source(path=str(tmp_path / "t"))))
    assert not (tmp_path / "raw").exists()


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="'nowhere' does not exist"):
        take(params(Source(path="nowhere")))


def test_nothing_of_a_folder_is_passed_over_in_silence(folder: Path, tmp_path: Path, capsys) -> None:
    for name in (
        ".git/config", "env/lib/a.py", "node_modules/x/index.js", "sub/__pycache__/d.pyc", "cache/a.txt", "a.ark", "b.PNG", "notes",
    ):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x = 1\n" if name != "notes" else "\x7fELF\1\1\0\0\0")
    (folder / "env" / "pyvenv.cfg").write_text("home = /usr\n")
    (folder / "cache" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    summary, documents, _ = ingested(tmp_path, params(Source(path=str(folder))))
    assert not [document.source for document in documents if document.text == "x = 1\n"]
    assert {row["reason"]: (row["count"], row["first"]) for row in summary["not_read"]} == {
        "files that end in .png, which no reader takes": (2, ["b.PNG", "image.png"]),
        "files that end in .ark, which no reader takes": (1, ["a.ark"]),
        "files without an ending and without text": (1, ["notes"]),
        "hidden files and folders": (2, [".git", ".hidden.txt"]),
        "folders of a virtual environment": (1, ["env"]),
        "folders of installed packages": (1, ["node_modules"]),
        "folders of compiled Python": (1, ["sub/__pycache__"]),
        "folders of a cache": (1, ["cache"]),
    }
    assert "not read: 1 file that ends in .ark, which no reader takes (a.ark)" in capsys.readouterr().out


def test_a_folder_that_is_named_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    folder = tmp_path / ".venv"
    folder.mkdir()
    (folder / "pyvenv.cfg").write_text("home = /usr\n")
    (folder / "a.txt").write_text("a text")
    assert [document.text for document in ingested(tmp_path, params(Source(path=str(folder))))[1]] == ["a text"]


@pytest.mark.parametrize("name", ["image.png", ".git/a.txt", ""])
def test_a_source_without_a_readable_file_is_said_with_what_it_holds(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "t"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    if name:
        (folder / name).write_bytes(b"x")
    held = {"image.png": "1 file that ends in .png", ".git/a.txt": "1 hidden file or folder", "": "nothing"}[name]
    for look in (take, lambda given: ingested(tmp_path, given)):
        with pytest.raises(StepError, match=rf"no readable file in '.*' \(found: {held}.*\); expected text \(txt"):
            look(params(Source(path=str(folder))))


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=60))
def test_what_is_not_read_is_counted_and_named_within_bounds(found: list[tuple[str, str]]) -> None:
    together, halves = Unread(), (Unread(), Unread())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unread, "NAMED", 3)
        for place, (reason, name) in enumerate(found):
            together.add(reason, name)
            halves[2 * place >= len(found)].add(reason, name)
        halves[0].add_all(halves[1])
    assert halves[0].rows() == together.rows()
    assert sum(row["count"] for row in together.rows()) == len(found)
    assert all(len(row["first"]) == min(3, row["count"]) for row in together.rows())
    lines = together.lines(reasons=2)
    assert len(lines) == min(3, len(together.counts))
    assert sum(int(line.split()[0]) for line in lines) == len(found)


def test_the_inventory_sees_new_text(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = params(Source(path=str(folder)))
    before = take(given)
    assert before["sources"][0]["not_read"] == [
        {"reason": "files that end in .png, which no reader takes", "count": 1, "first": ["image.png"]},
        {"reason": "hidden files and folders", "count": 1, "first": [".hidden.txt"]},
    ]
    os.utime(folder / "a.txt")  # touched, not changed
    assert take(given) == before
    (folder / "a.txt").write_text("PLAIN text\n")
    changed = take(given)
    assert changed != before
    before = changed
    (folder / "new.txt").write_text("new")
    assert take(given) != before


def test_the_inventory_sees_other_benchmarks(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the project's home
    outputs = {"output": tmp_path / "inventory.json", "benchmarks": tmp_path / "benchmarks.json"}
    seen = []

    def look(data_dir: str) -> dict:
        given = params(Source(path=str(folder))).model_copy(
            update={"benchmarking": BenchmarkingParams(data_dir=data_dir)}
        )
        inventory.run({}, outputs, given, Tracker())
        seen.append(outputs["output"].read_bytes())
        return json.loads(outputs["benchmarks"].read_text())

    assert look("") == {"files": []}
    (tmp_path / "benchmarks" / "gsm8k").mkdir(parents=True)
    test = tmp_path / "benchmarks" / "gsm8k" / "test.jsonl"
    test.write_text('{"question": "What is 1 + 1?"}\n')
    before = look("benchmarks")
    assert before == {"files": [["gsm8k/test.jsonl", sha256_file(test)]]} == look(str(tmp_path / "benchmarks"))
    test.write_text('{"question": "What is 1 + 2?"}\n')
    assert look("benchmarks") != before
    assert len(set(seen)) == 1  # the sources are as they were: nothing is ingested again
    with pytest.raises(StepError, match=r"benchmarking\.data_dir: 'nowhere' is not a folder"):
        look("nowhere")


def test_a_module_is_split_without_loss_or_overlap() -> None:
    source = '"""Doc."""\nimport os\n\n@deco\ndef f(x):\n    """F."""\n    return x\n\nX = 1\n\nclass A:\n    def m(self):\n        pass\n'
    documents = list(module_documents(source, "pkg.mod", "MIT"))
    assert [(d.kind, d.source) for d in documents] == [
        ("prose", "python:pkg.mod"), ("code", "python:pkg.mod.f"), ("code", "python:pkg.mod.A"), ("code", "python:pkg.mod"),
    ]  # fmt: skip
    assert documents[1].text.startswith("@deco\ndef f")
    assert documents[3].text == "# module pkg.mod\nimport os\n\n\nX = 1\n"


def test_long_classes_are_read_method_by_method() -> None:
    body = "".join(f"    def m{i}(self):\n        return {'1 + ' * 100}1\n\n" for i in range(20))
    documents = list(module_documents(f"class A:\n    x = 1\n\n{body}", "m", "MIT"))
    assert [d.source for d in documents][:2] == ["python:m.A", "python:m.A.m0"]
    assert all(ast.parse(d.text) for d in documents)


def test_the_library_of_this_python_is_real_text() -> None:
    files = library_files()
    assert sum(path.stat().st_size for path in files) > 8_000_000
    topics = list(read_module(files[-1]))
    assert len(topics) > 50
    assert all(d.kind == "prose" and d.license == "PSF-2.0" for d in topics)
    assert any(
        "python:json.decoder" in d.source for path in files if path.parent.name == "json" for d in read_module(path)
    )


def test_what_utf8_cannot_hold_is_quarantined_row_by_row(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    half = ['{"text": "a\\ud800"}', '{"text": "b", "source": "\\udc00"}', '{"text": "c", "note": "\\udc00"}']
    (folder / "rows.jsonl").write_text("\n".join([*half, '{"text": "whole"}']))
    _, documents, quarantine = ingested(tmp_path, params(Source(path=str(folder))))
    assert [document.text for document in documents] == ["whole"]
    assert [(entry["line"], "surrogate" in entry["reason"]) for entry in quarantine] == [
        (1, True),
        (2, True),
        (3, True),
    ]


@pytest.mark.parametrize("line", ["[" * 200_000, '{"text": "t", "n": ' + "9" * 5_000 + "}"])
def test_a_line_that_breaks_the_json_reader_costs_no_other_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "rows.jsonl").write_text(f'{{"text": "before"}}\n{line}\n{{"text": "after"}}\n')
    _, documents, quarantine = ingested(tmp_path, params(Source(path=str(tmp_path / "t"))))
    assert [document.text for document in documents] == ["before", "after"]
    assert [entry["line"] for entry in quarantine] == [2]
    assert quarantine[0]["reason"].startswith(("is not JSON", "holds a whole number of more than"))


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder with a text and links of every sort that lead out of it, and one that stays in it."""
    root = tmp_path / "t"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("ours")
    (root / "sub" / "near.txt").symlink_to("../a.txt")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key.txt").write_text("secret")
    (tmp_path / "t2").mkdir()
    (tmp_path / "t2" / "b.txt").write_text("secret")
    (root / "absolute.txt").symlink_to(tmp_path / "secrets" / "key.txt")
    (root / "climbing.txt").symlink_to("../secrets/key.txt")
    (root / "folder").symlink_to(tmp_path / "secrets")
    (root / "root").symlink_to("/")
    (root / "sibling.txt").symlink_to("../t2/b.txt")
    (root / "chain.txt").symlink_to("absolute.txt")
    (root / "passwd").symlink_to("/etc/passwd")
    (root / "circle").symlink_to(".")
    return root


@pytest.mark.parametrize("scheme", ["", "file://", "FILE://", "local://"])
def test_links_that_lead_out_of_a_source_are_quarantined_and_named(secrets: Path, tmp_path: Path, scheme: str) -> None:
    given = params(Source(path=f"{scheme}{secrets}"))
    listing = dict(take(given)["sources"][0]["listing"])
    _, documents, quarantine = ingested(tmp_path, given)
    assert {(document.source, document.text) for document in documents} == {("a.txt", "ours"), ("sub/near.txt", "ours")}
    outside = ["absolute.txt", "chain.txt", "climbing.txt", "folder", "passwd", "root", "sibling.txt"]
    assert [row["file"] for row in quarantine] == outside
    reason = "is a link that leads out of its source's folder; set follow_links: true for the source if you trust it"
    assert {row["reason"] for row in quarantine} == {listing[name] for name in outside} == {reason}


def test_what_is_passed_over_is_not_a_link_to_quarantine_and_nothing_is_looked_up_outside(
    secrets: Path, tmp_path: Path
) -> None:
    (tmp_path / "secrets" / "pyvenv.cfg").write_text("home = /usr")
    (secrets / ".hidden.txt").symlink_to(tmp_path / "secrets" / "key.txt")
    (secrets / "node_modules").symlink_to(tmp_path / "secrets")
    summary, _, quarantine = ingested(tmp_path, params(Source(path=str(secrets))))
    assert {row["reason"] for row in summary["not_read"]} == {
        "hidden files and folders", "folders of installed packages"
    }  # fmt: skip
    assert "folder" in [row["file"] for row in quarantine]


def test_a_link_that_takes_a_files_place_after_the_listing_is_not_followed(
    secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write into a shared folder has minutes for that while a large corpus is read."""
    (secrets / "taken").mkdir()
    for name in ("swapped.txt", "taken/key.txt"):
        (secrets / name).write_text("ours")
    list_files = inventory.list_files

    def list_and_swap(source: Source) -> tuple[list, Unread]:
        found = list_files(source)
        for name, target in (("swapped.txt", "secrets/key.txt"), ("taken", "secrets")):
            (secrets / name).rename(tmp_path / f"{name} before")
            (secrets / name).symlink_to(tmp_path / target)
        return found

    monkeypatch.setattr(ingest, "list_files", list_and_swap)
    _, documents, quarantine = ingested(tmp_path, params(Source(path=str(secrets))))
    assert {document.text for document in documents} == {"ours"}
    reasons = {row["file"]: row["reason"] for row in quarantine}
    assert "leads out of its folder" in reasons["swapped.txt"]
    assert "leads out of its folder" in reasons["taken/key.txt"]


def test_the_inventory_hashes_no_file_outside_of_its_source(secrets: Path, tmp_path: Path) -> None:
    hashes = inventory.KnownHashes(tmp_path / "hashes.json")
    assert hashes.of(secrets / "a.txt", secrets) == sha256_file(secrets / "a.txt")
    assert "leads out of its folder" in hashes.of(secrets / "absolute.txt", secrets)


def test_links_are_followed_where_the_source_says_so(secrets: Path, tmp_path: Path) -> None:
    (secrets / "root").unlink()
    _, documents, quarantine = ingested(tmp_path, params(Source(path=str(secrets), follow_links=True)))
    read = {document.source for document in documents if document.text == "secret"}
    assert read == {"absolute.txt", "chain.txt", "climbing.txt", "folder/key.txt", "sibling.txt"}
    assert not quarantine


def test_a_source_may_itself_be_a_link(secrets: Path, tmp_path: Path) -> None:
    """A person named it, whatever it leads to."""
    for name in ("absolute.txt", "folder"):
        _, documents, quarantine = ingested(tmp_path, params(Source(path=str(secrets / name))))
        assert [document.text for document in documents] == ["secret"]
        assert not quarantine


def test_the_list_of_benchmarks_reads_nothing_outside_of_their_folder(secrets: Path) -> None:
    found = dict(inventory.benchmark_files(str(secrets))["files"])
    assert found["absolute.txt"] == found["folder"] == found["root"] == "leads out of the folder"
    assert len(found["a.txt"]) == 64


def test_linked_folders_are_read_once_and_what_is_not_a_file_is_named(tmp_path: Path) -> None:
    root = tmp_path / "t"
    for folder in (root / "real", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text(folder.name)
    (root / "again").symlink_to(root / "real")  # read under its own name
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    (root / "gone.txt").symlink_to(tmp_path / "nowhere")
    (root / "lost folder").symlink_to(tmp_path / "nowhere")
    (root / "loop.txt").symlink_to(root / "loop.txt")
    os.mkfifo(root / "pipe.jsonl")
    given = params(Source(path=str(root), follow_links=True))
    entry = take(given)["sources"][0]
    assert [name for name, _ in entry["listing"]] == [
        "gone.txt", "linked/a.txt", "loop.txt", "lost folder", "pipe.jsonl", "real/a.txt"
    ]  # fmt: skip
    assert take(given)["sources"][0] == entry
    _, documents, quarantine = ingested(tmp_path, given)
    assert [document.source for document in documents] == ["linked/a.txt", "real/a.txt"]
    assert [(row["file"], row["reason"].partition(" (")[0]) for row in quarantine] == [
        ("gone.txt", "is a broken link"),
        ("loop.txt", "is a broken link"),
        ("lost folder", "is a broken link"),
        ("pipe.jsonl", "is a pipe, a socket or a device, not a file"),
    ]


@pytest.mark.parametrize("content", ["null", "5", "[1]", "{", "[" * 100_000, "\x00"])
def test_a_broken_cache_of_hashes_is_an_empty_one(folder: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "hashes.json").write_text(content)
    assert len(inventory.KnownHashes(tmp_path / "hashes.json").of(folder / "a.txt")) == 64


@pytest.mark.parametrize(
    ("source", "place"),
    [
        *(("{}/t", place) for place in ("t", "t/sub", "t/sub/raw", ".", "link", "link/raw", "elsewhere/raw", "other")),
        *((source, "link/raw") for source in ("t", "../{1}/t", "hf://{}/t", "hf://./t", "file://{}/t")),
        ("t/sub/a.jsonl", "link"),
    ],
)
def test_an_output_may_not_take_its_source(tmp_path: Path, monkeypatch, source: str, place: str) -> None:
    monkeypatch.setenv("PHIFORGE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for folder in ("t/sub", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "link").symlink_to(tmp_path / "t")
    (tmp_path / "t" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.txt").write_text("b")
    (tmp_path / "t" / "b.txt").symlink_to(tmp_path / "other" / "b.txt")
    given = params(Source(path=source.format(tmp_path, tmp_path.name), follow_links=True))
    with pytest.raises(StepError, match=r"is, holds or lies in the source .* name another place"):
        ingest.run({}, {"output": Path(place)}, given, Tracker())
    assert sorted(path.name for path in tmp_path.rglob("*.jsonl")) == ["a.jsonl"] * 2


def test_an_output_beside_its_source_is_none_of_it(tmp_path: Path) -> None:
    (tmp_path / "raw.jsonl").write_text('{"text": "a"}\n')
    assert len(ingested(tmp_path, params(Source(path=str(tmp_path / "raw.jsonl"))))[1]) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_are_printed_without_what_moves_a_cursor(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.txt").write_text("a text")
    (tmp_path / "t" / "two\nlines\x1b[31m é.txt").write_text("")
    ingested(tmp_path, params(Source(path=str(tmp_path / "t"))))
    assert r"quarantined: two\nlines\x1b[31m é.txt: is empty" in capsys.readouterr().out.splitlines()


def test_more_text_than_a_worker_may_hand_over_is_streamed(folder: Path, tmp_path: Path, monkeypatch) -> None:
    _, expected, quarantine = ingested(tmp_path, params(Source(path=str(folder))))
    monkeypatch.setattr(ingest, "HANDED_CHARS", 20)
    files = inventory.list_files(Source(path=str(folder)))[0]
    assert ingest.read_batch(files, IngestionParams(max_document_chars=1_000, part_chars=0)) is None
    assert ingested(tmp_path, params(Source(path=str(folder))))[1:] == (expected, quarantine)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_file_name_that_is_not_utf8_is_read_and_listed(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "t") + b"/caf\xe9.txt")).write_text("a text")
    given = params(Source(path=str(tmp_path / "t")))
    assert take(given)["sources"][0]["listing"][0][0] == "caf\ufffd.txt"
    assert ingested(tmp_path, given)[1][0].source == "caf\ufffd.txt"


def test_a_text_file_that_must_be_too_long_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "huge.txt").write_text("x" * 4_004)
    (tmp_path / "t" / "widest.txt").write_text("\ufeff" + "\U0001f600" * 1_000, encoding="utf-8")
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("read") if path.stem == "huge" else read(path))
    _, documents, quarantine = ingested(tmp_path, params(Source(path=str(tmp_path / "t")), max_document_chars=1000))
    assert [document.source for document in documents] == ["widest.txt"]
    assert "4,004 bytes" in quarantine[0]["reason"]


def test_a_form_feed_is_not_a_line_end() -> None:
    text = "x = 1\n\x0c\ndef f():\n    return 1\n\x0c\ndef g():\n    return 2\n"
    code = {document.source: document.text for document in module_documents(text, "m", "MIT")}
    assert (code["python:m.f"], code["python:m.g"]) == ("def f():\n    return 1\n", "def g():\n    return 2\n")


def test_another_run_may_save_its_hashes_at_the_same_moment(folder: Path, tmp_path: Path, monkeypatch) -> None:
    def collide(*_: object) -> None:
        raise FileNotFoundError("another run has renamed it")

    monkeypatch.setattr(inventory, "write_json", collide)
    hashes = inventory.KnownHashes(tmp_path / "hashes.json")
    file = inventory.list_files(Source(path=str(folder)))[0][0]
    assert len(hashes.of(Path(file.location))) == 64
    hashes.save()


def test_metadata_of_a_method_is_its_own() -> None:
    body = "\n".join(f"        x{i} = {i}" for i in range(600))
    text = f'class C:\n    """Documented."""\n\n    def f(self):\n{body}\n'
    head, method = module_documents(text, "m", "MIT")
    assert (head.metadata["line"], head.metadata["docstring"]) == (1, True)
    assert (method.metadata["line"], method.metadata["docstring"]) == (4, False)


def test_a_limit_takes_the_first_documents_of_its_source_and_reads_no_further(tmp_path: Path, monkeypatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for i in range(3):
            rows = "".join(json.dumps({"text": f"{name} {i} {j}"}) + "\n" for j in range(4))
            (tmp_path / name / f"{i}.jsonl").write_text(rows)
    opened, seen = files.open_inside, []

    def watched(path: Path, folder: Path | None) -> BinaryIO:
        seen.append(path.relative_to(tmp_path).as_posix())
        return opened(path, folder)

    monkeypatch.setattr(files, "open_inside", watched)
    sources = [Source(path=str(tmp_path / "one"), limit=6), Source(path=str(tmp_path / "two"))]
    expected = [f"one {i // 4} {i % 4}" for i in range(6)] + [f"two {i // 4} {i % 4}" for i in range(12)]
    for kind in ("serial", "threads"):
        seen.clear()
        _, documents, _ = ingested(tmp_path, params(*sources, kind=kind))
        assert [document.text for document in documents] == expected
        assert sorted(set(seen)) == ["one/0.jsonl", "one/1.jsonl", "two/0.jsonl", "two/1.jsonl", "two/2.jsonl"]


def test_a_summary_that_would_replace_a_source_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("{}")
    file = next(path for path in sorted(folder.rglob("*")) if path.is_file())
    before = file.read_bytes()
    arguments = ["--output", str(tmp_path / "out"), "--summary", str(file), "--params", str(tmp_path / "params.yaml")]
    with pytest.raises(SystemExit) as ended:
        main(COMMAND, [*arguments, "--set", f"ingestion.sources=[{{path: {json.dumps(str(folder))}}}]"])
    assert ended.value.code == 1
    assert file.read_bytes() == before


@given(st.lists(st.text(st.sampled_from("ab.Z /-"), max_size=8).filter(lambda n: base_name(n) != "."), max_size=6))
def test_endings_and_order_are_those_of_paths(names: list[str]) -> None:
    """They are found by hand, for speed."""
    paths = [PurePosixPath(name) for name in names]
    for name, path in zip(names, paths, strict=True):
        assert suffixes(name) == (path.suffix.lower(), "")
    assert sorted(paths) == sorted(paths, key=lambda path: path.parts)
