"""Kept work and the inputs of curation: what is damaged or changes is never taken for whole, what is a person's own stays."""

import os
import random
import shutil
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.curation import clean, curate
from components.documents import DOCUMENT, Document, DocumentWriter
from components.errors import StepError
from components.params import CurationParams, EngineParams, Params
from components.running.kept import SEAL
from components.tracking import Tracker
from tests.components.curation.test_curation import GOOD, curated, document, essays


def run(folder: Path, **sections: object) -> None:
    """Curation of the documents that are there."""
    params = Params(engine=EngineParams(kind="serial"), curation=CurationParams(**sections))
    outputs = {"output": folder / "curated", "ledger": folder / "ledger.parquet"}
    curate.run({"documents": folder / "raw", "work": folder / "work"}, outputs, params, Tracker())


def rows(count: int) -> list[Document]:
    return [document(f"{text} {GOOD}", source=str(i)) for i, text in enumerate(essays(count))]


def outputs(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ("curated/part-00000.parquet", "ledger.parquet")]


@pytest.mark.parametrize("phase", ["clean", "score"])
@pytest.mark.parametrize("damage", ["empty", "cut", "missing", "another's", "no seal", "broken seal"])
def test_a_damaged_result_is_made_anew(phase: str, damage: str, tmp_path: Path) -> None:
    curated(tmp_path, rows(70))
    before = outputs(tmp_path)
    folders = sorted((tmp_path / "work").glob(f"{phase}-*/*"))
    largest = max(folders[0].iterdir(), key=lambda path: path.stat().st_size)
    if damage == "empty":
        largest.write_bytes(b"")
    elif damage == "cut":
        os.truncate(largest, largest.stat().st_size - 1)
    elif damage == "missing":
        largest.unlink()
    elif damage == "another's":
        shutil.rmtree(folders[0])
        shutil.copytree(folders[1], folders[0])
    else:
        (folders[0] / SEAL).write_text("[" if damage == "broken seal" else "{}")
    kept = {folder: folder.stat().st_ino for folder in folders[1:]}
    curated(tmp_path, rows(70))
    assert outputs(tmp_path) == before
    assert {folder: folder.stat().st_ino for folder in kept} == kept


def test_what_a_run_uses_stays(tmp_path: Path) -> None:
    """A run marks the results that it uses, by which housekeeping tells them from those that nobody uses."""
    curated(tmp_path, rows(14))
    results = {path: path.stat().st_ino for path in (tmp_path / "work").glob("clean-*/*")}
    half = time.time() - 7 * 86400
    for path in results:
        os.utime(path, (half, half))
    curated(tmp_path, rows(14))
    assert all(path.stat().st_mtime > half + 60 for path in results)
    assert {path: path.stat().st_ino for path in results} == results


def test_more_text_in_a_shard_leaves_its_other_row_groups(tmp_path: Path) -> None:
    texts = [f"{text} {GOOD}" for text in essays(9)]
    for count in (6, 9):
        table = pa.Table.from_pylist([document(text).row() for text in texts[:count]], schema=DOCUMENT)
        (tmp_path / "raw").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "raw" / "part-00000.parquet", row_group_size=3)
        run(tmp_path)
    assert len(list((tmp_path / "work").glob("clean-*/*"))) == 3


def test_a_shard_that_changes_while_it_is_curated_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DocumentWriter(tmp_path / "raw", rows_per_shard=5) as writer:
        for row in rows(10):
            writer.write(row)
    first, second = sorted((tmp_path / "raw").iterdir())
    found = clean.row_groups

    def then_replaced(*given: object) -> dict[str, clean.RowGroup]:
        units = found(*given)
        shutil.copyfile(first, second)
        return units

    monkeypatch.setattr(curate, "row_groups", then_replaced)
    with pytest.raises(StepError, match=r"part-00001\.parquet changed while it was curated"):
        run(tmp_path)
    assert not (tmp_path / "curated").exists()


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("text", None, "text is null in 1 rows, first in row 1"),
        ("metadata", None, "metadata is null"),
        ("kind", "poem", "kind 'poem'; expected one of"),
        ("metadata", "[]", r"document .* from 1: metadata is not a JSON object \(a list\)"),
        ("metadata", "{", "metadata is not a JSON object"),
        ("metadata", "[" * 100_000, "metadata is not a JSON object"),
    ],
)
def test_documents_that_break_the_contract_are_named(
    column: str, value: str | None, reason: str, tmp_path: Path
) -> None:
    content = [row.row() for row in rows(3)]
    content[1][column] = value
    schema = pa.schema([field.with_nullable(True) for field in DOCUMENT])
    (tmp_path / "raw").mkdir()
    pq.write_table(pa.Table.from_pylist(content, schema=schema), tmp_path / "raw" / "part-00000.parquet")
    with pytest.raises(StepError, match=reason):
        run(tmp_path)


def test_further_columns_do_no_harm_and_damage_is_named(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    shard = tmp_path / "raw" / "part-00000.parquet"
    table = pa.Table.from_pylist([row.row() for row in rows(40)], schema=DOCUMENT)
    pq.write_table(table.append_column("mine", pa.array(range(40))), shard, compression="zstd")
    run(tmp_path)
    content = bytearray(shard.read_bytes())
    start = len(content) // 4
    content[start : start + 200] = random.Random(0).randbytes(200)
    shard.write_bytes(content)
    with pytest.raises(StepError, match=r"part-00000\.parquet.* (cannot be read|is damaged)"):
        run(tmp_path)


@pytest.mark.parametrize("place", ["curated", "curated/below", "raw/below"])
def test_a_folder_of_work_that_would_be_lost_is_refused(place: str, tmp_path: Path) -> None:
    with DocumentWriter(tmp_path / "raw") as writer:
        writer.write(document(GOOD))
    outputs = {"output": tmp_path / "curated", "ledger": tmp_path / "ledger.parquet"}
    with pytest.raises(StepError, match=r"--work: .* is or lies in --(output|documents)"):
        curate.run({"documents": tmp_path / "raw", "work": tmp_path / place}, outputs, Params(), Tracker())
    assert not (tmp_path / "curated").exists()


def test_an_index_that_is_also_the_earlier_one_is_refused(tmp_path: Path) -> None:
    curated(tmp_path, rows(7))
    with pytest.raises(StepError, match=r"is also curation\.duplicates\.earlier.*name a new folder"):
        curated(tmp_path, rows(7), duplicates={"earlier": str(tmp_path / "index")})


def test_nothing_takes_its_place_when_the_ledger_cannot_be_written(tmp_path: Path) -> None:
    curated(tmp_path, rows(14))
    before = outputs(tmp_path), sorted(path.name for path in tmp_path.iterdir())
    ledger = tmp_path / "file" / "ledger.parquet"
    (tmp_path / "file").write_text("")
    params = Params(engine=EngineParams(kind="serial"))
    places = {"output": tmp_path / "curated", "ledger": ledger, "index": tmp_path / "index"}
    with pytest.raises(OSError, match="file"):
        curate.run({"documents": tmp_path / "raw", "work": tmp_path / "work"}, places, params, Tracker())
    (tmp_path / "file").unlink()
    assert (outputs(tmp_path), sorted(path.name for path in tmp_path.iterdir())) == before


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_how_deeply_code_nests_is_judged_alike_by_all_engines(kind: str, tmp_path: Path) -> None:
    """Python's parser gives up at a depth that is counted from the caller's."""
    codes = [f"def f(v):\n    return {' + '.join(['value'] * terms)}\n" for terms in range(2_800, 3_000, 10)]
    texts = [document(f"# {number}\n{code}", "code", f"python:m.f{number}") for number, code in enumerate(codes)]
    rules = {
        "min_alpha_fraction_code": 0.0,
        "max_line_chars": 100_000,
        "code": {"max_line_mean": 10**6, "min_compressed": 0, "min_entropy": 0},
    }
    curated(tmp_path / "a", texts, duplicates={"thresholds": {}}, **rules)
    curated(tmp_path / "b", texts, kind, duplicates={"thresholds": {}}, **rules)
    assert outputs(tmp_path / "a") == outputs(tmp_path / "b")
