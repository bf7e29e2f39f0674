"""The order of the data is a pure function; batches hold what the stream holds."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import StepError
from components.order import PhasedOrder, SequenceOrder
from components.tokens import Tokens
from components.training.data import BatchLoader, HeldOut, HeldOutLoss, by_sequence


@given(st.integers(1, 3000), st.integers(0, 2**31 - 1), st.integers(0, 10**6))
def test_an_epoch_is_a_permutation(count: int, seed: int, epoch: int) -> None:
    order = SequenceOrder(count, seed).at(epoch * count + np.arange(count))
    assert order.dtype == np.int64
    assert np.array_equal(np.sort(order), np.arange(count))


def test_seeds_and_epochs_differ_and_look_random() -> None:
    count = 4096
    one, two, other = (SequenceOrder(count, s).at(e * count + np.arange(count)) for s, e in ((1, 0), (1, 1), (2, 0)))
    for a, b in ((one, two), (one, other), (one, np.arange(count))):
        assert (a == b).mean() < 0.005
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.06
    assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < 0.06


def test_any_index_stands_alone() -> None:
    """Also where a table of the order would not fit into memory."""
    order = SequenceOrder(7 * 10**11, 5)
    index = np.array([0, 12, 10**11, 10**13])
    together = order.at(index)
    assert together.tolist() == [int(order.at(np.array([i]))[0]) for i in index]
    assert (together < 7 * 10**11).all()


def test_batches_are_the_stream_shifted_by_one(tokens: Path) -> None:
    split = Tokens.open(tokens).split("train")
    loader = BatchLoader(split, 32, 4, batches=100, seed=1)
    stream = split.read(0, len(split))
    batches = list(loader)
    assert len(batches) == len(loader) == 100
    for batch in batches:
        for start, row, target in zip(batch.starts, batch.tokens, batch.targets, strict=True):
            assert np.array_equal(row, stream[start : start + 32])
            assert np.array_equal(target, stream[start + 1 : start + 33])
    sequences = (len(split) - 1) // 32
    starts = [start for batch in batches for start in batch.starts]
    assert sorted(starts[:sequences]) == [32 * i for i in range(sequences)]
    assert loader.epochs == 400 / sequences > 3


def test_a_loader_can_begin_anywhere(tokens: Path) -> None:
    split = Tokens.open(tokens).split("train")
    whole = list(BatchLoader(split, 32, 4, batches=50, seed=1))
    rest = list(BatchLoader(split, 32, 4, batches=50, seed=1, first=37))
    assert len(rest) == 13
    assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(whole[37:], rest, strict=True))


def test_a_run_goes_on_after_what_its_start_has_read(tokens: Path) -> None:
    split = Tokens.open(tokens).split("train")
    whole = BatchLoader(split, 32, 4, batches=50, seed=1)
    rest = BatchLoader(split, 32, 2, batches=26, seed=1, read=37 * 4)
    starts = [start for batch in whole for start in batch.starts]
    assert [start for batch in rest for start in batch.starts] == starts[37 * 4 :]


def test_held_out_sequences_are_spread_over_the_split(tokens: Path) -> None:
    split = Tokens.open(tokens).split("validation")
    held_out = HeldOut.choose(split, 32, 256, 128)
    starts = [start for batch in held_out.batches for start in batch.starts]
    assert held_out.tokens.tolist() == [256]
    assert held_out.kinds == ("prose",)
    assert len(starts) == len(set(starts)) == 8
    assert starts[0] == 0
    assert starts[-1] == 480  # of 0, 64, 128, ...
    assert held_out.bytes.tolist() == pytest.approx([256 * 4])  # the fixture has four bytes per token
    assert HeldOut.choose(split, 32, 10**9, 128).tokens.sum() == (len(split) - 1) // 32 * 32
    assert HeldOut.choose(split, 32, 8, 128).tokens.sum() == 32


def test_held_out_losses_are_accounted_by_kind(make_tokens: Callable[..., Path], tmp_path: Path) -> None:
    """Every target counts for the document that it lies in, not for the one before it."""
    split = Tokens.open(make_tokens(tmp_path / "t", kinds=("prose", "code", "code"))).split("validation")
    held_out = HeldOut.choose(split, 32, 10**9, 64)
    kinds = dict(zip(held_out.kinds, range(2), strict=True))
    expected = {"prose": 0, "code": 0}
    for batch, codes in zip(held_out.batches, held_out.codes, strict=True):
        for row, start in enumerate(batch.starts):
            for column in range(32):
                kind = split.locate(start + 1 + column)["kind"]
                assert int(codes[row, column]) == kinds[kind]
                expected[kind] += 1
    assert {k: int(held_out.tokens[i]) for k, i in kinds.items()} == expected
    assert held_out.bytes.tolist() == pytest.approx([4.0 * expected[kind] for kind in held_out.kinds])
    counts = np.concatenate([by_sequence(codes.numpy(), 2) for codes in held_out.codes])
    assert counts.sum(axis=0).tolist() == held_out.tokens.tolist()
    loss = HeldOutLoss(held_out, np.array([2.0, 3.0]) * counts)
    assert loss.loss == pytest.approx((2 * held_out.tokens[0] + 3 * held_out.tokens[1]) / held_out.tokens.sum())
    by_kind = loss.by_kind()
    assert by_kind[held_out.kinds[1]]["validation_loss"] == pytest.approx(3)
    assert by_kind[held_out.kinds[1]]["bits_per_byte"] == pytest.approx(3 / np.log(2) / 4)
    assert sum(figures["tokens"] for figures in by_kind.values()) == held_out.tokens.sum()


def test_the_standard_error_of_a_held_out_loss_is_over_sequences(
    make_tokens: Callable[..., Path], tmp_path: Path
) -> None:
    """Every sequence has as many tokens, so it is the standard error of the mean of their losses."""
    split = Tokens.open(make_tokens(tmp_path / "t", kinds=("prose", "code", "code"))).split("validation")
    held_out = HeldOut.choose(split, 32, 10**9, 64)
    counts = np.concatenate([by_sequence(codes.numpy(), 2) for codes in held_out.codes])
    nats = np.random.default_rng(1).uniform(1, 4, counts.shape) * counts
    loss = HeldOutLoss(held_out, nats)
    of_sequences = nats.sum(axis=1) / 32
    assert loss.stderr == pytest.approx(of_sequences.std(ddof=1) / np.sqrt(len(of_sequences)))
    equal = HeldOutLoss(held_out, 2.0 * counts)
    assert equal.stderr == pytest.approx(0)
    assert all(kind["validation_loss_stderr"] == pytest.approx(0) for kind in equal.by_kind().values())


@given(st.lists(st.integers(1, 200), min_size=1, max_size=4), st.integers(0, 1000), st.integers(0, 5))
def test_phases_follow_one_another_in_every_epoch(sizes: list[int], seed: int, epoch: int) -> None:
    borders = np.concatenate([[0], np.cumsum(sizes)])
    order = PhasedOrder(borders, seed)
    numbers = order.at(epoch * order.count + np.arange(order.count))
    for first, end in itertools.pairwise(borders):
        assert np.array_equal(np.sort(numbers[first:end]), np.arange(first, end))
    if len(sizes) == 1:
        assert np.array_equal(numbers, SequenceOrder(sizes[0], seed).at(epoch * sizes[0] + np.arange(sizes[0])))


@given(st.integers(1, 4), st.integers(1, 3))
def test_devices_share_each_batch_without_gap_or_overlap(devices: int, sequences: int) -> None:
    class Stream:  # 1,000 tokens that are their own positions
        phases = np.array([0, 500, 1000])

        def __len__(self) -> int:
            return 1000

        def read(self, start: int, length: int) -> np.ndarray:
            return np.arange(start, start + length)

    whole = list(BatchLoader(Stream(), 8, sequences * devices, 6, seed=2))
    parts = []
    for rank in range(devices):
        loader = BatchLoader(Stream(), 8, sequences, 6, seed=2, devices=devices)
        loader.rank = rank
        parts.append(list(loader))
        assert loader.epochs == BatchLoader(Stream(), 8, sequences * devices, 6, seed=2).epochs
    for number, batch in enumerate(whole):
        together = torch.cat([part[number].tokens for part in parts])
        assert torch.equal(together, batch.tokens)
        assert all(part[number].starts == batch.starts for part in parts)


def test_a_split_shorter_than_a_sequence_is_refused(make_tokens: Callable[..., Path], tmp_path: Path) -> None:
    split = Tokens.open(make_tokens(tmp_path / "t", validation=32)).split("validation")
    with pytest.raises(StepError, match=r"32 tokens; one sequence of training\.context_length 32 needs 33"):
        HeldOut.choose(split, 32, 64, 64)


@settings(max_examples=25)
@given(
    st.integers(1, 200),
    st.integers(1, 2),
    st.sampled_from([(), (1000,), (640, 1500)]),
    st.integers(0, 9),
    st.sampled_from([0, 1, 30, 200]),
)
def test_the_tokens_read_are_counted_by_kind(
    mixed: Path, batches: int, devices: int, borders: tuple[int, ...], seed: int, read: int
) -> None:
    """Against a count of every token of every batch."""
    split = Tokens.open(mixed).split("train")
    cuts = [0, *borders, len(split)]
    split.counts = split.counts | {"phases": [{"tokens": b - a} for a, b in itertools.pairwise(cuts)]}
    loader = BatchLoader(split, 32, 2, batches, seed, devices=devices, read=read)
    names, codes = split.kinds
    starts = np.concatenate([loader.numbers(number) * 32 for number in range(batches)])
    kinds = codes[split.rows_at(np.add.outer(starts, np.arange(32)))].ravel()
    expected = np.bincount(kinds, minlength=len(names))
    assert loader.tokens_by_kind() == {name: n for name, n in zip(names, expected.tolist(), strict=True) if n}
    assert sum(loader.tokens_by_kind().values()) == batches * 2 * devices * 32
    ever = loader.order.at(np.arange(read + batches * 2 * devices))
    reached = set(np.searchsorted(loader.order.borders, ever, side="right").tolist())
    assert loader.phases_unread == len(loader.order.borders) - 1 - len(reached)


@pytest.fixture(scope="module")
def mixed(make_tokens: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokens(tmp_path_factory.mktemp("mixed") / "tokens", kinds=("prose", "code", "exercise"))
