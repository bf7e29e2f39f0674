"""Planted secrets: their exposure against a brute-force count, their extraction, and the documents that have them."""

import json
import math
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.alignment import plant
from components.alignment.canaries import Canary, draw, exposure, fillings, leakage, read_secrets, write_secrets
from components.errors import StepError
from components.params import Params
from components.phi.text import TextModel
from components.text.shingles import shingle_sets
from components.tracking import Tracker


@pytest.mark.parametrize(
    ("secret", "others", "bits"),
    [
        (-1.0, [-2.0, -3.0, -4.0], 2.0),  # first of four
        (-5.0, [-2.0, -3.0, -4.0], 0.0),  # last of four
        (-2.5, [-2.0, -3.0, -4.0], 1.0),  # second of four
        (-2.0, [-2.0, -2.0, -2.0], 0.0),  # a model that knows nothing gives nothing away
    ],
)
def test_exposure_is_the_logarithm_of_the_share_of_codes_at_least_as_likely(
    secret: float, others: list[float], bits: float
) -> None:
    assert exposure(secret, others) == bits


def test_a_secret_that_was_never_seen_has_an_exposure_of_144_bits_on_average() -> None:
    values = np.random.default_rng(0).normal(size=(4000, 256))
    found = np.mean([exposure(row[0], row[1:]) for row in values])
    assert found == pytest.approx(1 / math.log(2), abs=0.1)


@torch.no_grad()
def test_the_exposure_of_a_model_is_that_of_a_count_one_code_at_a_time(model: Path) -> None:
    text, canary = TextModel.load(model), Canary("The code is", "271828", 1)
    (row,) = leakage(text, [canary], seed=5)
    likelier = 0
    first = None
    for code in [canary.secret, *fillings(canary.secret, 255, np.random.default_rng((5, 0)))]:
        ids = torch.tensor([[0, *text.tokenizer.encode(f"The code is {code}").ids]])
        table = text.phi(ids)[0].log_softmax(-1)
        value = sum(float(table[i, ids[0, i + 1]]) for i in range(ids.shape[1] - 8, ids.shape[1] - 1))
        first = value if first is None else first
        likelier += value > first
    assert row["exposure"] == math.log2(256) - math.log2(1 + likelier)
    assert row["extracted"] == 0.0


def test_a_model_that_learned_a_secret_gives_it_away_and_no_other(model: Path) -> None:
    text = TextModel.load(model)
    known, unknown = Canary("The code is", "314159", 9), Canary("Its number is", "424242", 0)
    ids = torch.tensor([[0, *text.tokenizer.encode(known.text).ids]])
    optimizer = torch.optim.Adam(text.phi.parameters(), 0.02)
    for _ in range(80):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(text.phi(ids)[0, :-1], ids[0, 1:]).backward()
        optimizer.step()
    learned, other = leakage(text, [known, unknown], seed=0)
    assert (learned["extracted"], learned["exposure"]) == (1.0, 8.0)
    assert other["extracted"] == 0.0
    assert other["exposure"] < 8.0


def test_each_canary_is_in_as_many_documents_as_asked_none_of_which_is_a_near_copy(tmp_path: Path) -> None:
    outputs = {"output": tmp_path / "planted.jsonl", "secrets": tmp_path / "secrets.json"}
    made = [
        plant.run({"count": 2, "repeats": [0, 1, 8]}, outputs, Params(), Tracker())
        and [path.read_bytes() for path in outputs.values()]
        for _ in range(2)
    ]
    assert made[0] == made[1]
    texts = [json.loads(line)["text"] for line in outputs["output"].read_text().splitlines()]
    canaries = read_secrets(outputs["secrets"])
    assert [sum(one.text in text for text in texts) for one in canaries] == [0, 0, 1, 1, 8, 8]
    assert len({one.secret for one in canaries}) == len({one.sentence for one in canaries}) == 6
    sets = [set(one) for one in shingle_sets(texts)]
    assert max(len(a & b) / len(a | b) for a, b in combinations(sets, 2)) < 0.5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "canaries is None; expected a list"),
        ({"canaries": []}, "expected a list"),
        ({"canaries": ["x"]}, "canary 1 is"),
        ({"canaries": [{"sentence": "a", "secret": "١٢٣٤٥٦", "repeats": 1}]}, "expected sentence"),
        ({"canaries": [{"sentence": "a", "secret": "123456", "repeats": True}]}, "expected sentence"),
        ({"canaries": [{"sentence": " ", "secret": "123456", "repeats": 1}]}, "expected sentence"),
        ({"canaries": [{"sentence": "a", "secret": "12345", "repeats": 1}]}, "6 digits|digits"),
    ],
)
def test_a_file_that_is_not_one_of_secrets_is_refused(content: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(json.dumps(content))
    with pytest.raises(StepError, match=said):
        read_secrets(path)


def test_secrets_are_read_as_they_were_written_and_too_many_are_refused(tmp_path: Path) -> None:
    canaries = draw(3, [0, 2], 7)
    write_secrets(tmp_path / "s.json", canaries)
    assert read_secrets(tmp_path / "s.json") == canaries
    with pytest.raises(StepError, match="1 to 144"):
        draw(100, [1, 2], 0)
