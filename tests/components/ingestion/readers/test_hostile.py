"""Damaged files of every format: they never end the run and never hang, and what was said of them adds up."""

import json
import random
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.documents import Document
from components.ingestion import ingest
from components.ingestion.files import SourceFile
from components.ingestion.readers import Limits, Quarantined, read_file
from components.params import EngineParams, IngestionParams, Params, Source
from components.tracking import Tracker
from tests.components.ingestion.readers.samples import SAMPLES
from tests.documents import read_documents

SECONDS = 15  # of this machine; a damaged file of a few kB takes a hundredth of one


def damaged(data: bytes, seed: int) -> bytes:
    """Truncated, with bits flipped, with a piece doubled, gone or of noise."""
    chance = random.Random(seed)
    how, place, length = chance.randrange(5), chance.randrange(len(data)), chance.randrange(1, 200)
    if how == 0:
        return data[:place]
    if how == 1:
        flipped = bytearray(data)
        for _ in range(chance.randrange(1, 20)):
            flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        return bytes(flipped)
    piece = {2: data[place : place + length] * 3, 3: b"", 4: chance.randbytes(length)}[how]
    return data[:place] + piece + data[place + length :]


def check(name: str, data: bytes, folder) -> None:
    path = folder / name
    path.write_bytes(data)
    start = time.monotonic()
    items = list(read_file(SourceFile(path, name, Source(path=str(folder)), len(data)), Limits(100_000)))
    assert time.monotonic() - start < SECONDS
    for item in items:
        if isinstance(item, Quarantined):
            assert item.reason
            assert item.file.startswith(name)
            item.reason.encode()
        else:
            assert isinstance(item, Document)
            assert item.text.strip()
            assert len(item.text) <= 100_000
            item.text.encode()
            assert item.source.startswith(name) or "file" in item.metadata
    assert items


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_a_damaged_file_ends_no_run(name: str, seed: int, tmp_path) -> None:
    check(name, damaged(SAMPLES[name], seed), tmp_path)


def test_a_parquet_footer_that_aborts_its_parser_ends_no_run(tmp_path) -> None:
    check("a.parquet", damaged(SAMPLES["a.parquet"], 870), tmp_path)  # sizes of a histogram that do not agree


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_a_thousand_damaged_files_end_no_run(name: str, tmp_path) -> None:
    for seed in range(1_000):
        check(name, damaged(SAMPLES[name], seed), tmp_path)


@pytest.mark.parametrize("name", sorted({name for name in SAMPLES if not name.startswith("b.")}))
def test_the_bytes_of_another_format_end_no_run(name: str, tmp_path) -> None:
    for other in ("a.pdf", "a.docx", "a.tar", "a.parquet", "a.json", "a.html", "a.1"):
        check(name, SAMPLES[other], tmp_path)


def test_the_rows_of_a_run_over_damaged_files_balance(tmp_path) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    for name, data in SAMPLES.items():
        (folder / f"whole-{name}").write_bytes(data)
        for seed in range(4):
            (folder / f"{seed}-{name}").write_bytes(damaged(data, seed))
    given_params = Params(
        ingestion=IngestionParams(sources=[Source(path=str(folder))]), engine=EngineParams(kind="processes", workers=2)
    )
    summary = ingest.run({}, {"output": tmp_path / "raw"}, given_params, Tracker())
    documents = list(read_documents(tmp_path / "raw"))
    quarantined = [json.loads(line) for line in (tmp_path / "raw" / "quarantine.jsonl").read_text().splitlines()]
    assert (summary["documents"], summary["quarantined"]) == (len(documents), len(quarantined))
    assert summary["not_read"] == []
    names = [document.metadata.get("file", document.source) for document in documents] + [
        row["file"] for row in quarantined
    ]
    assert not [path.name for path in folder.iterdir() if not any(name.startswith(path.name) for name in names)]
