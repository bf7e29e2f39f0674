"""The step, and each of its figures against an independent computation or against what growth is known to have done."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from components.errors import StepError
from components.inside.looking import Looked
from components.interpretation import induction, interpret
from components.interpretation.material import Material, read_material
from components.phi.checkpoint import load
from components.phi.model import Phi
from components.phi.new_entries import NewEntries
from components.tracking import Tracker
from tests.components.interpretation.conftest import given, light


def opened_by(folder: Path, output: Path, **inputs: Any) -> tuple[dict[str, Any], dict[str, float]]:
    headline = interpret.run(given(folder, **inputs), {"output": output}, light(), Tracker())
    return json.loads(output.read_text()), headline


@pytest.fixture(scope="module")
def found(opened: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return opened_by(opened, tmp_path_factory.mktemp("found") / "figures.json")[0]


@pytest.fixture(scope="module")
def large(opened: Path) -> Phi:
    return load(opened / "models" / "large")


@pytest.fixture(scope="module")
def material(opened: Path, large: Phi) -> Material:
    inputs = given(opened)
    return read_material(
        large, inputs["model"], inputs["tokens"], inputs["scores"], light().interpretation, torch.device("cpu")
    )


def loss_of(model: Phi, material: Material) -> float:
    rows = material.test.rows
    with torch.no_grad():
        return float(F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten()))


def rights_of(model: Phi, material: Material) -> list[tuple[float, float]]:
    """Bits per byte and probability of each question's right answer, one choice at a time."""
    answers = []
    for question in material.questions:
        scores = []
        for ids in question.tokens:
            with torch.no_grad():
                rows = model(torch.tensor([ids]))[0].log_softmax(-1)
            scores.append(sum(float(rows[i - 1, ids[i]]) for i in range(question.context, len(ids))))
        right = scores[question.answer]
        size = len(question.choices[question.answer].encode())
        answers.append((-right / math.log(2) / size, math.exp(right) / sum(map(math.exp, scores))))
    return answers


def test_equal_inputs_give_equal_bytes_and_the_headline_is_of_the_figures(
    opened: Path, tmp_path: Path, found: dict[str, Any]
) -> None:
    again, headline = opened_by(opened, tmp_path / "figures.json")
    assert again == found
    assert headline["final_loss"] == found["layers"][-1]["logit_lens"]
    assert headline["unit_auc"] == found["units"]["auc"]
    assert headline["largest_induction_score"] == max(map(max, found["induction"]["heads"]))


def test_the_whole_models_figures_are_its_own(found: dict[str, Any], large: Phi, material: Material) -> None:
    loss = pytest.approx(loss_of(large, material), abs=1e-4)
    assert found["ablation"]["loss"] == loss
    assert found["layers"][-1]["logit_lens"] == loss
    assert found["layers"][-1]["tuned_lens"] == loss
    assert found["patching"]["large"] == loss
    rights = [right for _, right in rights_of(large, material)]
    assert found["ablation"]["exam"] == pytest.approx(np.mean(rights), abs=1e-5)  # two families of four each


@pytest.mark.parametrize("block", range(4))
def test_a_blocks_change_is_that_of_a_model_without_it(
    opened: Path, found: dict[str, Any], large: Phi, material: Material, block: int
) -> None:
    without = load(opened / "models" / "large")
    with torch.no_grad():
        for layer in (without.blocks[block].dense, without.blocks[block].fc2):
            layer.weight.zero_()
            layer.bias.zero_()
    (part,) = (p for p in found["ablation"]["parts"] if p["block"] == block and p["head"] is None)
    assert part["loss"] == pytest.approx(loss_of(without, material) - loss_of(large, material), abs=1e-4)
    change = [a - b for (_, a), (_, b) in zip(rights_of(without, material), rights_of(large, material), strict=True)]
    assert part["families"] == pytest.approx({"animals": np.mean(change[:4]), "colours": np.mean(change[4:])}, abs=1e-5)
    assert part["exam"] == pytest.approx(np.mean(change), abs=1e-5)


def test_a_heads_change_is_that_of_a_model_without_it(
    opened: Path, found: dict[str, Any], large: Phi, material: Material
) -> None:
    without = load(opened / "models" / "large")
    with torch.no_grad():
        without.blocks[1].dense.weight[:, 24:] = 0.0
    (part,) = (p for p in found["ablation"]["parts"] if (p["block"], p["head"]) == (1, 1))
    assert part["loss"] == pytest.approx(loss_of(without, material) - loss_of(large, material), abs=1e-4)


def test_the_share_of_what_growth_added_is_damage_over_gain(
    opened: Path, found: dict[str, Any], large: Phi, material: Material
) -> None:
    grown = load(opened / "models" / "grown")
    entries = NewEntries(opened / "models" / "grown", large.config)
    old = entries.set_back(load(opened / "models" / "large"))
    before, after, back = (np.array([bits for bits, _ in rights_of(model, material)]) for model in (grown, large, old))
    assert found["added"]["gain"]["value"] == pytest.approx((before - after).mean(), abs=1e-4)
    assert found["added"]["groups"]["new"]["damage"]["value"] == pytest.approx((back - after).mean(), abs=1e-4)
    for group in found["added"]["groups"].values():
        low, gain = found["added"]["gain"]["low"], found["added"]["gain"]["value"]
        assert group["share"] == (pytest.approx(group["damage"]["value"] / gain) if low > 0 else None)
    assert found["added"]["groups"]["new"]["entries"] == sum(int(mask.sum()) for mask in entries.new.values())
    assert [part["inserted"] for part in found["ablation"]["parts"][:4]] == [
        all(bool(mask.all()) for name, mask in entries.new.items() if name.startswith(f"blocks.{block}."))
        for block in range(4)
    ]


def test_every_method_finds_the_truth_in_a_grown_model_that_was_not_trained(opened: Path, tmp_path: Path) -> None:
    """There the stream is a linear map of the small model's, the copies equal their originals, and nothing was gained."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (opened / "models" / "grown" / name).write_bytes((opened / "data" / "tokens" / "tokenizer" / name).read_bytes())
    found, _ = opened_by(opened, tmp_path / "figures.json", model="grown")
    for place in found["patching"]["places"]:
        assert place["map_error"] < 1e-5
        assert place["small_in_large"] == pytest.approx(found["patching"]["small"], abs=1e-4)
        assert place["large_in_small"] == pytest.approx(found["patching"]["small"], abs=1e-4)
    for place in found["streams"]:
        assert place["known"] == pytest.approx(1, abs=1e-6)
        assert place["linear"] > 0.999
        assert place["agreement"] > 0.999
        assert place["control"] < place["linear"]
    assert found["units"]["auc"] == 1.0
    assert found["units"]["matched"] == 1.0
    assert found["units"]["copied"] == 2 * 64
    assert found["added"]["gain"]["value"] == pytest.approx(0, abs=1e-5)
    assert found["added"]["groups"]["new"]["share"] is None


def test_the_induction_score_is_the_attention_to_the_token_after_the_first_occurrence(
    large: Phi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One head attends there, one to the token before, one to both, one to neither."""

    def look(model: Phi, row: torch.Tensor) -> Looked:
        assert torch.equal(row[:32], row[32:])
        copying, before = torch.zeros(64, 64), torch.zeros(64, 64)
        for position in range(64):
            before[position, max(0, position - 1)] = 1.0
            copying[position, max(0, position - 31)] = 1.0
        heads = torch.stack((copying, before, (copying + before) / 2, torch.eye(64))).view(2, 2, 64, 64)
        return Looked(torch.zeros(64, 300), torch.zeros(3, 64, 8), heads)

    monkeypatch.setattr(induction, "look", look)
    found = induction.induction(large)
    assert found["length"] == 32
    assert found["heads"] == [[pytest.approx(1.0), 0.0], [pytest.approx(0.5), 0.0]]
    assert found["previous"] == [[pytest.approx(0.0, abs=0.02), 1.0], [pytest.approx(0.5, abs=0.02), 0.0]]
    assert found["first_loss"] == found["repeated_loss"] == pytest.approx(math.log(300))


def test_a_model_that_was_not_grown_is_opened_without_what_needs_the_small_one(opened: Path, tmp_path: Path) -> None:
    alone = dict.fromkeys(("small", "grown", "control"))
    found, headline = opened_by(opened, tmp_path / "figures.json", model="control", **alone)
    assert {"added", "patching", "streams", "units"}.isdisjoint(found)
    assert "inserted" not in found["ablation"]["parts"][0]
    assert set(headline) <= {
        "final_loss", "tuned_lens_middle_loss", "largest_induction_score", "repetition_gain",
        "largest_loss_without_a_block", "largest_exam_drop_without_a_block",
        "largest_loss_without_a_head", "largest_exam_drop_without_a_head",
    }  # fmt: skip


def test_heads_are_left_out_on_request(opened: Path, tmp_path: Path) -> None:
    alone = dict.fromkeys(("small", "grown", "control"))
    output = tmp_path / "figures.json"
    interpret.run(given(opened, **alone), {"output": output}, light(heads=False), Tracker())
    assert [part["head"] for part in json.loads(output.read_text())["ablation"]["parts"]] == [None] * 4


def test_inputs_that_do_not_belong_together_are_refused(opened: Path, tmp_path: Path) -> None:
    output = {"output": tmp_path / "figures.json"}
    with pytest.raises(StepError, match="--small and --grown: one is given without the other; name both or none"):
        interpret.run(given(opened, grown=None), output, light(), Tracker())
    with pytest.raises(StepError, match=r"new_parameters\.safetensors does not exist"):
        interpret.run(given(opened, grown=opened / "models" / "control"), output, light(), Tracker())
    assert not output["output"].exists()
