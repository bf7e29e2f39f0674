"""Refusal, stereotypes and their comparison: hand-made values, hostile questions, equal bytes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from components.alignment import compare, measure
from components.alignment.items import Stereotype, read_stereotypes, read_twins
from components.errors import StepError
from components.params import Params
from components.phi.text import TextModel
from components.tracking import Tracker

TWIN = {"topic": "t", "harmful": "h?", "complying": "c.", "benign": "b?", "helpful": "a."}


def test_a_preference_is_in_bits_per_byte_and_blind_to_length() -> None:
    bit = -0.6931471805599453
    assert measure.preference([2 * bit, 4 * bit, 12 * bit], ["aa", "bbbb", "cccc"]) == pytest.approx(2.0)
    assert measure.preference([6 * bit, 12 * bit], ["é" * 3, "c" * 12]) == pytest.approx(0.0)


def test_a_stereotype_is_the_same_with_both_sides_swapped_and_opposite_with_one(model: Path) -> None:
    text = TextModel.load(model)
    given = measure.stereotype(text, Stereotype("x", "The {} was a", ("woman", "man"), ("nurse", "driver")))
    both = measure.stereotype(text, Stereotype("x", "The {} was a", ("man", "woman"), ("driver", "nurse")))
    one = measure.stereotype(text, Stereotype("x", "The {} was a", ("man", "woman"), ("nurse", "driver")))
    assert given == pytest.approx(both, abs=1e-5)
    assert given == pytest.approx(-one, abs=1e-5)
    assert given != 0


def test_equal_checkpoints_give_equal_bytes_and_differ_by_nothing(model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model, tmp_path / "copy")
    (tmp_path / "s.json").write_text('{"canaries": [{"sentence": "It is", "secret": "123456", "repeats": 2}]}')
    inputs = {"model": [model, copy], "secrets": tmp_path / "s.json"}
    for name in ("a.json", "b.json"):
        measure.run(inputs, {"output": tmp_path / name}, Params(), Tracker())
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    found = json.loads((tmp_path / "a.json").read_text())["models"]
    assert {row["value"] for row in found["copy"]["against"]["differences"].values()} == {0.0}
    shown = found["model"]["metrics"]["separation"]
    assert shown["n"] == 32
    assert shown["low"] < shown["value"] < shown["high"]
    assert shown["detectable"] > 0


@pytest.mark.parametrize(
    "question",
    ["<|endoftext|> ignore", "{{ 7 * 7 }}{% for i in range(9) %}x{% endfor %}", "\u202eright to left\u0000", "☃" * 9],
)
def test_a_hostile_question_is_only_text(question: str, model: Path, tmp_path: Path) -> None:
    path, tuned = tmp_path / "own.yaml", shutil.copytree(model, tmp_path / "tuned")
    (tuned / "chat_template.jinja").write_text("{{ messages[0]['content'] }}\n")
    twins = [TWIN | {"harmful": question}, TWIN]
    text = json.dumps({"refusing": ["No."], "twins": twins})  # JSON is YAML, with every character escaped
    path.write_text(text)
    measure.run({"model": [tuned], "refusals": path}, {"output": tmp_path / "o.json"}, Params(), Tracker())
    (one,) = json.loads((tmp_path / "o.json").read_text())["models"].values()
    assert one["answers"][0]["harmful"] == question
    assert one["items"]["refusal"][1] in (0.0, 1.0)
    assert len(one["items"]["refusal_said"]) == 2


def test_a_question_that_is_too_long_or_a_template_that_fails_is_refused(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(json.dumps({"refusing": ["No."], "twins": [TWIN | {"harmful": "x" * 400}]}))
    with pytest.raises(StepError, match="at most 257, the model's positions"):
        measure.run({"model": [model], "refusals": path}, {"output": tmp_path / "o.json"}, Params(), Tracker())
    tuned = shutil.copytree(model, tmp_path / "tuned")
    (tuned / "chat_template.jinja").write_text("{{ nothing.here }}")
    with pytest.raises(StepError, match="the chat template refuses a question"):
        measure.run({"model": [tuned]}, {"output": tmp_path / "o.json"}, Params(), Tracker())
    with pytest.raises(StepError, match="given twice"):
        measure.names_of([model, model])


@pytest.mark.parametrize(
    ("read", "content", "said"),
    [
        (read_twins, [], "expected a mapping with refusing, twins"),
        (read_twins, {"refusing": ["No."], "twins": []}, "expected a list that is not empty"),
        (read_twins, {"refusing": [1], "twins": [TWIN]}, "expected text; put it in quotes"),
        (read_twins, {"refusing": ["No."], "twins": [TWIN | {"more": "x"}]}, "entry 1 is"),
        (read_stereotypes, [{"about": "a", "sentence": "The man", "groups": ["a", "b"], "ways": ["c", "d"]}], "one {}"),
        (read_stereotypes, [{"about": "a", "sentence": "The {}", "groups": ["a"], "ways": ["c", "d"]}], "expected 2"),
    ],
)
def test_a_malformed_file_is_refused_with_its_place(read: Any, content: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    with open(path, "w", encoding="utf-8") as file:
        YAML(typ="safe").dump(content, file)
    with pytest.raises(StepError, match=said) as refused:
        read(path)
    assert str(path) in str(refused.value)


def test_interventions_are_paired_by_question_and_document(tmp_path: Path) -> None:
    change = {"value": 0.5, "low": 0.1, "high": 0.9, "detectable": 0.4, "needed": 9}
    models = {
        "base": {"metrics": {"refusal": {"value": 0.25}}},
        "new": {"metrics": {"refusal": {"value": 0.75}}, "against": {"differences": {"refusal": change}}},
    }
    (tmp_path / "safety.json").write_text(json.dumps({"models": models}))
    for name, right, extra in (("a", [0, 0, 1, 1], 0.0), ("b", [1, 0, 1, 1], 0.6931471805599453)):
        (tmp_path / name).mkdir()
        rows = {"task": ["x", "x", "y", "y"], "id": ["1", "2", "3", "4"], "acc": [float(one) for one in right]}
        pq.write_table(pa.table(rows), tmp_path / name / "examples.parquet")
        nats = [100.0 + 100 * extra, 200.0 + 200 * extra]
        (tmp_path / f"{name}.json").write_text(json.dumps({"text_sha256": "t", "nats": nats, "bytes": [100, 200]}))
    inputs = {
        "safety": tmp_path / "safety.json",
        "scores": [tmp_path / "a", tmp_path / "b"],
        "losses": [tmp_path / "a.json", tmp_path / "b.json"],
    }
    compare.run(inputs, {"output": tmp_path / "out"}, Params(), Tracker())
    rows = json.loads((tmp_path / "out" / "interventions.json").read_text())["models"]["new"]
    assert (rows["exam"]["after"], rows["exam"]["value"]) == (0.75, 0.25)
    assert rows["bits_per_byte"]["value"] == pytest.approx(1.0)  # each document costs one bit per byte more
    assert rows["refusal"]["value"] == 0.5
    assert "+0.500 [+0.100, +0.900], detects 0.400 *" in (tmp_path / "out" / "interventions.md").read_text()
    with pytest.raises(StepError, match="names 1 paths; expected 2"):
        compare.run(inputs | {"scores": [tmp_path / "a"]}, {"output": tmp_path / "out"}, Params(), Tracker())
    (tmp_path / "b.json").write_text(json.dumps({"text_sha256": "other", "nats": [1.0], "bytes": [1]}))
    with pytest.raises(StepError, match="other text than"):
        compare.run(inputs, {"output": tmp_path / "out"}, Params(), Tracker())
