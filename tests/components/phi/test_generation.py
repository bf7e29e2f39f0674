"""Generation with a cache is generation without one; a row of a batch is that row alone."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import StepError
from components.phi.cache import KVCache
from components.phi.generation import Sampling, choose, stream
from components.phi.model import Phi, PhiConfig
from tests.components.phi.generated import generate

TINY = PhiConfig(97, 64, 160, 2, 2, 40, partial_rotary_factor=0.5)
Lively = Callable[..., Phi]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_a_cache_changes_no_token(lively: Lively, dtype: torch.dtype, temperature: float) -> None:
    model, tokens = lively(TINY, dtype=dtype), torch.randint(1, 97, (3, 6))
    cached = generate(model, tokens, 40, sampling=Sampling(temperature), end_tokens=())  # also beyond the positions
    draws = [torch.Generator().manual_seed(row) for row in range(3)]
    for _ in range(40):
        following = choose(model(tokens[:, -40:])[:, -1], temperature, 0, 1.0, draws)
        tokens = torch.cat((tokens, following[:, None]), 1)
    assert torch.equal(cached, tokens)


@settings(max_examples=25, deadline=None)
@given(pieces=st.lists(st.integers(1, 8), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_states_do_not_depend_on_how_a_sequence_was_cut(pieces: list[int], seed: int) -> None:
    model = Phi(TINY, torch.float64).double().initialize(seed)
    tokens = torch.randint(97, (2, sum(pieces)), generator=torch.Generator().manual_seed(seed))
    cache = KVCache()
    with torch.no_grad():
        states = torch.cat([model.hidden(part, cache=cache) for part in tokens.split(pieces, 1)], 1)
        torch.testing.assert_close(states, model.hidden(tokens))
    assert cache.length == sum(pieces)


@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.5, "top_k": 20, "top_p": 0.9, "seed": 5}])
def test_a_row_of_a_batch_is_that_row_alone(lively: Lively, sampling: dict) -> None:
    model, tokens = lively(TINY), torch.randint(1, 97, (4, 12))
    together = generate(model, tokens, 30, sampling=Sampling(**sampling))
    for row in range(4):
        own = sampling | ({"seed": sampling["seed"] + row} if sampling else {})
        alone = generate(model, tokens[row : row + 1], 30, sampling=Sampling(**own))[0, 12:].tolist()
        in_batch = together[row, 12:].tolist()
        assert in_batch[: len(alone)] == alone
        assert set(in_batch[len(alone) :]) <= {0}


def test_the_window_slides_and_stops_at_the_end(lively: Lively) -> None:
    model = lively(TINY)
    prompt = torch.randint(1, 97, (2, 38))
    continued = generate(model, prompt, 10, end_tokens=())
    assert continued.shape == (2, 48)
    window = continued[:, 7:47]  # the last 40 before the last token
    assert torch.equal(continued[:, -1], model(window)[:, -1].argmax(-1))
    with torch.no_grad():
        model.head.bias[TINY.eos_token_id] += 1e6
    assert generate(model, prompt, 10)[:, 38:].tolist() == [[0], [0]]


def test_a_prompt_longer_than_the_positions_keeps_its_end(lively: Lively) -> None:
    model = lively(TINY)
    prompt = torch.randint(1, 97, (1, 55))
    assert torch.equal(generate(model, prompt, 3)[:, 55:], generate(model, prompt[:, -40:], 3)[:, 40:])


def test_greedy_text_equals_transformers_also_in_a_batch(lively: Lively, tmp_path) -> None:
    from transformers import AutoModelForCausalLM

    from components.phi import checkpoint

    model = lively(TINY)
    checkpoint.save(model, tmp_path / "m", None, {})
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    tokens = torch.randint(1, 97, (3, 9))
    expected = theirs.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=20, do_sample=False)
    assert generate(model, tokens, 20).tolist() == expected.tolist()


def test_sampling_is_a_function_of_the_seed(lively: Lively) -> None:
    model = lively(TINY)
    prompt = torch.randint(1, 97, (1, 5))
    one, same, other = (
        generate(model, prompt, 15, sampling=Sampling(temperature=3.0, seed=s)).tolist() for s in (1, 1, 2)
    )
    assert one == same != other


def drawn(
    logits: torch.Tensor, count: int, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> torch.Tensor:
    """How often each token is drawn."""
    draws = [torch.Generator().manual_seed(seed) for seed in range(count)]
    chosen = choose(logits.repeat(count, 1), temperature, top_k, top_p, draws)
    return torch.bincount(chosen, minlength=len(logits)) / count


def test_tokens_are_drawn_with_their_probabilities() -> None:
    logits = torch.tensor([0.0, 3.0, 1.0, 2.0, -torch.inf])
    torch.testing.assert_close(drawn(logits, 4000), logits.softmax(-1), atol=0.03, rtol=0)
    torch.testing.assert_close(drawn(logits, 4000, 2.0), (logits / 2).softmax(-1), atol=0.03, rtol=0)


def test_draws_keep_to_the_likeliest() -> None:
    logits = torch.arange(10.0)
    assert drawn(logits, 500, 5.0, top_k=3).nonzero().flatten().tolist() == [7, 8, 9]
    assert drawn(torch.tensor([0.5, 0.3, 0.15, 0.05]).log(), 500, top_p=0.75).nonzero().flatten().tolist() == [0, 1]
    assert drawn(torch.tensor([0.5, 0.3, 0.15, 0.05]).log(), 50, top_p=0.1)[0] == 1
    assert choose(logits.repeat(3, 1), 0.0, 0, 1.0, []).tolist() == [9, 9, 9]


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0; expected a number of at least 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0}, "top_p is 0.0; expected over 0, at most 1"),
        ({"top_k": -1}, "top_k is -1"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_impossible_sampling_is_refused(wishes: dict, message: str) -> None:
    with pytest.raises(StepError, match=message):
        Sampling(**wishes)


def test_any_of_several_end_tokens_ends_a_text_and_fills_it(lively: Lively) -> None:
    model = lively(TINY)
    prompt = torch.randint(1, 97, (3, 6), generator=torch.Generator().manual_seed(1))
    free = generate(model, prompt, 12, end_tokens=())[:, 6:].tolist()
    ends = {free[0][3], free[1][5]}
    ended = generate(model, prompt, 12, end_tokens=sorted(ends))[:, 6:].tolist()
    for whole, cut in zip(free, ended, strict=True):
        stop = next((i for i, token in enumerate(whole) if token in ends), len(whole) - 1)
        assert cut[: stop + 1] == whole[: stop + 1]
        assert set(cut[stop + 1 :]) <= {whole[stop]}
    alone = generate(model, prompt[:1], 12, end_tokens=sorted(ends))[0, 6:].tolist()
    assert alone[-1] in ends
    assert not ends & set(alone[:-1])


def test_a_stream_gives_each_token_before_it_computes_the_next(lively: Lively, monkeypatch) -> None:
    model, calls = lively(TINY), []
    hidden = model.hidden
    monkeypatch.setattr(model, "hidden", lambda *args, **kwargs: calls.append(1) or hidden(*args, **kwargs))
    prompt = torch.randint(1, 97, (1, 6))
    tokens = []
    for token in stream(model, prompt, 5, end_tokens=()):
        tokens.append(token)
        assert len(calls) == len(tokens)
    monkeypatch.undo()
    assert torch.stack(tokens, 1).tolist() == generate(model, prompt, 5, end_tokens=())[:, 6:].tolist()


def test_a_negative_number_of_tokens_is_refused() -> None:
    with pytest.raises(StepError, match="max_new_tokens is -1"):
        generate(Phi(TINY).initialize(1), torch.ones(1, 4, dtype=torch.long), -1)


def test_a_cache_is_not_mixed_with_documents_nor_filled_beyond_the_positions() -> None:
    model, tokens = Phi(TINY).initialize(1), torch.ones(1, 4, dtype=torch.long)
    with pytest.raises(StepError, match="documents and a cache"):
        model.hidden(tokens, tokens, KVCache())
    cache = KVCache()
    model.hidden(tokens, cache=cache)
    with pytest.raises(StepError, match="a sequence of 41 tokens"):
        model.hidden(torch.ones(1, 37, dtype=torch.long), cache=cache)
