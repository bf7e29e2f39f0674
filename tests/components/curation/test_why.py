"""`why`: for each fate of a document the rule, the value and the threshold; for a text that is new, how it would be judged."""

import io
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.curation.decontamination import BenchmarkIndex
from components.curation.why import main
from components.documents import DOCUMENT, Document
from components.params import CurationParams
from tests.components.curation.test_curation import ENGLISH, GOOD, UNSCORED, curated, document, essays, functions

FOLDERS = ["--documents", "raw", "--curated", "curated", "--ledger", "ledger.parquet", "--report", "report"]
FOLDERS += ["--work", "work"]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A curated corpus in the current folder; raw ids by what became of them."""
    one, two = essays(2, words=120)
    rows = {
        "kept": document(ENGLISH),
        "short": document("short", source="a note"),
        "near": document(two.replace("\n", " indeed and again\n"), source="the copy"),
        "near too": document(two),
        "redacted": document(f"{one} Write to jane.roe@firm.co.uk about it."),
    }
    curated(tmp_path, list(rows.values()), education=UNSCORED)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("{}")
    return {name: row.id for name, row in rows.items()}


def why(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()  # what the run has said
    assert main([*words, *FOLDERS]) == 0
    return capsys.readouterr().out


def test_a_document_that_was_dropped(made: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    said = why(capsys, made["short"][:10])
    assert "prose from a note, licence MIT" in said
    assert "dropped by min_chars: 6 characters\n  value 6, threshold 80" in said
    assert any(line.split() == ["min_chars", "6", ">=", "80", "FAILS"] for line in said.splitlines())


def test_of_near_duplicates_each_says_what_became_of_it(
    made: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = {name: why(capsys, made[name]) for name in ("near", "near too")}
    dropped = next(name for name in said if "dropped by near_duplicate" in said[name])
    (keeper,) = set(said) - {dropped}
    assert f"resembles document {made[keeper]}" in said[dropped]
    assert "it represents 2 documents" in said[keeper]


def test_a_document_that_was_changed_is_found_by_both_ids(
    made: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = why(capsys, made["redacted"])
    assert "redacted: email 1" in said
    new = said.partition("kept as ")[2][:32]
    assert new != made["redacted"]
    assert f"the original is {made['redacted']}" in why(capsys, new)


def test_a_text_that_is_known_and_one_that_is_not(
    made: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "text").write_text(ENGLISH)
    assert f"kept as {made['kept']}" in why(capsys, "--text", "text")
    (tmp_path / "text").write_text(GOOD)
    said = why(capsys, "--text", "text", "--kind", "web")
    assert "no run has seen this text" in said
    assert any(line.startswith("gopher_quality.min_doc_words") and line.endswith("FAILS") for line in said.splitlines())


def test_a_text_that_is_new_is_compared_with_what_was_curated(
    made: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "text").write_text(ENGLISH + "One more line, and nothing else.\n")
    said = why(capsys, "--text", "text")
    near = next(line for line in said.splitlines() if line.startswith("most like"))
    assert f"most like curated document {made['kept']}: Jaccard 0.9" in near
    assert near.endswith("FAILS")
    assert "not compared with benchmarks: benchmarking.data_dir is empty" in said
    (tmp_path / "text").write_text(GOOD)
    assert "Jaccard 0 of word 5-grams, < 0.7 passes" in why(capsys, "--text", "text")


def test_a_text_that_is_new_is_compared_with_benchmarks(
    made: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path, shared_data: Path
) -> None:
    index = BenchmarkIndex.build(shared_data / "benchmarks", CurationParams().decontamination)
    assert len(index.items) > 40_000
    item = next(item for item in index.items if len(item.asked.split()) > 20)
    words = ["--text", "text", "--set", f"benchmarking.data_dir={shared_data / 'benchmarks'}"]
    (tmp_path / "text").write_text(GOOD)
    assert f"contains none of {len(index.items):,} items of benchmarks" in why(capsys, *words)
    (tmp_path / "text").write_text(f"{GOOD}{item.text}\n{GOOD}")
    assert f"holds {item.benchmark} {item.id} by ngram_10_ratio: " in why(capsys, *words)


def test_an_unknown_id_is_said(made: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["0123456789", "--documents", "raw", "--curated", "curated"]) == 1
    assert "no document has the id '0123456789' in raw, curated" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["0123"])


def test_a_language_that_is_too_unsure_fails_by_its_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("curation: {language: {keep: [en]}}")
    monkeypatch.setattr("components.curation.language.verdicts", lambda *_: [("en", 0.4)])
    (tmp_path / "text").write_text(ENGLISH)
    lines = [line.split() for line in why(capsys, "--text", "text", "--kind", "web").splitlines()]
    assert ["language", "en", "stay:", "en"] in lines
    assert ["language_probability", "0.4", ">=", "0.65", "FAILS"] in lines


def test_a_source_steers_neither_the_terminal_nor_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = Document("short", "prose", "x\x1b[2J\nkept as 0", "MIT", "t", metadata={"raw_id": 7, "redacted": True})
    plain = Document(ENGLISH, "prose", "s", "MIT", "t", metadata={"raw_id": None, "cluster_size": "many"})
    _, kept, ledger = curated(tmp_path, [hostile, plain, plain])
    assert [row["id"] for row in ledger] == [hostile.id, plain.id]
    assert kept[0].metadata == {"source_raw_id": None, "source_cluster_size": "many", "cluster_size": 2}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("{}")
    said = why(capsys, hostile.id)
    assert "\x1b" not in said
    assert not any(line.startswith("kept") for line in said.splitlines())


def test_input_that_is_not_text_is_refused(
    made: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9")))
    assert main(["--text", "-"]) == 1
    assert "--text: - cannot be read as UTF-8 text" in capsys.readouterr().err


def test_a_file_is_found_as_it_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Line ends are of the text that has the id; a byte order mark isn't."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("{}")
    text = ENGLISH.replace("\n", "\r\n")
    curated(tmp_path, [document(text), document("short\r\nnote\r\n")])
    (tmp_path / "text").write_bytes(text.encode("utf-8-sig"))
    said = why(capsys, "--text", "text", "--kind", "web")
    assert said.startswith(f"{document(text).id}: prose from s")
    assert f"the original is {document(text).id}" in said
    (tmp_path / "text").write_bytes(b"short\r\nnote\r\n")
    assert "dropped by min_chars" in why(capsys, "--text", "text")


def test_a_piece_of_a_text_leads_to_the_documents_that_hold_it(
    made: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    piece = " ".join(essays(2, words=120)[1].split()[5:50])
    (tmp_path / "text").write_bytes(f"\r\n{piece}  \r\n".encode())
    said = why(capsys, "--text", "text").splitlines()
    assert said[0] == "no document is exactly this text; it occurs in 2 of the documents:"
    assert [line[:32] for line in said if " from " in line] == [made["near"], made["near too"]]
    assert sum(line.startswith("kept as ") for line in said) == 1
    assert sum(line.startswith("dropped by near_duplicate: ") for line in said) == 1
    assert not any(line.startswith("rule ") for line in said)
    (tmp_path / "text").write_text("  \n")
    assert "no run has seen this text" in why(capsys, "--text", "text")


def test_of_many_documents_that_hold_a_piece_five_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("{}")
    curated(tmp_path, [document(f"{text.strip()} and the end.\n") for text in essays(9)])
    (tmp_path / "text").write_text("and the end.")
    said = why(capsys, "--text", "text")
    assert said.startswith("no document is exactly this text; it occurs in more than 5 documents; the first:\n")
    assert said.count("kept as ") == 5


def test_a_text_in_two_kinds_is_told_of_in_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("{}")
    curated(tmp_path, [document(ENGLISH, source="one"), document(ENGLISH, "code", "two")])
    prose, code = why(capsys, document(ENGLISH).id).split("\n\n" + document(ENGLISH).id)
    assert "prose from one" in prose
    assert "\nkept as " in prose
    assert "dropped" not in prose
    assert "max_duplicate_line_fraction" in prose
    assert "code from two" in code
    assert "\ndropped by code.max_line_mean" in code
    assert "kept" not in code


def test_the_classifier_of_the_run_decides_and_the_heuristic_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("curation: {education: {min_value: {code: 0.5}}}")
    rows = [document(text, "code", str(number)) for number, text in enumerate(functions(240))]
    _, kept, ledger = curated(tmp_path, rows, education={"min_value": {"code": 0.5}})
    low = next(row for row in ledger if row["rule"] == "educational_value")
    for name, value, fails in ((low["id"], low["value"], True), (kept[0].id, kept[0].educational_value, False)):
        (line,) = re.findall(r"^educational_value .*$", why(capsys, name), re.MULTILINE)
        assert line.split() == ["educational_value", f"{value:.4g}", ">=", "0.5", *["FAILS"] * fails]
    (tmp_path / "text").write_text(functions(402)[400])
    said = why(capsys, "--text", "text", "--kind", "code")
    assert "no run has seen this text" in said
    assert re.search(r"^educational_value .* FAILS$", said, re.MULTILINE)
    assert "the heuristic annotator would label it 0" in said
    assert "not known: the run has not judged web (it had no such" in why(capsys, "--text", "text", "--kind", "web")
    (classifier,) = (tmp_path / "work").glob("classifier-*.npz")
    classifier.write_bytes(b"")
    assert "educational value not known: " in why(capsys, low["id"])
    classifier.unlink()
    assert f"educational value not known: work/{classifier.name}, the classifier of the run, is not there" in why(
        capsys, low["id"]
    )


def test_without_a_classifier_why_says_so(made: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "educational value not known: the run has no classifier (not scored: " in why(capsys, made["kept"])
    assert main([made["kept"], *FOLDERS, "--report", "nowhere"]) == 0
    assert "educational value not known: nowhere/curation.json is not there" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["ledger", "foreign ledger", "shard", "bytes that are not text", "metadata"])
def test_what_is_damaged_or_foreign_is_one_line(
    made: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path, damage: str
) -> None:
    ledger, raw, kept = (tmp_path / name for name in ("ledger.parquet", "raw/part-00000.parquet", "curated"))
    if damage == "ledger":
        ledger.write_bytes(ledger.read_bytes()[:-20])
    elif damage == "foreign ledger":
        pq.write_table(pa.table({"id": [1]}), ledger)
    elif damage == "shard":
        content = bytearray(raw.read_bytes())
        content[4:400] = b"\xff" * 396
        raw.write_bytes(content)
    elif damage == "bytes that are not text":
        rows = pq.read_table(raw)
        broken = pa.array([b"\xff"] * len(rows)).cast(pa.binary()).view(pa.string())
        pq.write_table(rows.set_column(1, DOCUMENT.field("text"), broken), raw)
    else:
        (shard,) = kept.glob("part-*.parquet")
        rows = pq.read_table(shard)
        pq.write_table(rows.set_column(8, DOCUMENT.field("metadata"), pa.array(['["raw_id"]'] * len(rows))), shard)
    assert main([made["kept"], *FOLDERS]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
