"""What people hand in besides a tidy folder: refused before any work in a sentence with the remedy, or read."""

import errno
import multiprocessing
import os
import random
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.documents import Document
from components.errors import StepError
from components.ingestion.ingest import read_batch
from components.ingestion.inventory import list_files
from components.ingestion.survey import survey
from components.params import IngestionParams, Params, Source, check_params
from components.running.contents import Contents

SENTENCE = "The water of the river is cold in spring, since it comes from the snow of the mountains, where it melts.\n"
LANGUAGES = {
    "en": SENTENCE,
    "de": "Das Wasser des Flusses ist im Frühling kalt, weil es vom Schnee der Berge kommt, wo er langsam schmilzt.\n",
    "fr": "L'eau de la rivière est froide au printemps, car elle vient de la neige des montagnes, où elle fond.\n",
}
HOSTILE_NAMES = [
    b"new\nline.txt", b"quo\"te's.txt", b"bad\xff\xfe.txt", b"-dash.txt", b" blanks  in .txt", b"com,ma;semi.txt",
    b"$HOME `ls` $(x).txt", b"%41{}[]*?.txt", b"esc\x1b[2J.txt", b"\xe2\x80\xaertl.txt", b"a" * 250 + b".txt", b"#hash.txt",
    b"~tilde.txt", b"back\\slash.txt", "Ünïcödé日本.txt".encode(),
]  # fmt: skip
NOBODY = 65_534


def params(path: Path) -> Params:
    return check_params({"ingestion": {"sources": [{"path": str(path)}], "part_chars": 1_000}})


def nothing(root: Path) -> None:
    """An empty folder."""


def images_only(root: Path) -> None:
    (root / "a.png").write_bytes(b"x" * 100_000)
    (root / "b.JPG").write_bytes(b"x" * 100_000)


def hidden_only(root: Path) -> None:
    (root / ".notes.txt").write_text(SENTENCE * 200)


def environment_only(root: Path) -> None:
    (root / "venv" / "lib").mkdir(parents=True)
    (root / "venv" / "pyvenv.cfg").touch()
    (root / "venv" / "lib" / "a.py").write_text("x = 1\n" * 5_000)


def one_sentence(root: Path) -> None:
    (root / "a.txt").write_text("The cat sat on the mat.\n")


def blank(root: Path) -> None:
    (root / "a.txt").write_text("\n \n" * 10_000)


def binary(root: Path) -> None:
    (root / "a.txt").write_bytes(random.Random(1).randbytes(50_000))


def one_program(root: Path) -> None:
    (root / "a.py").write_text("x = 1\n" * 4_000)


def tables_of_numbers(root: Path) -> None:
    rows = "".join(f"{number},{number * 7 % 13},{number % 3}\n" for number in range(5_000))
    (root / "a.csv").write_text("width,height,class\n" + rows)


def without_ending(root: Path) -> None:
    (root / "notes").write_bytes(b"\0\1\2" * 200)
    (root / "b.ark").write_text(SENTENCE * 200)


def links_only(root: Path) -> None:
    (root / "self").symlink_to("self")
    (root / "away.txt").symlink_to("/etc/hostname")


REFUSED = {
    nothing: r"no readable file in '.*' \(found: nothing\); expected text \(txt, .*name other text in ingestion\.sources",
    images_only: r"\(found: 1 file that ends in \.jpg, .* \(b\.JPG\); 1 file that ends in \.png, .*\); expected text",
    hidden_only: r"\(found: 1 hidden file or folder \(\.notes\.txt\)\); expected text",
    environment_only: r"\(found: 1 folder of a virtual environment \(venv\)\); expected text",
    one_sentence: r"24 bytes of text in '.*' are too little to train on; expected at least 10 kB \(validation\.min_megabytes\); add",
    blank: r"no document in '.*': 1 file looked at \(a\.txt: is empty\); expected text; correct these files, or name other",
    binary: r"no document in '.*': 1 file looked at \(a\.txt: .*\); expected text; correct these files, or name other",
    one_program: r"1 document in '.*'; expected at least 2, .* \(validation\.min_documents\); add files there, name more",
    tables_of_numbers: r"a\.csv: has no field 'text'; its fields: width .*--set 'ingestion\.sources=\[\{path: .*, text_column: .width.\}\]'",
    without_ending: r"1 file that ends in \.ark, .*; 1 file without an ending and without text \(notes\)\); .*; rename text with another ending to \.txt",
    links_only: r"away\.txt: is a link that leads out of .* follow_links: true .*; self: is a broken link",
}


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_what_cannot_be_trained_on_is_refused_with_the_remedy(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path)
    found = survey(params(tmp_path))
    sentence = found.refusal
    assert sentence.startswith("ingestion.sources: ")
    assert "\n" not in sentence
    assert re.search(REFUSED[make], sentence), sentence


def read(found: Contents) -> tuple[int, int]:
    assert found.refusal == ""
    return found.total.files, found.total.documents


def test_twenty_kilobytes_are_enough(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text((SENTENCE + "\n") * 200)
    assert read(survey(params(tmp_path))) == (1, 1)


def test_tools_around_the_text_are_passed_over_and_said(tmp_path: Path) -> None:
    environment_only(tmp_path)
    (tmp_path / ".git" / "objects").mkdir(parents=True)
    (tmp_path / ".git" / "objects" / "pack").write_bytes(b"x" * 1_000_000)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "notes.md").write_text((SENTENCE + "\n") * 400)
    found = survey(params(tmp_path))
    assert found.total.bytes == (tmp_path / "notes.md").stat().st_size
    assert {line.partition(" (")[0] for line in found.not_read} == {
        "1 folder of a virtual environment", "1 hidden file or folder", "1 folder of installed packages",
    }  # fmt: skip


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_text(SENTENCE * 200)
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "b").symlink_to("a")
    assert read(survey(params(tmp_path))) == (1, 1)


def test_names_may_hold_any_character(tmp_path: Path) -> None:
    for number, name in enumerate(HOSTILE_NAMES):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text(f"{number}. {SENTENCE * 20}")
    found = survey(params(tmp_path))
    assert read(found) == (len(HOSTILE_NAMES), len(HOSTILE_NAMES))
    files, _ = list_files(Source(path=str(tmp_path)))
    documents = read_batch(files, IngestionParams(max_document_chars=1_000_000))
    assert len({document.source for document in documents}) == len(HOSTILE_NAMES)


def test_three_languages_are_all_told(tmp_path: Path) -> None:
    for code, text in LANGUAGES.items():
        for number in range(5):
            (tmp_path / f"{code}{number}.txt").write_text(f"{number}. {text * 30}")
    found = survey(params(tmp_path))
    assert read(found) == (15, 15)
    assert {code: round(share, 1) for code, share in found.languages} == {"en": 0.3, "de": 0.3, "fr": 0.3}


def as_nobody(function: Callable[..., object], *arguments: object) -> object:
    """What a function returns to a user who owns nothing, in a process of its own."""
    if os.getuid() != 0:
        return function(*arguments)  # whom permissions hold
    look(Path(__file__))  # imports what that user may not, where Python lies in a folder of root's
    with multiprocessing.get_context("fork").Pool(1, initializer=os.setuid, initargs=(NOBODY,)) as pool:
        return pool.apply(function, arguments)


def look(path: Path) -> Contents | str:
    try:
        return survey(params(path))
    except StepError as error:
        return str(error)


@pytest.fixture
def guarded() -> Iterator[Path]:
    """A folder of texts that anybody may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        for name in ("open", "closed", "unlisted", "unsearched"):
            (root / name).mkdir()
            (root / name / "a.txt").write_text((SENTENCE + "\n") * 200)
        yield root
        for name in ("open", "unlisted", "unsearched"):
            (root / name).chmod(0o755)


def test_what_may_not_be_read_is_named_and_the_rest_is_read(guarded: Path) -> None:
    (guarded / "closed" / "a.txt").chmod(0)
    (guarded / "unlisted").chmod(0o311)
    (guarded / "unsearched").chmod(0o644)
    found = as_nobody(look, guarded)
    assert isinstance(found, Contents)
    assert read(found) == (1, 1)
    assert sorted(found.not_read) == [
        "1 folder that cannot be listed (Permission denied) (unlisted)",
        "2 files that this user may not read (closed/a.txt, unsearched/a.txt)",
    ]


def test_what_goes_or_closes_while_it_is_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in /proc: a folder that vanishes, a link that may not be followed, a pipe that disappears before it is read."""
    (tmp_path / "a.txt").write_text(SENTENCE * 200)
    for name in ("gone", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "b.txt").write_text(SENTENCE)
    (tmp_path / "closed").symlink_to(tmp_path / "other")
    os.mkfifo(tmp_path / "pipe")
    status, follow = os.stat, os.readlink

    def vanished(path: object, **options: object) -> os.stat_result:
        if path == str(tmp_path / "gone"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return status(path, **options)

    def closed(path: object, **options: object) -> str:
        if str(path) == str(tmp_path / "closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return follow(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", vanished)
        patch.setattr(os, "readlink", closed)
        files, unread = list_files(params(tmp_path).ingestion.sources[0])
    assert unread.lines() == ["1 folder that cannot be listed (No such file or directory) (gone)"]
    (tmp_path / "pipe").unlink()
    items = read_batch(files, IngestionParams(max_document_chars=10_000_000, part_chars=1_000_000)) or []
    refused = {item["file"]: item["reason"] for item in items if isinstance(item, dict)}
    assert set(refused) == {"closed", "pipe"}
    assert "leads out of its source's folder" in refused["closed"]
    assert refused["pipe"] == "has changed since it was listed, and no reader takes its ending"
    assert [item.source for item in items if isinstance(item, Document)] == ["a.txt", "other/b.txt"]


def test_a_source_without_permission_is_refused(guarded: Path) -> None:
    for folder, mode in (("unlisted", 0), ("open", 0o311)):
        (guarded / folder).chmod(mode)
    (guarded / "closed" / "a.txt").chmod(0)
    assert "cannot be listed (Permission denied); permit it" in as_nobody(look, guarded / "unlisted")
    assert "cannot be listed (Permission denied); permit it" in as_nobody(look, guarded / "open")
    for place in (guarded / "closed", guarded / "closed" / "a.txt"):
        assert "(found: 1 file that this user may not read (a.txt))" in as_nobody(look, place).refusal
    assert "does not exist" in as_nobody(look, guarded / "unlisted" / "a.txt")


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in look(tmp_path / ("a" * 300))
