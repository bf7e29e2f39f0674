"""Fits a form to measured runs: losses and paired differences together, robustly, with a bootstrap over cells."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.errors import StepError
from components.study.growth.law.form import MOST, Array, Form, Setting
from components.study.growth.law.runs import Measured

LOSS_SCALE, PAIR_SCALE = 0.03, 0.015  # nats: errors that weigh 1
STARTS, SPREAD = 8, 0.5  # starts of a fit, and the standard deviation of their logarithms
LOWEST = 1e-4
DRAWS = 60  # fits of the bootstrap
COVERED = 0.9


@dataclass(frozen=True)
class Fitted:
    """A fitted form.

    Attributes:
        best: coefficients of the fit to all runs.
        draws: coefficients of the fits to resampled cells, one row each.
        loss_noise: root mean square error of losses in cells that a fit has not seen; of paired differences, `pair_noise`.
    """

    form: Form
    best: Array
    draws: Array
    loss_noise: float
    pair_noise: float

    def losses(self, setting: Setting) -> Array:
        return self.form.of(self.best, setting)

    def drawn(self, setting: Setting) -> Array:
        """Losses by the coefficients of each draw, one row each."""
        return np.stack([self.form.of(draw, setting) for draw in self.draws])

    def record(self) -> dict[str, Any]:
        """The coefficients with their 90% intervals."""
        low, high = interval(self.draws)
        return {
            name: {"value": float(value), "low": float(a), "high": float(b)}
            for name, value, a, b in zip(self.form.first, self.best, low, high, strict=True)
        }


def interval(draws: Array, noise: float = 0.0) -> tuple[Array, Array]:
    """The central COVERED interval over draws (first axis), with measurement noise added."""
    tails = (1 - COVERED) / 2
    if noise:
        rng = np.random.default_rng(0)
        shifts = noise * rng.standard_normal((50, *draws.shape))
        draws = (draws + shifts).reshape(-1, *draws.shape[1:])
    return np.quantile(draws, tails, axis=0), np.quantile(draws, 1 - tails, axis=0)


def fit(form: Form, measured: Measured, draws: int = DRAWS, seed: int = 0) -> Fitted:
    """Fit a form, and again to cells drawn with replacement.

    Raises:
        StepError: there are fewer runs than coefficients.
    """
    if len(measured.runs) <= len(form.first):
        raise StepError(
            f"{len(measured.runs)} finished training runs are too few for the {len(form.first)} coefficients of {form.name}; "
            "train more of the grid"
        )
    rng = np.random.default_rng(seed)
    first = np.log([form.first[name] for name in form.first])
    ones = np.ones(len(measured.runs))
    starts = [first, *(first + SPREAD * rng.standard_normal((STARTS - 1, len(first))))]
    best = min((_solve(form, measured, start, ones) for start in starts), key=lambda found: found[1])[0]
    groups = np.unique([repr(run.group) for run in measured.runs], return_inverse=True)[1]
    drawn = []
    for _ in range(draws):
        counts = np.bincount(rng.integers(groups.max() + 1, size=groups.max() + 1), minlength=groups.max() + 1)
        drawn.append(_solve(form, measured, best, counts[groups].astype(float))[0])
    losses, pairs = _left_out(form, measured, best, groups)
    noise = [float(np.sqrt(np.mean(errors**2))) if len(errors) else 0.0 for errors in (losses, pairs)]
    return Fitted(form, np.exp(best), np.exp(np.array(drawn)).reshape(draws, -1), *noise)


def _left_out(form: Form, measured: Measured, best: Array, groups: NDArray[np.intp]) -> tuple[Array, Array]:
    """Errors of the losses and of the paired differences of each cell, by a fit to the other cells."""
    losses, pairs = np.zeros(len(groups)), np.zeros(len(measured.pairs))
    grown = np.array([groups[grown] for grown, _ in measured.pairs], dtype=int)
    for cell in range(groups.max() + 1):
        found, _ = _solve(form, measured, best, (groups != cell).astype(float))
        errors = form.of(np.exp(found), measured.settings) - measured.losses
        losses[groups == cell] = errors[groups == cell]
        pairs[grown == cell] = measured.differences(errors)[grown == cell]
    return losses, pairs


def _solve(form: Form, measured: Measured, start: Array, weights: Array) -> tuple[Array, float]:
    """Logarithms of the coefficients from one start, and the cost."""
    setting, losses = measured.settings, measured.losses
    pairs = np.array(measured.pairs, dtype=int).reshape(-1, 2)
    of_pairs = np.sqrt(weights[pairs[:, 0]]) / PAIR_SCALE
    of_losses = np.sqrt(weights) / LOSS_SCALE
    lower = np.full(len(start), np.log(LOWEST))
    upper = np.log([form.most.get(name, MOST) for name in form.first])

    def errors(logarithms: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            off = form.of(np.exp(logarithms), setting) - losses
        off = np.nan_to_num(off, nan=10.0, posinf=10.0, neginf=-10.0)
        return np.concatenate([off * of_losses, measured.differences(off) * of_pairs])

    from scipy.optimize import least_squares  # takes a third of a second

    inside = np.clip(start, lower + 1e-6, upper - 1e-6)
    found = least_squares(errors, inside, bounds=(lower, upper), loss="soft_l1", max_nfev=400)
    return found.x, float(found.cost)


@dataclass(frozen=True)
class Judgement:
    """How well a fit predicts runs that it has not seen.

    Attributes:
        runs, pairs: their numbers.
        loss, pair: mean absolute error in nats, of losses and of paired differences.
        loss_covered, pair_covered: share inside the 90% intervals.
        by_arm: mean absolute error of the losses of each arm.
        regret: mean of the loss of the advised arm minus the lowest loss, over places where all arms were measured.
        places: the number of those places.
    """

    runs: int
    pairs: int
    loss: float
    pair: float
    loss_covered: float
    pair_covered: float
    by_arm: dict[str, float]
    regret: float
    places: int


def judge(fitted: Fitted, measured: Measured) -> Judgement:
    """Compare predictions with the runs that were set apart, and with the paired differences of which one is the grown run."""
    apart = np.array([run.held_out for run in measured.runs])
    pairs = np.array([measured.runs[grown].held_out for grown, _ in measured.pairs], dtype=bool)
    setting, losses = measured.settings, measured.losses
    predicted, drawn = fitted.losses(setting), fitted.drawn(setting)
    off, inside = np.abs(predicted - losses), _inside(losses, interval(drawn, fitted.loss_noise))
    differences = measured.differences(losses)
    paired = interval(np.stack([measured.differences(row) for row in drawn]), fitted.pair_noise)
    arms = np.asarray(setting.start)
    regrets = regret(measured, predicted)
    return Judgement(
        int(apart.sum()),
        int(pairs.sum()),
        _mean(off[apart]),
        _mean(np.abs(measured.differences(predicted) - differences)[pairs]),
        _mean(inside[apart]),
        _mean(_inside(differences, paired)[pairs]),
        {str(arm): _mean(off[apart & (arms == arm)]) for arm in sorted(set(arms[apart].tolist()))},
        _mean(np.array(regrets)),
        len(regrets),
    )


def judge_each(form: Form, measured: Measured, draws: int = 12) -> Judgement:
    """Judge a form on each cell by a fit to the others, while no cell that was set apart is measured. This interpolates, which
    is easier than the far end.

    Raises:
        StepError: the runs outside a cell are too few for a fit.
    """
    found = []
    for cell in sorted({run.group for run in measured.runs if run.small_shape}):
        split = Measured.of(replace(run, held_out=run.group == cell) for run in measured.runs)
        found.append(judge(fit(form, split.part(held_out=False), draws), split))

    def over(values: str, counts: str) -> float:
        known = [each for each in found if getattr(each, counts)]
        weights = [getattr(each, counts) for each in known]
        return float(np.average([getattr(each, values) for each in known], weights=weights)) if known else float("nan")

    arms = {arm for each in found for arm in each.by_arm}
    return Judgement(
        sum(each.runs for each in found),
        sum(each.pairs for each in found),
        over("loss", "runs"),
        over("pair", "pairs"),
        over("loss_covered", "runs"),
        over("pair_covered", "pairs"),
        {arm: _mean(np.array([each.by_arm[arm] for each in found if arm in each.by_arm])) for arm in sorted(arms)},
        over("regret", "places"),
        sum(each.places for each in found),
    )


def regret(measured: Measured, predicted: Array) -> list[float]:
    """For each grown run set apart, with both rivals: the loss of the arm with the lowest prediction, minus the lowest loss."""
    rivals: dict[int, list[int]] = {}
    for grown, rival in measured.pairs:
        if measured.runs[grown].held_out:
            rivals.setdefault(grown, [grown]).append(rival)
    found = []
    for members in rivals.values():
        if len(members) == 3:
            chosen = min(members, key=lambda i: predicted[i])
            found.append(measured.runs[chosen].loss - min(measured.runs[i].loss for i in members))
    return found


def _inside(values: Array, bounds: Sequence[Array]) -> Array:
    return ((bounds[0] <= values) & (values <= bounds[1])).astype(float)


def _mean(values: Array) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
