"""Analyses the records of the study: final losses, paired differences, and the cost to reach a loss."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.errors import StepError
from components.results import statistics
from components.study import multipliers
from components.study.growth.arms import ARMS, CONTINUED, EQUAL_COST, SCRATCH, meaning
from components.study.growth.record import Record, best_trial
from components.study.levels import over_families_and_seeds, over_seeds
from components.study.statistics import interval, reached, speed_up, verdict

Budget = tuple[str, float | str]  # an arm and a horizon
# What every arm is compared with, and what the two have in common.
RIVALS: dict[Budget, str] = {
    (SCRATCH, 1.0): "scratch, same tokens",
    (SCRATCH, EQUAL_COST): "scratch, also given the small model's FLOPs",
    (CONTINUED, 1.0): "small trained on, same tokens",
    (CONTINUED, EQUAL_COST): "small trained on, same added FLOPs",
}
# What a training run costs: by name, the attribute of its record.
COSTS = {"tokens": "tokens", "FLOPs": "flops", "total FLOPs": "total_flops"}


@dataclass(frozen=True)
class Study:
    """The records of the trials, and of the other training runs by arm, horizon and seed. An arm with a diverged run is
    not compared: a mean over its seeds would be meaningless."""

    trials: list[Record]
    runs: dict[Budget, dict[int, Record]]
    seeds: list[int]
    diverged: list[str]

    @classmethod
    def of(cls, trials: Sequence[Record], runs: Sequence[Record]) -> "Study":
        """Sort the records.

        Raises:
            StepError: a rival is missing or has diverged, or a seed lacks a run that other seeds have.
        """
        diverged = sorted({record.arm for record in runs if record.validation_loss is None})
        if lost := {SCRATCH, CONTINUED} & {*diverged}:
            raise StepError(
                f"a training run of arm {lost.pop()!r} diverged, which all arms are compared with; lower study.rates"
            )
        by_budget: dict[Budget, dict[int, Record]] = {}
        for record in runs:
            if record.arm not in diverged:
                by_budget.setdefault((record.arm, record.horizon), {})[record.seed] = record
        seeds = sorted({record.seed for record in runs})
        for budget in [*RIVALS, *by_budget]:
            arm, horizon = budget
            for seed in seeds:
                if seed not in by_budget.get(budget, {}):
                    raise StepError(
                        f"no training run of arm {arm!r} at horizon {horizon} with seed {seed}; run the study again"
                    )
        return cls(list(trials), by_budget, seeds, diverged)

    @property
    def arms(self) -> list[str]:
        """Names in the order of ARMS."""
        return [name for name in ARMS if (name, 1.0) in self.runs]

    def of_arm(self, arm: str) -> list[float | str]:
        """The horizons of an arm, by rising budget."""
        horizons = [horizon for name, horizon in self.runs if name == arm]
        return sorted(horizons, key=lambda horizon: self.runs[arm, horizon][self.seeds[0]].tokens)

    def losses(self, budget: Budget) -> list[float]:
        """The final loss of each seed."""
        return [self.runs[budget][seed].loss for seed in self.seeds]

    def points(self, budget: Budget, cost: str) -> list[tuple[float, float]]:
        """A cost and the final loss of each seed."""
        return [(getattr(self.runs[budget][seed], cost), self.runs[budget][seed].loss) for seed in self.seeds]

    def accuracies(self, budget: Budget) -> list[float]:
        """The exam accuracy of each seed."""
        return [exam["accuracy"] for exam in self.exams(budget)]

    def exams(self, budget: Budget) -> list[dict[str, Any]]:
        """The exam of each seed."""
        return [{"accuracy": float("nan")} | (self.runs[budget][seed].exam or {}) for seed in self.seeds]


def analyse(study: Study) -> dict[str, Any]:
    """The whole result as JSON."""
    return {
        "seeds": study.seeds,
        "diverged": study.diverged,
        "arms": [describe(study, arm) for arm in study.arms],
        "differences": [row for arm in study.arms for row in differences(study, arm)],
        "multipliers": [row for arm in study.arms for row in multipliers_of(study, arm)],
        "targets": [target(study, horizon) for horizon in study.of_arm(SCRATCH)],
    }


def describe(study: Study, arm: str) -> dict[str, Any]:
    """An arm: the learning rates tried, and the result of each of its budgets."""
    tried = sorted((r for r in study.trials if r.arm == arm), key=lambda r: r.rate)
    best = best_trial(tried, arm)
    first = study.runs[arm, 1.0][study.seeds[0]]
    return {
        "arm": arm,
        "meaning": meaning(arm),
        "parameters": first.parameters,
        "source_flops": interval([study.runs[arm, 1.0][seed].source_flops for seed in study.seeds]).mean,
        "start_loss": interval([study.runs[arm, 1.0][seed].curve["loss"][0] for seed in study.seeds]).record(),
        "learning_rate": best.learning_rate,
        "trials": [{"learning_rate": r.learning_rate, "validation_loss": r.validation_loss} for r in tried],
        # The best rate may lie beyond those tried.
        "at_the_edge": len(tried) > 1 and best in (tried[0], tried[-1]),
        "budgets": [budget_of(study, (arm, horizon)) for horizon in study.of_arm(arm)],
    }


def budget_of(study: Study, budget: Budget) -> dict[str, Any]:
    """One budget of an arm: its cost, and loss and exam accuracy over the seeds."""
    first = study.runs[budget][study.seeds[0]]
    return {
        "horizon": budget[1],
        "tokens": first.tokens,
        "flops": first.flops,
        "total_flops": first.total_flops,
        "validation_loss": interval(study.losses(budget)).record(),
        "by_seed": study.losses(budget),
        "exam_accuracy": interval(study.accuracies(budget)).record(),
        "capacity": capacity([study.runs[budget][seed].capacity for seed in study.seeds]),
    }


def capacity(seeds: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """What the entries that growth added carry, over the seeds; None if a seed's model was not grown.

    `damage_stderr` is paired over the held-out sequences, and the interval of `damage` over the seeds.
    """
    known = statistics.all_or_none(seeds)
    if known is None:
        return None
    over = {name: interval([seed[name] for seed in known]).record() for name in ("gain", "share", "damage")}
    parts = [statistics.Estimate(seed["damage"], seed["damage_stderr"], 1) for seed in known]
    return over | {"damage_stderr": statistics.macro(parts).stderr}


def multipliers_of(study: Study, arm: str) -> Iterator[dict[str, Any]]:
    """What scratch and the small model trained on would have to spend to reach the arm's loss, over what it spent."""
    for rival in (name for name in (SCRATCH, CONTINUED) if name != arm):
        for name, cost in COSTS.items():
            budgets = zip(*(study.points((rival, horizon), cost) for horizon in study.of_arm(rival)), strict=True)
            found = multipliers.multiplier(list(budgets), study.points((arm, 1.0), cost))
            yield multipliers.row(arm, rival, name, found)


def differences(study: Study, arm: str) -> list[dict[str, Any]]:
    """An arm after its whole budget minus each rival, seed by seed; below 0 the arm has the lower loss."""
    rows, whole = [], (arm, 1.0)
    for rival, name in RIVALS.items():
        if rival != whole:
            loss, of_loss = over_seeds(study.losses(whole), study.losses(rival))
            exam, of_exam = over_families_and_seeds(study.exams(whole), study.exams(rival))
            row: dict[str, Any] = {"arm": arm, "against": name}
            row |= {"validation_loss": loss.record() | of_loss, "exam_accuracy": exam.record() | of_exam}
            rows.append(row | {"loss_verdict": verdict(loss, -1), "exam_verdict": verdict(exam, 1)})
    return rows


def target(study: Study, horizon: float | str) -> dict[str, Any]:
    """Scratch's final loss after one of its budgets, and the cost of each arm to reach it."""
    scratch = study.runs[SCRATCH, horizon]
    return {
        "horizon": horizon,
        "tokens": scratch[study.seeds[0]].tokens,
        "validation_loss": interval(study.losses((SCRATCH, horizon))).record(),
        "arms": [paid(study, arm, horizon) for arm in study.arms if arm != SCRATCH],
    }


def paid(study: Study, arm: str, horizon: float | str) -> dict[str, Any]:
    """Tokens and FLOPs of an arm to reach scratch's loss: the share of scratch's tokens, and the speed-up counted twice.

    `sunk` counts the arm's own training; `inclusive` the small model's as well. Means over the seeds; None unless all
    seeds reach the loss.
    """
    shares, sunk, inclusive, how = [], [], [], []
    for seed in study.seeds:
        scratch = study.runs[SCRATCH, horizon][seed]
        records = [study.runs[arm, h][seed] for h in study.of_arm(arm)]
        start, source = records[-1].curve["loss"][0], records[-1].source_flops
        tokens = reached([(r.tokens, r.loss) for r in records], start, scratch.loss)
        flops = reached([(r.flops, r.loss) for r in records], start, scratch.loss)
        how.append(tokens.how)
        shares.append(None if tokens.cost is None else tokens.cost / scratch.tokens)
        sunk.append(None if flops.cost is None else speed_up(scratch.flops, flops.cost))
        inclusive.append(None if flops.cost is None else speed_up(scratch.flops, flops.cost + source))
    return {
        "arm": arm,
        "how": how,
        "share_of_tokens": _mean(shares),
        "speed_up_sunk": _mean(sunk),
        "speed_up_inclusive": _mean(inclusive),
    }


def _mean(values: Sequence[float | None]) -> dict[str, Any] | None:
    known = [value for value in values if value is not None]
    return interval(known).record() if len(known) == len(values) else None
