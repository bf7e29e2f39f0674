"""Compute multipliers: what a baseline would have to spend to reach an arm's loss, divided by what the arm spent.

The loss of an arm is found among the final losses of the baseline's own training runs, each to the end of its decay, seed
by seed: interpolated between two budgets (`statistics.reached`), and beyond them nothing is extrapolated, and the factor is
a bound. The interval is Student's t over the seeds, of the logarithm of the factor.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components.results.tables import Table
from components.study.statistics import interval, reached

FIELDS = ("arm", "against", "cost", "factor", "low", "high", "bound", "n")
SIGNS = {"": "", "at least": "≥ ", "at most": "≤ "}
NOTE = (
    "What the baseline would have to spend to reach the arm's loss, divided by what the arm spent, with the 95% interval "
    "(Student's t over the seeds, of the logarithm); above 1 the arm is the better use of it. The baseline's loss is "
    "interpolated in the logarithm of the cost between its decayed budgets and never extrapolated: ≥ and ≤ mark a loss "
    "beyond them."
)


@dataclass(frozen=True)
class Multiplier:
    """The baseline's cost at equal loss over the arm's.

    Attributes:
        factor: geometric mean over the seeds; None if some seeds lie above the baseline's budgets and others below.
        low, high: its 95% interval; None for a single seed, or if `factor` is a bound.
        bound: `at least` or `at most` if the loss of a seed lies beyond the baseline's budgets, else empty.
        n: number of seeds.
    """

    factor: float | None
    low: float | None
    high: float | None
    bound: str
    n: int

    def __str__(self) -> str:
        if self.factor is None:
            return "-"
        text = f"{SIGNS[self.bound]}{self.factor:.2f}"
        return text if self.low is None else f"{text} ({self.low:.2f} to {self.high:.2f})"


def multiplier(baseline: Sequence[Sequence[tuple[float, float]]], arm: Sequence[tuple[float, float]]) -> Multiplier:
    """The multiplier of an arm.

    Args:
        baseline: for each seed, (cost, final loss) of each training run by rising cost.
        arm: for each seed, (cost, final loss) of the arm.
    """
    logarithms, bounds = [], set()
    for budgets, (cost, loss) in zip(baseline, arm, strict=True):
        found = reached(budgets, math.inf, loss)
        bounds.add({"not reached": "at least", "at most": "at most", "between": ""}[found.how])
        logarithms.append(math.log((budgets[-1][0] if found.cost is None else found.cost) / cost))
    if len(beyond := bounds - {""}) > 1:
        return Multiplier(None, None, None, "", len(logarithms))
    over = interval(logarithms)
    low, high = (None if beyond or end is None else math.exp(end) for end in (over.low, over.high))
    return Multiplier(math.exp(over.mean), low, high, "".join(beyond), over.n)


def row(arm: str, against: str, cost: str, found: Multiplier) -> dict[str, Any]:
    """A multiplier as an entry of `multipliers` in a study's result."""
    return {"arm": arm, "against": against, "cost": cost, **asdict(found)}


def said(entry: Mapping[str, Any]) -> str:
    """An entry in a table: `1.35 (1.20 to 1.52)`, `≥ 1.85`."""
    return str(Multiplier(**{name: entry[name] for name in FIELDS[3:]}))


def table(rows: Sequence[Mapping[str, Any]], note: str) -> Table:
    """The multipliers of a study: a line per arm and baseline, a column per kind of cost."""
    costs = list(dict.fromkeys(entry["cost"] for entry in rows))
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for entry in rows:
        lines.setdefault((entry["arm"], entry["against"]), {})[entry["cost"]] = said(entry)
    cells = [[*pair, *(found.get(cost, "-") for cost in costs)] for pair, found in lines.items()]
    return Table("Compute multipliers", f"{NOTE} {note}", ["arm", "baseline", *costs], cells)


def metrics(rows: Sequence[Mapping[str, Any]], arm: str) -> dict[str, Any]:
    """The multipliers of an arm for MLflow, by name; that of a bound says so."""
    found: dict[str, Any] = {}
    for entry in (entry for entry in rows if entry["arm"] == arm):
        name = "_".join(f"{entry['cost']} against {entry['against']} {entry['bound']}".split())
        found[name] = entry["factor"]
        found |= {f"{name}_{end}": entry[end] for end in ("low", "high") if entry[end] is not None}
    return {"multiplier": found} if found else {}
