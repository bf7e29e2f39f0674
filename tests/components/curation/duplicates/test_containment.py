"""Containment: a document inside a larger one is dropped for it; the result equals a comparison of all pairs."""

import random
from pathlib import Path

import numpy as np
import pytest

from components.curation.duplicates.containment import find_contained
from components.text.shingles import shingle_sets
from tests.components.curation.test_curation import curated, document, essays


def plain(texts: list[str], threshold: float) -> set[int]:
    """Documents that a larger one contains, by all pairs."""
    sets = [set(one.tolist()) for one in shingle_sets(texts)]
    return {
        inner
        for inner, own in enumerate(sets)
        for outer, other in enumerate(sets)
        if (len(own), -inner) < (len(other), -outer) and len(own & other) / len(own) >= threshold
    }


@pytest.mark.parametrize("seed", range(3))
def test_what_is_contained_is_what_all_pairs_say(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    parts = essays(60, words=80)
    texts = list(parts)
    for _ in range(12):
        texts.append(" ".join(draw.sample(parts, draw.randint(2, 5))))
    texts += [" ".join(draw.choice(parts).split()[:40]) for _ in range(12)]
    draw.shuffle(texts)
    texts = list(dict.fromkeys(texts))
    positions = np.array(draw.sample(range(len(texts)), len(texts)))
    container, share = find_contained(
        positions, len(texts), lambda at: (texts[one] for one in at.tolist()), 0.9, tmp_path
    )
    inner = np.flatnonzero(container >= 0)
    found = set(positions[inner].tolist())
    expected = plain(texts, 0.9)
    assert found <= expected
    assert len(found) >= 0.97 * len(expected) > 20
    assert (container[container[inner]] == -1).all()
    assert (share[inner] >= 0.9).all()


def test_a_contained_document_is_in_the_ledger_with_the_one_that_holds_it(tmp_path: Path) -> None:
    parts = essays(9)
    whole, alone = document("".join(parts[:6]), source="whole"), document("".join(parts[7:]), source="alone")
    rows = [document(parts[2], source="part"), whole, alone]
    _, kept, ledger = curated(tmp_path / "on", rows, duplicates={"containment": 0.8})
    assert {one.source for one in kept} == {"whole", "alone"}
    assert [(row["rule"], row["source"], row["threshold"]) for row in ledger] == [("contained", "part", 0.8)]
    assert f"document {whole.id}" in ledger[0]["detail"]
    _, kept, _ = curated(tmp_path / "off", rows)
    assert len(kept) == 3
