"""Maps of single tensors."""

import pytest
import torch
from torch import Tensor

from components.transfer import maps
from components.transfer.maps import FREE, MEAN, ZERO, Axis, Draws, TensorMap, axis, extended, grown


def matrix(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_zero_wins_over_free_and_free_over_what_is_copied() -> None:
    source = matrix(2, 3)
    how = TensorMap(("w",), axis([0, 1, FREE, ZERO], 2), axis([0, 1, 2, FREE, ZERO], 3))
    made = grown("w", how, source, Draws(1, 0.5, 0.0))
    assert torch.equal(made[:2, :3], source)
    assert (made[:2, 3] != 0).all()
    assert (made[2, :4] != 0).all()
    assert not made[3].any()
    assert not made[:, 4].any()


def test_means_and_centring() -> None:
    source = matrix(4, 3)
    how = TensorMap(("w",), axis([0, 1, 2, 3, MEAN, MEAN], 4, 2.0), axis([0, 1, 2], 3))
    made = grown("w", how, source, Draws(1, 0.5, 0.0))
    torch.testing.assert_close(made[4], 2 * source.mean(0))
    centred = Axis(torch.arange(4), torch.ones(4, dtype=torch.float64), 4, centred=True)
    made = grown("w", TensorMap(("w",), centred, axis([0, 1, 2], 3)), source, Draws(1, 0.5, 0.0))
    torch.testing.assert_close(made.sum(0), torch.zeros(3, dtype=torch.float64))
    made = grown("b", TensorMap(("b",), extended(4, 6, MEAN)), source[:, 0], Draws(1, 0.5, 0.0))
    torch.testing.assert_close(made[5], source[:, 0].mean())


def test_null_space_noise_sums_to_zero_over_copies() -> None:
    source = matrix(3, 4)
    columns = axis([0, 1, 2, 3, 0, 1, 0], 4)
    how = TensorMap(("w",), axis([0, 1, 2], 3), columns, noise="null")
    noise = grown("w", how, source, Draws(1, 0.0, 0.5)) - source[:, columns.source]
    assert not noise[:, 2:4].any()  # no copies, no room
    for group in ([0, 4, 6], [1, 5]):
        assert (noise[:, group] != 0).all()
        torch.testing.assert_close(noise[:, group].sum(1), torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_growth_is_computed_in_float64_from_any_dtype(dtype: torch.dtype) -> None:
    source = matrix(3, 4).to(dtype)
    made = grown("w", TensorMap(("w",), extended(3, 5, MEAN, 1.1), axis([0, 1, 2, 3], 4)), source, Draws(1, 0.0, 0.0))
    torch.testing.assert_close(made[:3], 1.1 * source.double(), rtol=1e-15, atol=0)


def test_chunks_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is drawn the size of chunks changes no bit."""
    source = matrix(40, 6)
    how = TensorMap(("w",), extended(40, 50, MEAN, 1.1), axis([0, 1, 2, 3, 4, 5, MEAN, ZERO], 6))
    whole = grown("w", how, source, Draws(1, 0.3, 0.0))
    monkeypatch.setattr(maps, "CHUNK", 30)
    assert torch.equal(whole, grown("w", how, source, Draws(1, 0.3, 0.0)))
    how = TensorMap(("w",), extended(40, 50, FREE), extended(6, 8, FREE))
    chunks = list(maps.grown_chunks("w", how, source, Draws(1, 0.3, 0.0)))
    assert [len(chunk) for chunk in chunks[:-1]] == [3] * (len(chunks) - 1)
    assert torch.cat(chunks).shape == (50, 8)
