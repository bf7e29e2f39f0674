"""`why`: for each fate of a document the rule, the figure and the threshold; for a text that is new, how it would be judged."""

import io
from pathlib import Path

import pytest

from components.curation.decontamination import BenchmarkIndex
from components.curation.why import main
from components.documents import Document
from components.params import CurationParams
from tests.components.curation.test_curation import ENGLISH, GOOD, curated, document, essays


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
    curated(tmp_path, list(rows.values()))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("{}")
    return {name: row.id for name, row in rows.items()}


def why(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    folders = ["--documents", "raw", "--curated", "curated", "--ledger", "ledger.parquet"]
    assert main([*words, *folders]) == 0
    return capsys.readouterr().out


def test_a_document_that_was_dropped(made: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    said = why(capsys, made["short"][:10])
    assert "prose from a note, licence MIT" in said
    assert "dropped by min_chars: 6 characters\n  figure 6, threshold 80" in said
    assert any(line.split() == ["min_chars", "6", ">=", "80", "FAILS"] for line in said.splitlines())


def test_of_near_duplicates_each_says_what_became_of_it(
    made: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = {name: why(capsys, made[name]) for name in ("near", "near too")}
    dropped = next(name for name in said if "dropped by near_duplicate" in said[name])
    (keeper,) = set(said) - {dropped}
    assert f"resembles document {made[keeper]}" in said[dropped]
    assert "it stands for 2 documents" in said[keeper]


def test_a_document_that_was_changed_is_found_by_both_ids(
    made: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = why(capsys, made["redacted"])
    assert "redacted: email 1" in said
    new = said.partition("kept as ")[2][:32]
    assert new != made["redacted"]
    assert f"as it was read it is {made['redacted']}" in why(capsys, new)


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
    assert "not compared with benchmarks: benchmarking.data_dir names no folder" in said
    (tmp_path / "text").write_text(GOOD)
    assert "Jaccard 0 of word 5-grams, < 0.7 passes" in why(capsys, "--text", "text")


def test_a_text_that_is_new_is_compared_with_benchmarks(
    made: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path, shared_data: Path
) -> None:
    index = BenchmarkIndex.build(shared_data / "benchmarks", CurationParams().decontamination)
    assert len(index.items) > 40_000
    item = next(item for item in index.items if len(item.text.split()) > 20)
    words = ["--text", "text", "--set", f"benchmarking.data_dir={shared_data / 'benchmarks'}"]
    (tmp_path / "text").write_text(GOOD)
    assert f"holds none of {len(index.items):,} items of benchmarks" in why(capsys, *words)
    (tmp_path / "text").write_text(f"{GOOD}{item.text}\n{GOOD}")
    assert f"holds {item.benchmark} {item.id} by ngram_13: " in why(capsys, *words)


def test_an_unknown_id_is_said(made: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["0123456789", "--documents", "raw", "--curated", "curated"]) == 1
    assert "no document has the id '0123456789' in raw, curated" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["0123"])


def test_a_language_that_is_too_unsure_fails_by_its_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("{}")
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


def test_input_that_is_no_text_is_refused(
    made: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9")))
    assert main(["--text", "-"]) == 1
    assert "--text: - cannot be read as UTF-8 text" in capsys.readouterr().err
