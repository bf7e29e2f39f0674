"""What the new entries of a grown model carry of its gain."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from components.phi.new_entries import BLOCKS, COPIED, HEADS, NEW, UNITS, WIDTH, groups_of
from tests.components.training.test_carried import write_masks

PLACES = (BLOCKS, HEADS, UNITS, WIDTH)


def masks_of(rows: int, columns: int, new: int, inserted: bool) -> dict[str, torch.Tensor]:
    """Of a block and of what stands outside blocks: the last `new` rows and columns of each matrix are new."""
    masks: dict[str, torch.Tensor] = {}
    for prefix, whole in (("model.layers.0", False), ("model.layers.1", inserted)):
        for name in ("self_attn.q_proj", "self_attn.dense", "mlp.fc1", "mlp.fc2"):
            masks[f"{prefix}.{name}.weight.rows"] = torch.arange(rows) >= (0 if whole else rows - new)
            masks[f"{prefix}.{name}.weight.columns"] = torch.arange(columns) >= columns - new
            masks[f"{prefix}.{name}.bias.rows"] = masks[f"{prefix}.{name}.weight.rows"]
    masks["model.embed_tokens.weight.rows"] = torch.zeros(rows, dtype=torch.bool)
    masks["model.embed_tokens.weight.columns"] = torch.arange(columns) >= columns - new
    return masks


@given(st.integers(2, 6), st.integers(2, 6), st.integers(0, 1), st.booleans())
def test_each_new_entry_has_one_place(rows: int, columns: int, new: int, inserted: bool) -> None:
    groups = dict(groups_of(masks_of(rows, columns, new, inserted)))
    assert list(groups) == [NEW, COPIED, *PLACES]
    for name, mask in groups[NEW].items():
        assert torch.equal(~mask, groups[COPIED][name])
        assert torch.equal(sum(groups[place][name].int() for place in PLACES), mask.int()), name
    assert bool(groups[BLOCKS]["model.layers.1.mlp.fc1.weight"].all()) == inserted
    assert not groups[BLOCKS]["model.layers.0.mlp.fc1.weight"].any()


def test_places_follow_what_a_tensor_reads_and_writes() -> None:
    groups = dict(groups_of(masks_of(4, 5, 1, False)))
    assert groups[HEADS]["model.layers.0.self_attn.q_proj.weight"].nonzero().tolist() == [[3, j] for j in range(5)]
    assert groups[WIDTH]["model.layers.0.self_attn.q_proj.weight"].nonzero().tolist() == [[i, 4] for i in range(3)]
    assert groups[UNITS]["model.layers.0.mlp.fc2.weight"].nonzero().tolist() == [[i, 4] for i in range(4)]
    assert groups[WIDTH]["model.layers.0.mlp.fc2.bias"].tolist() == [False, False, False, True]
    assert groups[UNITS]["model.layers.0.mlp.fc1.bias"].tolist() == [False, False, False, True]


def test_a_training_run_says_what_new_entries_carry(call: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    call("grown")
    write_masks(tmp_path / "grown")
    summary = call("trained", initial=tmp_path / "grown")
    found = summary["growth"]
    assert found["gain"] == pytest.approx(summary["first_validation_loss"] - summary["validation_loss"], abs=1e-6)
    assert found[NEW]["entries"] == sum(found[place]["entries"] for place in PLACES) > 0
    for group in (NEW, COPIED):
        assert found[group]["damage"] == pytest.approx(found[group]["share"] * found["gain"])
    # With the copied entries frozen, setting the new ones back undoes all of the training.
    settings["training"]["carried_freeze_fraction"] = 1.0
    frozen_summary = call("frozen", initial=tmp_path / "grown")
    frozen = frozen_summary["growth"]
    assert frozen[NEW]["share"] == pytest.approx(1.0, abs=1e-6)
    assert frozen[COPIED]["share"] == pytest.approx(0.0, abs=1e-6)
    assert "growth" not in call("again")
    # Frozen, the share along training is 1 as well, on every fourth of eight sequences, of which the last validation has all.
    along = frozen["along"]
    assert [row["step"] for row in along] == [4, 8, 12]
    assert any("new_share" in row for row in along)
    assert all(row["new_share"] == pytest.approx(1.0, abs=1e-5) for row in along if "new_share" in row)
    assert along[-1]["validation_loss"] == pytest.approx(frozen_summary["validation_loss"])
    settings["small"]["learning_rate"] = 1e-30  # nothing is gained, so nothing has a share of it
    assert "growth" not in call("still", initial=tmp_path / "grown")
