"""The benchmark of the readers runs from end to end on few pages, and says what it measured."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def test_it_measures_extraction_and_every_reader(tmp_path):
    command = [
        sys.executable,
        "-m",
        "bench.readers",
        "--megabytes",
        "0.1",
        "--repeats",
        "1",
        "--json",
        tmp_path / "out",
    ]
    subprocess.run(command, check=True)
    measured = json.loads((tmp_path / "out").read_text())["measurements"]
    assert {"ours", "resiliparse alone"} <= set(measured["extraction"])
    found = {row["characters"] for name, row in measured["extraction"].items() if name != "trafilatura"}
    assert len(found) == 1  # the same work
    assert set(measured["readers"]) == {"txt", "jsonl", "jsonl.gz", "jsonl.zst", "parquet", "wet.gz", "warc.gz"}
    assert all(rate > 0 for rate in measured["readers"].values())
