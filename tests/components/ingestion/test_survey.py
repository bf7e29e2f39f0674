"""What a survey says of sources: what ingestion would read where all is read, and an estimate by a sample elsewhere."""

import gzip
import json
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.documents import Document
from components.ingestion import looks
from components.ingestion import survey as module
from components.ingestion.ingest import read_batch
from components.ingestion.inventory import list_files
from components.ingestion.survey import survey
from components.params import Params, check_params
from components.running.contents import AS_JSON

ENGLISH = "The water of the river is cold in spring, since it comes from the snow of the mountains, where it melts.\n"
GERMAN = "Das Wasser des Flusses ist im Frühling kalt, weil es vom Schnee der Berge kommt, wo er langsam schmilzt.\n"
WORDS = [f"{one}{other}" for one in ENGLISH.split() for other in ENGLISH.split()]


def params(*sources: Path | str | dict[str, Any], **ingestion: Any) -> Params:
    entries = [source if isinstance(source, dict) else {"path": str(source)} for source in sources]
    return check_params({"ingestion": {"sources": entries, **ingestion}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Text of several kinds, in two languages, with what is not read."""
    root = tmp_path / "my texts"
    for name in ("venv", ".git", "sub"):
        (root / name).mkdir(parents=True)
    (root / "venv" / "pyvenv.cfg").touch()
    (root / "venv" / "site.py").write_text("x = 1\n" * 10_000)
    (root / ".git" / "pack").write_bytes(b"x" * 1_000_000)
    (root / "logo.png").write_bytes(b"x" * 100_000)
    (root / "rivers.md").write_text("# Rivers\n\n" + ENGLISH * 60)
    (root / "sub" / "berge.md").write_text("# Berge\n\n" + GERMAN * 30)
    (root / "tool.py").write_text("def double(x):\n    return 2 * x\n" * 100)
    rows = [json.dumps({"text": ENGLISH * 4, "title": f"Row {number}"}) for number in range(20)]
    (root / "rows.jsonl.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    (root / "broken.pdf").write_bytes(b"not a pdf")
    return root


def test_a_folder_is_told_by_type_text_language_title_and_what_is_not_read(folder: Path) -> None:
    found = survey(params(folder))
    types = {one.name: (one.files, one.documents) for one in found.types}
    assert types == {".md": (2, 2), ".py": (1, 1), ".jsonl.gz": (1, 20), ".pdf": (1, 0)}
    rows = next(one for one in found.types if one.name == ".jsonl.gz")
    assert (rows.bytes, rows.text_bytes) == ((folder / "rows.jsonl.gz").stat().st_size, 80 * len(ENGLISH))
    assert found.is_exact
    assert (found.looked_at, found.empty) == (5, 1)
    assert {"Rivers", "Berge", "tool.py", "Row 0", "Row 1"} < set(found.titles)
    assert len(found.titles) == len(found.samples) == 10
    assert dict(found.samples)["Berge"].startswith("# Berge " + GERMAN[:40])
    assert all(0 < len(text) <= 400 for _, text in found.samples)
    assert [code for code, _ in found.languages] == ["en", "de"]
    assert dict(found.languages)["de"] == pytest.approx(30 / 170, abs=0.03)
    assert found.code == [("Python", 1.0)]
    assert sorted(found.not_read) == [
        "1 file that ends in .png, which no reader takes (logo.png)",
        "1 folder of a virtual environment (venv)",
        "1 hidden file or folder (.git)",
    ]
    assert len(found.refused) == 1
    assert found.refused[0].startswith("broken.pdf: ")
    assert found.refusal == ""


def test_what_was_found_goes_through_json(folder: Path, tmp_path: Path) -> None:
    outputs = {"output": tmp_path / "contents.json"}
    summary = module.run({}, outputs, params(folder), None)
    found = AS_JSON.validate_json(outputs["output"].read_bytes())
    assert found == survey(params(folder))
    assert summary == {"files": 5, "text_bytes": found.total.text_bytes, "documents": 23}


NAMES = st.text(st.sampled_from("ab.-_ ,'\"\n\\é日"), min_size=1, max_size=12).filter(lambda name: name.strip(". "))
TEXTS = st.one_of(
    st.just(""), st.text(max_size=60), st.integers(1, 60).map(lambda count: (ENGLISH + "\n") * count)
)  # fmt: skip
ENDINGS = st.sampled_from((".txt", ".md", ".py", ".csv", ".xyz", ""))


@given(files=st.dictionaries(st.tuples(NAMES, ENDINGS), TEXTS, max_size=8))
def test_a_survey_of_little_agrees_with_ingestion(files: dict[tuple[str, str], str], tmp_path_factory: Any) -> None:
    """Files, documents and bytes of text are those that ingestion reads, and totals are sums."""
    root = tmp_path_factory.mktemp("texts")
    for (name, ending), text in files.items():
        (root / f"{name}{ending}").write_text(text, encoding="utf-8", newline="")
    given_params = params(root)
    found = survey(given_params)
    listed, unread = list_files(given_params.ingestion.sources[0])
    items = read_batch(listed, given_params.ingestion.model_copy(update={"part_chars": 0}))
    documents = [item for item in items if isinstance(item, Document)]
    assert found.is_exact
    assert found.total.files == len(listed) == found.looked_at
    assert found.not_read == unread.lines()
    assert found.total.documents == len(documents)
    assert found.total.text_bytes == sum(len(document.text.encode()) for document in documents)
    for name in ("files", "bytes", "text_bytes", "documents"):
        assert getattr(found.total, name) == sum(getattr(one, name) for one in found.types)
    assert sum(share for _, share in found.languages) == pytest.approx(1 if found.languages else 0, abs=0.01)
    assert found.refusal or found.total.text_bytes >= 10_000


def test_of_many_files_a_sample_is_read_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(400):
        (tmp_path / f"{number}.txt").write_text(ENGLISH * (20 + number % 7))
    (tmp_path / "only.md").write_text(GERMAN * 200)
    monkeypatch.setattr(module, "FILES", 40)
    found = survey(params(tmp_path))
    assert found.looked_at == 40
    assert not found.is_exact
    assert found == survey(params(tmp_path))
    texts, only = found.types
    assert (texts.files, texts.documents, only.files) == (400, 400, 1)
    assert texts.text_bytes == pytest.approx(texts.bytes, rel=0.05)
    assert [code for code, _ in found.languages] == ["en", "de"]


def test_of_large_files_as_much_is_read_as_the_budget_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        (tmp_path / f"{number}.txt").write_text(ENGLISH * 1_000)
    monkeypatch.setattr(module, "BYTES", 350_000)
    found = survey(params(tmp_path))
    assert found.looked_at == 4  # the first of a type, and three more
    assert found.total.text_bytes == pytest.approx(found.total.bytes, rel=0.05)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.csv", "rows.json"])
def test_a_large_file_of_rows_is_read_in_part(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = random.Random(1)
    texts = [" ".join(drawn.choices(WORDS, k=50 + 20 * (number % 9))) for number in range(4_000)]
    if name == "rows.csv":
        data = "text\n" + "".join(f'"{text}"\n' for text in texts)
    elif name == "rows.json":
        data = json.dumps([{"text": text} for text in texts])
    else:
        data = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (tmp_path / name).write_bytes(gzip.compress(data.encode()) if name.endswith(".gz") else data.encode())
    monkeypatch.setattr(looks, "STREAMED", 1_000_000)
    found = survey(params(tmp_path))
    assert not found.is_exact
    assert found.total.documents == pytest.approx(4_000, rel=0.15)
    assert found.total.text_bytes == pytest.approx(sum(map(len, texts)), rel=0.15)


def test_a_book_is_told_by_its_headings_and_languages(tmp_path: Path) -> None:
    chapters = [f"# Chapter {number}\n\n{((ENGLISH, GERMAN)[number % 2] + chr(10)) * 60}" for number in range(20)]
    (tmp_path / "book.md").write_text("".join(chapters))
    found = survey(params(tmp_path))
    assert found.is_exact
    assert (found.total.documents, found.total.text_bytes) == (1, (tmp_path / "book.md").stat().st_size)
    assert found.titles == [f"Chapter {number}" for number in range(len(found.titles))]
    assert len(found.titles) > 2
    assert {code: round(share, 1) for code, share in found.languages} == {"en": 0.5, "de": 0.5}


def test_a_file_that_takes_for_ever_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text(ENGLISH * 200)
    (tmp_path / "slow.pdf").write_bytes(b"x" * 1_000)

    def read(file: Any, limits: Any) -> Iterator[Any]:
        if file.suffix == ".pdf":
            threading.Event().wait(60)
        yield from real(file, limits)

    real = looks.read_file
    monkeypatch.setattr(looks, "read_file", read)
    monkeypatch.setattr(module, "SECONDS", 0.3)
    started = time.monotonic()
    found = survey(params(tmp_path))
    assert time.monotonic() - started < 20
    assert found.looked_at == 1
    assert not found.is_exact
    assert {one.name: one.files for one in found.types} == {".txt": 1, ".pdf": 1}


def test_a_huge_file_that_a_library_in_c_unpacks_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames to be skipped, of which a sparse file holds any amount: nothing of Python's runs while they are read."""
    monkeypatch.setattr(module, "SECONDS", 0.3)
    size = 0xFFFF_FF00
    with open(tmp_path / "a.txt.zst", "wb") as file:
        for _ in range(32):
            file.write(struct.pack("<II", 0x184D_2A50, size))
            file.seek(size, os.SEEK_CUR)
        file.truncate(file.tell())
    started = time.monotonic()
    survey(params(tmp_path))
    assert time.monotonic() - started < 5


def test_other_machines_are_named_and_not_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    remote = ["https://example.org/a.txt", "s3://bucket/x", "hf://owner/name", "python"]
    found = survey(params(folder, *remote))
    assert found.elsewhere == remote
    assert found.total.files == 5
    assert survey(params(*remote)).refusal == ""


def test_the_field_that_is_taken_for_the_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"id": n, "body": ENGLISH * 9}) + "\n" for n in range(20)))
    (tmp_path / "b.jsonl").write_text("".join(json.dumps({"text": ENGLISH * 9}) + "\n" for _ in range(20)))
    assert survey(params(tmp_path)).columns == [f"'body' in {tmp_path}"]
    assert survey(params({"path": str(tmp_path / "a.jsonl"), "text_column": "body"})).columns == []


def test_a_limit_of_a_source_is_kept(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.txt").write_text(ENGLISH * 50)
    found = survey(params({"path": str(tmp_path), "limit": 5}))
    assert (found.total.files, found.total.documents, found.total.text_bytes) == (20, 5, 5 * 50 * len(ENGLISH))
    assert not found.is_exact
