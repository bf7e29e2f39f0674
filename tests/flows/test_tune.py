"""`phiforge tune`: its options become parameters; several values of an option become runs and a table."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.errors import StepError
from flows import run, tune


def words_of(*argv: str) -> dict[str, list[str]]:
    return tune.combinations(tune.parser("x").parse_args([*argv]))


def test_options_become_parameters(tmp_path: Path) -> None:
    file = tmp_path / "my rows.jsonl"
    file.touch()
    words = words_of(str(file), "--method", "full", "--learning-rate", "1e-3", "--set", "training.threads=1")
    expected = ["--set=tuning.method=full", "--set=tuning.learning_rate=1e-3", "--set=training.threads=1"]
    assert words == {"": [*expected, f"--set=tuning.data={json.dumps([str(file)])}"]}
    assert words_of() == {"": []}


def test_a_missing_file_is_named() -> None:
    with pytest.raises(StepError, match=r"none.jsonl is not a file; expected a JSONL file"):
        words_of("none.jsonl")


def test_several_values_run_one_after_another_and_end_in_a_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []

    def started(words: list[str], prog: str, flow: str, screen: Any) -> int:
        ran.append(words)
        screen.place = tmp_path / str(len(ran))
        row = {"value": 0.01 * len(ran), "low": 0.001, "high": 0.02 * len(ran), "detectable": 0.03}
        (screen.place / tune.TUNING.numbers).parent.mkdir(parents=True)
        content = dict.fromkeys(("exam", "reworded", "bits_per_byte"), row)
        (screen.place / tune.TUNING.numbers).write_text(json.dumps(content))
        return 0

    monkeypatch.setattr(run, "main", started)
    assert tune.main(["--rank", "4", "16", "--learning-rate", "1e-3", "2e-3", "--epochs", "2"]) == 0
    assert len(ran) == 4
    assert ran[3] == ["--set=tuning.rank=16", "--set=tuning.learning_rate=2e-3", "--set=tuning.epochs=2"]
    lines = [line for line in capsys.readouterr().out.splitlines() if "rank" in line]
    assert ["+0.040" in lines[0], "+0.010" in lines[-1]] == [True, True]
