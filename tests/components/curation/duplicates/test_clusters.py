"""The laws of deduplication: which documents are kept and which represent others, checked on all pairs of small sets and real text."""

import ast
import itertools
import random
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.curation.duplicates.candidates import rows_of_a_band
from components.curation.duplicates.clusters import Clusters, find
from components.curation.duplicates.ids import pack
from components.curation.duplicates.index import Index
from components.curation.duplicates.sketches import SketchFiles, save_sketches
from components.documents import KINDS, document_id
from components.params import DuplicatesParams
from components.text.shingles import shingles, sketch

PARAMS = DuplicatesParams()
PROSE, CODE = KINDS.index("prose"), KINDS.index("code")
TINY = ["", "...", "one", "One!", "one two", "one two three four", "two one three four", "Four words, one, two"]
BASE = "the quick brown fox jumps over the lazy dog while seven small birds look on from a wall and sing of rain"


def run(
    folder: Path,
    texts: Sequence[str],
    scores: Sequence[float] | None = None,
    kinds: Sequence[int] | None = None,
    params: DuplicatesParams = PARAMS,
    earlier: Index | None = None,
) -> Clusters:
    half = len(texts) // 2
    for number, part in enumerate((texts[:half], texts[half:])):
        save_sketches(folder / f"{number}.npy", sketch(part, params.permutations))
    return find(
        SketchFiles([folder / "0.npy", folder / "1.npy"]),
        pack(map(document_id, texts)),
        np.array([PROSE] * len(texts) if kinds is None else kinds, dtype=np.int8),
        np.array([0.0] * len(texts) if scores is None else scores, dtype=np.float32),
        lambda positions: (texts[position] for position in positions),
        params,
        folder,
        earlier,
    )


def runs(texts: Sequence[str]) -> list[set[int]]:
    hashes, starts = shingles(texts)
    return [set(hashes[a:b].tolist()) for a, b in itertools.pairwise(starts)]


def jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b)


def edited(words: list[str], edits: list[tuple[int, int]]) -> str:
    words = list(words)
    for place, new in edits:
        words[place % len(words)] = f"w{new}"
    return " ".join(words)


variants = st.lists(
    st.one_of(
        st.sampled_from(TINY),
        st.builds(
            edited, st.just(BASE.split() * 3), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3)), max_size=3)
        ),
    ),
    max_size=14,
)


@settings(max_examples=40)
@given(variants, st.randoms(use_true_random=False))
def test_laws(tmp_path_factory, texts, rng):
    folder = tmp_path_factory.mktemp("laws")
    scores = [float(rng.randrange(3)) for _ in texts]
    scores = [scores[texts.index(text)] for text in texts]  # equal texts have equal scores
    found = run(folder, texts, scores)
    ids, sets = [document_id(text) for text in texts], runs(texts)
    rank = [(-score, own) for score, own in zip(scores, ids, strict=True)]
    kept, counted = np.flatnonzero(found.kept), np.array(scores) > 0
    assert (found.keeper[found.keeper] == found.keeper).all()  # a keeper stays
    for position, keeper in enumerate(found.keeper):
        assert rank[keeper] <= rank[position]
        similarity = jaccard(sets[position], sets[keeper])
        assert found.jaccard[position] == pytest.approx(similarity)
        assert similarity >= 0.7
        assert found.sizes(counted)[position] == (found.keeper[counted] == keeper).sum()
        assert found.exact[position] == (position != keeper and ids[position] == ids[keeper])
    assert len({ids[position] for position in kept}) == len(kept)
    # 25 bands of 5 find 99 % of pairs at 0.7, and all but one of a million at 0.87
    assert all(jaccard(sets[a], sets[b]) < 0.87 for a, b in itertools.combinations(kept, 2))
    assert found.cluster(np.arange(len(texts))) == [ids[keeper] for keeper in found.keeper]

    order = list(range(len(texts)))
    rng.shuffle(order)
    other = run(folder, [texts[n] for n in order], [scores[n] for n in order])
    assert {ids[order[position]] for position in np.flatnonzero(other.kept)} == {ids[position] for position in kept}
    clusters = {ids[n]: ids[keeper] for n, keeper in enumerate(found.keeper)}
    assert {ids[order[n]]: ids[order[keeper]] for n, keeper in enumerate(other.keeper)} == clusters


def test_the_highest_score_stays_then_the_smallest_id(tmp_path):
    texts = [BASE, f"{BASE} today", BASE, f"{BASE} tonight"]
    assert run(tmp_path, texts, [1, 2, 1, 0]).keeper.tolist() == [1, 1, 1, 1]
    assert run(tmp_path, texts, [1, np.nan, 1, np.nan]).keeper.tolist() == [0, 0, 0, 0]
    smallest = min((0, 1, 3), key=lambda n: document_id(texts[n]))
    assert run(tmp_path, texts).keeper.tolist() == [smallest] * 4


def test_a_chain_is_not_a_cluster(tmp_path):
    """A ~ B ~ C, but A and C are not alike: both are kept, and B is dropped in favour of the better one that it resembles."""
    words = [f"w{n}" for n in range(140)]
    texts = [" ".join(words[start : start + 100]) for start in (0, 14, 28)]
    sets = runs(texts)
    assert jaccard(sets[0], sets[1]) > 0.7 < jaccard(sets[1], sets[2])
    assert jaccard(sets[0], sets[2]) < 0.7
    assert run(tmp_path, texts, [3, 1, 2]).keeper.tolist() == [0, 0, 2]
    assert run(tmp_path, texts, [1, 3, 2]).keeper.tolist() == [1, 1, 1]
    assert run(tmp_path, texts, [3, 2, 1]).keeper.tolist() == [0, 0, 2]  # B is gone, so nothing stands for C


def test_equal_texts_of_different_kinds_are_one(tmp_path):
    found = run(tmp_path, [BASE, BASE, BASE], kinds=[CODE, PROSE, CODE])
    assert found.keeper.tolist() == [1, 1, 1]  # of equal scores the first kind
    assert found.exact.tolist() == [True, False, True]


def test_each_kind_has_its_threshold(tmp_path):
    near = edited((BASE * 2).split(), [(5, 1)])  # about 0.77
    texts, scores = [BASE * 2, near], [2, 1]
    strict = DuplicatesParams(thresholds={"prose": 0.6, "code": 0.95})
    assert run(tmp_path, texts, scores, [CODE, PROSE], strict).keeper.tolist() == [0, 0]
    assert run(tmp_path, texts, scores, [PROSE, CODE], strict).keeper.tolist() == [0, 1]
    assert run(tmp_path, texts, scores, [PROSE, KINDS.index("web")], strict).keeper.tolist() == [0, 1]  # it has none
    only_equal = DuplicatesParams(thresholds={})
    assert run(tmp_path, [*texts, near], [2, 1, 1], params=only_equal).keeper.tolist() == [0, 1, 1]


def test_nothing_and_one(tmp_path):
    assert run(tmp_path, []).keeper.tolist() == []
    assert run(tmp_path, ["alone"]).kept.tolist() == [True]


def test_a_crowd_is_compared_by_its_best(tmp_path):
    """Groups too large to be compared in full lose their duplicates in rounds."""
    rng = random.Random(1)
    texts = [edited((BASE * 8).split(), [(rng.randrange(160), rng.randrange(4))]) for _ in range(600)]
    found = run(tmp_path, texts, [rng.random() for _ in texts])
    sets = runs(texts)
    kept = np.flatnonzero(found.kept)
    assert all(jaccard(sets[a], sets[b]) < 0.7 for a, b in itertools.combinations(kept, 2))
    assert all(jaccard(sets[n], sets[keeper]) >= 0.7 for n, keeper in enumerate(found.keeper))
    assert found.sizes(np.ones(len(texts), dtype=bool))[kept].sum() == len(texts)


@given(st.integers(16, 1024), st.floats(0.5, 1))
def test_a_pair_at_the_threshold_is_a_candidate_whatever_the_settings(permutations, threshold):
    rows = rows_of_a_band(permutations, threshold)
    assert round(1 - (1 - threshold**rows) ** (permutations // rows), 2) >= 0.99


def test_by_default_there_are_25_bands_of_5():
    assert rows_of_a_band(PARAMS.permutations, min(PARAMS.thresholds.values())) == 5


@pytest.mark.parametrize(
    ("threshold", "permutations", "changed"),
    [(0.5, 128, 64), (0.6, 128, 48), (0.7, 16, 34), (0.7, 64, 34), (0.9, 128, 10)],
)
def test_pairs_just_above_the_threshold_are_found(tmp_path, threshold, permutations, changed):
    """Texts of 200 words that differ in the last of them."""
    words = [[f"w{text}x{place}" for place in range(200 + changed)] for text in range(200)]
    pairs = [(of[:200], of[: 200 - changed] + of[200:]) for of in words]
    texts = [" ".join(text) for pair in pairs for text in pair]
    assert threshold < jaccard(*runs(texts[:2])) < threshold + 0.01
    params = DuplicatesParams(permutations=permutations, thresholds={"prose": threshold})
    assert (~run(tmp_path, texts, params=params).kept).sum() >= 194  # 99 % less three standard errors


def functions_of_the_library(count: int) -> list[str]:
    """Functions and docstrings of the running interpreter's own modules."""
    texts: list[str] = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines(keepends=True)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                texts.append("".join(lines[node.lineno - 1 : node.end_lineno]))
                texts.append(ast.get_docstring(node) or "")
        if len(texts) > 2 * count:
            break
    return list(dict.fromkeys(text for text in texts if len(text) > 100))[:count]


def with_near_duplicates(texts: list[str], share: float) -> list[str]:
    """Copies of a share of the texts, in each of which up to every twelfth word is another."""
    rng = random.Random(2)
    copies = []
    for text in rng.sample(texts, int(share * len(texts))):
        words = text.split(" ")
        for _ in range(rng.randrange(1 + len(words) // 12)):
            words[rng.randrange(len(words))] = rng.choice(("nothing", "other", "1"))
        copies.append(" ".join(words))
    return texts + copies


def test_precision_and_recall_on_real_text_against_all_pairs(tmp_path):
    texts = with_near_duplicates(functions_of_the_library(900), 0.2)
    texts = list(dict.fromkeys(texts))
    scores = [float(len(text) % 7) for text in texts]
    sets = runs(texts)
    better = sorted(range(len(texts)), key=lambda n: (-scores[n], document_id(texts[n])))
    stays: list[int] = []
    gone: set[int] = set()
    for n in better:  # the rule, by every pair
        alike = any(
            0.7 * len(sets[n]) <= len(sets[k]) <= len(sets[n]) / 0.7 and jaccard(sets[n], sets[k]) >= 0.7 for k in stays
        )
        gone.add(n) if alike else stays.append(n)
    found = run(tmp_path, texts, scores)
    dropped = set(np.flatnonzero(~found.kept).tolist())
    assert len(gone) > 100
    assert len(gone & dropped) / len(dropped) > 0.97
    assert len(gone & dropped) / len(gone) > 0.97
