"""The study's result as tables and sentences."""

from collections.abc import Mapping
from typing import Any

from components.results.power import power_words
from components.results.tables import Table, escape_markdown
from components.study import multipliers
from components.study.growth.analysis import RIVALS
from components.study.growth.arms import CONTINUED, EQUAL_COST, SCRATCH
from components.study.levels import LEVELS
from components.study.pages import Text, left_out, with_interval

ACCOUNTS = "FLOPs are those of the arm's and the baseline's own training; total FLOPs include the small model's where it is used."
COMPARED = {
    "better": "lower loss than",
    "worse": "higher loss than",
    "not distinguishable": "not distinguishable from",
}


def text_of(result: Mapping[str, Any]) -> Text:
    return Text(
        "Growth study",
        "Growth study: what a small model's knowledge is worth to a larger one",
        sentences(result),
        [
            losses(result),
            differences(result, "validation_loss", "loss", "below", 4),
            multipliers.table(result["multipliers"], ACCOUNTS),
            costs(result),
            capacity(result),
            differences(result, "exam_accuracy", "exam accuracy", "above", 3),
            rates(result),
        ],
        "Validation loss of each arm against training tokens and against FLOPs",
        "Means over the seeds. Each line is one training run to the end of its decay; dashed lines are distilled from the "
        "small model at first.",
    )


def sentences(result: Mapping[str, Any]) -> list[str]:
    """One sentence per arm: the rivals that it beats, loses to, or cannot be distinguished from."""
    lines = []
    for arm in [a["arm"] for a in result["arms"] if a["arm"] not in (SCRATCH, CONTINUED)]:
        rivals = {
            words: [r["against"] for r in result["differences"] if (r["arm"], r["loss_verdict"]) == (arm, verdict)]
            for verdict, words in COMPARED.items()
        }
        parts = [f"{words} {escape_markdown('; '.join(names))}" for words, names in rivals.items() if names]
        parts += [
            f"{against} would need {multipliers.said(entry)} times as many {entry['cost']} for this loss"
            for against, cost in ((SCRATCH, "total FLOPs"), (CONTINUED, "FLOPs"))
            for entry in result["multipliers"]
            if (entry["arm"], entry["against"], entry["cost"]) == (arm, against, cost) and entry["factor"] is not None
        ]
        lines.append(f"**{escape_markdown(arm)}**: {'. '.join(part[0].upper() + part[1:] for part in parts)}.")
    return lines + left_out(result["diverged"])


def losses(result: Mapping[str, Any]) -> Table:
    rows = [
        [
            arm["arm"],
            "equal cost" if budget["horizon"] == EQUAL_COST else f"{budget['horizon']:g}",
            f"{arm['parameters']:,}",
            f"{budget['tokens']:,}",
            f"{budget['flops']:.3g}",
            f"{budget['total_flops']:.3g}",
            with_interval(budget["validation_loss"], 4),
            with_interval(budget["exam_accuracy"], 3),
        ]
        for arm in result["arms"]
        for budget in arm["budgets"]
    ]
    note = (
        f"Means over seeds {', '.join(map(str, result['seeds']))} ± half of the 95% confidence interval (Student's t). Loss: "
        "nats per token on held-out text, after the decay. Total FLOPs include the small model's where it is used."
    )
    header = ["arm", "horizon", "parameters", "tokens", "FLOPs", "total FLOPs", "loss", "exam"]
    return Table("Loss and cost", note, header, rows)


def differences(result: Mapping[str, Any], metric: str, name: str, better: str, digits: int) -> Table:
    """An arm minus each rival, paired by seed; it is better `above` or `below` 0."""
    values = {(row["arm"], row["against"]): row[metric] for row in result["differences"]}
    rows = [
        [
            arm["arm"],
            *(
                _difference(values[arm["arm"], rival], digits) if (arm["arm"], rival) in values else "-"
                for rival in RIVALS.values()
            ),
        ]
        for arm in result["arms"]
    ]
    note = f"The arm's {name} minus the rival's, seed by seed, ± half of the 95% interval of the difference; {better} 0 the arm is better. {LEVELS}"
    return Table(f"Paired differences in {name}", note, ["arm minus", *RIVALS.values()], rows)


def _difference(row: Mapping[str, Any], digits: int) -> str:
    """A difference with its interval, and what the data detects."""
    return with_interval(row, digits, sign=True) + ("" if row["low"] is None else power_words(row, digits))


def costs(result: Mapping[str, Any]) -> Table:
    rows = [
        [
            arm["arm"],
            f"{target['validation_loss']['mean']:.4f}",
            f"{target['tokens']:,}",
            _share(arm),
            _speed_up(arm, "speed_up_sunk"),
            _speed_up(arm, "speed_up_inclusive"),
        ]
        for target in result["targets"]
        for arm in target["arms"]
    ]
    note = (
        "Cost to reach the loss that scratch has at the end of each of its budgets. A share of 0% means that the arm starts "
        "below that loss; ≤ marks the smallest budget trained. Speed-up is scratch's FLOPs divided by the arm's, minus one: "
        "sunk counts the arm's training only, inclusive also the small model's; below 0 the arm costs more."
    )
    header = ["arm", "target loss", "scratch's tokens", "share of them", "speed-up, sunk", "speed-up, inclusive"]
    return Table("Cost to scratch's loss", note, header, rows)


def capacity(result: Mapping[str, Any]) -> Table:
    rows = [
        [
            arm["arm"],
            f"{budget['tokens']:,}",
            with_interval(budget["validation_loss"], 4),
            with_interval(found["gain"], 4),
            with_interval(found["share"], 2),
            with_interval(found["damage"], 4),
            "-" if found["damage_stderr"] is None else f"{found['damage_stderr']:.4f}",
        ]
        for arm in result["arms"]
        for budget in arm["budgets"]
        if (found := budget["capacity"])
    ]
    note = (
        "With the entries that growth added set back to where training began, the loss rises by the damage: their share of "
        "the gain. The standard error is of the paired difference over the held-out sequences, and the intervals are over "
        "the seeds. A share says nothing about whether a model is good, so read it beside the loss."
    )
    header = ["arm", "tokens", "loss", "gain of training", "share of new entries", "damage", "standard error"]
    return Table("What the added entries carry", note, header, rows)


def rates(result: Mapping[str, Any]) -> Table:
    rows = []
    for arm in result["arms"]:
        tried = ", ".join(
            f"{t['learning_rate']:g}: "
            + ("diverged" if t["validation_loss"] is None else f"{t['validation_loss']:.4f}")
            for t in arm["trials"]
        )
        rows.append([arm["arm"], tried, f"{arm['learning_rate']:g}" + (" (edge)" if arm["at_the_edge"] else "")])
    note = "Each arm's own sweep, with the first seed and the whole budget. At the edge of the sweep, a better rate may lie beyond."
    return Table("Learning rates", note, ["arm", "loss at each", "chosen"], rows)


def _share(arm: Mapping[str, Any]) -> str:
    if arm["share_of_tokens"] is None:
        return f"not reached ({arm['how'].count('not reached')} of {len(arm['how'])} seeds)"
    return ("≤ " if "at most" in arm["how"] else "") + f"{arm['share_of_tokens']['mean']:.0%}"


def _speed_up(arm: Mapping[str, Any], account: str) -> str:
    if arm[account] is None:
        starts = arm["how"].count("start")
        if not starts or account != "speed_up_sunk":
            return "-"
        return "at once" if starts == len(arm["how"]) else f"at once in {starts} of {len(arm['how'])} seeds"
    return ("≥ " if "at most" in arm["how"] else "") + f"{arm[account]['mean']:+.0%}"
