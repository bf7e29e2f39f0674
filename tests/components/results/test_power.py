"""What scores and differences can tell: the words, and simulated scores at the stated effects."""

import math

import numpy as np
import pytest

from components.results.power import (
    difference_words,
    entry_words,
    error_words,
    from_another,
    from_chance,
    score_words,
)


def test_words() -> None:
    assert score_words(0.0259, 0.0361) == "0.026 from chance, 0.036 from another model"
    assert score_words(None, 0.0361) == "0.036 from another model"
    assert score_words(None, None) == ""
    assert error_words(0.0091, 0.0546, 31) == " ± 0.009 (± 0.055 over 31 clusters)"
    assert error_words(0.0091, None, None) == " ± 0.009"
    assert error_words(None, None, None) == ""
    row = {"value": 0.02, "low": -0.001, "high": 0.041, "detectable": 0.03, "needed": 5_400, "needed_seeds": 7}
    assert difference_words(row) == (
        "+0.020 [-0.001, +0.041], detects 0.030; not distinguishable, would need about 5,400 questions or 7 seeds"
    )
    assert difference_words(row | {"needed": None}).endswith("would need about 7 seeds")
    assert difference_words(row | {"needed": None, "needed_seeds": None}).endswith("; not distinguishable")
    assert difference_words(row | {"low": 0.001}) == "+0.020 [+0.001, +0.041], detects 0.030"
    assert difference_words({"value": 0.5, "low": None, "high": None}) == "+0.500"


def test_chance_is_one_of_accuracies_only() -> None:
    entry = {metric: {"value": 0.5, "stderr": 0.01, "n": 9} for metric in ("acc", "f1", "chance")}
    assert entry_words(entry, "acc") == "0.028 from chance, 0.040 from another model"
    assert entry_words(entry, "f1") == "0.040 from another model"
    assert from_chance(0.0) is None
    assert from_another(0.0) is None  # all answers equal: nothing is known of their spread


@pytest.mark.parametrize("chance", [0.25, 0.5])
def test_a_score_at_the_stated_distance_from_chance_is_found_in_eight_of_ten_cases(chance: float) -> None:
    n, draw = 500, np.random.default_rng(3)
    error = math.sqrt(chance * (1 - chance) / n)
    effect = from_chance(error)
    assert effect is not None
    scores = draw.binomial(n, chance + effect, 20_000) / n
    assert np.mean(scores > chance + 1.96 * error) == pytest.approx(0.8, abs=0.04)
    guesses = draw.binomial(n, chance, 20_000) / n
    assert np.mean(abs(guesses - chance) > 1.96 * error) == pytest.approx(0.05, abs=0.02)


def test_two_models_at_the_stated_distance_are_told_apart_in_eight_of_ten_cases() -> None:
    """Families of different difficulty, which is the same for both models."""
    draw, families, each = np.random.default_rng(5), 20, 50
    difficulty = draw.uniform(0.2, 0.8, families)
    error = math.sqrt(float((difficulty * (1 - difficulty)).sum()) / each) / families
    effect = from_another(error)
    assert effect is not None
    low, high = difficulty - effect / 2, difficulty + effect / 2
    ours, theirs = (draw.random((2_000, families, each)) < p[:, None] for p in (high, low))
    differences = ours.astype(float) - theirs
    value = differences.mean(axis=(1, 2))
    spread = np.sqrt((differences.var(axis=2, ddof=1) / each).sum(axis=1)) / families
    assert np.mean(value - 1.96 * spread > 0) == pytest.approx(0.8, abs=0.04)
