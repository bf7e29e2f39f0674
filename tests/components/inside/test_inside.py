"""Recording, switches, lenses and patching, against transformers and against transformer-lens."""

import os
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from components.errors import StepError
from components.inside.lens import fit_tuned_lens, logit_lens
from components.inside.looking import Looked, look, residuals
from components.inside.patching import known_map, patched
from components.inside.switches import Switches, before_training, switched_off
from components.phi.checkpoint import load
from components.phi.model import Phi
from components.phi.new_entries import NewEntries

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
PROMPT = [5, 17, 3, 42, 5, 17, 9, 0, 31]


@pytest.fixture(scope="module")
def model(family: Path) -> Phi:
    return load(family / "large")


@pytest.fixture(scope="module")
def text() -> torch.Tensor:
    return torch.randint(0, 60, (30, 40), generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def logits(model: Phi, ids: list[int] = PROMPT) -> torch.Tensor:
    return model(torch.tensor([ids]))[0]


def test_what_is_recorded_equals_what_transformers_returns(family: Path, model: Phi) -> None:
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(family / "large", attn_implementation="eager")
    with torch.no_grad():
        out = theirs(torch.tensor([PROMPT]), output_hidden_states=True, output_attentions=True)
    ours = look(model, PROMPT)
    torch.testing.assert_close(ours.logits, out.logits[0], **CLOSE)
    torch.testing.assert_close(ours.attention, torch.cat(out.attentions), **CLOSE)
    torch.testing.assert_close(ours.residual[:-1], torch.cat(out.hidden_states[:-1]), **CLOSE)
    normed = model.final_norm(ours.residual[-1])  # transformers norms the last one
    torch.testing.assert_close(normed, out.hidden_states[-1][0], **CLOSE)
    lens = theirs.lm_head(theirs.model.final_layernorm(torch.cat(out.hidden_states[:-1])))
    torch.testing.assert_close(logit_lens(model, ours.residual)[:-1], lens.detach(), **CLOSE)


def test_recording_lenses_heads_and_patching_equal_those_of_transformer_lens(family: Path, model: Phi) -> None:
    os.environ["WANDB_MODE"] = "disabled"
    bridge_module = pytest.importorskip(
        "transformer_lens.model_bridge", reason="transformer-lens is not installed; `make playground-setup` installs it"
    )
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    theirs = AutoModelForCausalLM.from_pretrained(family / "large", attn_implementation="eager")
    bridge = bridge_module.TransformerBridge.boot_transformers(
        str(family / "large"), hf_model=theirs, tokenizer=_words(PreTrainedTokenizerFast), device="cpu"
    )
    tokens = torch.tensor([PROMPT])
    with torch.no_grad():
        given, cache = bridge.run_with_cache(tokens)
        ours = look(model, PROMPT)
        torch.testing.assert_close(ours.logits, given[0], **CLOSE)
        for layer in range(4):
            torch.testing.assert_close(ours.attention[layer], cache[f"blocks.{layer}.attn.hook_pattern"][0], **CLOSE)
            stream = cache[f"blocks.{layer}.hook_resid_pre"]
            torch.testing.assert_close(ours.residual[layer], stream[0], **CLOSE)
            lens = bridge.unembed(bridge.ln_final(stream))[0]
            torch.testing.assert_close(logit_lens(model, ours.residual)[layer], lens, **CLOSE)

        def silence(z: torch.Tensor, hook: object) -> torch.Tensor:
            heads = z.view(*z.shape[:2], 2, -1).clone()
            heads[:, :, 1] = 0.0
            return heads.view(z.shape)

        there = bridge.run_with_hooks(tokens, fwd_hooks=[("blocks.2.attn.hook_z", silence)])
        here = look(model, PROMPT, Switches(heads=frozenset({(2, 1)}))).logits
        torch.testing.assert_close(here, there[0], **CLOSE)
        other = look(model, PROMPT[::-1]).residual[2][None]
        there = bridge.run_with_hooks(tokens, fwd_hooks=[("blocks.2.hook_resid_pre", lambda stream, hook: other)])
        with patched(model, 2, other):
            torch.testing.assert_close(logits(model), there[0], **CLOSE)


def _words(tokenizer: type) -> object:
    from tokenizers import Tokenizer, models

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(60)}, unk_token="w0"))
    return tokenizer(tokenizer_object=words, eos_token="w0", pad_token="w0")


def test_with_nothing_off_the_logits_are_the_models(model: Phi) -> None:
    assert torch.equal(look(model, PROMPT).logits, logits(model))


@pytest.mark.parametrize("block", range(4))
def test_a_block_that_is_off_leaves_the_stream_as_it_is(model: Phi, block: int) -> None:
    stream = look(model, PROMPT, Switches(blocks=frozenset({block}))).residual
    assert torch.equal(stream[block], stream[block + 1])
    for other in set(range(4)) - {block}:
        assert not torch.equal(stream[other], stream[other + 1])


def test_a_block_with_all_heads_off_adds_its_bias_and_its_feed_forward(model: Phi) -> None:
    stream = look(model, PROMPT, Switches(heads=frozenset({(1, 0), (1, 1)}))).residual
    block = model.blocks[1]
    with torch.no_grad():
        h = F.layer_norm(stream[1], (24,), block.norm.weight, block.norm.bias, block.norm.eps)
        inner = F.gelu(h @ block.fc1.weight.T + block.fc1.bias, approximate="tanh")
        expected = stream[1] + block.dense.bias + inner @ block.fc2.weight.T + block.fc2.bias
    torch.testing.assert_close(stream[2], expected, **CLOSE)


def test_one_head_off_equals_the_model_with_that_heads_output_weights_zero(family: Path, model: Phi) -> None:
    cut = load(family / "large")
    with torch.no_grad():
        cut.blocks[3].dense.weight[:, :12] = 0.0
    found = look(model, PROMPT, Switches(heads=frozenset({(3, 0)}))).logits
    torch.testing.assert_close(found, logits(cut), **CLOSE)


def test_what_growth_added_off_equals_its_entries_set_back(family: Path, model: Phi) -> None:
    old = before_training(model, family / "grown")
    expected = NewEntries(family / "grown", model.config).set_back(load(family / "large"))
    assert torch.equal(look(model, PROMPT, Switches(new=True), old).logits, logits(expected))


def test_a_model_is_as_before_after_switching_and_patching(family: Path, model: Phi) -> None:
    before, old = logits(model), before_training(model, family / "grown")
    everything = Switches(frozenset({0}), frozenset({(1, 1)}), True)
    with switched_off(model, everything, old), patched(model, 4, torch.zeros(1, len(PROMPT), 24)):
        assert not torch.equal(logits(model), before)
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize(
    ("off", "message"),
    [
        (Switches(blocks=frozenset({4})), "no block 4; expected 0 to 3"),
        (Switches(heads=frozenset({(0, 2)})), "no head 2; expected 0 to 1"),
        (Switches(heads=frozenset({(-1, 0)})), "no block -1"),
        (Switches(new=True), "name the grown checkpoint"),
    ],
)
def test_parts_that_a_model_does_not_have_are_refused(model: Phi, off: Switches, message: str) -> None:
    with pytest.raises(StepError, match=message):
        look(model, PROMPT, off)


def test_the_tuned_lens_predicts_better_than_the_logit_lens_on_other_text(model: Phi, text: torch.Tensor) -> None:
    lens = fit_tuned_lens(model, text[:20].split(5))
    streams = residuals(model, text[20:])
    target = logit_lens(model, streams)[-1].log_softmax(-1)

    def divergence(logits: torch.Tensor) -> list[float]:
        return [float(F.kl_div(x.log_softmax(-1), target, log_target=True, reduction="batchmean")) for x in logits]

    plain, tuned = divergence(logit_lens(model, streams)), divergence(logit_lens(model, streams, lens))
    assert all(t < p for t, p in zip(tuned[:-1], plain[:-1], strict=True))
    assert tuned[-1] == pytest.approx(0.0, abs=1e-6)


def test_the_tuned_lens_is_the_least_squares_map(model: Phi, text: torch.Tensor) -> None:
    lens, streams = fit_tuned_lens(model, [text]), residuals(model, text).flatten(1, 2).double()
    x = torch.cat((streams[1], torch.ones(len(streams[1]), 1)), dim=1)
    expected = x @ torch.linalg.lstsq(x, streams[-1]).solution
    torch.testing.assert_close(lens(residuals(model, text))[1].flatten(0, 1).double(), expected, atol=2e-2, rtol=2e-2)


def test_a_patch_at_the_last_place_gives_the_other_runs_logits(model: Phi) -> None:
    other = look(model, PROMPT[::-1])
    with patched(model, 4, other.residual[4][None]):
        torch.testing.assert_close(logits(model), other.logits, **CLOSE)
    with patched(model, 4, other.residual[4][None], positions=[2]):
        mixed = logits(model)
    torch.testing.assert_close(mixed[2], other.logits[2], **CLOSE)
    torch.testing.assert_close(mixed[3], logits(model)[3], **CLOSE)
    with pytest.raises(StepError, match="no place 5 to patch; expected 0 to 4"), patched(model, 5, other.residual):
        pass


def test_growth_maps_the_small_models_stream_and_the_map_is_found(family: Path, text: torch.Tensor) -> None:
    small, grown = load(family / "small"), load(family / "grown")
    known = known_map(small, grown, text)
    assert max(known.errors) < 1e-5
    assert (known.layers[0], known.layers[-1]) == (0, 2)
    ours = residuals(small, text)
    torch.testing.assert_close(known.narrow(known.widen(ours)), ours[list(known.layers)], atol=1e-4, rtol=1e-4)
    for layer, stream in enumerate(known.widen(ours)):
        with patched(grown, layer, stream), torch.no_grad():
            torch.testing.assert_close(grown(text), small(text), atol=1e-4, rtol=1e-4)
    assert min(known_map(small, load(family / "large"), text).errors) > 1e-3, "a trained model's stream has moved"
    with pytest.raises(StepError, match="name the small model first"):
        known_map(grown, small, text)


def test_a_recording_has_a_row_for_every_layer_and_head(model: Phi) -> None:
    found: Looked = look(model, PROMPT)
    assert found.residual.shape == (5, 9, 24)
    assert found.attention.shape == (4, 2, 9, 9)
    torch.testing.assert_close(found.attention.sum(-1), torch.ones(4, 2, 9), **CLOSE)
    assert not found.attention.triu(1).any()
