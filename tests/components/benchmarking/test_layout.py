"""What sequences share is computed once, and each token sees exactly what it would see alone."""

from hypothesis import given
from hypothesis import strategies as st

from components.benchmarking.layout import (
    SHORTEST_STEM,
    batches_of,
    common_length,
    is_plain,
    rows_of,
    tokens_of,
    visible_of,
)

# Few symbols and long common beginnings, so that sequences share much.
SEQUENCES = st.lists(
    st.tuples(
        st.sampled_from([(), (1,) * 40, (1,) * 40 + (2,) * 50]), st.lists(st.integers(1, 3), min_size=1, max_size=12)
    ).map(lambda parts: (*parts[0], *parts[1])),
    min_size=1,
    max_size=30,
    unique=True,
)


@given(SEQUENCES, st.integers(1, 5))
def test_every_token_sees_its_own_sequence_and_nothing_else(sequences, batch_size):
    rows = rows_of({tokens: len(tokens) - 1 for tokens in sequences}, longest=150)
    assert sorted(s for row in rows for s in row.sequences()) == sorted(sequences)
    batches = batches_of(rows, batch_size)
    assert sorted(s for batch in batches for row in batch.rows for s in row.sequences()) == sorted(sequences)
    for batch in batches:
        assert len(batch.rows) <= batch_size
        tokens, (positions, visible) = tokens_of(batch, 0), visible_of(batch)
        for r, row in enumerate(batch.rows):
            assert row.trunk[: batch.stem] == batch.stem_tokens
            assert batch.stem <= row.fixed
            for b, sequence in enumerate(row.sequences()):
                for index in range(batch.stem, len(sequence)):
                    place = row.place(b, index) - batch.stem
                    assert positions[r, place] == index
                    sees = [
                        batch.stem_tokens[k] if k < batch.stem else int(tokens[r, k - batch.stem])
                        for k in visible[r, place].nonzero()[0]
                    ]
                    assert tuple(sees) == sequence[: index + 1]


@given(SEQUENCES)
def test_sharing_never_costs_tokens(sequences):
    rows = rows_of({tokens: len(tokens) - 1 for tokens in sequences}, longest=150)
    assert sum(row.size for row in rows) <= sum(map(len, sequences))
    assert all(row.size <= 150 for row in rows)


def test_choices_share_their_question_and_questions_their_examples():
    examples = tuple(range(100))
    sequences = {(*examples, 200 + q, 300, 400 + c): 101 for q in range(5) for c in range(4)}
    rows = rows_of(sequences, longest=500)
    assert [len(row.branches) for row in rows] == [4] * 5
    (batch,) = batches_of(rows, 8)
    assert batch.stem == 100
    assert tokens_of(batch, 0).shape == (5, 2 + 4)


def test_prompts_that_share_little_have_no_stem():
    rows = rows_of({(*range(SHORTEST_STEM - 1), 100 + i, 7, 8): 30 for i in range(3)}, longest=40)
    assert all(batch.stem == 0 for batch in batches_of(rows, 8))


def test_a_change_of_examples_begins_a_new_stem():
    few_shot = [tuple(range(k, k + 200)) for k in (0, 1000)]
    shared = tuple(range(5000, 5040))  # a description that both tasks begin with
    sequences = {(*shared, *shots, 9000 + i, 1): 241 for shots in few_shot for i in range(3)}
    batches = batches_of(rows_of(sequences, longest=400), 8)
    assert [batch.stem for batch in batches] == [240, 240]


def test_causal_attention_is_enough_where_nothing_branches():
    rows = rows_of({(1, 2, 3): 2, (4, 5): 1}, longest=10)
    assert all(is_plain(batch) for batch in batches_of(rows, 8))
    (branching,) = rows_of({(1, 2, 3, 4): 3, (1, 2, 3, 5): 3}, longest=10)
    assert not is_plain(batches_of([branching], 8)[0])


def test_common_beginnings():
    assert common_length((1, 2, 3), (1, 2, 4)) == 2
    assert common_length((), (1,)) == 0
    assert common_length((1, 2, 3), (1, 2, 3, 4)) == 3
    assert common_length((1, 2, 3), (1, 2, 3), 1) == 1


def test_a_batch_that_is_large_enough_takes_no_row_that_would_be_mostly_padding():
    long = {(*range(1000 * i, 1000 * i + 300), 1): 300 for i in range(2)}
    short = {(*range(100_000 + 100 * i, 100_000 + 100 * i + 40), 1): 40 for i in range(8)}
    batches = batches_of(rows_of(long | short, longest=400), 32)
    assert [[row.size for row in batch.rows] for batch in batches] == [[301] * 2, [41] * 8]
    few = batches_of(rows_of(short | {(*range(60), 1): 60}, longest=400), 32)
    assert [len(batch.rows) for batch in few] == [9]
