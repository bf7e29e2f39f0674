"""Open and identify a checkpoint for scoring."""

from pathlib import Path
from typing import Any

import torch

from components.benchmarking.scorer import ChoiceScorer
from components.errors import StepError
from components.files import sha256_file
from components.foreign.tokenizer_file import highest_id
from components.phi.checkpoint import load, load_tokenizer, read_lineage
from components.tracking import weights_sha256


def open_scorer(directory: Path, batch_size: int, device: str = "cpu") -> ChoiceScorer:
    """A ChoiceScorer over the checkpoint's model, activations in float32.

    Raises:
        StepError: a file is missing or broken, tokenizer and model do not match, or the device does not exist.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise StepError("benchmarking.device is 'cuda', but torch finds no usable GPU; set benchmarking.device to cpu")
    model = load(directory).eval().to(device)
    tokenizer = load_tokenizer(directory)
    if (tokens := highest_id(tokenizer) + 1) > model.config.vocab_size:
        raise StepError(
            f"{directory}: the tokenizer has {tokens:,} tokens, the model {model.config.vocab_size:,}; "
            "the checkpoint holds the tokenizer of another model; name a whole one with --checkpoint"
        )
    return ChoiceScorer(
        model.hidden,
        model.head,
        tokenizer,
        eos_token_id=_end_of_text(tokenizer, model.config.eos_token_id),
        max_length=model.config.max_position_embeddings,
        batch_size=batch_size,
        device=device,
    )


def _end_of_text(tokenizer: Any, configured: int | None) -> int | None:
    """The configured token, if it is a special token of the tokenizer; otherwise texts have no end token."""
    special = {index for index, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    return configured if configured in special else None


def describe(directory: Path) -> dict[str, Any]:
    """What identifies a checkpoint: the hashes of weights and tokenizer, and its lineage."""
    directory = Path(directory)
    known = read_lineage(directory)
    return {
        "weights_sha256": weights_sha256(directory),
        "tokenizer_sha256": sha256_file(directory / "tokenizer.json"),
        "step": known.get("step"),
        "training_tokens": known.get("training_tokens"),
        "tokens_fingerprint": known.get("tokens_fingerprint"),
    }
