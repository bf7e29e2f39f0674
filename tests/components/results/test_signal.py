"""Signal and noise against figures made by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from components.params import Params
from components.reporting import signal as command
from components.results.signal import signal_to_noise
from components.tracking import Tracker


def scores(bits: float, acc: float) -> dict[str, Any]:
    figures = {"acc": {"value": acc}, "bits_per_byte": {"value": bits}, "chance": {"value": 0.25}}
    return {"suite": "easy", "benchmarks": {"piqa": figures}, "categories": {}, "overall": {"acc": {"value": acc}}}


MODELS = [scores(1.0, 0.25), scores(1.5, 0.27), scores(2.0, 0.26)]
SEEDS = [scores(1.00, 0.25), scores(1.02, 0.29), scores(0.98, 0.21)]
LAST = [scores(1.00, 0.25), scores(1.01, 0.25)]


def test_signal_is_the_relative_spread_and_noise_the_relative_deviation() -> None:
    rows = {(row.benchmark, row.metric): row for row in signal_to_noise(MODELS, SEEDS, LAST)}
    assert rows.keys() == {("piqa", "acc"), ("piqa", "bits_per_byte"), ("mean of all", "acc")}
    bits = rows["piqa", "bits_per_byte"]
    assert bits.signal == pytest.approx((2.0 - 1.0) / 1.5)
    assert bits.seeds == pytest.approx(0.02 / 1.0)
    assert bits.checkpoints == pytest.approx(0.01 / math.sqrt(2) / 1.005)
    assert bits.ratio == pytest.approx(bits.signal / 0.02)  # the larger noise
    assert bits.needed == pytest.approx(4.3027 * math.sqrt(2), rel=1e-4)  # three seeds: two degrees of freedom
    assert bits.recommended
    acc = rows["piqa", "acc"]
    assert acc.ratio == pytest.approx((0.02 / 0.26) / (0.04 / 0.25))
    assert acc.checkpoints == 0
    assert not acc.recommended


def test_without_repetitions_nothing_is_recommended_and_without_noise_every_difference_counts() -> None:
    assert {(row.ratio, row.recommended) for row in signal_to_noise(MODELS)} == {(None, False)}
    without = signal_to_noise(MODELS, checkpoints=[scores(1.0, 0.25)] * 2)
    assert [row.ratio for row in without] == [math.inf] * 3
    assert [row.record()["ratio"] for row in without] == [None] * 3  # JSON has no infinity
    assert all(row.recommended for row in without)
    assert [row.ratio for row in signal_to_noise(MODELS[:1] * 2, checkpoints=LAST[:1] * 2)] == [0] * 3


def put(folder: Path, contents: list[dict[str, Any]]) -> list[Path]:
    for i, content in enumerate(contents):
        (folder / str(i)).mkdir(parents=True)
        (folder / str(i) / "scores.json").write_text(json.dumps(content), encoding="utf-8")
    return [folder / str(i) for i in range(len(contents))]


def test_the_command_prints_the_most_telling_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    groups = {"models": MODELS, "seeds": SEEDS, "checkpoints": LAST}
    inputs: dict[str, Any] = {name: put(tmp_path / name, contents) for name, contents in groups.items()}
    summary = command.run(inputs, {}, Params(), Tracker())
    assert summary["recommended"] == ["piqa"]
    printed = capsys.readouterr().out.splitlines()
    assert printed[2].replace(" ", "").split("|")[1:4] == ["piqa", "bits_per_byte", "66.7%"]
    assert "look at: piqa" in printed[-1]
    with pytest.raises(
        command.StepError, match=r"--models has 1, --seeds 3 and --checkpoints 2 scores; expected at least two"
    ):
        command.run(inputs | {"models": inputs["models"][:1]}, {}, Params(), Tracker())
    other = put(tmp_path / "other", [MODELS[0] | {"suite": "phi2"}])
    with pytest.raises(command.StepError, match="of the suites easy, phi2; expected one suite"):
        command.run(inputs | {"models": inputs["models"] + other}, {}, Params(), Tracker())


def test_a_metric_that_ranks_the_worst_highest_is_not_recommended() -> None:
    """Accuracy rises with the bits, so it is against them; the second benchmark agrees."""
    models = []
    for i in range(3):
        two = {"acc": {"value": 0.2 + 0.1 * i}, "bits_per_byte": {"value": 1.0 + i}}
        mean = {"bits_per_byte": {"value": 1.0 + i}}
        models.append(
            {"benchmarks": {"up": two, "down": {"acc": {"value": 0.5 - 0.1 * i}}}, "categories": {}, "overall": mean}
        )
    rows = {(row.benchmark, row.metric): row for row in signal_to_noise(models, checkpoints=[models[0]] * 2)}
    assert rows["up", "acc"].agreement == pytest.approx(-1)
    assert rows["down", "acc"].agreement == pytest.approx(1)
    assert rows["up", "bits_per_byte"].agreement == pytest.approx(1)
    assert [rows[key].recommended for key in (("up", "acc"), ("down", "acc"), ("up", "bits_per_byte"))] == [
        False,
        True,
        True,
    ]
