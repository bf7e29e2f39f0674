"""Parquet that unpacks to far more bytes than it has: what is read and what is refused."""

import resource
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.mark.parametrize("times", [30_000, 3_000_000])
@pytest.mark.parametrize("inside", ["list", "struct"])
def test_a_nested_value_that_repeats_a_text_is_not_made(
    inside: str, times: int, read_path: Callable, tmp_path: Path
) -> None:
    """Few kilobytes of Parquet whose one row holds a list of 30 MB, or of 3 GB."""
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), pa.array(["b" * 1000]))
    column = pa.ListArray.from_arrays(pa.array([0, times], pa.int32()), repeated)
    if inside == "struct":
        column = pa.StructArray.from_arrays([column], ["held"])
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["A text that is long enough."], "more": column}), path, compression="zstd")
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    documents, quarantined = read_path(str(path))
    assert time.process_time() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB
    if times == 30_000:
        assert documents[0].metadata["more"].startswith("unreadable: holds lists or objects of 3")
    else:
        assert "a decompression bomb" in quarantined[0].reason


def test_a_table_that_repeats_a_text_without_end_is_cut_as_a_bomb(read_path: Callable, tmp_path: Path) -> None:
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["x " * 50_000]))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": repeated}), path, compression="zstd", store_schema=False)
    documents, (refused,) = read_path(str(path))
    assert sum(len(document.text) for document in documents) <= 1 << 29
    assert "a decompression bomb" in refused.reason


def test_nested_values_of_a_usual_size_are_kept(read_path: Callable, tmp_path: Path) -> None:
    columns = {
        "text": ["A text that is long enough."] * 2,
        "tags": [["x", "y"], None],
        "by": [{"name": "n", "of": [1, 2]}, {"name": None, "of": []}],
        "pairs": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
        "kind_of": pa.array(["a", "b"]).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    (first, second), quarantined = read_path(str(tmp_path / "a.parquet"))
    assert not quarantined
    assert first.metadata["tags"] == ["x", "y"]
    assert first.metadata["by"] == {"name": "n", "of": [1, 2]}
    assert first.metadata["pairs"] == [["k", 1]]
    assert second.metadata["kind_of"] == "b"
