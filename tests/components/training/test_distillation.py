"""Following a teacher: its weight, its cost, what it does to the training."""

from pathlib import Path
from typing import Any

import pytest

from components.errors import StepError
from components.params import TrainingParams
from components.phi import checkpoint
from components.tracking import Tracker
from components.training import train
from components.training.cost import Cost
from components.training.distillation import taught_steps, teacher_weight


@pytest.fixture
def taught(settings: dict[str, Any], tokens: Path, tmp_path: Path) -> Any:
    """taught(name, teacher) trains a smaller budget than the teacher's."""
    from components.params import Params

    def make(name: str, teacher: str | None, **changes: Any) -> dict[str, Any]:
        values = settings | {"training": settings["training"] | changes}
        inputs = {"model": "small", "tokens": tokens, "teacher": tmp_path / teacher if teacher else None}
        outputs = {"output": tmp_path / name, "state": tmp_path / "states"}
        return train.run(inputs, outputs, Params.model_validate(values), Tracker())

    return make


def test_the_weight_falls_to_zero() -> None:
    settings = TrainingParams(distillation_weight=0.8, distillation_fraction=0.4)
    weights = [teacher_weight(step, 10, settings) for step in range(10)]
    assert weights == pytest.approx([0.8, 0.6, 0.4, 0.2, 0, 0, 0, 0, 0, 0])
    assert taught_steps(10, settings) == 4
    assert taught_steps(10, TrainingParams()) == 0


def test_the_teachers_passes_are_a_cost() -> None:
    cost = Cost(batch_tokens=10, flops_per_token=6, teacher_flops_per_token=1, taught_steps=3)
    assert [cost.flops(step) for step in (0, 1, 3, 5)] == [0, 70, 210, 330]
    assert cost.tokens(5) == 50


def test_a_taught_model_learns_faster_from_a_good_teacher(
    taught: Any, call: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    settings["small"]["tokens"] = 400 * 256
    call("teacher")
    settings["small"]["tokens"] = 40 * 256
    alone = taught("alone", None)
    with_weight = {"distillation_weight": 0.9, "distillation_fraction": 1.0}
    pupil = taught("pupil", "teacher", **with_weight)
    assert pupil["validation_loss"] < alone["validation_loss"] - 0.01
    flops = checkpoint.read_config(tmp_path / "teacher").flops_per_token()
    assert pupil["flops"] == alone["flops"] + pupil["tokens"] * (flops // 3)
    lineage = checkpoint.read_lineage(tmp_path / "pupil")
    assert lineage["flops"] == pupil["flops"]
    assert lineage["teacher"]["lineage"]["training_tokens"] == 400 * 256
    with pytest.raises(
        StepError, match=r"distillation_weight is 0, so nothing would be learned from it; set the weight"
    ):
        taught("unheard", "teacher")


def test_what_cannot_teach_is_refused(taught: Any, call: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"distillation_weight needs a teacher; name its checkpoint with --teacher"):
        taught("pupil", None, distillation_weight=0.5)
    settings["training"] |= {"context_length": 16}
    call("short")
    settings["training"] |= {"context_length": 32}
    with pytest.raises(StepError, match=r"has max_position_embeddings 16, the model has 32"):
        taught("pupil", "short", distillation_weight=0.5)
    assert not (tmp_path / "pupil").exists()
