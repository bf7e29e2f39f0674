"""The false-discovery budget: its sum, its rise with discoveries, and projects by simulation."""

import numpy as np

from bench.tries import project
from components.trials.budget import RATE, level, share


def test_all_shares_together_are_the_budget():
    assert 0.95 < sum(share(number) for number in range(1, 5000)) < 1


def test_levels_fall_with_tries_and_rise_with_discoveries():
    levels = [level(earlier, 0) for earlier in range(30)]
    assert levels == sorted(levels, reverse=True)
    assert level(10, 2) == 3 * level(10, 0)


def test_projects_stay_within_the_budget_though_their_tries_share_a_baseline():
    rng = np.random.default_rng(1)
    shares = [false / max(1, found) for false, found, _ in (project(rng, 15, 0.2, 3.0) for _ in range(100))]
    assert np.mean(shares) <= RATE + 3 * np.std(shares) / 10
