"""The mixture: who is held out, who comes by how often, and in which order, follow from hashes of ids."""

from collections import Counter
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.documents import DOCUMENT, KINDS, document_id
from components.errors import StepError
from components.params import TokenizationParams
from components.tokenization.mixture import Corpus, Mixture, plan, read_corpus, uniform


def corpus_of(kinds: list[int], names: list[str] | None = None) -> Corpus:
    names = names or [document_id(str(n)) for n in range(len(kinds))]
    first = [name not in names[:n] for n, name in enumerate(names)]
    return Corpus(
        ids=pa.chunked_array([pa.array(names, pa.string())]),
        sources=pa.chunked_array([pa.array(names, pa.string())]),
        kinds=np.array(kinds, dtype=np.int8),
        bytes=np.full(len(kinds), 10),
        first=np.array(first),
    )


def epochs(**values: float) -> TokenizationParams:
    return TokenizationParams(epochs={kind: 1.0 for kind in KINDS} | values)


def stream(corpus: Corpus, rows: np.ndarray) -> list[str]:
    return corpus.ids.take(pa.array(rows)).to_pylist()


@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=60),
    st.lists(st.floats(0, 4), min_size=5, max_size=5),
    st.floats(0.01, 0.5),
    st.integers(0, 99),
)
def test_held_out_documents_are_never_trained_on(
    kinds: list[int], passes: list[float], fraction: float, seed: int
) -> None:
    corpus = corpus_of(kinds)
    params = TokenizationParams(validation_fraction=fraction, epochs=dict(zip(KINDS, passes, strict=True)))
    with suppress(StepError):  # epochs of 0, or shares that take no document
        mixture = plan(corpus, params, seed)
        check_passes(mixture, kinds, passes)


def check_passes(mixture: Mixture, kinds: list[int], passes: list[float]) -> None:
    assert len(mixture.validation)
    assert not set(mixture.train) & set(mixture.validation)
    assert len(set(mixture.validation)) == len(mixture.validation)
    for row, count in Counter(mixture.train.tolist()).items():
        total = passes[kinds[row]]
        assert int(total) <= count <= int(np.ceil(total))


def test_two_and_a_half_epochs_are_two_passes_and_half_of_the_documents() -> None:
    corpus = corpus_of([KINDS.index("code")] * 2_000)
    mixture = plan(corpus, epochs(code=2.5), 1)
    counts = Counter(mixture.train.tolist())
    distinct = len(counts)
    assert set(counts.values()) == {2, 3}
    assert abs(sum(count == 3 for count in counts.values()) / distinct - 0.5) < 0.05
    assert len(set(mixture.train[:distinct].tolist())) == distinct  # all once before any comes again


def test_kinds_are_spread_evenly_over_the_stream_whatever_their_epochs() -> None:
    kinds = [KINDS.index("code")] * 1_500 + [KINDS.index("textbook")] * 600
    corpus = corpus_of(kinds)
    train = plan(corpus, epochs(code=0.5, textbook=2.5), 1).train
    share = np.mean(corpus.kinds[train] == KINDS.index("code"))
    for part in np.array_split(train, 6):
        assert abs(np.mean(corpus.kinds[part] == KINDS.index("code")) - share) < 0.09


def test_a_share_is_contained_in_a_larger_one() -> None:
    corpus = corpus_of([KINDS.index("web")] * 500)
    small, large = (set(plan(corpus, epochs(web=share), 1).train.tolist()) for share in (0.3, 0.6))
    assert small < large


def test_the_split_depends_on_the_ids_alone() -> None:
    corpus = corpus_of([n % 5 for n in range(300)])
    one, two = plan(corpus, epochs(), 1), plan(corpus, epochs(code=0, web=3), 2)
    assert np.array_equal(one.validation, two.validation)
    assert not np.array_equal(one.train, plan(corpus, epochs(), 2).train)


def test_the_streams_do_not_depend_on_the_order_in_which_documents_are_stored() -> None:
    names = [document_id(str(n)) for n in range(200)]
    forward, backward = corpus_of([1] * 200, names), corpus_of([1] * 200, names[::-1])
    one, two = plan(forward, epochs(), 3), plan(backward, epochs(), 3)
    assert stream(forward, one.train) == stream(backward, two.train)
    assert stream(forward, one.validation) == stream(backward, two.validation)


def test_hashed_numbers_are_uniform_and_differ_by_purpose() -> None:
    names = [str(n) for n in range(4_000)]
    numbers = uniform(names, "a")
    assert 0 <= numbers.min() < numbers.max() < 1
    assert np.all(np.abs(np.histogram(numbers, 10, (0, 1))[0] - 400) < 100)
    assert abs(np.corrcoef(numbers, uniform(names, "b"))[0, 1]) < 0.05


@pytest.mark.parametrize("count", [2, 3, 10])
def test_a_tiny_corpus_still_has_a_held_out_document(count: int) -> None:
    for fraction in (1e-9, 0.5):
        mixture = plan(corpus_of([0] * count), TokenizationParams(validation_fraction=fraction), 1)
        assert len(mixture.validation) >= 1
        assert len(mixture.train) >= 1


def test_one_document_cannot_be_split() -> None:
    with pytest.raises(StepError, match="1 document cannot be split"):
        plan(corpus_of([0, 0], ["same", "same"]), epochs(), 1)


def test_epochs_that_leave_nothing_are_refused() -> None:
    with pytest.raises(StepError, match=r"tokenization\.epochs .* leaves none of"):
        plan(corpus_of([0] * 10), epochs(web=0), 1)


def test_an_unknown_kind_is_named(tmp_path) -> None:
    row = {name: "x" for name in DOCUMENT.names} | {"kind": "poem", "educational_value": None, "quality": None}
    pq.write_table(pa.Table.from_pylist([row], schema=DOCUMENT), tmp_path / "part-00000.parquet")
    with pytest.raises(StepError, match="documents of kind 'poem'; expected one of web, prose"):
        read_corpus([tmp_path])
