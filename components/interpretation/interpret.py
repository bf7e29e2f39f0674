"""Open a model: read it and what it is measured on, measure, and write the figures."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.errors import StepError
from components.files import write_json
from components.inside.patching import KnownMap, known_map
from components.interpretation.ablation import ablate
from components.interpretation.added import added_by_growth
from components.interpretation.diffing import compare_streams, compare_units
from components.interpretation.induction import induction
from components.interpretation.layers import lens_losses
from components.interpretation.material import Material, Text, read_material
from components.interpretation.patches import patch_between
from components.params import Params
from components.phi.checkpoint import load
from components.phi.machine import prepare
from components.phi.model import Phi
from components.phi.new_entries import BLOCKS, NEW, NewEntries
from components.running.cli import Paths
from components.tracking import Tracker, weights_sha256

FORMAT_VERSION = 1
THREADS = 1  # small models gain nothing from more


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write the figures as JSON, and return the most important ones.

    Raises:
        StepError: an input is missing, or the models do not belong together.
    """
    prepare(THREADS)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = load(inputs["model"]).to(device)
    settings = params.interpretation
    material = read_material(model, inputs["model"], inputs["tokens"], inputs["scores"], settings, device)
    small, grown = inputs.get("small"), inputs.get("grown")
    if (small is None) != (grown is None):
        raise StepError("--small and --grown: one is given without the other; name both or none")
    entries = NewEntries(grown, model.config) if grown else None
    figures: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "model": _about(inputs["model"], model),
        "held_out_tokens": material.test.rows[:, 1:].numel(),
        "questions": len(material.questions),
        "layers": lens_losses(model, material),
        "induction": induction(model),
        "ablation": ablate(model, material, settings.heads, _inserted(entries)),
    }
    if small and grown and entries:
        control = load(inputs["control"]).to(device) if inputs.get("control") else None
        pair = load(small).to(device), load(grown).to(device)
        figures |= {"added": added_by_growth(model, grown, entries, material)}
        figures |= _beside_small(*pair, model, control, material)
    write_json(outputs["output"], figures)
    return headline(figures)


def _beside_small(small: Phi, grown: Phi, model: Phi, control: Phi | None, material: Material) -> dict[str, Any]:
    """What needs the small model's activations."""
    tokens, _ = next(material.fit.batches())
    known: KnownMap = known_map(small, grown, tokens)
    return {
        "patching": patch_between(small, model, known, material),
        "streams": compare_streams(small, model, known, material, control),
        "units": compare_units(
            small, grown, model, Text(material.test.rows[::2]), control
        ),  # few tokens tell units apart
    }


def _about(path: Path, model: Phi) -> dict[str, Any]:
    shape = model.config
    return {
        "weights_sha256": weights_sha256(path),
        "blocks": shape.num_hidden_layers,
        "heads": shape.num_attention_heads,
        "width": shape.hidden_size,
        "units": shape.intermediate_size,
    }


def _inserted(entries: NewEntries | None) -> set[int]:
    """Numbers of the blocks of which every entry is new."""
    if entries is None:
        return set()
    blocks: dict[int, bool] = {}
    for name, mask in entries.new.items():
        if name.startswith("blocks."):
            number = int(name.split(".")[1])
            blocks[number] = blocks.get(number, True) and bool(mask.all())
    return {number for number, whole in blocks.items() if whole}


def headline(figures: dict[str, Any]) -> dict[str, float]:
    """The most important figures, flat; those that were not measured are left out."""
    parts, layers = figures["ablation"]["parts"], figures["layers"]
    blocks, heads = ([p for p in parts if (p["head"] is None) == whole] for whole in (True, False))
    found: dict[str, float | None] = {
        "final_loss": layers[-1]["logit_lens"],
        "tuned_lens_middle_loss": layers[len(layers) // 2]["tuned_lens"],
        "largest_induction_score": float(np.max(figures["induction"]["heads"])),
        "repetition_gain": figures["induction"]["first_loss"] - figures["induction"]["repeated_loss"],
        "largest_loss_without_a_block": max(p["loss"] for p in blocks),
        "largest_exam_drop_without_a_block": -min(p["exam"] for p in blocks),
    }
    if heads:
        found["largest_loss_without_a_head"] = max(p["loss"] for p in heads)
        found["largest_exam_drop_without_a_head"] = -min(p["exam"] for p in heads)
    if "added" in figures:
        groups = figures["added"]["groups"]
        found |= {"exam_share_new": groups[NEW]["share"], "exam_share_inserted_blocks": groups[BLOCKS]["share"]}
        found |= {f"stream_{name}": figures["streams"][-1].get(name) for name in ("known", "linear", "control")}
        found |= {"unit_auc": figures["units"]["auc"], "units_matched": figures["units"]["matched"]}
        found["largest_map_error"] = max(place["map_error"] for place in figures["patching"]["places"])
    return {name: value for name, value in found.items() if value is not None}
