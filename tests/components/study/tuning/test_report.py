"""Before and after: paired by question and by document, gains and losses alike."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import StepError
from components.params import Params
from components.study.tuning import report
from components.study.without.record import Model
from components.tracking import Tracker

DOCUMENTS = {"prose": [[100.0, 80.0], [90.0, 80.0], [120.0, 100.0]]}


def scores(folder: Path, answers: list[float], suite: bool = False) -> Path:
    rows = [
        {"task": f"t{i % 2}", "id": str(i), "cluster": f"t{i % 2}", "acc": value} for i, value in enumerate(answers)
    ]
    for name in [report.EXAM] + ([report.SUITE] if suite else []):
        (folder / name).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / name / "examples.parquet")
    return folder


def reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: Path, after: Path) -> dict[str, Any]:
    def text(folder: Path, tokens: Path) -> Model:
        more = 8.0 if folder == after else 0.0
        return Model({}, {kind: [[nats + more, size] for nats, size in own] for kind, own in DOCUMENTS.items()}, "same")

    monkeypatch.setattr(report, "text", text)
    training = {"trained_on": 10, "steps": 2, "trained_parameters": 5}
    (tmp_path / "tune.json").write_text(json.dumps(training))
    inputs = {"before": before, "after": after, "training": tmp_path / "tune.json", "tokens": tmp_path}
    return report.report(inputs, {"output": tmp_path / "result"}, Params(), Tracker())


def test_gains_and_forgetting_are_both_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = scores(tmp_path / "before", [0.0] * 20 + [1.0] * 20, suite=True)
    after = scores(tmp_path / "after", [1.0] * 14 + [0.0] * 6 + [1.0] * 20, suite=True)
    found = reported(tmp_path, monkeypatch, before, after)
    assert found["exam"]["value"] == pytest.approx(14 / 40)
    assert found["suite"] == found["exam"]
    assert found["bits_per_byte"]["value"] == pytest.approx(24 / 260 / 0.6931, rel=1e-3)
    assert found["bits_per_byte"]["low"] > 0
    words = (tmp_path / "result" / "tuning.md").read_text()
    assert "(forgotten)" in words
    assert {path.name for path in (tmp_path / "result").iterdir()} == {
        "tuning.json", "tuning.md", "tuning.csv", "tuning.png", "index.html",
    }  # fmt: skip


def test_scores_of_one_side_only_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = scores(tmp_path / "before", [0.0] * 4), scores(tmp_path / "after", [1.0] * 4, suite=True)
    with pytest.raises(StepError, match="measure both again"):
        reported(tmp_path, monkeypatch, before, after)
