"""Statistics of scores: standard errors, macro averages, paired differences, pass@k, bits per byte.

Values over examples are arrays, without loops over examples. A *stratum* is a task: in averages, tasks have equal weight
whatever their number of examples, as in the table of the Phi-2 blog.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from components.errors import StepError

T = TypeVar("T")

CONFIDENCE = 0.95
STATES = 1 << 20  # maximum outcomes of a permutation test to enumerate; more are sampled
DRAWS = 10_000
SEED = 20_231_212
POWER = 0.8  # probability of finding an effect of the detectable size


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error (None for a single example) and its number of examples."""

    value: float
    stderr: float | None
    n: int

    def record(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Difference:
    """A paired difference of two models, ours minus theirs.

    Attributes:
        value, stderr, n: as in Estimate, over the examples that both models answered.
        low, high: confidence interval, by default 95%; None without a standard error.
        p_value: two-sided, of the permutation test that the two models are exchangeable.
        p_method: `exact`, or the number of random samples, such as `10000 draws`.
        detectable: the smallest true difference that this many examples distinguish from 0 with probability POWER.
        needed: number of examples at which a true difference of this value would be detectable.
    """

    value: float
    stderr: float | None
    low: float | None
    high: float | None
    p_value: float
    p_method: str
    n: int
    detectable: float | None = None
    needed: int | None = None

    def record(self) -> dict[str, Any]:
        return asdict(self)


def detectable(stderr: float | None, confidence: float = CONFIDENCE, power: float = POWER) -> float | None:
    """Minimum detectable effect: the smallest true value whose interval excludes 0 with probability `power`, for a figure with
    this standard error (Bloom 1995; Miller 2024, arXiv 2411.00640, section 5)."""
    if stderr is None:
        return None
    normal = NormalDist()
    return (normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(power)) * stderr


def needed(estimate: Estimate, confidence: float = CONFIDENCE, power: float = POWER) -> int | None:
    """Number of examples at which a true value of this size would be detectable; None if it is 0 or has no standard error.

    The number rises by the same factor in all tasks, and the standard error falls with its square root.
    """
    effect = detectable(estimate.stderr, confidence, power)
    if effect is None or not estimate.value:
        return None
    return max(2, math.ceil(estimate.n * (effect / estimate.value) ** 2))


def mean(values: ArrayLike) -> Estimate:
    """Mean with the standard error of the sample mean (n - 1).

    Raises:
        StepError: there are no values.
    """
    x = _vector(values)
    stderr = math.sqrt(float(x.var(ddof=1)) / len(x)) if len(x) > 1 else None
    return Estimate(math.fsum(x) / len(x), stderr, len(x))


def ratio(numerators: ArrayLike, denominators: ArrayLike) -> Estimate:
    """The ratio of two sums, such as nats per token over sequences, with the standard error of the linearised ratio.

    Sequences are independent of one another, but tokens within a sequence are not, so a sequence is the unit. If all
    denominators are equal, it is the standard error of the mean.

    Args:
        numerators, denominators: of each unit; units with denominator 0 are left out.

    Raises:
        StepError: there is no unit.
    """
    under = np.asarray(denominators, dtype=np.float64)
    x, under = _vector(np.asarray(numerators, dtype=np.float64)[under != 0]), under[under != 0]
    value, n = float(x.sum() / under.sum()), len(x)
    if n < 2:
        return Estimate(value, None, n)
    squares = float(((x - value * under) ** 2).sum())
    return Estimate(value, math.sqrt(squares * n / (n - 1)) / float(under.sum()), n)


def all_or_none(values: Iterable[T | None]) -> list[T] | None:
    """The values as a list; None if one of them is missing."""
    given = list(values)
    known = [value for value in given if value is not None]
    return known if len(known) == len(given) else None


def macro(parts: Sequence[Estimate]) -> Estimate:
    """Plain mean over independent tasks; its standard error is sqrt(sum of squares) / tasks.

    Raises:
        StepError: there is no task.
    """
    if not parts:
        raise StepError("a macro average over no task; expected at least one")
    errors = all_or_none(part.stderr for part in parts)
    stderr = None if errors is None else math.sqrt(math.fsum(e * e for e in errors)) / len(parts)
    return Estimate(math.fsum(p.value for p in parts) / len(parts), stderr, sum(p.n for p in parts))


def paired(strata: Sequence[ArrayLike], confidence: float = CONFIDENCE) -> Difference:
    """The mean over tasks of the mean difference on the same examples.

    Pairing removes the difficulty of the examples, so the standard error is smaller than that of two separate scores
    (Miller 2024, arXiv 2411.00640). The interval is Student's t with the degrees of freedom of Welch and Satterthwaite,
    which for one task are n - 1.

    Args:
        strata: by task, the differences of its examples.
        confidence: of the interval.

    Raises:
        StepError: there is no task, or a task has no examples.
    """
    tasks = [_vector(task) for task in strata]
    parts = [mean(task) for task in tasks]
    whole = macro(parts)
    low, high = interval(whole, parts, confidence)
    p_value, method = permutation_test(tasks)
    least, enough = detectable(whole.stderr, confidence), needed(whole, confidence)
    return Difference(whole.value, whole.stderr, low, high, p_value, method, whole.n, least, enough)


def interval(
    whole: Estimate, parts: Sequence[Estimate], confidence: float = CONFIDENCE
) -> tuple[float | None, float | None]:
    """Confidence interval of a macro average: Student's t, with the degrees of freedom of Welch and Satterthwaite, which
    for one part are n - 1. Both ends are None if a standard error is None."""
    if whole.stderr is None:
        return None, None
    if whole.stderr == 0:  # all examples differ equally
        return whole.value, whole.value
    from scipy.stats import t

    squares = [(part.stderr**2, part.n - 1) for part in parts if part.stderr]
    # As shares of the largest, since the fourth powers of small errors would vanish.
    largest = max(square for square, _ in squares)
    shares = [(square / largest, freedom) for square, freedom in squares]
    freedom = math.fsum(s for s, _ in shares) ** 2 / math.fsum(s * s / f for s, f in shares)
    half = float(t.ppf((1 + confidence) / 2, freedom)) * whole.stderr
    return whole.value - half, whole.value + half


def permutation_test(strata: Sequence[ArrayLike], draws: int = DRAWS, seed: int = SEED) -> tuple[float, str]:
    """Two-sided p-value of the macro difference under random swaps of the two models, example by example.

    If the models are exchangeable, both signs of each difference are equally likely, independently. Examples with equal
    differences are grouped, so distinct outcomes are few. Up to STATES outcomes are enumerated, and the p-value is exact
    (for one task of right and wrong answers it is McNemar's exact test). If there are more, signs are sampled with a fixed
    seed, and the p-value is (1 + samples at least as extreme) / (1 + draws), which is never too small (Phipson & Smyth
    2010).

    Returns:
        the p-value, and `exact` or `10000 draws`.
    """
    tasks = [_vector(task) for task in strata]
    if not tasks:
        raise StepError("a permutation test over no task; expected at least one")
    weighted = np.concatenate([task / len(task) for task in tasks])
    # Rounded, because sums of equal parts differ in their last digits, and examples are grouped by size.
    sizes, counts = np.unique(np.round(np.abs(weighted[weighted != 0]), 15), return_counts=True)
    observed = abs(math.fsum(weighted))
    least = observed - 1e-9 * float(sizes @ counts)
    if not len(sizes) or least <= 0:
        return 1.0, "exact"
    if math.fsum(np.log2(counts + 1)) <= math.log2(STATES):
        sums, odds = _outcomes(sizes, counts)
        return min(1.0, float(odds[np.abs(sums) >= least].sum())), "exact"
    extreme = int((np.abs(_sampled(sizes, counts, draws, seed)) >= least).sum())
    return (1 + extreme) / (1 + draws), f"{draws} draws"


def _outcomes(sizes: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All sums of signed sizes and their probabilities."""
    from scipy.stats import binom

    sums, odds = np.zeros(1), np.ones(1)
    for size, count in zip(sizes, counts.tolist(), strict=True):
        positive = np.arange(count + 1)
        sums = np.add.outer(sums, size * (2 * positive - count)).ravel()
        odds = np.multiply.outer(odds, binom.pmf(positive, count, 0.5)).ravel()
    return sums, odds


def _sampled(sizes: np.ndarray, counts: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Sums of signed sizes under random signs, float64 (draws,)."""
    rng = np.random.default_rng(seed)
    sums = np.zeros(draws)
    for size, count in zip(sizes[counts > 1], counts[counts > 1].tolist(), strict=True):
        sums += size * (2.0 * rng.binomial(count, 0.5, draws) - count)
    single = sizes[counts == 1]
    for start in range(0, len(single), 512):  # 512 columns of signs: 40 MB at 10,000 draws
        part = single[start : start + 512]
        signs = np.unpackbits(rng.integers(0, 256, (draws, -(-len(part) // 8)), dtype=np.uint8), axis=1)
        sums += 2.0 * (signs[:, : len(part)] @ part) - part.sum()
    return sums


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, in the given order (Holm 1979): the probability of any false claim stays below
    the level."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values, dtype=np.float64)[order] * factors))
    return adjusted.tolist()


def bits_per_byte(logprobs: ArrayLike, texts: Sequence[str]) -> np.ndarray:
    """Bits of a model for each byte of a text, float64 (texts,).

    They show progress while accuracy is still at chance, as for small models or early in training (OLMES, arXiv
    2406.08446).

    Args:
        logprobs: natural log-probability of each whole text.
        texts: without the space before an answer.

    Raises:
        StepError: a text is empty.
    """
    sizes = np.array([len(text.encode("utf-8")) for text in texts], dtype=np.float64)
    if not sizes.all():
        raise StepError(f"answer {int(np.flatnonzero(sizes == 0)[0])} is empty, so it has no bits per byte")
    return -np.asarray(logprobs, dtype=np.float64) / math.log(2) / sizes


def pass_at_k(samples: ArrayLike, passed: ArrayLike, k: int) -> np.ndarray:
    """Unbiased estimate, for each problem, that one of `k` samples passes: 1 - C(n - c, k) / C(n, k), float64.

    Chen et al. 2021 (arXiv 2107.03374), equation 1, as a product of k ratios to avoid overflow. The score of a task is its
    `mean`, with a standard error over problems.

    Args:
        samples: n, number of programs sampled for each problem.
        passed: c, number of programs that passed.

    Raises:
        StepError: k is less than 1, a problem has fewer than k samples, or more passed than were sampled.
    """
    n, c = np.broadcast_arrays(np.asarray(samples, dtype=np.int64), np.asarray(passed, dtype=np.int64))
    if k < 1:
        raise StepError(f"pass@{k}; expected a k of at least 1")
    if n.size and n.min() < k:
        raise StepError(
            f"pass@{k} needs {k} samples of each problem; one has {n.min()}: sample more, or use pass@{n.min()}"
        )
    if n.size and ((c < 0) | (c > n)).any():
        raise StepError("pass@k: a problem has more passed programs than samples, or a negative number")
    failing = np.ones(n.shape)
    for i in range(k):
        failing *= np.maximum(n - c - i, 0) / (n - i)
    return 1 - failing


def _vector(values: ArrayLike) -> np.ndarray:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not x.size:
        raise StepError(f"the figures have shape {x.shape}; expected a vector of at least one example")
    return x
