"""The sample follows from the documents and the seed, not from their order."""

import random
from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from components.curation.education.sample import Sample, stratum

IDS = [f"{number:032x}" for number in range(500)]
STRATA = [stratum("prose" if number % 10 == 0 else "code", 100 * (number % 70)) for number in range(500)]


def choose(ids: Sequence[str], strata: Sequence[str], count: int, seed: int) -> list[str]:
    sample = Sample(count, seed)
    sample.add(ids, strata)
    return sample.ids()


@given(st.integers(0, 2**32), st.integers(1, 600), st.integers(0, 99))
def test_order_does_not_matter(shuffle: int, count: int, seed: int) -> None:
    rows = list(zip(IDS, STRATA, strict=True))
    wanted = choose(IDS, STRATA, count, seed)
    random.Random(shuffle).shuffle(rows)
    ids, strata = zip(*rows, strict=True)
    assert choose(ids, strata, count, seed) == wanted == sorted(wanted)
    assert len(wanted) == min(count, 500)


def test_strata_give_alike() -> None:
    chosen = Counter(STRATA[IDS.index(name)] for name in choose(IDS, STRATA, 100, 1))
    rare = {name for name, many in Counter(STRATA).items() if many < 10}
    assert all(chosen[name] == Counter(STRATA)[name] for name in rare)
    common = [chosen[name] for name in set(STRATA) - rare]
    assert max(common) - min(common) <= max(common) / 2 + 1


def test_seeds_differ_and_equal_ids_count_once() -> None:
    assert choose(IDS, STRATA, 50, 1) != choose(IDS, STRATA, 50, 2)
    assert choose(["a", "a", "b"], ["x", "x", "x"], 3, 1) == ["a", "b"]
    assert choose([], [], 3, 1) == []


@given(st.integers(0, 500), st.integers(1, 60))
def test_parts_merge_to_the_whole(cut: int, count: int) -> None:
    whole, first, second = (Sample(count, 7) for _ in range(3))
    whole.add(IDS, STRATA)
    first.add(IDS[cut:], STRATA[cut:])
    second.add(IDS[:cut], STRATA[:cut])
    first.merge(second)
    assert first.ids() == whole.ids() == choose(IDS, STRATA, count, 7)
    assert len(whole.ids()) == min(count, 500)
