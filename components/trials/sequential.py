"""A sequential test of paired differences over seeds: buy one seed after the other, look each time, and stay honest.

An ordinary t-test that is repeated after every seed finds differences that do not exist. This one may be repeated as often
as wanted: its evidence is a Bayes factor that is invariant to the scale of the differences, with a normal prior on the
mean in standard deviations and the right Haar prior on the standard deviation. If there is no improvement, the
probability that the evidence ever reaches 1 / level is at most `level` (Ville's inequality; Lai 1976; Wang and Ramdas
2023, Anytime-valid t-tests, arXiv 2310.03722; Perez-Ortiz et al. 2024, E-statistics, group invariance and anytime-valid
testing, Annals of Statistics 52). It assumes that the differences are normal. `python -m bench.tries` shows the error
rates by simulation, also for differences that are not.

Differences are ours minus theirs in the direction of improvement: above 0 is better.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components.errors import StepError

SPREAD = (
    4.0  # variance of the prior of mean / standard deviation: paired seeds tell typical differences of 1 to 5 apart
)
HOPELESS = 0.1  # probability of giving up although the difference is at least the smallest one of interest
CONFIDENCE = 0.95

BETTER, HOPELESS_NOW, MORE, UNDECIDED = "better", "hopeless", "more", "undecided"


@dataclass(frozen=True)
class Plan:
    """What is fixed before the first run.

    Attributes:
        level: probability of calling a difference better that is not.
        smallest: the smallest difference of interest, above 0.
        most: the largest number of seeds.
    """

    level: float
    smallest: float
    most: int

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise StepError(f"level is {self.level}; expected a probability between 0 and 1; correct it")
        if not (self.smallest > 0 and math.isfinite(self.smallest)):
            raise StepError(f"the smallest difference of interest is {self.smallest}; expected a number above 0")
        if self.most < 2:
            raise StepError(f"at most {self.most} seeds; expected at least 2, since one has no spread")


@dataclass(frozen=True)
class Judgement:
    """The state of a try after some seeds.

    Attributes:
        outcome: BETTER; HOPELESS_NOW: an improvement of the smallest size of interest is excluded; MORE: buy another seed;
            UNDECIDED: no seeds are left.
        seeds: number of paired seeds.
        mean: mean difference.
        low, high: 95% confidence sequence of the true difference, valid at every look; None while it is unbounded.
        evidence: for an improvement; 1 / level is needed.
        against: evidence against an improvement of the smallest size of interest; 1 / HOPELESS is needed.
    """

    outcome: str
    seeds: int
    mean: float
    low: float | None
    high: float | None
    evidence: float
    against: float

    def record(self) -> dict[str, Any]:
        return asdict(self)


def judge(differences: Sequence[float], plan: Plan) -> Judgement:
    """The state of a try after these differences, one per seed.

    A difference that is told apart from 0 but certainly smaller than the smallest one of interest is hopeless.

    Raises:
        StepError: there is no difference, or one is not a finite number.
    """
    if not differences or not all(math.isfinite(value) for value in differences):
        raise StepError(f"the differences are {list(differences)}; expected at least one finite number per seed")
    against = math.exp(min(700.0, log_evidence([plan.smallest - value for value in differences])))
    evidence = math.exp(min(700.0, log_evidence(differences)))
    if against >= 1 / HOPELESS:
        outcome = HOPELESS_NOW
    elif evidence >= 1 / plan.level:
        outcome = BETTER
    else:
        outcome = MORE if len(differences) < plan.most else UNDECIDED
    low, high = confidence_sequence(differences)
    return Judgement(outcome, len(differences), math.fsum(differences) / len(differences), low, high, evidence, against)


def log_evidence(differences: Sequence[float]) -> float:
    """Logarithm of the evidence that the true mean is above 0, against that it is 0 or below.

    The prior of the mean is the upper half of a normal one. The factor of the whole normal prior has a closed form, and
    the posterior probability of a mean above 0 is a Student's t with as many degrees of freedom as differences, so the
    factor of the half is twice their product. It rises with the t-statistic, so means below 0 only lower it.
    """
    n, mean, squares = _moments(differences)
    if n < 2 or squares + n * mean * mean == 0:
        return 0.0
    from scipy.special import stdtr

    shrunk = squares + n * mean * mean / (1 + n * SPREAD)
    both = (n * math.log((squares + n * mean * mean) / shrunk) - math.log1p(n * SPREAD)) / 2
    weight = n * SPREAD / (1 + n * SPREAD)
    above = float(stdtr(n, math.sqrt(weight) * n * mean / math.sqrt(shrunk)))
    return both + math.log(max(2 * above, 1e-300))


def confidence_sequence(
    differences: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float | None, float | None]:
    """An interval that contains the true mean after every number of seeds at once with this probability; None if it is
    unbounded, as for very few seeds.

    It inverts the two-sided form of the test, whose factor depends on the t-statistic alone.
    """
    n, mean, squares = _moments(differences)
    bound = math.exp((math.log1p(n * SPREAD) - 2 * math.log(1 - confidence)) / n)
    if n < 2 or bound >= 1 + n * SPREAD:
        return None, None
    ratio = (bound - 1) / (1 - bound / (1 + n * SPREAD))  # t^2 / (n - 1) at the bound
    half = math.sqrt(ratio * squares / n)
    return mean - half, mean + half


def _moments(differences: Sequence[float]) -> tuple[int, float, float]:
    """Their number, mean, and sum of squares around the mean."""
    n = len(differences)
    mean = math.fsum(differences) / n
    squares = math.fsum((value - mean) ** 2 for value in differences)
    scale = max(abs(value) for value in differences)
    # Equal differences have no spread; the rest is rounding.
    return n, mean, squares if squares > n * (1e-12 * scale) ** 2 else 0.0
