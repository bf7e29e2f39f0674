"""Error rates of `phiforge try` by simulation: false discoveries, misses, seeds, and the share of false discoveries in projects.

    python -m bench.tries [--repeats 4000]

Differences over seeds are drawn, judged as in a try (`components.trials`), one seed after the other. Effects are in
standard deviations of a paired difference. Projects share the baseline's runs between all tries, as real ones do.
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bench.common import Report, machine, parser
from components.trials.budget import RATE, level
from components.trials.sequential import BETTER, HOPELESS, HOPELESS_NOW, MORE, Plan, judge

Draw = Callable[[np.random.Generator, int], np.ndarray]
SHAPES: dict[str, Draw] = {  # mean 0, standard deviation 1
    "normal": lambda rng, n: rng.standard_normal(n),
    "uniform": lambda rng, n: rng.uniform(-np.sqrt(3), np.sqrt(3), n),
    "heavy tails (t, 3)": lambda rng, n: rng.standard_t(3, n) / np.sqrt(3),
    "skewed (exponential)": lambda rng, n: 1 - rng.exponential(1, n),
    "skewed the other way": lambda rng, n: rng.exponential(1, n) - 1,
}
MOST = 12


class Rates(NamedTuple):
    better: float
    hopeless: float
    seeds: float


def rates(plan: Plan, effect: float, draw: Draw, repeats: int, seed: int = 1) -> Rates:
    """The shares of tries that end as better and as hopeless, and the mean number of seeds."""
    rng = np.random.default_rng(seed)
    outcomes, seeds = [], 0
    for _ in range(repeats):
        outcome, count = run(plan, (effect + draw(rng, plan.most)).tolist())
        outcomes.append(outcome)
        seeds += count
    return Rates(outcomes.count(BETTER) / repeats, outcomes.count(HOPELESS_NOW) / repeats, seeds / repeats)


def run(plan: Plan, differences: list[float]) -> tuple[str, int]:
    """The outcome of one try, and the number of seeds that it bought."""
    for count in range(2, plan.most + 1):
        found = judge(differences[:count], plan)
        if found.outcome != MORE:
            break
    return found.outcome, found.seeds


def project(rng: np.random.Generator, tries: int, true_share: float, effect: float) -> tuple[int, int, int]:
    """A project whose tries share the baseline's noise: false and all discoveries, and the number of true improvements."""
    baseline = rng.standard_normal(MOST)
    false = found = real = 0
    for number in range(tries):
        good = rng.random() < true_share
        real += good
        ours = rng.standard_normal(MOST) + (effect * np.sqrt(2) if good else 0)
        plan = Plan(level(number, found), 0.5 * effect * np.sqrt(2), MOST)
        outcome, _ = run(plan, (ours - baseline).tolist())
        found += outcome == BETTER
        false += outcome == BETTER and not good
    return false, found, real


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=4000, help="simulated tries per row")
    options.add_argument("--projects", type=int, default=200, help="simulated projects per row")
    arguments = options.parse_args()
    report = Report("Error rates of tries", machine() | {"repeats": arguments.repeats})
    for asked in (0.05, level(0, 0), level(4, 0)):
        rows = []
        for name, draw in SHAPES.items():
            found = rates(Plan(asked, 1.0, MOST), 0.0, draw, arguments.repeats)
            at_least = rates(Plan(asked, 1.0, MOST), 1.0, draw, arguments.repeats)
            rows.append([name, f"{found.better:.4f}", f"{at_least.hopeless:.4f}", f"{found.seeds:.1f}"])
        columns = [
            "differences",
            f"called better, no effect (at most {asked:.4f})",
            f"called hopeless, smallest effect (at most {HOPELESS})",
            "seeds, no effect",
        ]
        report.table(
            f"Errors at level {asked:.4f}, up to {MOST} seeds, smallest difference of interest 1 sd", columns, rows
        )
    rows = []
    for effect in (1.0, 1.5, 2.0, 3.0, 5.0):
        cells = [
            rates(Plan(asked, 1.0, MOST), effect, SHAPES["normal"], arguments.repeats // 4)
            for asked in (0.05, level(0, 0), level(4, 0), level(19, 1))
        ]
        rows.append([f"{effect:g} sd", *(f"{100 * cell.better:.0f}% in {cell.seeds:.1f}" for cell in cells)])
    columns = ["true effect", "level 0.05", "first try", "fifth try", "twentieth, one found"]
    report.table("Improvements found, and seeds bought", columns, rows)
    rows = []
    for true_share in (0.0, 0.1, 0.3):
        rng = np.random.default_rng(7)
        outcomes = [project(rng, 30, true_share, 3.0) for _ in range(arguments.projects)]
        rate = np.mean([false / max(1, found) for false, found, _ in outcomes])
        power = sum(found - false for false, found, _ in outcomes) / max(1, sum(real for *_, real in outcomes))
        rows.append([f"{100 * true_share:.0f}%", f"{rate:.4f}", f"{100 * power:.0f}%"])
    report.table(
        f"Projects of 30 tries with one baseline, improvements of 3 sd (share of false discoveries at most {RATE})",
        ["tries with a true improvement", "mean share of false discoveries", "improvements found"],
        rows,
    )
    return report.finish(arguments)


if __name__ == "__main__":
    sys.exit(main())
