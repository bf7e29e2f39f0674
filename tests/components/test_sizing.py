"""The rule of `--size`: a plan for every amount of text and machine, and the default pair where the default text is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from components.params import Params, check_params, set_dotted
from components.params.sizing import (
    BYTES_PER_TOKEN,
    CORE_FLOPS,
    DECAY_PER_PASS,
    EPOCHS,
    OWN_SHARE,
    SECONDS,
    WIDTHS,
    Sizing,
    learning_rate,
    plan,
)


def params_of(sizing: Sizing) -> Params:
    values: dict = {}
    for key, value in sizing.overlay.items():
        set_dotted(values, key, value)
    return check_params(values)


@given(st.integers(0, 10**12), st.integers(1, 256), st.sampled_from(["auto", *WIDTHS]))
def test_every_plan_is_valid_and_its_pair_can_grow(text_bytes: int, cores: int, size: str) -> None:
    sizing = plan(text_bytes, cores, size)
    params = params_of(sizing)
    small, large = params.small.model, params.large.model
    assert small.rotary_dims == large.rotary_dims
    assert small.hidden_size < large.hidden_size
    assert small.num_hidden_layers < large.num_hidden_layers
    assert small.num_attention_heads == large.num_attention_heads
    assert params.small.tokens % params.training.batch_tokens == 0
    assert params.small.tokens >= params.large.tokens
    assert sizing.size == size or size == "auto"


@given(st.integers(30_000, 10**10), st.integers(1, 64))
def test_auto_repeats_no_text_too_often_and_ends_in_time(text_bytes: int, cores: int) -> None:
    sizing = plan(text_bytes, cores)
    batch = sizing.overlay["training.batch_tokens"]
    assert sizing.overlay["small.tokens"] <= max(EPOCHS * text_bytes / BYTES_PER_TOKEN / OWN_SHARE, batch)
    assert sizing.seconds <= SECONDS * 1.01
    assert sizing.seconds * cores * CORE_FLOPS > 0


@given(st.integers(10_000, 10**9), st.integers(1, 16))
def test_more_text_and_more_cores_never_give_a_smaller_model(text_bytes: int, cores: int) -> None:
    order = list(WIDTHS)

    def rank(size: int, machine: int) -> int:
        return order.index(plan(size, machine).size)

    assert rank(text_bytes, cores) <= rank(text_bytes, 2 * cores)
    assert (
        rank(text_bytes, cores) <= rank(2 * text_bytes, cores) or text_bytes > 10**6
    )  # a larger vocabulary costs time


def test_the_default_pair_is_what_the_rules_start_from() -> None:
    default = Params()
    params = params_of(plan(1_000_000, 4, "1M"))
    assert (params.small.model, params.large.model) == (default.small.model, default.large.model)
    assert params.training.batch_tokens == default.training.batch_tokens
    assert params.tokenization.vocab_size == default.tokenization.vocab_size
    assert params.transfer.learning_rate == default.transfer.learning_rate
    assert learning_rate(default.small.model.hidden_size, default.small.tokens) == default.small.learning_rate


@given(st.integers(1_000, 10**10), st.sampled_from(list(WIDTHS.values())))
def test_longer_trainings_and_wider_models_have_lower_rates(tokens: int, width: int) -> None:
    rate = learning_rate(width, tokens)
    assert 0 < rate <= 2 * Params().small.learning_rate
    assert learning_rate(width, 2 * tokens) <= rate
    assert learning_rate(2 * width, tokens) <= rate


@given(st.integers(1, 10**10), st.integers(1, 64), st.sampled_from(["auto", *WIDTHS]))
def test_weight_decay_rises_with_the_passes_over_the_text(text_bytes: int, cores: int, size: str) -> None:
    params = params_of(plan(text_bytes, cores, size))
    passes = OWN_SHARE * params.small.tokens / (text_bytes / BYTES_PER_TOKEN)
    assert params.training.weight_decay == pytest.approx(min(1.0, max(0.1, DECAY_PER_PASS * passes)), rel=0.01)


def test_exercises_grow_with_the_text_up_to_the_default() -> None:
    counts = [plan(size, 2).overlay["synthesis.exercises"] for size in (10**4, 10**6, 4 * 10**6, 10**8)]
    assert counts == sorted(counts)
    assert counts[0] == 4000
    assert counts[-1] == Params().synthesis.exercises


@given(st.integers(0, 10**12))
def test_a_small_text_has_parts_to_hold_out(text_bytes: int) -> None:
    part = params_of(plan(text_bytes, 2)).ingestion.part_chars
    assert 1_000 <= part <= Params().ingestion.part_chars
    assert part == 1_000 or text_bytes >= 100 * part


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(StepError, match=r"--size: .2M. is not a size; expected auto or one of 0\.3M"):
        plan(10**6, 2, "2M")
