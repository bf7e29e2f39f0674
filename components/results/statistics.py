"""Statistics of scores: standard errors, with clusters and seeds, macro averages, paired differences, pass@k, bits per byte.

Values over examples are arrays, without loops over examples. A *stratum* is a task: in averages, tasks have equal weight
whatever their number of examples, as in the table of the Phi-2 blog.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
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
NORMAL = 10_000  # degrees of freedom from which Student's t is taken as normal
MOST = 100_000  # largest number of units or seeds that is named as needed


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard errors (None if unknown, as for a single example) and its number of examples.

    Attributes:
        stderr: for independent examples of the same tasks.
        clusters: number of clusters, such as passages, subjects or families of exercises; None without clusters.
        clustered_stderr: for whole clusters drawn at random, whose examples may depend on one another.
        freedom: degrees of freedom of `error`.
    """

    value: float
    stderr: float | None
    n: int
    clusters: int | None = None
    clustered_stderr: float | None = None
    freedom: float | None = None

    @property
    def error(self) -> float | None:
        """The standard error to judge by: the clustered one if there are clusters."""
        return self.stderr if self.clustered_stderr is None else self.clustered_stderr

    @property
    def degrees(self) -> float:
        """Degrees of freedom of `error`: one less than its number of units, unless stated; at least 1."""
        units = self.clusters if self.clustered_stderr is not None and self.clusters else self.n
        return max(1.0, units - 1 if self.freedom is None else self.freedom)

    def record(self) -> dict[str, Any]:
        found = asdict(self)
        return {key: found[key] for key in ("value", "stderr", "n")} | _known(found, ("clusters", "clustered_stderr"))


def _known(found: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: found[name] for name in names if found[name] is not None}


@dataclass(frozen=True)
class Difference:
    """A paired difference of two models, ours minus theirs.

    Interval, p-value, `detectable` and `needed` count clusters if there are any.

    Attributes:
        value, stderr, n, clusters, clustered_stderr: as in Estimate, over the examples that both models answered.
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
    clusters: int | None = None
    clustered_stderr: float | None = None

    def record(self) -> dict[str, Any]:
        found = asdict(self)
        clustered = ("clusters", "clustered_stderr")
        return {key: value for key, value in found.items() if key not in clustered} | _known(found, clustered)


@dataclass(frozen=True)
class Crossed:
    """A mean over units (such as families of questions) and seeds, where every seed has every unit.

    Attributes:
        value, stderr, degrees: the mean, its standard error over units and seeds, and that error's degrees of freedom.
        low, high: confidence interval, by default 95%.
        units, seeds: their numbers.
        detectable: the smallest true value that this design distinguishes from 0 with probability POWER.
        needed_units, needed_seeds: the number of units at these seeds, and of seeds at these units, at which a true mean
            of this value would be detectable; None if no number is enough.
    """

    value: float
    stderr: float
    degrees: float
    low: float
    high: float
    units: int
    seeds: int
    detectable: float
    needed_units: int | None
    needed_seeds: int | None


def detectable(
    stderr: float | None, confidence: float = CONFIDENCE, power: float = POWER, degrees: float = math.inf
) -> float | None:
    """Minimum detectable effect: the smallest true value whose interval excludes 0 with probability `power`, for a figure with
    this standard error and its degrees of freedom (Bloom 1995; Miller 2024, arXiv 2411.00640, section 5)."""
    if stderr is None:
        return None
    reach = _quantile((1 + confidence) / 2, degrees)
    if degrees >= NORMAL:
        return (reach + NormalDist().inv_cdf(power)) * stderr
    from scipy.special import nctdtrinc

    return float(nctdtrinc(degrees, 1 - power, reach)) * stderr  # of the noncentral t distribution


def _quantile(probability: float, degrees: float) -> float:
    """Of Student's t."""
    if degrees >= NORMAL:
        return NormalDist().inv_cdf(probability)
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def needed(estimate: Estimate, confidence: float = CONFIDENCE, power: float = POWER) -> int | None:
    """Number of examples at which a true value of this size would be detectable; None if it is 0 or has no standard error.

    The number rises by the same factor in all tasks and clusters, and the standard error falls with its square root.
    """
    effect = detectable(estimate.error, confidence, power)
    if effect is None or not estimate.value:
        return None
    return max(2, math.ceil(estimate.n * (effect / estimate.value) ** 2))


def mean(values: ArrayLike, clusters: Sequence[Any] | None = None) -> Estimate:
    """Mean with the standard error of the sample mean (n - 1), and with the clustered one.

    The clustered error is CR2, with its degrees of freedom, of Bell and McCaffrey (2002): clusters - 1 for clusters of equal
    size, fewer otherwise. If each example is a cluster, it is the error of the sample mean.

    Args:
        clusters: the cluster of each value; None without clusters.

    Raises:
        StepError: there are no values.
    """
    x = _vector(values)
    stderr = math.sqrt(float(x.var(ddof=1)) / len(x)) if len(x) > 1 else None
    found = Estimate(math.fsum(x) / len(x), stderr, len(x))
    if clusters is None:
        return found
    return with_clusters(found, *cluster_sums(x, clusters))


def with_clusters(estimate: Estimate, sums: np.ndarray, sizes: np.ndarray) -> Estimate:
    """A mean over all values of some clusters with its clustered error (see `mean`), from the sum and size of each cluster."""
    if len(sums) < 2:
        return replace(estimate, clusters=1)
    total = float(sizes.sum())
    shares = sizes / total
    corrected = shares / (1 - shares)
    variance = float(((sums / total - shares * estimate.value) ** 2 / (1 - shares)).sum())
    spread = float((shares**2).sum() + (corrected @ shares) ** 2 - ((corrected * shares) ** 2).sum())
    return replace(estimate, clusters=len(sums), clustered_stderr=math.sqrt(variance), freedom=1 / spread)


def cluster_sums(values: ArrayLike, clusters: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The sum and the number of values of each cluster, float64 (clusters,)."""
    _, codes = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    return np.bincount(codes, weights=_vector(values)), np.bincount(codes).astype(np.float64)


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
    """Plain mean over tasks; its standard error is sqrt(sum of squares) / tasks.

    If each task is a cluster, such as a family of exercises or a subject, the clustered error is that of tasks drawn at
    random: their standard deviation / sqrt(tasks). Degrees of freedom are those of Welch and Satterthwaite.

    Raises:
        StepError: there is no task.
    """
    if not parts:
        raise StepError("a macro average over no task; expected at least one")
    count = len(parts)
    values = [part.value for part in parts]
    found = Estimate(math.fsum(values) / count, _combined([p.stderr for p in parts]), sum(p.n for p in parts))
    if all(part.clusters == 1 for part in parts):
        return replace(found, clusters=count, clustered_stderr=mean(values).stderr)
    freedom = _welch([(part.error, part.degrees) for part in parts])
    if all(part.clustered_stderr is None for part in parts):
        return replace(found, freedom=freedom)
    clusters = sum(part.n if part.clustered_stderr is None else part.clusters or 0 for part in parts)
    return replace(
        found, clusters=clusters, clustered_stderr=_combined([part.error for part in parts]), freedom=freedom
    )


def _combined(errors: Sequence[float | None]) -> float | None:
    """The standard error of a plain mean of independent figures; None if one is unknown."""
    known = all_or_none(errors)
    return None if known is None else math.sqrt(math.fsum(e * e for e in known)) / len(known)


def _welch(errors: Sequence[tuple[float | None, float]]) -> float | None:
    """Degrees of freedom of a mean of independent figures, from their standard errors and degrees of freedom."""
    squares = [(error**2, degrees) for error, degrees in errors if error and error**2]
    if not squares:
        return None
    # As shares of the largest, since the fourth powers of small errors would vanish.
    largest = max(square for square, _ in squares)
    shares = [(square / largest, degrees) for square, degrees in squares]
    return math.fsum(s for s, _ in shares) ** 2 / math.fsum(s * s / f for s, f in shares)


def paired(
    strata: Sequence[ArrayLike],
    confidence: float = CONFIDENCE,
    clusters: Sequence[Sequence[Any] | None] | None = None,
) -> Difference:
    """The mean over tasks of the mean difference on the same examples.

    Pairing removes the difficulty of the examples, so the standard error is smaller than that of two separate scores
    (Miller 2024, arXiv 2411.00640). The interval is Student's t with clusters - 1 degrees of freedom, without clusters
    those of Welch and Satterthwaite, which for one task are n - 1. The permutation test swaps whole clusters.

    Args:
        strata: by task, the differences of its examples.
        confidence: of the interval.
        clusters: by task, the cluster of each example; None without clusters.

    Raises:
        StepError: there is no task, or a task has no examples.
    """
    tasks = [_vector(task) for task in strata]
    labels = list(clusters) if clusters is not None else [None] * len(tasks)
    whole = macro([mean(task, of) for task, of in zip(tasks, labels, strict=True)])
    low, high = interval(whole, confidence)
    p_value, method = permutation_test(tasks, clusters=labels if whole.clustered_stderr is not None else None)
    return Difference(
        whole.value,
        whole.stderr,
        low,
        high,
        p_value,
        method,
        whole.n,
        detectable(whole.error, confidence, degrees=whole.degrees) if whole.error else None,  # 0: nothing varies
        needed(whole, confidence),
        whole.clusters,
        whole.clustered_stderr,
    )


def interval(whole: Estimate, confidence: float = CONFIDENCE) -> tuple[float | None, float | None]:
    """Confidence interval of an average: Student's t with the degrees of freedom of its standard error, the clustered one
    if there are clusters. Both ends are None without a standard error."""
    if whole.error is None:
        return None, None
    if whole.error == 0:  # all examples differ equally
        return whole.value, whole.value
    half = _quantile((1 + confidence) / 2, whole.degrees) * whole.error
    return whole.value - half, whole.value + half


@dataclass(frozen=True)
class _Components:
    """Variances of a mean over units and seeds: of units, of seeds, and of what is left in each cell."""

    unit: float
    seed: float
    cell: float

    def error(self, units: int, seeds: int) -> tuple[float, float]:
        """The standard error at these numbers of units and seeds, and its degrees of freedom (Satterthwaite)."""
        parts = (self.unit / units, self.seed / seeds, self.cell / (units * seeds))
        squares = (  # the mean squares behind the variance, as shares of units * seeds
            ((parts[0] + parts[2]) ** 2, units - 1),
            ((parts[1] + parts[2]) ** 2, seeds - 1),
            (parts[2] ** 2, (units - 1) * (seeds - 1)),
        )
        variance = math.fsum(parts)
        spread = math.fsum(square / freedom for square, freedom in squares)
        return math.sqrt(variance), variance**2 / spread if spread else math.inf


def crossed(values: ArrayLike, confidence: float = CONFIDENCE) -> Crossed:
    """The mean of figures by seed and unit, with both as samples: other seeds and other units would give other figures.

    Crossed random effects, by the method of moments: with the mean squares of units, seeds and cells, the variance of the
    mean is (units + seeds - cells) / (number of cells), where neither component of variance is below 0 (Searle, Casella and
    McCulloch 1992, Variance Components, chapter 4.3; the same as two-way clustering by Cameron, Gelbach and Miller 2011).

    Args:
        values: (seeds, units); for a comparison, the paired differences of two models.

    Raises:
        StepError: there are fewer than two seeds or two units.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 2 or min(x.shape) < 2:
        raise StepError(f"the figures have shape {x.shape}; expected at least two seeds and two units")
    seeds, units = x.shape
    by_unit, by_seed, whole = x.mean(axis=0), x.mean(axis=1), float(x.mean())
    rest = x - by_unit - by_seed[:, None] + whole
    cell = float((rest**2).sum()) / ((seeds - 1) * (units - 1))
    found = _Components(
        max(0.0, float(by_unit.var(ddof=1)) - cell / seeds), max(0.0, float(by_seed.var(ddof=1)) - cell / units), cell
    )
    stderr, degrees = found.error(units, seeds)

    def reach(units: int, seeds: int) -> float:
        error, freedom = found.error(units, seeds)
        return detectable(error, confidence, degrees=freedom) or 0.0

    half = _quantile((1 + confidence) / 2, degrees) * stderr
    return Crossed(
        whole,
        stderr,
        degrees,
        whole - half,
        whole + half,
        units,
        seeds,
        reach(units, seeds),
        _smallest(lambda count: reach(count, seeds), abs(whole)),
        _smallest(lambda count: reach(units, count), abs(whole)),
    )


def _smallest(reach: Callable[[int], float], effect: float) -> int | None:
    """The smallest number, from 2 to MOST, at which `reach` is at most `effect`; None if there is none."""
    if not effect or reach(MOST) > effect:
        return None
    return bisect_left(range(MOST), True, lo=2, key=lambda count: reach(count) <= effect)


def permutation_test(
    strata: Sequence[ArrayLike],
    draws: int = DRAWS,
    seed: int = SEED,
    clusters: Sequence[Sequence[Any] | None] | None = None,
) -> tuple[float, str]:
    """Two-sided p-value of the macro difference under random swaps of the two models, example by example or cluster by
    cluster.

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
    labels = list(clusters) if clusters is not None else [None] * len(tasks)
    of_clusters = [task if of is None else cluster_sums(task, of)[0] for task, of in zip(tasks, labels, strict=True)]
    weighted = np.concatenate([own / len(task) for own, task in zip(of_clusters, tasks, strict=True)])
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
