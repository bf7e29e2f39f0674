"""A task's metrics from lm-eval's result for each example, by lm-eval's own aggregation, with standard errors.

A metric that lm-eval averages has one number per example, which the examples' records contain, and a closed-form standard
error. Any other metric, such as perplexity, F1 over all examples or a function of the definition, is lm-eval's function
over all examples. Its standard error is lm-eval's closed form if there is one, otherwise a bootstrap over examples, whose
first thousand draws are lm-eval's.
"""

import math
import random
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from components.benchmarking.aggregate import Figure, Figures, figure
from components.benchmarking.time_limit import bounded
from components.errors import StepError

Samples = Sequence[Mapping[str, Any]]  # in the form that lm-eval logs
DRAWS, FEW_DRAWS = 1000, 100  # number of bootstrap draws; fewer if a draw is slow, as in lm-eval
FAST = frozenset(
    {"median", "nanmean", "perplexity", "weighted_perplexity", "bits_per_byte", "f1_score", "matthews_corrcoef"}
)
NOT_SHARES = frozenset(  # lm-eval's aggregations whose value is not a share of right answers
    {
        "perplexity",
        "weighted_perplexity",
        "bits_per_byte",
        "matthews_corrcoef",
        "bleu",
        "chrf",
        "chrfpp",
        "ter",
        "brier_score",
    }
)


def columns(built: Any, samples: Samples) -> dict[int, dict[str, float]]:
    """The numbers that lm-eval averages, by example and name.

    The name of a metric under a second filter ends with the filter's name.
    """
    found: dict[int, dict[str, float]] = {}
    first = samples[0]["filter"] if samples else ""
    for sample in samples:
        row = found.setdefault(sample["doc_id"], {})
        for metric in sample["metrics"]:
            if _is_mean(built, metric) and (number := _number(sample[metric])) is not None:
                row[_name(metric, sample["filter"], first)] = number
    return found


def aggregated(built: Any, samples: Samples) -> tuple[Figures, dict[str, str]]:
    """Figures of the metrics that are not averages, and for each metric without a figure the reason."""
    found: Figures = {}
    failed: dict[str, str] = {}
    items: dict[tuple[str, str], list[Any]] = {}
    for sample in samples:
        for metric in sample["metrics"]:
            items.setdefault((metric, sample["filter"]), []).append(sample[metric])
    for (metric, filtered), own in items.items():
        name = _name(metric, filtered, samples[0]["filter"])
        if metric == "bypass":
            failed[name] = "lm-eval does not score this task itself"
        elif not _is_mean(built, metric):
            try:
                found[name] = _figure(built.aggregation()[metric], own)
            except Exception as error:  # noqa: BLE001 - a definition's function may fail in any way
                failed[name] = f"{type(error).__name__}: {error}"
        elif wrong := [item for item in own if _number(item) is None]:
            failed[name] = f"an example's value is {wrong[0]!r}, not a number"
    return found, failed


def is_share(built: Any, name: str, values: Sequence[float]) -> bool:
    """Whether a metric is a share of right answers, which a mean may combine with other shares."""
    if name == "bits_per_byte" or built.higher_is_better().get(name) is False:
        return False
    function = getattr(built.aggregation().get(name), "__name__", "")
    return function not in NOT_SHARES and all(0 <= value <= 1 for value in values)


def _is_mean(built: Any, metric: str) -> bool:
    from lm_eval.api.metrics import mean

    return built.aggregation().get(metric, mean) is mean  # lm-eval averages metrics without an aggregation


def _name(metric: str, filtered: str, first: str) -> str:
    return metric if filtered == first else f"{metric}_{filtered.replace('-', '_')}"


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _figure(function: Callable[[Sequence[Any]], Any], items: Sequence[Any]) -> Figure:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns about absent classes
        value = float(function(items))
        if not math.isfinite(value):
            raise ValueError(f"the value is {value}")
        return figure(value, standard_error(function, items), len(items))


def standard_error(function: Callable[[Sequence[Any]], Any], items: Sequence[Any], seed: int = 0) -> float | None:
    """Standard error of an aggregation over examples; None if there is one example, or the aggregation fails on resamples."""
    from lm_eval.api.metrics import acc_all, acc_all_stderr

    if len(items) < 2:
        return None
    draw = random.Random(seed)
    draws = DRAWS if getattr(function, "__name__", "") in FAST else FEW_DRAWS

    def bootstrap() -> float:
        return statistics.stdev(float(function(draw.choices(items, k=len(items)))) for _ in range(draws))

    try:
        found = acc_all_stderr(items) if function is acc_all else bounded(bootstrap, "the bootstrap")()
    except (StepError, ArithmeticError, ValueError, TypeError, LookupError):
        return None
    return float(found) if math.isfinite(found) else None
