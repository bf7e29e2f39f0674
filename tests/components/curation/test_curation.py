"""Curation: kept documents are clean and unique, and dropped ones are in the ledger with their measured value."""

import json
import math
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.curation import curate, work
from components.curation.education.sample import READ
from components.curation.rules import alpha_fraction, duplicate_line_fraction, first_failure
from components.curation.text import normalise
from components.curation.verdicts import low_values
from components.documents import KINDS, Document, DocumentWriter, document_id
from components.errors import StepError
from components.params import BenchmarkingParams, CurationParams, EngineParams, Params
from components.tracking import Tracker
from tests.documents import read_documents

GOOD = "This is a sentence that teaches a reader something about the world, slowly and clearly, with an example.\n"
ENGLISH = (
    "The river runs through the valley, and in the evening the children walk home, because it is getting dark. They carry "
    "books that they have read to each other.\nThe oldest of them tells a story about a ship that crosses the sea with "
    "a load of salt, and the others ask how long it takes, how the sailors know the way, and what they eat.\n"
    "Nobody knows the answer. They will look for it in the books tomorrow, when they have the light to read.\n"
)
UNGATED = {"min_f1": 0.0, "min_spearman": -1.0, "max_calibration_error": 5.0}
# A model is not asked about fewer than 60 documents, and then none has an educational value.
UNSCORED = {"annotator": "openai", "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "none"}}
WORDS = [
    "river",
    "stone",
    "window",
    "garden",
    "engine",
    "letter",
    "market",
    "harbour",
    "winter",
    "number",
    "planet",
    "copper",
]


def curated(
    folder: Path, documents: list[Document], kind: str = "serial", workers: int = 2, **sections: Any
) -> tuple[dict, list[Document], list[dict]]:
    with DocumentWriter(folder / "raw", rows_per_shard=7) as writer:
        for document in documents:
            writer.write(document)
    sections["education"] = UNGATED | sections.get("education", {})
    benchmarking = {"data_dir": str(folder / "benchmarks")} if (folder / "benchmarks").is_dir() else {}
    params = Params(
        engine=EngineParams(kind=kind, workers=workers),
        curation=CurationParams(**sections),
        benchmarking=BenchmarkingParams(**benchmarking),
    )
    outputs = {"output": folder / "curated", "ledger": folder / "ledger.parquet"}
    outputs |= {"index": folder / "index", "report": folder / "report"}
    inputs = {"documents": folder / "raw", "work": folder / "work"}
    summary = curate.run(inputs, outputs, params, Tracker())
    return summary, list(read_documents(folder / "curated")), pq.read_table(folder / "ledger.parquet").to_pylist()


def document(text: str, kind: str = "prose", source: str = "s") -> Document:
    return Document(text, kind, source, "MIT", "test")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=200), st.just(GOOD), st.just(GOOD + "\r\n")
        ),
        max_size=25,
    )
)
def test_the_ledger_balances_and_what_stays_is_single(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [document(text) for text in [GOOD, *texts]]
        summary, kept, ledger = curated(Path(folder), rows)
        assert len(rows) == len(kept) + len(ledger) == summary["documents_in"]
        assert len({d.id for d in kept}) == len(kept)
        assert all(d.id == document_id(d.text) and d.text == normalise(d.text, d.kind) for d in kept)
        assert {row["id"] for row in ledger} <= {d.id for d in rows}


def essays(count: int, words: int = 60) -> list[str]:
    """Texts that have nothing in common but their words."""
    drawn = [random.Random(number).choices(WORDS, k=words) for number in range(count)]
    return [" ".join(f"{word}{place % 7}" for place, word in enumerate(chosen)) + ".\n" for chosen in drawn]


def test_the_first_of_equal_texts_stays(tmp_path: Path) -> None:
    _, kept, ledger = curated(
        tmp_path, [document(GOOD, source="first"), document(GOOD.replace("\n", "\r\n"), source="second")]
    )
    assert [d.source for d in kept] == ["first"]
    assert [(row["rule"], row["source"]) for row in ledger] == [("exact_duplicate", "second")]


def test_a_changed_text_leads_back_to_its_raw_document(tmp_path: Path) -> None:
    raw = document(GOOD + "\r\n\r\n")
    _, kept, _ = curated(tmp_path, [raw])
    assert kept[0].metadata["raw_id"] == raw.id != kept[0].id


@pytest.mark.parametrize(
    ("text", "kind", "rule"),
    [
        ("short", "prose", "min_chars"),
        (GOOD * 10_000, "prose", "max_chars"),
        (GOOD * 10_000, "code", "max_chars"),
        ("1234567890 " * 20, "prose", "min_alpha_fraction"),
        ("0x00, " * 50, "code", "min_alpha_fraction"),
        ("word " * 250, "code", "max_line_chars"),
        ("x = 1\n" * 40 + "# " + "word " * 150, "code", None),
        ("the same line here\n" * 8, "prose", "max_duplicate_line_fraction"),
        (
            "".join(f"The option number {n} is read by step {n}:\n\nrun {{\n  {n}\n}}\n" for n in range(9)),
            "prose",
            None,
        ),
        ("return value\n" * 10, "code", None),
        ("".join(f"Of step {n} we know\n\n$$\n\\int f(x) dx\n$$\n\n" for n in range(9)), "prose", None),
        ("".join(f"See what {n} does:\n\n```\nrun the same step again\n```\n\n" for n in range(9)), "prose", None),
        ("".join(f"PRINCE HAMLET.\nWe say {n} words.\n\n" for n in range(9)), "prose", None),
        (
            "".join(
                f"* `path` {{string}}\n\n```\nread the file number {n} and print what it says\n```\n\n"
                for n in range(9)
            ),
            "prose",
            None,
        ),
        (
            "".join(f"* `path` {{string}} the path\n\n```\nx = {n}\n```\n\n" for n in range(9)),
            "prose",
            "max_duplicate_line_fraction",
        ),
        ("```\nthe same line here\n" * 8, "prose", "max_duplicate_line_fraction"),
        (GOOD, "prose", None),
    ],
)
def test_rules(text: str, kind: str, rule: str | None) -> None:
    failure = first_failure(normalise(text, kind), kind, CurationParams())
    assert (failure.rule if failure else None) == rule
    if failure:
        assert failure.value != failure.threshold


def test_the_engine_changes_nothing(tmp_path: Path) -> None:
    rows = [document(f"{i % 40} {GOOD}", source=str(i)) for i in range(60)]
    curated(tmp_path / "a", rows)
    curated(tmp_path / "b", rows, "processes")
    for name in ("ledger.parquet", "curated/part-00000.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(("kind", "workers"), [("serial", 1), ("threads", 3), ("processes", 2)])
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(tmp_path: Path, kind: str, workers: int) -> None:
    rows = [document(f"{text} {GOOD}", source=str(i)) for i, text in enumerate(essays(60))]
    curated(tmp_path / "whole", rows)
    curated(tmp_path / "killed", rows)
    results = sorted((tmp_path / "killed" / "work").glob("clean-*/*"))
    assert len(results) == 9
    left = {path: path.stat().st_ino for path in results[::2]}
    for path in results[1::2]:  # what a kill leaves: some results, and parts of others
        path.rename(path.with_name(f".{path.name}.0123456789ab.partial"))
    shutil.rmtree(tmp_path / "killed" / "curated")
    curated(tmp_path / "killed", rows, kind, workers)
    for name in ("ledger.parquet", "curated/part-00000.parquet", "index/segment-00000.ids.npy"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
    assert {path: path.stat().st_ino for path in left} == left  # not done again
    assert not list((tmp_path / "killed" / "work").glob("clean-*/.*"))


def test_other_code_does_all_work_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [document(f"{text} {GOOD}", source=str(i)) for i, text in enumerate(essays(14))]
    curated(tmp_path, rows)
    before = set((tmp_path / "work").glob("clean-*"))
    monkeypatch.setattr(work, "code_and_libraries", lambda *_: "another")
    shutil.rmtree(tmp_path / "curated")
    curated(tmp_path, rows)
    assert len(before) == 1
    assert len(set((tmp_path / "work").glob("clean-*")) - before) == 1


def test_a_kill_at_any_moment_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    rows = [document(f"{text} {GOOD}", source=str(i)) for i, text in enumerate(essays(200))]
    with DocumentWriter(tmp_path / "raw", rows_per_shard=5) as writer:
        for row in rows:
            writer.write(row)
    words = ["--documents", "raw", "--output", "out", "--ledger", "ledger.parquet", "--work", "work"]
    words += [
        "--set",
        "engine.kind=processes",
        "--set",
        "engine.workers=2",
        "--set",
        "curation.education.min_spearman=-1",
    ]
    (tmp_path / "params.yaml").write_text("{}")
    command = [sys.executable, "-m", "components.curation", *words]
    environment = os.environ | {"PYTHONPATH": str(Path(curate.__file__).parents[2]), "PHIFORGE_WITHIN": "test"}
    kills = 0
    for results in (1, 12, 30):
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True)
        while process.poll() is None and len(list((tmp_path / "work").glob("clean-*/[!.]*"))) < results:
            time.sleep(0.01)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
        assert not (tmp_path / "out").exists() or not kills
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    _, kept, _ = curated(tmp_path / "whole", rows)
    assert kills
    assert list(read_documents(tmp_path / "out")) == kept


def test_a_book_is_scored_by_its_beginning(tmp_path: Path) -> None:
    texts = essays(80, words=200)
    book = "\n".join(essays(300, words=100))[: 3 * READ]
    start = book[:READ].rstrip()
    _, kept, _ = curated(tmp_path, [document(text) for text in [*texts, book, start]], duplicates={"thresholds": {}})
    values = {document.text.rstrip(): document.educational_value for document in kept}
    assert values[book.rstrip()] == pytest.approx(values[start], abs=0.05)  # blanks at the cut apart
    assert len(values) == 82


def test_a_full_disk_is_one_clear_line_and_the_next_run_goes_on(tmp_path: Path) -> None:
    with DocumentWriter(tmp_path / "raw", rows_per_shard=20) as writer:
        for number, text in enumerate(essays(80, words=200)):
            writer.write(document(text, source=str(number)))
    (tmp_path / "params.yaml").write_text("{}")
    words = ["--documents", "raw", "--output", "out", "--ledger", "ledger.parquet", "--work", "work"]
    words += ["--set", "engine.kind=serial", "--set", "curation.education.min_spearman=-1"]
    command = [sys.executable, "-m", "components.curation", *words]
    environment = os.environ | {"PYTHONPATH": str(Path(curate.__file__).parents[2]), "PHIFORGE_WITHIN": "test"}

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))

    full = subprocess.run(
        command, cwd=tmp_path, env=environment, preexec_fn=no_room, capture_output=True, text=True, check=False
    )
    assert full.returncode == 1
    assert full.stderr.strip().splitlines()[-1].startswith("error: curation: disk full")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "ledger.parquet").exists()
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert sum(1 for _ in read_documents(tmp_path / "out")) == 80


def test_more_text_is_the_only_text_that_is_judged(tmp_path: Path) -> None:
    rows = [document(f"{text} {GOOD}", source=str(i)) for i, text in enumerate(essays(28))]
    curated(tmp_path, rows[:21])
    before = {path.name for path in (tmp_path / "work").glob("clean-*/*")}
    curated(tmp_path, rows)
    after = {path.name for path in (tmp_path / "work").glob("clean-*/*")}
    assert before < after
    assert len(after - before) == 1


def test_other_parameters_give_other_results(tmp_path: Path) -> None:
    rows = [document(f"{text} {GOOD}", source=str(i)) for i, text in enumerate(essays(7))]
    curated(tmp_path, rows)
    summary, _, _ = curated(tmp_path, rows, max_line_chars=300)
    assert summary["documents_kept"] == len(rows)
    assert len(list((tmp_path / "work").glob("clean-*"))) == 2


def test_of_near_duplicates_one_stays_and_stands_for_the_others(tmp_path: Path) -> None:
    text, other = essays(2, words=120)
    rows = [document(text), document(text.replace("\n", " indeed\n")), document(text.upper()), document(other)]
    _, kept, ledger = curated(tmp_path, rows, education=UNSCORED)
    assert len(kept) == 2
    (cluster,) = [d for d in kept if "cluster_size" in d.metadata]
    assert cluster.metadata["cluster_size"] == 3
    assert cluster.id == min(row.id for row in rows[:3])
    assert {row["rule"] for row in ledger} == {"near_duplicate"}
    assert all(row["value"] >= row["threshold"] == 0.7 and cluster.id in row["detail"] for row in ledger)


def test_a_later_run_drops_what_an_earlier_one_has_kept(tmp_path: Path) -> None:
    texts = essays(12, words=120)
    curated(tmp_path / "a", [document(text) for text in texts[:8]])
    earlier = {"earlier": str(tmp_path / "a" / "index")}
    _, kept, ledger = curated(tmp_path / "b", [document(text) for text in texts[4:]], duplicates=earlier)
    assert {d.text for d in kept} == set(texts[8:])
    assert {row["rule"] for row in ledger} == {"exact_duplicate"}


def functions(count: int) -> list[str]:
    """Code of differing worth: loops and arithmetic, and bare delegation."""
    good = 'def total_{n}(values):\n    """Sum of squares over {n}."""\n    result = 0\n    for value in values:\n'
    good += "        if value > {n}:\n            result += value * value\n    return result\n"
    poor = "def get_{n}(self):\n    tk = self._root_{n}._inner.handle_{n}\n    return tk._delegate_{n}.call_{n}(self._x_{n})\n"
    return [(good if n % 2 else poor).format(n=n) + f"# {n * 7919}\n" for n in range(count)]


def test_what_teaches_little_goes_and_a_threshold_moves_without_scoring_again(tmp_path: Path) -> None:
    rows = [document(text, "code", str(number)) for number, text in enumerate(functions(240))]
    one = {"thresholds": {"code": 1.0}}
    _, kept, ledger = curated(tmp_path, rows, duplicates=one, education={"min_value": {"code": 0.5}})
    values = {d.source: d.educational_value for d in kept} | {row["source"]: row["value"] for row in ledger}
    assert {row["rule"] for row in ledger} == {"educational_value"}
    assert all(value >= 0.5 for value in (d.educational_value for d in kept))
    assert all(row["value"] < row["threshold"] == 0.5 for row in ledger)
    good, poor = ([values[str(n)] for n in range(parity, 240, 2)] for parity in (1, 0))
    assert min(good) > max(poor)
    scored = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("score-*/*/scores.npy")}
    summary, kept, ledger = curated(tmp_path, rows, duplicates=one, education={"min_value": {"code": 0.0}})
    assert summary["documents_kept"] == 240
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("score-*/*/scores.npy")} == scored
    assert summary["education"]["state"] == "scored"
    report = json.loads((tmp_path / "report" / "curation.json").read_text())
    assert report["education"]["provenance"]["annotator"] == "heuristic/1"


def test_of_near_duplicates_the_one_that_teaches_most_stays(tmp_path: Path) -> None:
    better = functions(2)[1]
    rows = [document(text, "code", str(number)) for number, text in enumerate(functions(200))]
    pair = [better + "\nx = 1\n" * 1, better.replace('"""Sum of squares over 1."""', "pass")]
    rows += [document(text, "code", f"pair {number}") for number, text in enumerate(pair)]
    _, kept, ledger = curated(tmp_path, rows, education={"min_value": {}}, duplicates={"thresholds": {"code": 0.6}})
    values = {d.id: d.educational_value for d in kept}
    for row in ledger:
        keeper = re.search(r"document (\w{32})", row["detail"]).group(1)
        assert keeper in values


@pytest.mark.parametrize(("kind", "education"), [("prose", UNSCORED), ("code", {})])
def test_a_few_documents_that_nobody_can_judge_are_not_scored_and_stay(
    tmp_path: Path, kind: str, education: dict[str, Any]
) -> None:
    rows = [document(text, kind) for text in essays(20)]
    summary, kept, _ = curated(tmp_path, rows, education=education, max_line_chars=9999, code={"kinds": []})
    assert summary["education"]["state"].startswith("not scored: 20 different documents")
    assert {d.educational_value for d in kept} == {None}
    assert len(kept) == 20


def test_personal_data_is_redacted_and_counted(tmp_path: Path) -> None:
    rows = [document(f"{text} Write to jane.roe@firm.co.uk about it.") for text in essays(4)]
    summary, kept, _ = curated(tmp_path, rows)
    assert summary["redacted"] == {"email": 4}
    assert all("<EMAIL>" in d.text and "@" not in d.text and d.metadata["redacted"] == {"email": 1} for d in kept)
    assert {d.metadata["raw_id"] for d in kept} == {row.id for row in rows}


QUESTION = "Which of these rivers flows north through three countries and ends in a wide and shallow lake"


def with_benchmark(folder: Path, question: str = QUESTION) -> str:
    """Put a benchmark of one question where `curated` looks for it."""
    folder = folder / "benchmarks" / "arc_easy"
    folder.mkdir(parents=True)
    row = {
        "id": "q1",
        "question": question,
        "choices": {"text": ["Nile", "Moss"], "label": ["A", "B"]},
        "answerKey": "B",
    }
    (folder / "test.jsonl").write_text(json.dumps(row) + "\n")
    return question


def test_what_a_benchmark_asks_goes_and_is_reported(tmp_path: Path) -> None:
    question = with_benchmark(tmp_path)
    rows = [document(text, source=str(n)) for n, text in enumerate(essays(6))]
    rows.append(document(f"{essays(9)[8]} {question.upper()}?", source="hit"))
    summary, kept, ledger = curated(tmp_path, rows)
    assert [(row["source"], row["rule"], row["value"]) for row in ledger] == [("hit", "contaminated_ngram_10_ratio", 1)]
    assert summary["decontamination"] == {"state": "checked in part", "documents_hit": 1}
    report = json.loads((tmp_path / "report" / "curation.json").read_text())["decontamination"]
    assert report["benchmarks"]["arc_easy"]["documents_hit"] == 1
    summary, kept, _ = curated(tmp_path, rows, decontamination={"action": "report"})
    assert len(kept) == 7
    assert summary["decontamination"]["documents_hit"] == 1


@pytest.mark.parametrize("between", [0, 7])  # row groups hold 7 documents
def test_documents_with_a_hit_are_rows_of_the_ledger_whatever_the_row_groups(tmp_path: Path, between: int) -> None:
    bad = document(f"{essays(9)[8]} {with_benchmark(tmp_path)}?")
    good = [document(text) for text in essays(9)[:8]]
    rows = [bad, *good[:between], bad, *good[between:], document("short"), document(bad.text, "textbook")]
    _, _, ledger = curated(tmp_path, rows, decontamination={"kinds": ["prose"]})
    report = json.loads((tmp_path / "report" / "curation.json").read_text())["decontamination"]
    hits = [row for row in ledger if row["rule"].startswith("contaminated_")]
    assert len(hits) == report["documents_hit"] == report["benchmarks"]["arc_easy"]["documents_hit"] == 2
    assert report["documents"] == 10  # neither the short one nor the textbook, whose kind isn't checked


def test_no_personal_data_is_written_of_what_goes(tmp_path: Path) -> None:
    """Neither in the ledger and the report, nor in what is kept between runs; no half of an address either."""
    asked = with_benchmark(tmp_path, f"{QUESTION} as jane.roe@bigfirm.co.uk has asked")
    key = "AKIAQYLPMN5HNM4LFZ2X"
    head = f"// Generated by jane.roe@bigfirm.co.uk with {key}, told by jane.roe@bigfirm.co.uk\n"
    rows = [document(text) for text in essays(6)]
    rows += [document(head + functions(2)[1], "code"), document(f"{essays(9)[8]} {asked}?")]
    _, _, ledger = curated(tmp_path, rows)
    assert {row["rule"] for row in ledger} == {"code.autogenerated", "contaminated_ngram_10_ratio"}
    assert any(
        row["detail"].startswith("says at the top: // Generated by <EMAIL> with <KEY>, told by <EMAIL>")
        for row in ledger
    )
    files = [
        path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(tmp_path / "benchmarks")
    ]
    written = [json.dumps(ledger)] + [path.read_text() for path in files if path.suffix in (".json", ".html")]
    for path in files:
        if path.suffix == ".parquet" and not path.is_relative_to(tmp_path / "raw"):
            written.append(json.dumps(pq.read_table(path).to_pylist()))
    assert len(written) > 6
    assert not [text for text in written if re.search(rf"(?i)jane|bigfirm|{key}", text)]


def test_another_language_goes(tmp_path: Path) -> None:
    german = "Der Fluss fließt durch das Tal, und am Abend gehen die Kinder nach Hause, weil es dunkel wird. " * 3
    rows = [document(ENGLISH, "web"), document(german, "web"), document(german)]
    _, kept, ledger = curated(tmp_path, rows, language={"keep": ["en"]})
    assert [(row["rule"], row["detail"][:11]) for row in ledger] == [("language", "language de")]
    assert {d.metadata.get("language") for d in kept} == {"en", None}


def test_web_text_sees_the_rules_of_the_papers(tmp_path: Path) -> None:
    _, kept, ledger = curated(tmp_path, [document(ENGLISH, "web"), document(GOOD, "web", "short"), document(GOOD)])
    assert [(row["source"], row["rule"]) for row in ledger] == [("short", "gopher_repetition.top_n_grams.4")]
    assert len(kept) == 2
    loose = {
        "gopher_repetition": {"top_n_grams": {}},
        "gopher_quality": {"min_doc_words": 5},
        "c4": {"min_num_sentences": 1},
        "fineweb": {"short_line_thr": 1.0},
    }
    rows = [document(ENGLISH, "web"), document(GOOD, "web", "short")]
    _, kept, _ = curated(tmp_path, rows, web=loose, education={"min_value": {}})
    assert len(kept) == 2
    _, kept, ledger = curated(tmp_path, [document(ENGLISH), document(GOOD)], web={"kinds": ["prose"]})
    assert [row["rule"] for row in ledger] == ["gopher_repetition.top_n_grams.4"]


def test_code_in_another_language_stays_by_what_its_row_says(tmp_path: Path) -> None:
    half = "def half(values):\n    return values.map { |value| value * 2 }.select { |value| value > 3 }\n"
    rows = [document(text, source=str(number)) for number, text in enumerate(essays(3))]
    for language in ("Ruby", "Python"):
        metadata = {"lang": language}
        rows.append(Document(half + f"# {language}\n", "code", language, "MIT", "test", metadata=metadata))
    _, kept, ledger = curated(tmp_path, rows)
    assert [(row["source"], row["rule"]) for row in ledger] == [("Python", "code.parses")]
    assert "Ruby" in {document.source for document in kept}


def test_nothing_left_stops_the_run(tmp_path: Path) -> None:
    told = r"no document of 1 is left; .* 1 by min_chars \(.*curation\.min_chars=VALUE\); first drops: s: min_chars: 6 char"
    with pytest.raises(StepError, match=told):
        curated(tmp_path, [document("short")])
    assert not (tmp_path / "curated").exists()
    assert not (tmp_path / "ledger.parquet").exists()


def test_a_long_run_of_blanks_takes_no_longer_than_its_length() -> None:
    text = "a" + " " * 150_000 + "b"  # minutes, if the run is tried again from each of its blanks
    assert normalise(text + " \t\n", "prose") == text + "\n"


@given(st.text(), st.sampled_from(KINDS))
def test_normalise_is_idempotent(text: str, kind: str) -> None:
    once = normalise(text, kind)
    assert normalise(once, kind) == once


@given(st.text(), st.lists(st.sampled_from(["a b c", "a b c d", "x", ""])))
def test_fractions_are_fractions(text: str, lines: list[str]) -> None:
    assert 0 <= alpha_fraction(text) <= 1
    assert 0 <= duplicate_line_fraction(text, text) < 1
    assert 0 <= duplicate_line_fraction("\n".join(lines), "\n".join(lines)) < 1


def named_keeper(row: dict) -> str:
    """The id that a program finds in the ledger's sentence on a duplicate."""
    (keeper,) = re.findall(r"\bdocument ([0-9a-f]{32})\b", row["detail"])
    return keeper


def near(texts: list[str]) -> list[str]:
    """Each text and a longer one that is nearly the same, and the worse of the two: its id is greater."""
    pairs = []
    for text in texts:
        longer = (text.replace(".\n", f" end{number}.\n") for number in range(1000))
        pairs += [text, next(other for other in longer if document_id(other) > document_id(text))]
    return pairs


@pytest.mark.parametrize("thresholds", [{"prose": 0.7}, {"prose": 0.7, "code": 1.0}])
def test_a_text_in_two_kinds_is_one_text(tmp_path: Path, thresholds: dict[str, float]) -> None:
    better, text = near(essays(1, words=200))
    rows = [document(better), document(text, source="as prose"), document(text, "code", source="as code")]
    loose = {"max_line_chars": 9999, "code": {"kinds": []}}  # it is not code
    _, kept, ledger = curated(tmp_path, rows, duplicates={"thresholds": thresholds}, education=UNSCORED, **loose)
    assert [(d.text, d.metadata["cluster_size"]) for d in kept] == [(better, 3)]
    assert {row["source"]: row["rule"] for row in ledger} == {
        "as prose": "near_duplicate",
        "as code": "exact_duplicate",
    }
    assert all(named_keeper(row) == kept[0].id for row in ledger)
    assert all(row["value"] is None or row["value"] >= row["threshold"] for row in ledger)


def test_the_ledger_names_every_duplicates_keeper_in_the_same_words(tmp_path: Path) -> None:
    old, new = near(essays(2, words=120)), near(essays(4, words=120)[2:])
    _, first, _ = curated(tmp_path / "a", [document(text) for text in old[::2]], education=UNSCORED)
    rows = [document(text) for text in [*old, *new, *new]]
    earlier = {"earlier": str(tmp_path / "a" / "index")}
    _, kept, ledger = curated(tmp_path / "b", rows, duplicates=earlier, education=UNSCORED)
    keepers = {d.id for d in first}
    assert [d.text for d in kept] == new[::2]
    for row in ledger:
        said = row["detail"].partition(named_keeper(row))[2]
        if named_keeper(row) in keepers:
            estimated = "; the similarity is estimated" if row["rule"] == "near_duplicate" else ""
            assert said == f", of an earlier run{estimated}"
        else:
            assert named_keeper(row) in {d.id for d in kept}
    named = Counter(map(named_keeper, ledger))
    assert all(d.metadata["cluster_size"] == 1 + named[d.id] == 4 for d in kept)
    assert Counter(row["rule"] for row in ledger) == {"exact_duplicate": 4, "near_duplicate": 6}


def test_what_goes_for_its_value_is_nobodys_duplicate(tmp_path: Path) -> None:
    rows = [document(text, "code", str(number)) for number, text in enumerate(functions(240))]
    loose = {"thresholds": {"code": 0.5}}
    _, kept, ledger = curated(tmp_path, rows, duplicates=loose, education={"min_value": {"code": 0.5}})
    low = [row for row in ledger if row["rule"] == "educational_value"]
    named = Counter(named_keeper(row) for row in ledger if row["rule"] != "educational_value")
    assert low
    assert {d.id: d.metadata.get("cluster_size", 1) for d in kept} == {d.id: 1 + named[d.id] for d in kept}
    figures = {np.float32(row["value"]) for row in low}
    assert {float(figure) for figure in figures} == {row["value"] for row in low}  # as it is, not rounded


@given(st.floats(0, 5), st.integers(-3, 3))
def test_a_value_that_is_too_low_is_below_its_threshold_as_any_program_compares(least: float, steps: int) -> None:
    score = np.float32(least)
    for _ in range(abs(steps)):
        score = np.nextafter(score, np.float32(math.copysign(9, steps)))
    params = CurationParams(education={"min_value": {"prose": least}})
    documents = SimpleNamespace(kinds=np.array([KINDS.index("prose")]))
    (low,) = low_values(documents, np.array([score]), params)
    assert low == (steps < 0)
    assert not low or float(score) < least


@pytest.mark.parametrize("digits", [2, 3, 5, 7, 9, 17])
def test_a_near_duplicates_figure_reaches_its_threshold(tmp_path: Path, digits: int) -> None:
    texts = near(essays(1, words=124))
    threshold = float(f"{120 / 121 - 0.5 * 10**-digits:.{digits}f}")
    _, _, ledger = curated(
        tmp_path, [document(text) for text in texts], duplicates={"thresholds": {"prose": threshold}}
    )
    assert [row["rule"] for row in ledger] == ["near_duplicate"]
    assert ledger[0]["value"] >= ledger[0]["threshold"] == threshold


def test_of_equal_texts_one_of_known_licence_stays_then_the_smallest_source(tmp_path: Path) -> None:
    one, other = essays(2)
    origins = [("a", "unknown"), ("c", "MIT"), ("b", "CC0-1.0"), ("b", "MIT")]
    rows = [Document(one, "prose", source, license, "test") for source, license in origins]
    rows += [document(other, source=source) for source in "zyxzy"]
    for number, order in enumerate((rows, rows[::-1])):
        _, kept, ledger = curated(tmp_path / str(number), order)
        assert sorted((d.source, d.license) for d in kept) == [("b", "CC0-1.0"), ("x", "MIT")]
        assert Counter(row["source"] for row in ledger) == Counter("acbzyzy")


def test_the_order_of_the_sources_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of texts in several kinds, of several origins, and of those nearly the same, with their values."""
    monkeypatch.setattr("components.curation.education.classifier.GATED", 3)  # so that code has values
    texts = functions(90)
    rows = [document(text, "code", f"code {number}") for number, text in enumerate(texts)]
    rows += [document(text, "prose", f"prose {number}") for number, text in enumerate(texts[:70])]
    rows += [document(f"{text}# no more", "prose", f"nearly {number}") for number, text in enumerate(texts[::5])]
    rows += [replace(row, source=f"free {row.source}", license="unknown") for row in rows[::3]]
    found = []
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        loose = {"education": {"min_value": {"code": 0.3}}, "code": {"kinds": []}}
        summary, kept, ledger = curated(tmp_path / str(seed), rows, **loose)
        report = json.loads((tmp_path / str(seed) / "report" / "curation.json").read_text())
        documents = sorted((d.id, d.kind, d.source, d.license, d.educational_value, str(d.metadata)) for d in kept)
        found.append((documents, sorted(map(str, ledger)), summary, report["education"]))
    assert found[0] == found[1] == found[2]
    assert {row["rule"] for row in ledger} >= {"exact_duplicate", "near_duplicate"}
    assert any(value is not None for *_, value, _ in found[0][0])


def lessons(count: int) -> list[str]:
    """Texts that teach, each of other things."""
    return [
        f"The {one} of a {two} is defined as the ratio of its {three} to the {four} that it contains. If the {four} is constant, "
        f"the {one} is therefore proportional to the {three}. For example, a {two} with twice the {three} has twice the {one}. "
        f"This relation, which is known as law {n}, follows from the definition and holds for every {two} in equilibrium.\n"
        for n in range(count)
        for one, two, three, four in [random.Random(n).sample(WORDS, 4)]
    ]


def chatter(count: int) -> list[str]:
    """Texts that teach nothing, each another one."""
    return [
        f"lol {one} you're so funny!!! I bought the {two} for my wife and she hates it, what a waste of money {n}. Call me tonight, "
        f"ok? My {three} is broken again and they won't give me my money back. Don't buy this awful {four}, trust me!\n"
        for n in range(count)
        for one, two, three, four in [random.Random(n).sample(WORDS, 4)]
    ]


def judged(folder: Path, rows: list[Document], **education: Any) -> tuple[dict, list[Document], list[dict]]:
    duplicates = {"thresholds": {}}
    return curated(folder, rows, education=education, duplicates=duplicates, web={"kinds": []})


@pytest.mark.parametrize(("most", "gone"), [(1.0, 30), (0.5, 20), (0.1, 4)])
def test_text_that_teaches_nothing_goes_up_to_the_share_that_may(tmp_path: Path, most: float, gone: int) -> None:
    rows = [document(text, "web", f"good/{n}") for n, text in enumerate(lessons(10))]
    rows += [document(text, "web", f"bad/{n}") for n, text in enumerate(chatter(30))]
    summary, kept, ledger = judged(tmp_path, rows, max_drop={"web": most})
    assert len(ledger) == gone
    assert all(row["source"].startswith("bad/") and row["rule"] == "educational_value" for row in ledger)
    threshold = summary["education"]["thresholds"]["web"]
    assert (threshold == CurationParams().education.min_value["web"]) == (most == 1)
    assert all(row["value"] < row["threshold"] == threshold for row in ledger)
    assert min(d.educational_value for d in kept) >= threshold
    assert summary["education"]["dropped"] == {"web": gone}
    (remark,) = summary["education"]["remarks"]
    assert remark.startswith(f"web: {gone} of 40 documents ({gone / 40:.1%}) are below {threshold:g}")
    assert remark[1:] in (tmp_path / "report" / "index.html").read_text()


def test_a_small_folder_of_prose_is_judged_and_loses_only_what_teaches_nothing(tmp_path: Path) -> None:
    titles = "back button goes to the wrong page.\nmail folder is shown twice.\nlet me turn off the beep.\nfonts look ugly on my screen.\n"
    titles += "crashes when the disk is full.\nold cookies are not deleted.\nsearch box too short.\ntabs disappear after an update.\n"
    titles += "print preview is blank.\ncursor jumps to the end when I paste.\nbookmarks menu does not scroll.\nno icon on the desktop.\n"
    titles += "right click crashes.\npassword dialog opens behind the window.\nundo does nothing.\n"
    rows = [document(text, source=f"lesson {n}") for n, text in enumerate(lessons(4))]
    _, kept, ledger = judged(tmp_path, [*rows, document(titles, source="titles")])
    assert [row["source"] for row in ledger] == ["titles"]
    assert all(d.educational_value is not None for d in kept)


def test_prose_in_another_language_is_not_judged_by_english_references(tmp_path: Path) -> None:
    french = (
        "Salut ma belle, ça va ? Je t'ai appelée hier soir mais tu n'as pas répondu. On va au cinéma samedi avec les copains, tu "
        "viens ? C'est super, il y a des promotions partout, achetez maintenant et gagnez cent euros ! Bises, à bientôt.\n"
    )
    rows = [document(text, source=f"lesson {n}") for n, text in enumerate(lessons(40))]
    summary, kept, ledger = judged(tmp_path, [*rows, document(french, source="fr")], min_value={"prose": 5.0})
    assert summary["languages"]["kept"] == ["en"]
    assert [d.educational_value for d in kept if d.source == "fr"] == [None]
    assert "prose: not judged, because not in English: 1" in summary["education"]["remarks"]
    assert ledger


def test_sources_that_the_user_names_teach_the_classifier(tmp_path: Path) -> None:
    rows = [document(f"{text} {GOOD}", source=f"https://blog.example/{n}") for n, text in enumerate(essays(40))]
    plain = judged(tmp_path / "1", rows, min_value={})
    named = judged(tmp_path / "2", rows, min_value={}, bad=["https://blog.example/*"])
    values = [{d.source: d.educational_value for d in kept} for _, kept, _ in (plain, named)]
    assert all(values[1][source] + 0.5 < value for source, value in values[0].items())
    with pytest.raises(StepError, match=r"curation\.education\.good is \['nowhere/\*'\]; expected patterns of sources"):
        judged(tmp_path / "3", rows, good=["nowhere/*"])
