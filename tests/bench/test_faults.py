"""The faults of a seed are the same each time; a few of them leave nothing wrong behind."""

from collections import Counter
from pathlib import Path

import pytest

from bench import faults


def test_a_seed_names_its_faults_and_each_victim_has_its_turn() -> None:
    stages = ["ingest", "curate", "tokenize"]
    played = list(faults.faults(18, 7, faults.VICTIMS, stages))
    assert played == list(faults.faults(18, 7, faults.VICTIMS, stages))
    assert played != list(faults.faults(18, 8, faults.VICTIMS, stages))
    assert Counter(fault.victim for fault in played) == dict.fromkeys(faults.VICTIMS, 2)
    assert {fault.stage for fault in played} == set(stages)
    assert all(0 <= fault.moment < 1 for fault in played)


def test_a_spoilt_file_differs_in_a_byte_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "object"
    path.write_bytes(b"model")
    path.chmod(0o444)
    faults.spoil(path)
    assert sum(one != other for one, other in zip(path.read_bytes(), b"model", strict=True)) == 1
    assert path.stat().st_mode & 0o777 == 0o444


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_after_a_few_faults_a_rerun_leaves_the_same_bytes_and_nothing_else(tmp_path: Path) -> None:
    said: list[str] = []
    played = faults.play(4, 2, ["platform", "dvc", "cache", "prefect"], tmp_path, said.append)
    assert [one.wrong for one in played] == [[]] * 4, "\n".join(said)
