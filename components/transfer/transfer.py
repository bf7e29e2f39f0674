"""The growth of one checkpoint: check the shapes, grow, write, prove, and refuse what is not exact."""

from pathlib import Path
from typing import Any

import torch

from components.errors import StepError
from components.files import sha256_file
from components.params import Params
from components.phi.checkpoint import WEIGHTS, from_state, read_config, read_lineage, read_state, write_state
from components.phi.model import PhiConfig
from components.tracking import Tracker
from components.transfer.exact import depth_map, grow
from components.transfer.proof import compare, proof_sequences
from components.transfer.shapes import check_growth, read_target


def run(inputs: dict[str, Any], outputs: dict[str, Any], params: Params, tracker: Tracker) -> dict[str, Any]:
    directory: Path = inputs["source"]
    seed = params.seed if inputs["seed"] is None else inputs["seed"]
    source = read_config(directory)
    target = read_target(inputs["target"], params, source)
    check_growth(source, target)
    state = read_state(directory, source)
    grown = {
        name: tensor.float() for name, tensor in grow(state, source, target, seed, params.transfer.free_std).items()
    }
    proof = _prove(state, source, grown, target, inputs["tokens"], params, seed)
    _refuse_inexact(proof, params.transfer.max_relative_error)
    record = {
        "operator": inputs["operator"],
        "seed": seed,
        "source": str(directory),
        "source_sha256": sha256_file(directory / WEIGHTS) if (directory / WEIGHTS).is_file() else None,
        "depth_map": [
            {"source": old, "identity": new}
            for old, new in depth_map(source.num_hidden_layers, target.num_hidden_layers)
        ],
        **proof,
    }
    lineage = {"step": "transfer", "operator": inputs["operator"], "seed": seed, "initial": str(directory)}
    lineage |= {key: value for key, value in read_lineage(directory).items() if key not in lineage}
    write_state(target, grown, outputs["output"], directory, lineage, extra={"transfer.json": record})
    print(
        f"grew {sum(t.numel() for t in state.values()):,} into {sum(t.numel() for t in grown.values()):,} parameters; "
        f"relative logit difference {proof['max_relative_logit_difference']:.2e}, loss {proof['target_loss']:.4f}"
    )
    return {
        "source_parameters": sum(t.numel() for t in state.values()),
        "target_parameters": sum(t.numel() for t in grown.values()),
        **{name: value for name, value in proof.items() if name != "proof_on"},
    }


def _prove(
    state: dict[str, torch.Tensor],
    source: PhiConfig,
    grown: dict[str, torch.Tensor],
    target: PhiConfig,
    tokens: Path | None,
    params: Params,
    seed: int,
) -> dict[str, Any]:
    """Compare what will be written (float32 weights) with the source, both computed in float64."""
    sequences, kind = proof_sequences(
        tokens, source.vocab_size, source.max_position_embeddings, params.transfer.proof_tokens, seed
    )
    models = (from_state(source, state, torch.float64).eval(), from_state(target, grown, torch.float64).eval())
    return {**compare(*models, sequences), "proof_on": kind}


def _refuse_inexact(proof: dict[str, Any], bound: float) -> None:
    error = proof["max_relative_logit_difference"]
    if not error <= bound:  # also NaN
        raise StepError(
            f"exact growth gave a relative logit difference of {error:.3g}, above transfer.max_relative_error {bound:g}; "
            "nothing was written"
        )
