"""What components.interpretation found inside the larger model, as tables and a chart."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.reporting.checks import mapping, read_object
from components.results.figures import BLUE, GREY, RUST, save
from components.results.tables import Table

FORMAT_VERSION = 1
GROUPS = ("new", "copied", "inserted_blocks", "new_heads", "new_units", "new_width")  # of shares, in reading order
MOST_HEADS = 8  # rows of the table of heads
HARMED = 3  # families named in a row
Inside = Mapping[str, Any]


def read_inside(path: Path, weights: str | None) -> dict[str, Any]:
    """The figures of components.interpretation.

    Args:
        weights: SHA-256 of the weights that the report is on; None if unknown.

    Raises:
        StepError: missing, of another format, or of other weights.
    """
    content = read_object(path)
    if content.get("format_version") != FORMAT_VERSION:
        raise StepError(
            f"{path}: format_version is {content.get('format_version')!r}; expected {FORMAT_VERSION}; run "
            "components.interpretation again"
        )
    opened = mapping(path, content, "model").get("weights_sha256")
    if weights is not None and opened != weights:
        raise StepError(
            f"{path} describes other weights ({str(opened)[:12]}) than the report ({weights[:12]}); run "
            "components.interpretation again"
        )
    return content


def inside_tables(inside: Inside | None) -> list[Table]:
    """Layers, blocks, heads, and what growth added."""
    if inside is None:
        return []
    return [_layers(inside), _blocks(inside), _heads(inside), _added(inside)]


def _layers(inside: Inside) -> Table:
    patches = {row["blocks"]: row for row in inside.get("patching", {}).get("places", ())}
    streams = inside.get("streams", ())
    rows = []
    for place, layer in enumerate(inside["layers"]):
        row = [str(place), f"{layer['logit_lens']:.3f}", f"{layer['tuned_lens']:.3f}"]
        if place in patches:
            row += [f"{patches[place]['small_in_large']:.3f}", f"{patches[place]['large_in_small']:.3f}"]
            row += [_share(streams[place].get(name)) for name in ("known", "linear", "control")]
        rows.append(row)
    note = (
        f"On {inside['held_out_tokens']:,} held-out tokens. Lenses: loss in nats per token of what the stream after so many "
        "blocks predicts, read by the final norm and head as it is, or after an affine map fitted on other text."
    )
    header = ["blocks", "logit lens", "tuned lens"]
    if patches:
        header += ["small in large", "large in small", "growth's map", "best map", "control"]
        note += (
            " Patched: the loss when one model's stream there replaces the other's, carried over by growth's map; whole, the "
            f"small model has {inside['patching']['small']:.3f} and the large one {inside['patching']['large']:.3f}. Maps: the "
            "share of the stream's variance that follows from the small model's by growth's own map and by the best affine "
            "one; control: of the control's stream, by the best one."
        )
    return Table("Inside: layer by layer", note, header, rows)


def _blocks(inside: Inside) -> Table:
    found = inside["ablation"]
    parts = [part for part in found["parts"] if part["head"] is None]
    rows = [[_name(part), *_changes(part), _harmed(part)] for part in parts]
    note = (
        "Each block switched off alone, so that it passes its input on. Loss: the change in nats per token. Exam: the "
        f"change of the probability of the right answer among the choices, {found['exam']:.3f} for the whole model, over "
        f"{inside['questions']} questions; families have equal weight. ± one standard error."
    )
    return Table("Inside: without a block", note, ["block", "loss", "exam", "families most harmed"], rows)


def _heads(inside: Inside) -> Table:
    parts = [part for part in inside["ablation"]["parts"] if part["head"] is not None]
    copying = inside["induction"]["heads"]
    parts = sorted(parts, key=lambda part: -part["loss"])[:MOST_HEADS]
    rows = [
        [_name(part), *_changes(part), f"{copying[part['block']][part['head']]:.3f}", _harmed(part)] for part in parts
    ]
    induction = inside["induction"]
    note = (
        f"The {len(parts)} heads without which the loss rises most. Induction: attention to the token after the first "
        f"occurrence, on repeated random tokens, whose loss goes from {induction['first_loss']:.2f} to "
        f"{induction['repeated_loss']:.2f} nats per token at the repetition."
    )
    return Table("Inside: without a head", note, ["head", "loss", "exam", "induction", "families most harmed"], rows)


def _added(inside: Inside) -> Table:
    found = inside.get("added")
    groups = found["groups"] if found else {}
    rows = [
        [
            name.replace("_", " "),
            f"{group['entries']:,}",
            _estimate(group["damage"]),
            _share(group["share"]),
        ]
        for name in GROUPS
        if (group := groups.get(name))
    ]
    note = (
        "Entries set back to their values at the end of growth. Damage: the rise in bits per byte of the right answers "
        f"over {inside['questions']} questions ± one standard error"
        + (f"; the whole gain of training is {_estimate(found['gain'])}" if found else "")
        + ". Share: damage divided by gain, where the gain's 95% interval is above 0."
    )
    return Table(
        "Inside: what growth added carries in the exam, by place", note, ["entries", "number", "damage", "share"], rows
    )


def draw_inside(inside: Inside, path: Path) -> None:
    """Write a chart as PNG: the loss at each layer, and what each block does for each family of the exam."""

    def panels(axes: Any) -> None:
        _draw_layers(axes[0], inside)
        _draw_families(axes[1], inside)

    save(path, 2, panels, shared=False)


def _draw_layers(axes: Any, inside: Inside) -> None:
    layers = inside["layers"]
    lines = {
        "logit lens": ([layer["logit_lens"] for layer in layers], RUST),
        "tuned lens": ([layer["tuned_lens"] for layer in layers], BLUE),
    }
    if patching := inside.get("patching"):
        lines["small's stream, then large"] = ([place["small_in_large"] for place in patching["places"]], GREY)
    for name, (values, (colour, marker)) in lines.items():
        axes.plot(range(len(values)), values, color=colour, marker=marker, markersize=4, linewidth=1.8, label=name)
    axes.set_xticks(range(0, len(layers), max(1, len(layers) // 12)))
    axes.set_xlabel("blocks before the reading")
    axes.set_ylabel("held-out loss (nats per token)")
    axes.legend(frameon=False)


def _draw_families(axes: Any, inside: Inside) -> None:
    parts = [part for part in inside["ablation"]["parts"] if part["head"] is None]
    families = list(parts[0]["families"])
    values = [[part["families"][family] for part in parts] for family in families]
    image = axes.imshow(values, cmap="RdBu", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    axes.grid(visible=False)
    axes.set_yticks(range(len(families)), families, fontsize=max(4, min(9, 180 / len(families))))
    axes.set_xticks(range(len(parts)), [_name(part) for part in parts], fontsize=8 if len(parts) <= 8 else 5)
    axes.set_xlabel("block switched off")
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.9)
    bar.set_label("change of the right answer's probability")


def _name(part: Mapping[str, Any]) -> str:
    name = f"{part['block']}" if part["head"] is None else f"{part['block']}.{part['head']}"
    return f"{name} (new)" if part.get("inserted") else name


def _changes(part: Mapping[str, Any]) -> list[str]:
    return [_with_error(part[key], part[f"{key}_stderr"]) for key in ("loss", "exam")]


def _harmed(part: Mapping[str, Any]) -> str:
    """The families that lose most, if one loses at least a twentieth."""
    worst = sorted(part["families"].items(), key=lambda item: item[1])[:HARMED]
    return ", ".join(f"{family} {change:+.2f}" for family, change in worst if change <= -0.05) or "-"


def _estimate(estimate: Mapping[str, Any]) -> str:
    return _with_error(estimate["value"], estimate["stderr"])


def _with_error(value: float, stderr: float | None) -> str:
    return f"{value:+.4f}" + ("" if stderr is None else f" ± {stderr:.4f}")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
