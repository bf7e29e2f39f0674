"""The study's result as tables of text, and in sentences."""

from collections.abc import Mapping
from typing import Any

from components.results.tables import escape_markdown
from components.study.growth.analysis import RIVALS
from components.study.growth.arms import CONTINUED, EQUAL_COST, SCRATCH
from components.study.pages import Table, Text, with_interval

HORIZONS = {EQUAL_COST: "equal cost"}


def text_of(result: Mapping[str, Any]) -> Text:
    return Text(
        "Growth study",
        "Growth study: what a small model's knowledge is worth to a larger one",
        sentences(result),
        tables(result),
        "Validation loss of each arm against training tokens and against FLOPs",
        "Means over the seeds. Each line is one training to the end of its decay; what follows the small model at first is "
        "dashed.",
    )


def tables(result: Mapping[str, Any]) -> list[Table]:
    """`title`, `note`, `header`, `rows` of each table."""
    return [
        losses(result),
        differences(result, "validation_loss"),
        costs(result),
        differences(result, "exam_accuracy"),
        rates(result),
    ]


def sentences(result: Mapping[str, Any]) -> list[str]:
    """What the study shows, and where growth loses, a sentence each."""
    said = []
    for arm in [a["arm"] for a in result["arms"] if a["arm"] not in (SCRATCH, CONTINUED)]:
        rows = [row for row in result["differences"] if row["arm"] == arm]
        by_verdict = {
            v: [r["against"] for r in rows if r["loss_verdict"] == v]
            for v in ("better", "worse", "not distinguishable")
        }
        words = {
            "better": "lower loss than",
            "worse": "higher loss than",
            "not distinguishable": "not distinguishable from",
        }
        parts = [f"{words[v]} {escape_markdown('; '.join(names))}" for v, names in by_verdict.items() if names]
        said.append(f"- **{escape_markdown(arm)}**: {'. '.join(part[0].upper() + part[1:] for part in parts)}.")
    if result["diverged"]:
        said.append(f"- Diverged, and so left out: {escape_markdown(', '.join(result['diverged']))}.")
    return ["\n".join(said)]


def losses(result: Mapping[str, Any]) -> Table:
    rows = []
    for arm in result["arms"]:
        for budget in arm["budgets"]:
            rows.append(
                [
                    arm["arm"],
                    HORIZONS.get(
                        budget["horizon"], f"{budget['horizon']:g}" if isinstance(budget["horizon"], float) else ""
                    ),
                    f"{arm['parameters']:,}",
                    f"{budget['tokens']:,}",
                    f"{budget['flops']:.3g}",
                    f"{budget['total_flops']:.3g}",
                    with_interval(budget["validation_loss"], 4),
                    with_interval(budget["exam_accuracy"], 3),
                ]
            )
    note = (
        f"Means over seeds {', '.join(map(str, result['seeds']))} ± half of the 95% confidence interval (Student's t). Loss: "
        "held out, nats per token, after the decay. Total FLOPs include the small model where it is used."
    )
    header = ["arm", "horizon", "parameters", "tokens", "FLOPs", "FLOPs in all", "loss", "exam"]
    return {"title": "Loss and cost", "note": note, "header": header, "rows": rows}


def differences(result: Mapping[str, Any], figure: str) -> Table:
    """An arm minus each rival, paired by seed."""
    digits = 4 if figure == "validation_loss" else 3
    found = {(row["arm"], row["against"]): row[figure] for row in result["differences"]}
    names = list(RIVALS.values())
    rows = [
        [
            arm["arm"],
            *(
                with_interval(found[arm["arm"], name], digits, sign=True) if (arm["arm"], name) in found else "-"
                for name in names
            ),
        ]
        for arm in result["arms"]
    ]
    what, better = ("loss", "below") if figure == "validation_loss" else ("exam accuracy", "above")
    note = f"The arm's {what} minus the rival's, seed by seed, ± half of the 95% interval of the difference; {better} 0 the arm is better."
    return {"title": f"Paired differences in {what}", "note": note, "header": ["arm minus", *names], "rows": rows}


def costs(result: Mapping[str, Any]) -> Table:
    rows = []
    for target in result["targets"]:
        for arm in target["arms"]:
            rows.append(
                [
                    arm["arm"],
                    f"{target['validation_loss']['mean']:.4f}",
                    f"{target['tokens']:,}",
                    _share(arm),
                    _speed_up(arm, "speed_up_sunk"),
                    _speed_up(arm, "speed_up_inclusive"),
                ]
            )
    note = (
        "To the loss that scratch has at the end of each of its budgets. A share of 0% is a start that is there already; ≤ "
        "is the smallest budget trained. Speed-up is scratch's FLOPs over the arm's, less one: sunk counts the arm's "
        "training, inclusive the small model's as well; below 0 the arm is dearer."
    )
    header = ["arm", "target loss", "scratch's tokens", "share of them", "speed-up, sunk", "speed-up, inclusive"]
    return {"title": "Cost to scratch's loss", "note": note, "header": header, "rows": rows}


def rates(result: Mapping[str, Any]) -> Table:
    rows = []
    for arm in result["arms"]:
        tried = ", ".join(
            f"{t['learning_rate']:g}: "
            + ("diverged" if t["validation_loss"] is None else f"{t['validation_loss']:.4f}")
            for t in arm["trials"]
        )
        rows.append([arm["arm"], tried, f"{arm['learning_rate']:g}" + (" (edge)" if arm["at_the_edge"] else "")])
    note = "Each arm's own sweep, with the first seed and the whole budget. At the edge of the sweep a better one may lie beyond."
    return {"title": "Learning rates", "note": note, "header": ["arm", "loss at each", "taken"], "rows": rows}


def _share(arm: Mapping[str, Any]) -> str:
    if arm["share_of_tokens"] is None:
        short = sum(how == "not reached" for how in arm["how"])
        return f"not reached ({short} of {len(arm['how'])} seeds)"
    return ("≤ " if "at most" in arm["how"] else "") + f"{arm['share_of_tokens']['mean']:.0%}"


def _speed_up(arm: Mapping[str, Any], account: str) -> str:
    if arm[account] is None:
        starts = arm["how"].count("start")
        if not starts or account != "speed_up_sunk":
            return "-"
        return "at once" if starts == len(arm["how"]) else f"at once in {starts} of {len(arm['how'])} seeds"
    return ("≥ " if "at most" in arm["how"] else "") + f"{arm[account]['mean']:+.0%}"
