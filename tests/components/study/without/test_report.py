"""What the study says of records whose effects are known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.errors import StepError
from components.params import EVERYTHING, PARAMS_FILE, Params, load_params
from components.results import statistics
from components.study.without import report
from components.study.without.record import Model, Record, read_records
from components.tracking import Tracker

FAMILIES = ("planets", "seasons", "weight", "rules")
QUESTIONS = 400


def model(seed: int, worse: dict[str, float], shift: dict[str, float]) -> Model:
    """A model with 60% of the answers right, fewer in some families, and with documents of each kind that cost more."""
    draw = np.random.default_rng(seed)
    answers = {f: (draw.random(QUESTIONS) < 0.6 - worse.get(f, 0.0)).astype(float).tolist() for f in FAMILIES}
    sizes = draw.integers(200, 2000, 80)
    losses = {
        kind: [
            [float(n), float(s)]
            for n, s in zip(sizes * (1.0 + shift.get(kind, 0.0)) + draw.normal(0, 5, 80), sizes, strict=True)
        ]
        for kind in ("prose", "code")
    }
    return Model(answers, losses, "text")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tokens").mkdir()
    for item in (EVERYTHING, "family=planets", "kind=code"):
        text = json.dumps({"left_out": {"documents": 7, "megabytes": 0.5}, "newly_kept": 0})
        (tmp_path / "tokens" / f"{item}.json").write_text(text)
    for seed in (1, 2, 3):
        for item, worse, shift in (
            (EVERYTHING, {}, {}),
            ("family=planets", {"planets": 0.25}, {}),
            ("kind=code", {}, {"code": 0.1}),
        ):
            (tmp_path / "runs" / item).mkdir(parents=True, exist_ok=True)
            Record(item, seed, {"small": model(seed, worse, shift)}).write(tmp_path / "runs" / item / f"{seed}.json")
    return tmp_path


def params(root: Path, **changes: Any) -> Params:
    given = {"items": [EVERYTHING, "family=planets", "kind=code"], "seeds": [1, 2, 3]} | changes
    return load_params(root / PARAMS_FILE, {f"without.{name}": value for name, value in given.items()})


def run(folder: Path, given: Params) -> dict[str, Any]:
    inputs = {"runs": folder / "runs", "tokens": folder / "tokens"}
    report.report(inputs, {"output": folder / "result"}, given, Tracker())
    return json.loads((folder / "result" / "without.json").read_text())


@pytest.mark.parametrize("seeds", [[1], [1, 2, 3]])
def test_the_effects_are_found_where_they_are(root: Path, folder: Path, seeds: list[int]) -> None:
    found = run(folder, params(root, seeds=seeds))["models"]["small"]
    planets = found["family=planets"]["exam"]
    assert planets["planets"]["low"] < -0.25 < planets["planets"]["high"] < 0
    assert all(planets[family]["low"] <= 0 <= planets[family]["high"] for family in FAMILIES[1:])
    assert planets["whole"]["value"] == pytest.approx(np.mean([planets[family]["value"] for family in FAMILIES]))
    code = found["kind=code"]["loss"]
    assert code["code"]["value"] == pytest.approx(0.1 / np.log(2), abs=0.002)
    assert code["code"]["low"] > 0
    assert code["prose"]["value"] == 0
    text = (folder / "result" / "without.md").read_text()
    # One retraining may differ from another by as much, so nothing is told apart.
    assert ("One seed" in text) == (seeds == [1])
    assert ("without family=planets: planets -0." in text) == (seeds != [1])
    assert ("without kind=code: code +0.144" in text) == (seeds != [1])


def test_a_loss_is_the_ratio_of_the_sums_with_its_error(root: Path) -> None:
    """Documents count by their length, as in `statistics.ratio`."""
    ours, theirs = model(1, {}, {"code": 0.1}), model(2, {}, {})
    theirs.losses["code"] = [
        [nats, size] for (nats, _), (_, size) in zip(theirs.losses["code"], ours.losses["code"], strict=True)
    ]
    found = report.loss_differences([ours], [theirs])["code"]
    nats = [our[0] - their[0] for our, their in zip(ours.losses["code"], theirs.losses["code"], strict=True)]
    expected = statistics.ratio(nats, [size for _, size in ours.losses["code"]])
    low, high = statistics.interval(expected)
    assert found["value"] == pytest.approx(expected.value / np.log(2))
    assert (found["low"], found["high"]) == pytest.approx((low / np.log(2), high / np.log(2)))


def test_many_items_of_one_seed_show_the_noise_of_a_retraining(root: Path, folder: Path) -> None:
    items = [f"family={name}" for name in ("a", "b", "c", "d", "e", "f")]
    for number, item in enumerate(items):
        (folder / "runs" / item).mkdir()
        Record(item, 1, {"small": model(10 + number, {}, {})}).write(folder / "runs" / item / "1.json")
        (folder / "tokens" / f"{item}.json").write_text((folder / "tokens" / "kind=code.json").read_text())
    found = run(folder, params(root, items=[EVERYTHING, "family=planets", *items], seeds=[1]))["models"]["small"]
    # Independent models differ by more than the documents' change alone.
    assert found["family=planets"]["exam"]["planets"]["noise"] == pytest.approx((0.24 / QUESTIONS) ** 0.5, rel=0.8)
    assert "noise" in (folder / "result" / "without.md").read_text()


def test_an_item_whose_run_diverged_is_left_out_and_named(root: Path, folder: Path) -> None:
    Record("kind=code", 2, {}).write(folder / "runs" / "kind=code" / "2.json")
    assert [*run(folder, params(root))["models"]["small"]] == ["family=planets"]
    assert "Diverged, and so left out: kind=code with seed 2" in (folder / "result" / "without.md").read_text()


def test_other_questions_and_missing_records_are_refused(root: Path, folder: Path) -> None:
    given = model(1, {}, {})
    del given.answers["rules"]
    Record("kind=code", 1, {"small": given}).write(folder / "runs" / "kind=code" / "1.json")
    with pytest.raises(StepError, match="measured on other questions or texts"):
        run(folder, params(root))
    with pytest.raises(StepError, match=r"kind=code/9.json does not exist"):
        read_records(folder / "runs", ["kind=code"], [9])
