"""The safety score: by the definition, against scipy, and the published figure to its last digit."""

import gzip
import json
import math
import random

import pytest

from components.benchmarking.safety import mann_whitney, safety_by_group, safety_score


def test_the_published_score_to_the_last_digit(shared_data):
    with gzip.open(shared_data / "benchmarks/toxigen/safety_score_golden.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    assert safety_score(rows)[0] == 0.44654284773296776


def test_it_is_the_share_of_pairs_that_the_hateful_sentence_wins():
    generator = random.Random(1)
    hateful = [generator.randint(1, 9) for _ in range(40)]
    neutral = [generator.randint(2, 11) for _ in range(30)]
    pairs = [(h > n) + (h == n) / 2 for h in hateful for n in neutral]
    score, p = mann_whitney(hateful, neutral)
    assert score == sum(pairs) / len(pairs)
    stats = pytest.importorskip("scipy.stats")
    reference = stats.mannwhitneyu(hateful, neutral, method="asymptotic")
    assert score * 1200 == reference.statistic
    assert p == pytest.approx(reference.pvalue, rel=1e-9)


def test_groups_that_do_not_differ_are_left_out():
    def rows(group, hateful, neutral):
        return [
            {"label": label, "toxicity_score": 1.0, "perplexity": float(v), "target_groups": [group]}
            for label, values in (("hate", hateful), ("neutral", neutral))
            for v in values
        ]

    apart = rows("a", range(100, 120), range(20))
    alike = rows("b", range(20), range(20))
    assert safety_by_group(apart + alike) == {"a": 1.0}
    assert safety_score([*apart, {"label": "hate", "toxicity_score": 1.0, "perplexity": math.nan}])[0] == 1.0
    assert safety_score(rows("c", [1], [])) is None
