"""Paired differences over single examples, of models and of groups of seeds."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import StepError
from components.results.examples import Examples, difference, read_examples, told_apart
from components.results.statistics import crossed, paired


def examples(*tasks: list[float], cluster: str | None = None) -> Examples:
    return {(f"task{t}", str(n)): (value, cluster) for t, task in enumerate(tasks) for n, value in enumerate(task)}


def test_one_model_a_side_is_paired_by_example_with_equal_weight_of_tasks() -> None:
    ours, theirs = examples([1, 1, 0], [1, 0, 1, 1]), examples([0, 1, 0], [1, 0, 0, 1])
    expected = paired([[1, 0, 0], [0, 0, 1, 0]]).record()
    assert difference([ours], [theirs]) == expected | {"seeds": False}
    assert difference([ours], [theirs], {"task1"}) == paired([[0, 0, 1, 0]]).record() | {"seeds": False}


def test_only_examples_that_all_models_have_count() -> None:
    ours, theirs = examples([1, 1, 0]), examples([0, 1])
    found = difference([ours], [theirs])
    assert found
    assert (found["value"], found["n"]) == (0.5, 2)
    assert difference([ours], [{}]) is None
    assert difference([], [theirs]) is None


def test_seeds_and_tasks_are_both_samples() -> None:
    ours = [examples([1, 1], [1, 0]), examples([1, 0], [1, 1])]
    theirs = [examples([0, 1], [0, 0]), examples([1, 0], [0, 1])]
    found = difference(ours, theirs)
    expected = crossed([[0.5, 0.5], [0.0, 0.5]])
    assert found
    assert (found["value"], found["low"], found["high"]) == (expected.value, expected.low, expected.high)
    assert found["seeds"]


def test_unequal_numbers_of_seeds_are_averaged() -> None:
    ours, theirs = [examples([1, 1]), examples([0, 1])], [examples([0, 0])]
    assert difference(ours, theirs) == paired([[0.5, 1.0]]).record() | {"seeds": False}


@pytest.mark.parametrize(
    ("values", "apart"), [([1.0] * 9 + [0.0], True), ([1.0, -1.0] * 5, False), ([0.0] * 10, False), ([1.0], False)]
)
def test_told_apart_means_that_the_interval_excludes_zero(values: list[float], apart: bool) -> None:
    assert told_apart(difference([examples(values)], [examples([0.0] * len(values))])) == apart
    assert not told_apart(None)


def test_examples_are_read_with_clusters_and_known_metrics(tmp_path: Path) -> None:
    columns = {
        "task": ["a", "a"],
        "id": ["1", "2"],
        "cluster": ["c", None],
        "acc": [1.0, None],
        "bits_per_byte": [2.0, 3.0],
    }
    pq.write_table(pa.table(columns), tmp_path / "examples.parquet")
    found = read_examples(tmp_path / "examples.parquet", ["acc", "bits_per_byte", "unknown"])
    assert found == {
        "acc": {("a", "1"): (1.0, "c")},
        "bits_per_byte": {("a", "1"): (2.0, "c"), ("a", "2"): (3.0, None)},
    }
    (tmp_path / "examples.parquet").write_bytes(np.arange(9).tobytes())
    with pytest.raises(StepError, match=r"examples\.parquet: .*; expected examples with task, id and metrics"):
        read_examples(tmp_path / "examples.parquet", ["acc"])
