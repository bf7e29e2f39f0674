"""Outputs are whole or absent."""

from pathlib import Path

import pytest

from components.files import atomic_directory, atomic_file, write_json


def test_a_directory_replaces_the_old_one_only_when_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic_directory(target) as partial:
        (partial / "a").write_text("1")
    with pytest.raises(FileNotFoundError), atomic_directory(target) as partial:
        (partial / "b").write_text((partial / "missing").read_text())
    assert [path.name for path in target.iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with atomic_directory(target) as partial:
        (partial / "c").write_text("3")
    assert [path.name for path in target.iterdir()] == ["c"]


def test_a_file_is_written_whole_or_not(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "x.json"
    write_json(target, {"b": 1, "a": "é"})
    assert target.read_text() == '{\n  "a": "é",\n  "b": 1\n}\n'
    with pytest.raises(FileNotFoundError), atomic_file(target):
        (tmp_path / "missing").read_text()
    assert target.read_text().startswith("{")
    assert [path.name for path in target.parent.iterdir()] == ["x.json"]
