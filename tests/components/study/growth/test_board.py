"""Entries of the board: one that keeps the rules, and each way to break them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.errors import StepError
from components.params import load_params, read_profile
from components.study.growth.arms import EQUAL_COST
from components.study.growth.board import COMPULSORY, RECORDS, Entry, board, verify, write_entry
from components.study.growth.record import Record

Make = Callable[..., Path]
ROOT = Path(__file__).parents[4]
FIXED = read_profile(ROOT, "board")
ENDS = {"scratch": 3.4, "continued": 3.0, "exact": 2.9, "tile": 3.1}


@pytest.fixture
def make(tmp_path: Path, record: Callable[..., Record]) -> Make:
    """An entry of an arm. `spoil` may change records, parameters and lock before the hashes are taken."""

    def made(
        name: str = "exact", arm: str = "exact", shift: float = 0.0, spoil: Callable[..., None] | None = None
    ) -> Path:
        folder = tmp_path / name
        records: dict[str, Record] = {}
        for trained in (arm, *COMPULSORY):
            for rate in (0.5, 1.0, 2.0):
                loss = ENDS[trained] + abs(rate - 1) + (shift if trained == arm else 0)
                records[f"trials/{trained}/{rate}.json"] = record(trained, rate=rate, loss=loss)
            for seed in range(1, 6):
                loss = ENDS[trained] + seed / 100 + (shift if trained == arm else 0)
                records[f"runs/{trained}/1.0-{seed}.json"] = record(trained, seed=seed, loss=loss)
                if trained in COMPULSORY:
                    equal = record(trained, seed=seed, horizon=EQUAL_COST, loss=loss - 0.2)
                    records[f"runs/{trained}/{EQUAL_COST}-{seed}.json"] = equal
        params = json.loads(load_params(ROOT / "params.yaml").model_dump_json())
        for section, values in FIXED.items():
            for key, value in values.items():
                params[section][key] = params[section][key] | value if isinstance(value, dict) else value
        for path, one in records.items():
            one.write(folder / "records" / path)
        deps = [{"path": path, "md5": path[-4:]} for path in ("data/tokens", "data/exam", "components/training")]
        stages = {
            path: {
                "deps": [dict(item) for item in deps],
                "params": {"params.yaml": {"small": params["small"]}},
                "outs": [{"path": f"{RECORDS}/{path}", "md5": md5(folder / "records" / path)}],
            }
            for path in records
        }
        state = {"folder": folder, "params": params, "stages": stages}
        if spoil:
            spoil(state)
        (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}), encoding="utf-8")
        data = {"data/tokens": "kens", "data/exam": "exam"}
        write_entry(folder, Entry(name, arm, "A. Person", "", "0" * 40, data, {}))
        return folder

    return made


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def refusal(folder: Path) -> str:
    with pytest.raises(StepError) as caught:
        verify(folder, FIXED)
    return str(caught.value)


def test_an_entry_that_keeps_the_rules_is_a_row(make: Make) -> None:
    first, second = verify(make(), FIXED), verify(make("tiles", "tile"), FIXED)
    assert first.losses == pytest.approx([2.91, 2.92, 2.93, 2.94, 2.95])
    assert first.code == {"components/training": "ning"}
    (table,) = board([second, first])
    assert [row[0] for row in table.rows] == ["exact", "tiles"]
    assert table.rows[0][1].startswith("2.9300 ± 0.0196")
    assert [row[2] for row in table.rows] == ["-", "worse"]
    column = table.header.index("minus small trained on, same tokens")
    assert [row[column] for row in table.rows] == ["-0.1000 ± 0.0000", "+0.1000 ± 0.0000"]


def test_entries_with_other_data_are_not_compared(make: Make) -> None:
    first, second = verify(make(), FIXED), verify(make("again"), FIXED)
    second.entry.data["data/tokens"] = "other"
    assert len(board([first, second])) == 2


def test_equal_entries_are_not_told_apart(make: Make, tmp_path: Path) -> None:
    (table,) = board([verify(make("a"), FIXED), verify(make("b"), FIXED)])
    assert [row[2] for row in table.rows] == ["-", "not distinguishable"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("records/runs/exact/1.0-3.json", "records/runs/exact/1.0-3.json: changed since"),
        ("params.yaml", "params.yaml: changed since"),
        ("dvc.lock", "dvc.lock: changed since"),
    ],
)
def test_a_changed_file_is_refused(make: Make, path: str, message: str) -> None:
    folder = make()
    (folder / path).write_text((folder / path).read_text() + " ")
    assert message in refusal(folder)


def test_a_file_more_or_less_is_refused(make: Make) -> None:
    folder = make()
    (folder / "more.txt").write_text("more")
    (folder / "records/runs/exact/1.0-3.json").unlink()
    text = refusal(folder)
    assert "more.txt: not listed in entry.json" in text
    assert "records/runs/exact/1.0-3.json: listed in entry.json, but not there" in text


def without(path: str) -> Callable[[dict[str, Any]], None]:
    def spoil(state: dict[str, Any]) -> None:
        (state["folder"] / "records" / path).unlink()
        del state["stages"][path]

    return spoil


def better(state: dict[str, Any]) -> None:
    """A record is written again with a lower loss, and all hashes of the folder but dvc.lock's."""
    path = state["folder"] / "records/runs/exact/1.0-3.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"validation_loss": 1.0}))


def rate(state: dict[str, Any]) -> None:
    path = state["folder"] / "records/runs/scratch/1.0-3.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rate": 2.0}))
    state["stages"]["runs/scratch/1.0-3.json"]["outs"][0]["md5"] = md5(path)


def change(**values: Any) -> Callable[[dict[str, Any]], None]:
    """Other values of parameters, given with __ for the dots."""

    def spoil(state: dict[str, Any]) -> None:
        for key, value in values.items():
            *sections, last = key.split("__")
            target = state
            for section in sections:
                target = target[section]
            target[last] = value

    return spoil


def stage(place: str, index: int) -> Callable[[dict[str, Any]], None]:
    def spoil(state: dict[str, Any]) -> None:
        state["stages"]["runs/exact/1.0-2.json"][place][index]["md5"] = "other"

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (better, "runs/exact/1.0-3.json: its hash is not that in dvc.lock"),
        (rate, "scratch: seed 3 at horizon 1.0 has rate 2; the best trial has 1"),
        (without("runs/exact/1.0-4.json"), "exact: no training run at horizon 1.0 with seed 4"),
        (without("runs/continued/equal-cost-4.json"), "continued: no training run at horizon equal-cost with seed 4"),
        (without("trials/scratch/2.0.json"), "scratch: no trial at 2 times the learning rate"),
        (change(params__large__tokens=1), "large.tokens is 1; the board has 300000"),
        (change(params__training__optimizer="adamw"), "training.optimizer is 'adamw'; the board has 'muon'"),
        (change(params__study__seeds=[1, 2]), "study.seeds has 2 seeds; expected at least 5"),
        (change(params__study__rates=[1.0]), "study.rates has 1 learning rates; expected at least 3"),
        (change(stages__none={"outs": "text"}), "is not a dvc.lock (stages.none.outs"),
        (stage("deps", 0), "runs/exact/1.0-2.json: read data/tokens other; entry.json has kens"),
        (stage("deps", 2), "ran with other code in components/training than other stages"),
    ],
)
def test_a_broken_rule_is_named(make: Make, spoil: Callable[..., None], message: str) -> None:
    assert message in refusal(make(spoil=spoil))


def test_stages_that_ran_with_other_parameters_are_refused(make: Make) -> None:
    def spoil(state: dict[str, Any]) -> None:
        other = state["params"]["small"] | {"tokens": 5}
        state["stages"]["runs/exact/1.0-2.json"]["params"] = {"params.yaml": {"small": other}}

    assert "ran with small.tokens 5; params.yaml has 600000" in refusal(make(spoil=spoil))


@pytest.mark.parametrize("arm", ["scratch", "unknown"])
def test_an_entry_needs_an_arm_of_its_own(make: Make, arm: str) -> None:
    folder = make()
    content = json.loads((folder / "entry.json").read_text())
    (folder / "entry.json").write_text(json.dumps(content | {"arm": arm}))
    assert f"names arm '{arm}'; expected one of distilled, exact" in refusal(folder)
    (folder / "entry.json").write_text(json.dumps(content | {"data": []}))
    assert "expected texts, and objects for `data` and `files`" in refusal(folder)
    (folder / "entry.json").write_text("[]")
    assert "is not an entry of the board" in refusal(folder)
