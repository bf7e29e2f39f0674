"""The mixture: who is held out, who comes by how often, and in which order, follow from hashes of ids.

Its laws hold for every corpus: shares of tokens are exact to one document a kind, caps are never exceeded, phases come in
their order, and nothing of all that moves a held-out document.
"""

from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from components.documents import KINDS, document_id
from components.errors import StepError
from components.params import TokenizationParams
from components.tokenization.corpus import Corpus, first_of, keys_of
from components.tokenization.held_out import OWN, uniform
from components.tokenization.mixture import Mixture, divide, passes_of, plan


def corpus_of(kinds: list[int], names: list[str] | None = None) -> Corpus:
    names = names or [document_id(str(n)) for n in range(len(kinds))]
    keys = keys_of(names)
    return Corpus(
        ids=pa.chunked_array([pa.array(names, pa.string())]),
        sources=pa.chunked_array([pa.array(names, pa.string())]),
        keys=keys,
        origins=keys,
        kinds=np.array(kinds, dtype=np.int8),
        bytes=np.full(len(kinds), 10),
        first=first_of(keys),
    )


def epochs(**values: float) -> TokenizationParams:
    return TokenizationParams(epochs={kind: 1.0 for kind in KINDS} | values)


def mix(corpus: Corpus, params: TokenizationParams, seed: int = 1, tokens: np.ndarray | None = None) -> Mixture:
    tokens = np.full(len(corpus), 10) if tokens is None else tokens
    return plan(corpus, divide(corpus, params), tokens, params, seed)


def stream(corpus: Corpus, rows: np.ndarray) -> list[str]:
    return corpus.ids.take(pa.array(rows)).to_pylist()


@st.composite
def cases(draw: st.DrawFn) -> tuple[Corpus, np.ndarray, TokenizationParams]:
    """A corpus, the tokens of its documents, and a mixture of the kinds that it has."""
    rows = draw(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 400)), min_size=4, max_size=80))
    corpus = corpus_of([kind for kind, _ in rows])
    caps = dict(zip(KINDS, draw(st.lists(st.floats(0.05, 5), min_size=5, max_size=5)), strict=True))
    given: dict[str, Any] = {"epochs": caps, "validation_fraction": draw(st.floats(0.01, 0.3))}
    division = divide(corpus, TokenizationParams(**given))
    present = [KINDS[code] for code in np.unique(corpus.kinds[division.candidates])]
    if draw(st.booleans()):
        shares = draw(st.lists(st.floats(0.01, 10), min_size=len(present), max_size=len(present)))
        given["weights"] = dict(zip(present, shares, strict=True))
    if draw(st.booleans()):
        cut = draw(st.integers(0, len(present)))
        order = draw(st.permutations(present))
        given["curriculum"] = [phase for phase in (order[:cut], order[cut:]) if phase]
    return corpus, np.array([tokens for _, tokens in rows]), TokenizationParams(**given)


def planned(case: tuple[Corpus, np.ndarray, TokenizationParams], seed: int = 1) -> Mixture:
    """The mixture of a case; a case whose shares are less than a document is not a case."""
    try:
        return mix(case[0], case[2], seed, case[1])
    except StepError as error:
        assert "no document to train on" in str(error)  # noqa: PT017 - a case is passed over for this reason alone
        assume(False)
        raise


@given(cases())
def test_shares_are_exact_to_one_document_and_caps_are_never_exceeded(case: Any) -> None:
    corpus, tokens, params = case
    mixture = planned(case)
    candidates = divide(corpus, params).candidates
    of_kind = {kind: candidates & (corpus.kinds == code) for code, kind in enumerate(KINDS)}
    sizes = {kind: int(tokens[mask].sum()) for kind, mask in of_kind.items() if mask.any()}
    caps = {kind: Fraction(str(params.epochs[kind])) for kind in sizes}
    if params.weights:
        weights = {kind: Fraction(str(params.weights[kind])) for kind in sizes}
        total = sum(weights.values())
        length = min(caps[kind] * sizes[kind] * total / weights[kind] for kind in sizes)
        wanted = {kind: weights[kind] / total * length for kind in sizes}
        assert wanted[mixture.limited_by] == caps[mixture.limited_by] * sizes[mixture.limited_by]
    else:
        wanted = {kind: caps[kind] * sizes[kind] for kind in sizes}
    for code, kind in enumerate(KINDS):
        got = int(tokens[mixture.train[corpus.kinds[mixture.train] == code]].sum())
        if kind not in sizes:
            assert got == 0
            continue
        assert wanted[kind] - int(tokens[of_kind[kind]].max()) < got <= wanted[kind] <= caps[kind] * sizes[kind]


OWN_CODES = [KINDS.index(kind) for kind in OWN]


@given(cases(), st.floats(0.01, 1))
def test_own_text_has_its_share_in_both_streams_and_comes_by_whole(case: Any, share: float) -> None:
    corpus, tokens, params = case
    params = params.model_copy(update={"own_share": share, "weights": {}, "curriculum": []})
    assume(np.isin(corpus.kinds[divide(corpus, params).candidates], OWN_CODES).any())
    mixture = planned((corpus, tokens, params))
    for rows in (mixture.train, mixture.validation):
        own = tokens[rows[np.isin(corpus.kinds[rows], OWN_CODES)]].sum()
        missing = (
            len(OWN) * tokens.max() if rows is mixture.train else 0
        )  # a pass in part misses up to a document a kind
        assert own + missing >= share * tokens[rows].sum() * (1 - 1e-9) or not own
    for taken in mixture.shares:
        assert taken.passes >= 1 or taken.kind not in OWN
        assert taken.passes <= max(Fraction(str(params.epochs[taken.kind])), 1)


def test_generated_kinds_give_way_alike_and_only_as_far_as_they_must() -> None:
    tokens = {"prose": 300, "code": 400, "textbook": 600, "exercise": 200}
    caps = {"prose": 2.0, "code": 0.15, "textbook": 1.0, "exercise": 3.0}
    passes, limited_by = passes_of(tokens, TokenizationParams(epochs=caps, own_share=0.5))
    assert passes == {"prose": 2, "code": 1, "textbook": Fraction(5, 6), "exercise": Fraction(5, 2)}
    assert limited_by == ""
    assert passes_of(tokens, TokenizationParams(epochs=caps, own_share=0.2))[0] == {**caps, "code": 1}
    assert passes_of(tokens, TokenizationParams(epochs=caps, own_share=0))[0]["code"] == Fraction("0.15")
    assert passes_of({"exercise": 200}, TokenizationParams(epochs=caps, own_share=0.7))[0] == {"exercise": 3}
    weights = dict.fromkeys(tokens, 0.25)
    given_weights = passes_of(tokens, TokenizationParams(epochs=caps, own_share=0.9, weights=weights))
    assert given_weights == passes_of(tokens, TokenizationParams(epochs=caps, weights=weights))


@given(cases())
def test_every_document_comes_by_as_often_as_planned(case: Any) -> None:
    mixture = planned(case)
    counts = Counter(mixture.train.tolist())
    for share in mixture.shares:
        whole = int(share.passes)
        found = [counts.pop(int(row), 0) for row in share.rows]
        assert found == [whole + (n < share.partial) for n in range(len(found))]
    assert not counts


@given(cases())
def test_phases_follow_one_another_and_all_come_by_before_any_comes_again(case: Any) -> None:
    corpus, tokens, params = case
    mixture = planned(case)
    assert len(mixture.phases) == max(1, len(params.curriculum))
    assert sum(phase.documents for phase in mixture.phases) == len(mixture.train)
    begin = 0
    for number, phase in enumerate(mixture.phases):
        rows = mixture.train[begin : begin + phase.documents]
        begin += phase.documents
        assert phase.tokens == tokens[rows].sum()
        assert {KINDS[code] for code in corpus.kinds[rows]} == set(phase.kinds)
        if params.curriculum:
            assert set(phase.kinds) <= set(params.curriculum[number])
    for share in mixture.shares:
        of_kind = mixture.train[corpus.kinds[mixture.train] == KINDS.index(share.kind)]
        for number in range(int(share.passes)):
            once = of_kind[number * len(share.rows) : (number + 1) * len(share.rows)]
            assert sorted(once.tolist()) == sorted(share.rows.tolist())


@given(cases(), st.integers(0, 99))
def test_held_out_documents_are_the_same_whatever_the_mixture_and_never_trained_on(case: Any, seed: int) -> None:
    corpus, tokens, params = case
    mixture = planned(case, seed)
    plain = mix(corpus, epochs().model_copy(update={"validation_fraction": params.validation_fraction}), 0, tokens)
    assert np.array_equal(mixture.validation, plain.validation)
    assert len(mixture.validation) == len(set(mixture.validation.tolist())) > 0
    assert not set(mixture.train.tolist()) & set(mixture.validation.tolist())


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_the_first_of_equal_ids_counts(numbers: list[int]) -> None:
    names = [str(n) for n in numbers]
    assert first_of(keys_of(names)).tolist() == [name not in names[:n] for n, name in enumerate(names)]


def test_two_and_a_half_epochs_are_two_passes_and_half_of_the_tokens() -> None:
    corpus = corpus_of([KINDS.index("code")] * 2_000)
    mixture = mix(corpus, epochs(code=2.5))
    counts = Counter(mixture.train.tolist())
    distinct = len(counts)
    assert set(counts.values()) == {2, 3}
    assert sum(count == 3 for count in counts.values()) == distinct // 2
    assert len(set(mixture.train[:distinct].tolist())) == distinct  # all once before any comes again


@pytest.mark.parametrize("curriculum", [[], [["code", "textbook"], ["web"]]])
def test_kinds_are_spread_evenly_over_their_phase_whatever_their_epochs(curriculum: list[list[str]]) -> None:
    kinds = (
        [KINDS.index("code")] * 1_500 + [KINDS.index("textbook")] * 600 + [KINDS.index("web")] * bool(curriculum) * 9
    )
    corpus = corpus_of(kinds)
    params = epochs(code=0.5, textbook=2.5).model_copy(update={"curriculum": curriculum})
    mixture = mix(corpus, params)
    train = mixture.train[: mixture.phases[0].documents]
    share = np.mean(corpus.kinds[train] == KINDS.index("code"))
    for part in np.array_split(train, 6):
        assert abs(np.mean(corpus.kinds[part] == KINDS.index("code")) - share) < 0.09


def test_a_share_is_contained_in_a_larger_one() -> None:
    corpus = corpus_of([KINDS.index("web")] * 500)
    small, large = (set(mix(corpus, epochs(web=share)).train.tolist()) for share in (0.3, 0.6))
    assert small < large


def test_a_share_is_of_the_decimal_number_as_written() -> None:
    assert passes_of({"web": 10}, epochs(web=0.3))[0]["web"] * 10 == 3
    weights = TokenizationParams(epochs={"web": 3, "code": 1}, weights={"web": 0.1, "code": 0.2, "prose": 0})
    passes, limited_by = passes_of({"web": 100, "code": 100}, weights)
    assert passes == {"web": Fraction(1, 2), "code": 1}
    assert limited_by == "code"


def test_another_seed_gives_another_order_of_the_same_documents() -> None:
    corpus = corpus_of([n % 5 for n in range(300)])
    one, two = mix(corpus, epochs(), 1).train, mix(corpus, epochs(), 2).train
    assert not np.array_equal(one, two)
    assert sorted(one.tolist()) == sorted(two.tolist())


def test_the_streams_do_not_depend_on_the_order_in_which_documents_are_stored() -> None:
    names = [document_id(str(n)) for n in range(200)]
    forward, backward = corpus_of([1] * 200, names), corpus_of([1] * 200, names[::-1])
    params = epochs(prose=1.5)
    one, two = mix(forward, params, 3), mix(backward, params, 3)
    assert stream(forward, one.train) == stream(backward, two.train)
    assert stream(forward, one.validation) == stream(backward, two.validation)


def test_hashed_numbers_are_uniform_and_differ_by_purpose() -> None:
    keys = keys_of(str(n) for n in range(4_000))
    numbers = uniform(keys, "a")
    assert 0 <= numbers.min() < numbers.max() < 1
    assert np.all(np.abs(np.histogram(numbers, 10, (0, 1))[0] - 400) < 100)
    assert abs(np.corrcoef(numbers, uniform(keys, "b"))[0, 1]) < 0.05


@pytest.mark.parametrize("count", [2, 3, 10])
def test_a_tiny_corpus_still_has_a_held_out_document(count: int) -> None:
    for fraction in (1e-9, 0.5):
        mixture = mix(corpus_of([0] * count), TokenizationParams(validation_fraction=fraction))
        assert len(mixture.validation) >= 1
        assert len(mixture.train) >= 1


def test_one_document_cannot_be_split() -> None:
    with pytest.raises(StepError, match="1 document cannot be split"):
        mix(corpus_of([0, 0], ["same", "same"]), epochs())


WEB, PROSE, CODE = (KINDS.index(kind) for kind in ("web", "prose", "code"))
REFUSED = [
    ({"epochs": {"web": 0, "prose": 0}}, r"tokenization\.epochs .* leaves none of"),
    ({"weights": {"web": 1, "code": 2}}, r"weights gives code a share of 2, but there is no document of that kind .* of web"),
    ({"weights": {"web": 1}, "epochs": {"web": 0}}, r"but tokenization\.epochs\.web is 0, and epochs are the caps"),
    ({"curriculum": [["web"]]}, r"has no phase for prose, .* or set tokenization\.epochs\.prose to 0"),
    ({"curriculum": [["web", "prose"], ["code"]]}, r"phase 2 of tokenization\.curriculum \(code\) has no document"),
    ({"epochs": {"web": 1e-3, "prose": 1e-3}}, r"the stream has no document .* tokenization\.epochs give them less"),
    (
        {"curriculum": [["web"], ["prose"]], "weights": {"web": 1, "prose": 1e-3}},
        r"phase 2 of tokenization\.curriculum \(prose\) has no document .*weights and epochs give them less than one",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_a_mixture_that_the_corpus_cannot_give_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(StepError, match=message):
        mix(corpus_of([WEB] * 20 + [PROSE] * 20), TokenizationParams(**given))


def test_a_kind_without_weight_is_left_out_and_needs_no_phase() -> None:
    corpus = corpus_of([WEB] * 30 + [PROSE] * 30 + [CODE] * 30)
    mixture = mix(corpus, TokenizationParams(weights={"web": 3, "prose": 1}, curriculum=[["prose"], ["code", "web"]]))
    assert [phase.kinds for phase in mixture.phases] == [("prose",), ("web",)]
