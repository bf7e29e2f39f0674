"""The proof: a model that is evaluated a block at a time, and figures that mean what they say."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from components.phi.weights import from_state
from components.transfer import proof
from components.transfer.proof import Difference, compare, proof_rows
from components.transfer.streamed import StreamedPhi


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_streamed_model_computes_what_a_whole_one_does(
    config: Callable, random_state: Callable, dtype: torch.dtype
) -> None:
    shape = config(2, 8, 16, 3)
    state = random_state(shape, 1)
    held = {name: tensor.to(dtype) for name, tensor in state.items()}
    tokens = torch.randint(50, (3, 9), generator=torch.Generator().manual_seed(2))
    whole, streamed = from_state(shape, held, dtype), StreamedPhi(shape, state, dtype)
    hidden = streamed.hidden(tokens)
    with torch.no_grad():
        assert torch.equal(hidden, whole.hidden(tokens))
        parts = list(streamed.logits(hidden.flatten(0, 1), 4))
        assert [len(part) for part in parts] == [4] * 6 + [3]
        torch.testing.assert_close(torch.cat(parts).view(3, 9, 50), whole(tokens))


def test_a_streamed_model_holds_one_block_at_a_time(config: Callable, random_state: Callable) -> None:
    shape = config(2, 8, 16, 3)
    state, alive = random_state(shape, 1), []
    model = StreamedPhi(shape, state, torch.float64)
    model._model.blocks[0].register_forward_pre_hook(  # after the streamed model's own, which brings the weights
        lambda *_: alive.append(sum(p.numel() for p in model._model.parameters() if not p.is_meta))
    )
    model.hidden(torch.zeros(1, 4, dtype=torch.int64))
    assert alive == [sum(tensor.numel() for name, tensor in state.items() if ".layers.1." in name)] * 3
    assert all(parameter.is_meta for parameter in model._model.parameters())


@pytest.mark.parametrize("scores", [1, 2**26])
def test_figures_by_hand(
    config: Callable, random_state: Callable, monkeypatch: pytest.MonkeyPatch, scores: int
) -> None:
    monkeypatch.setattr(proof, "SCORES", scores)
    monkeypatch.setattr(proof, "LOGITS", 50 * 5)
    shape, larger = config(2, 8, 16, 1), config(2, 8, 16, 1, vocab=52)
    first, second = random_state(shape, 1), random_state(larger, 2)
    rows = torch.randint(50, (3, 8), generator=torch.Generator().manual_seed(2))
    source, target = StreamedPhi(shape, first, torch.float64), StreamedPhi(larger, second, torch.float64)
    differences = compare(source, {"itself": source, "other": target}, rows)
    assert differences["itself"].absolute == differences["itself"].kl == 0
    found = differences["other"]
    with torch.no_grad():
        s, t = (
            from_state(shape, first, torch.float64)(rows[:, :-1]),
            from_state(larger, second, torch.float64)(rows[:, :-1]),
        )
    known, least = t[..., :50], s - s.mean(-1, keepdim=True)
    apart = (known - known.mean(-1, keepdim=True) - least).abs()
    assert found.absolute == pytest.approx(float((known - s).abs().max()))
    assert found.relative == pytest.approx(float((apart.amax(-1) / least.abs().amax(-1)).max()))
    assert found.relative_norm == pytest.approx(float(apart.norm() / least.norm()))
    log_q = t.log_softmax(-1)[..., :50]  # over the larger vocabulary
    kl = F.kl_div(log_q, s.log_softmax(-1), log_target=True, reduction="none").sum(-1).mean()
    assert found.kl == pytest.approx(float(kl))
    assert found.source_loss == pytest.approx(float(F.cross_entropy(s.flatten(0, 1), rows[:, 1:].flatten())))
    assert found.target_loss == pytest.approx(float(F.cross_entropy(t.flatten(0, 1), rows[:, 1:].flatten())))


def test_a_shift_of_all_logits_hides_no_difference(config: Callable, random_state: Callable) -> None:
    """Softmax does not see it, and neither do the figures; tokens that the source lacks count by what they take."""
    shape, larger = config(2, 8, 16, 1), config(2, 8, 16, 1, vocab=52)
    first, second = random_state(shape, 1), random_state(larger, 2)
    rows = torch.randint(50, (2, 8), generator=torch.Generator().manual_seed(2))

    def found(shift: float, new: float) -> Difference:
        s, t = dict(first), dict(second)
        s["lm_head.bias"] = first["lm_head.bias"].double() + shift
        t["lm_head.bias"] = second["lm_head.bias"].double() + shift
        t["lm_head.bias"][50:] += new
        models = StreamedPhi(shape, s, torch.float64), StreamedPhi(larger, t, torch.float64)
        return compare(models[0], {"grown": models[1]}, rows)["grown"]

    plain, shifted = found(0, 0), found(-100, 0)
    assert shifted.relative_norm == pytest.approx(plain.relative_norm, rel=1e-9)
    assert shifted.relative == pytest.approx(plain.relative, rel=1e-9)
    assert shifted.kl == pytest.approx(plain.kl, rel=1e-9)
    assert found(0, 20).kl > plain.kl + 10


def test_random_tokens_where_none_are_given() -> None:
    rows = proof_rows(None, 100, 32, 50, seed=3)
    assert rows.shape == (3, 33)
    assert 0 <= rows.min() <= rows.max() < 50
    assert torch.equal(rows, proof_rows(None, 100, 32, 50, seed=3))
