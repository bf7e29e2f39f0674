"""Open and identify a checkpoint for scoring."""

from pathlib import Path
from typing import Any

import torch

from components.benchmarking.scorer import ChoiceScorer
from components.errors import StepError
from components.files import sha256_file
from components.foreign.tokenizer_file import highest_id
from components.phi.checkpoint import load, load_tokenizer, named_token, read_end_tokens, read_lineage
from components.phi.new_entries import NewEntries
from components.tracking import weights_sha256


def open_scorer(directory: Path, batch_size: int, device: str = "cpu", set_back: Path | None = None) -> ChoiceScorer:
    """A ChoiceScorer over the checkpoint's model, with activations in float32.

    Args:
        set_back: the grown checkpoint that it was trained from, if the entries that growth added are set back to its values.

    Raises:
        StepError: a file is missing or broken, tokenizer and model do not match, or the device does not exist.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise StepError("benchmarking.device is 'cuda', but torch finds no usable GPU; set benchmarking.device to cpu")
    model = load(directory).eval()
    if set_back is not None:
        NewEntries(set_back, model.config).set_back(model)
    model.to(device)
    tokenizer = load_tokenizer(directory)
    if (tokens := highest_id(tokenizer) + 1) > model.config.vocab_size:
        raise StepError(
            f"{directory}: the tokenizer has {tokens:,} tokens, the model {model.config.vocab_size:,}; "
            "it belongs to another model; name a complete checkpoint with --checkpoint"
        )
    named = named_token(directory, "eos", tokenizer)
    ends = _ends(tokenizer, read_end_tokens(directory, model.config), named)
    end = model.config.eos_token_id if model.config.eos_token_id in ends else next(iter(ends), None)
    return ChoiceScorer(
        model.hidden,
        model.head,
        tokenizer,
        eos_token_id=end if named is None else named,
        end_tokens=ends,
        prefix_token_id=named_token(directory, "bos", tokenizer),
        max_length=model.config.max_position_embeddings,
        batch_size=batch_size,
        device=device,
    )


def _ends(tokenizer: Any, configured: tuple[int, ...], named: int | None) -> tuple[int, ...]:
    """The tokens that end an answer, as in lm-eval's HFLM: those of the model's configuration, and the tokenizer's.

    A single configured token that is not a special token of the tokenizer, such as the default 0, does not end an answer.
    """
    special = {index for index, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    own = configured if len(configured) > 1 or configured[0] in special else ()
    return own if named is None or named in own else (*own, named)


def describe(directory: Path) -> dict[str, Any]:
    """The identity of a checkpoint: the hashes of its weights and tokenizer, and its lineage."""
    directory = Path(directory)
    known = read_lineage(directory)
    return {
        "weights_sha256": weights_sha256(directory),
        "tokenizer_sha256": sha256_file(directory / "tokenizer.json"),
        "step": known.get("step"),
        "training_tokens": known.get("training_tokens"),
        "tokens_fingerprint": known.get("tokens_fingerprint"),
    }
