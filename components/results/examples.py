"""Scores of single examples, and paired differences over them of two models, or of two groups of seeds."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.errors import StepError
from components.results.statistics import all_or_none, crossed, paired

Examples = dict[tuple[str, str], tuple[float, str | None]]  # by task and id: the score in one metric, and the cluster


def read_examples(path: Path, metrics: Collection[str]) -> dict[str, Examples]:
    """By metric, the scores in an `examples.parquet`; metrics without a column are left out.

    Raises:
        StepError: not Parquet, or without the columns task and id.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = set(pq.read_schema(path).names)
        wanted = [metric for metric in metrics if metric in names]
        rows = pq.read_table(path, columns=["task", "id", *({"cluster"} & names), *wanted]).to_pylist()
        found: dict[str, Examples] = {metric: {} for metric in wanted}
        for row in rows:
            for metric in wanted:
                if row[metric] is not None:
                    found[metric][row["task"], row["id"]] = (float(row[metric]), row.get("cluster"))
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise StepError(
            f"{path.name}: {error}; expected examples with task, id and metrics; run the benchmark again"
        ) from error
    return found


def difference(
    ours: Sequence[Examples], theirs: Sequence[Examples], tasks: Collection[str] | None = None
) -> dict[str, Any] | None:
    """The mean over tasks of ours minus theirs on the examples that all have; None without such examples.

    With as many seeds on both sides, and at least two of seeds and tasks, the interval takes seeds and tasks as samples.
    Otherwise scores are averaged over seeds, and the interval counts examples and clusters only.

    Args:
        ours, theirs: a model each, or one per seed in the same order of seeds.
        tasks: only these; None means all.

    Returns:
        fields of a `statistics.Difference`, as `power.difference_words` reads them, with `seeds`: whether they count.
    """
    keys: dict[str, list[tuple[str, str]]] = {}
    common = set.intersection(*(set(one) for one in [*ours, *theirs])) if ours and theirs else set()
    for key in sorted(common):
        if tasks is None or key[0] in tasks:
            keys.setdefault(key[0], []).append(key)
    if not keys:
        return None
    if len(ours) == len(theirs) > 1 and len(keys) > 1:
        both = crossed(
            [
                [np.mean([a[key][0] - b[key][0] for key in own]) for own in keys.values()]
                for a, b in zip(ours, theirs, strict=True)
            ]
        )
        return {"value": both.value, "low": both.low, "high": both.high, "detectable": both.detectable} | {
            "needed_seeds": both.needed_seeds, "n": sum(map(len, keys.values())), "seeds": True,
        }  # fmt: skip
    strata = [
        [float(np.mean([one[key][0] for one in ours]) - np.mean([one[key][0] for one in theirs])) for key in own]
        for own in keys.values()
    ]
    clusters = [all_or_none(ours[0][key][1] for key in own) for own in keys.values()]
    return paired(strata, clusters=clusters).record() | {"seeds": False}


def told_apart(row: Mapping[str, Any] | None) -> bool:
    """Whether a difference's interval excludes 0."""
    return row is not None and row["low"] is not None and (row["low"] > 0 or row["high"] < 0)
