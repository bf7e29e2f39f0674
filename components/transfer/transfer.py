"""Grow a checkpoint, prove that its function is preserved, write the grown checkpoint with its proof."""

from pathlib import Path
from typing import Any

import torch

from components.cli import Paths
from components.errors import StepError
from components.params import Params
from components.phi import checkpoint
from components.phi.checkpoint import State
from components.phi.model import PhiConfig
from components.tokens import Tokens
from components.tracking import Tracker, weights_sha256
from components.transfer import exact
from components.transfer.proof import Difference, compare, proof_rows
from components.transfer.shapes import check_growth, depth_map

OPERATORS = {"exact": exact.grow}
SECTIONS = ("small", "large")


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write the grown checkpoint and, beside it, transfer.json.

    Returns:
        transfer.json's figures, without shapes and depth map.

    Raises:
        StepError: an impossible shape, a broken checkpoint, or a function that is not preserved.
    """
    settings = params.transfer
    operator = inputs.get("operator") or settings.operator
    seed = params.seed if inputs.get("seed") is None else check_seed(inputs["seed"])
    tokens = Tokens.open(inputs["tokens"]) if inputs.get("tokens") else None
    source = checkpoint.read_config(inputs["source"])
    target = read_target(inputs["target"], params, source)
    check_growth(source, target)
    state = checkpoint.read_state(inputs["source"], source)
    grown = OPERATORS[operator](state, source, target, seed, settings.free_std)
    positions = source.max_position_embeddings
    rows = proof_rows(tokens, settings.proof_tokens, positions, source.vocab_size, seed)
    record = describe(source, target, operator, seed) | prove(source, state, target, grown, rows)
    record |= {
        "proof_on": "held-out tokens" if tokens else "random tokens",
        "source_sha256": weights_sha256(inputs["source"]),
        "free_std": settings.free_std,
    }
    if not record["max_relative_logit_difference"] <= settings.max_relative_error:
        raise StepError(
            f"the grown model's logits differ from the source's by {record['max_relative_logit_difference']:.2e} of their "
            f"size, more than transfer.max_relative_error {settings.max_relative_error:g}; nothing was written"
        )
    lineage = {
        "step": "transfer",
        "operator": operator,
        "seed": seed,
        "tokens_fingerprint": tokens.manifest.fingerprint if tokens else None,
        "training_tokens": 0,
        "initial": {"weights_sha256": record["source_sha256"], "lineage": checkpoint.read_lineage(inputs["source"])},
    }
    stored = {name: tensor.float() for name, tensor in grown.items()}
    tokenizer = tokenizer_of(inputs["source"], tokens)
    checkpoint.write_state(target, stored, outputs["output"], tokenizer, lineage, {"transfer.json": record})
    tracker.artifact(outputs["output"] / "transfer.json")
    print(
        f"grew {record['source_parameters']:,} into {record['parameters']:,} parameters; relative logit difference "
        f"{record['max_relative_logit_difference']:.1e}, loss {record['target_loss']:.4f}",
        flush=True,
    )
    return {key: value for key, value in record.items() if isinstance(value, int | float | str)}


def check_seed(seed: int) -> int:
    """A seed from the command line, in the range of params.yaml's.

    Raises:
        StepError: outside it.
    """
    if not 0 <= seed < 2**31:
        raise StepError(f"--seed is {seed}; expected a whole number from 0 to {2**31 - 1:,}")
    return seed


def read_target(target: str, params: Params, source: PhiConfig) -> PhiConfig:
    """The target's shape: a section of params.yaml (vocabulary and positions stay) or a config.json.

    Raises:
        StepError: neither.
    """
    if target in SECTIONS:
        shape = getattr(params, target).model
        return PhiConfig.from_shape(shape, source.vocab_size, source.max_position_embeddings, source.eos_token_id)
    if not Path(target).exists():
        raise StepError(f"--target {target} is neither a section of params.yaml ({', '.join(SECTIONS)}) nor a file")
    return checkpoint.read_config(Path(target))


def describe(source: PhiConfig, target: PhiConfig, operator: str, seed: int) -> dict[str, Any]:
    """What was done: operator, seed, shapes, and for each block of the target the source block it was made from."""
    blocks = depth_map(source.num_hidden_layers, target.num_hidden_layers)
    return {
        "operator": operator,
        "seed": seed,
        "source_config": source.to_hf(),
        "target_config": target.to_hf(),
        "source_parameters": parameters_of(source),
        "parameters": parameters_of(target),
        "depth_map": [{"source": origin, "identity": inserted} for origin, inserted in blocks],
    }


def prove(source: PhiConfig, state: State, target: PhiConfig, grown: State, rows: torch.Tensor) -> dict[str, Any]:
    """Compare source and grown model over `rows` in float64: the grown weights as they are stored (float32), and
    before that rounding, which shows the operator's own error."""
    small = checkpoint.from_state(source, state, torch.float64)
    stored = {name: tensor.float() for name, tensor in grown.items()}
    found: Difference = compare(small, checkpoint.from_state(target, stored, torch.float64), rows)
    unrounded = compare(small, checkpoint.from_state(target, grown, torch.float64), rows)
    return {
        "max_absolute_logit_difference": found.absolute,
        "max_relative_logit_difference": found.relative,
        "max_relative_logit_difference_float64": unrounded.relative,
        "kl": found.kl,
        "source_loss": found.source_loss,
        "target_loss": found.target_loss,
        "loss_delta": found.target_loss - found.source_loss,
        "proof_tokens": rows.shape[0] * (rows.shape[1] - 1),
    }


def parameters_of(config: PhiConfig) -> int:
    return sum(torch.Size(shape).numel() for shape in checkpoint.state_shapes(config).values())


def tokenizer_of(source: Path, tokens: Tokens | None) -> Path | None:
    """Where the grown checkpoint's tokenizer comes from: the source, else the tokens."""
    if (Path(source) / "tokenizer.json").is_file():
        return Path(source)
    return tokens.tokenizer_dir if tokens else None
