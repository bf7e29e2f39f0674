"""Grow a checkpoint, prove what of its function is preserved, write the grown checkpoint with its proof."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from components.cli import Paths
from components.errors import StepError
from components.files import atomic_directory, write_json
from components.params import Params, TransferParams
from components.phi import checkpoint
from components.phi.model import PhiConfig
from components.tokens import Tokens
from components.tracking import Tracker, weights_sha256
from components.transfer.grown import GrownWeights, write_grown
from components.transfer.moments import OPTIMIZER, write_grown_state
from components.transfer.new_parameters import count_new, write_new_parameters
from components.transfer.operators import Growth, growth
from components.transfer.options import Options
from components.transfer.proof import Difference, compare, proof_rows
from components.transfer.streamed import StreamedPhi
from components.transfer.weights import DTYPES, SHARD_BYTES, CheckpointWeights

SECTIONS = ("small", "large")
FLOAT64_PARAMETERS = 200_000_000  # of the target; beyond, the proof is in float32
CONSTRUCTION_BOUND = 1e-12  # relative logit error of exact growth in float64, before any rounding


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write the grown checkpoint and, beside it, transfer.json and new_parameters.safetensors.

    Returns:
        transfer.json's figures, without shapes and depth map.

    Raises:
        StepError: an impossible shape, a broken checkpoint, or a function that is not preserved though it should be.
    """
    settings = params.transfer
    seed = params.seed if inputs.get("seed") is None else check_seed(inputs["seed"])
    operator, depth_map = (inputs.get(key) or getattr(settings, key) for key in ("operator", "depth_map"))
    tokens = Tokens.open(inputs["tokens"]) if inputs.get("tokens") else None
    source = checkpoint.read_config(inputs["source"])
    target = read_target(inputs["target"], params, source)
    planned = growth(source, target, operator, depth_map, Options.of(settings, seed))
    pair = Pair(source, CheckpointWeights(inputs["source"], source), target, planned)
    rows = proof_rows(tokens, settings.proof_tokens, source.max_position_embeddings, source.vocab_size, seed)
    with atomic_directory(outputs["output"]) as folder:
        write_checkpoint(pair, folder, settings, Path(inputs["source"]), tokenizer_of(inputs["source"], tokens))
        proof = prove(pair, folder, rows, settings.dtype)
        record = describe(pair, seed, settings) | headline(proof) | {"proof": proof}
        record |= {
            "proof_on": "held-out tokens" if tokens else "random tokens",
            "proof_tokens": rows.shape[0] * (rows.shape[1] - 1),
            "source_sha256": weights_sha256(inputs["source"]),
        }
        if planned.preserves:
            enforce(proof, settings)
        write_json(folder / "transfer.json", record)
        write_json(folder / "lineage.json", lineage_of(record, tokens, checkpoint.read_lineage(inputs["source"])))
    tracker.artifact(outputs["output"] / "transfer.json")
    print(
        f"grew {record['source_parameters']:,} into {record['parameters']:,} parameters; relative logit error "
        f"{record['relative_logit_error']:.1e}, loss {record['target_loss']:.4f} from {record['source_loss']:.4f}",
        flush=True,
    )
    return {key: value for key, value in record.items() if isinstance(value, int | float | str)} | {"proof": proof}


@dataclass(frozen=True)
class Pair:
    """A growth with the source's weights."""

    source: PhiConfig
    weights: Mapping[str, Tensor]
    target: PhiConfig
    growth: Growth

    @property
    def grown(self) -> GrownWeights:
        return GrownWeights(self.growth, self.weights)


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


def write_checkpoint(pair: Pair, folder: Path, settings: TransferParams, source: Path, tokenizer: Path | None) -> None:
    """Everything of a checkpoint but its records: configuration, weights, mask of new entries, optimizer, tokenizer."""
    config = pair.target.to_hf() | {"dtype": settings.dtype, "torch_dtype": settings.dtype}
    write_json(folder / "config.json", config)
    eos = pair.target.eos_token_id
    write_json(folder / "generation_config.json", {"bos_token_id": eos, "eos_token_id": eos, "pad_token_id": eos})
    write_grown(pair.grown, folder, DTYPES[settings.dtype], SHARD_BYTES)
    write_new_parameters(pair.growth.plan, folder)
    if settings.grow_optimizer and pair.growth.layers:
        write_grown_state(source / OPTIMIZER, folder, pair.growth.plan, pair.source, pair.target)
    if tokenizer is not None:
        checkpoint.copy_tokenizer(tokenizer, folder)


def prove(pair: Pair, folder: Path, rows: Tensor, dtype: str) -> dict[str, dict[str, Any]]:
    """Compare source and target over `rows`, by name of the comparison.

    construction: the growth before it is rounded for storage. In float64; of large models in float32, the precision
        that they work in.
    stored: what lies on the disk, in the same arithmetic.
    float32: what lies on the disk, both models computed in float32. Of small models only, with
    rounding: how far the source in float32 is from the source in float64, the yardstick for `float32`.
    """
    stored = CheckpointWeights(folder, pair.target)
    small = parameters_of(pair.target) <= FLOAT64_PARAMETERS
    exactly = torch.float64 if small else torch.float32

    def source(precision: torch.dtype) -> StreamedPhi:
        return StreamedPhi(pair.source, pair.weights, precision)

    found: dict[str, Difference] = {}
    if small or dtype != "float32":
        found["construction"] = compare(source(exactly), StreamedPhi(pair.target, pair.grown, exactly), rows)
    found["stored"] = compare(source(exactly), StreamedPhi(pair.target, stored, exactly), rows)
    if small:
        found["float32"] = compare(source(torch.float32), StreamedPhi(pair.target, stored, torch.float32), rows)
        found["rounding"] = compare(source(exactly), source(torch.float32), rows)
    found.setdefault("construction", found["stored"])
    precision = {"float32": "float32", "rounding": "float32"}
    usual = str(exactly).removeprefix("torch.")
    return {name: difference.record() | {"precision": precision.get(name, usual)} for name, difference in found.items()}


def headline(proof: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The figures that stand for the proof: those of the checkpoint as it is stored."""
    figures = dict(proof["stored"])
    figures["proof_precision"] = figures.pop("precision")
    if proof["construction"]["precision"] == "float64":
        figures["max_relative_logit_difference_float64"] = proof["construction"]["max_relative_logit_difference"]
    return figures


def enforce(proof: Mapping[str, Mapping[str, Any]], settings: TransferParams) -> None:
    """Refuse a growth that should preserve the function and does not.

    Raises:
        StepError: the construction's error in float64 is above CONSTRUCTION_BOUND, or in float32, or that of float32
            weights, above transfer.max_relative_error. What narrower storage costs is measured, not refused.
    """
    bounds = {"construction": settings.max_relative_error}
    if proof["construction"]["precision"] == "float64":
        bounds = {"construction": CONSTRUCTION_BOUND}
    if settings.dtype == "float32":
        bounds["stored"] = settings.max_relative_error
    for name, bound in bounds.items():
        error = proof[name]["relative_logit_error"]
        if not error <= bound:
            limit = f"transfer.max_relative_error {bound:g}" if bound == settings.max_relative_error else f"{bound:g}"
            raise StepError(
                f"the grown model's logits ({name}, in {proof[name]['precision']}) differ from the source's by {error:.2e} "
                f"of their size, more than {limit}; nothing was written"
            )


def describe(pair: Pair, seed: int, settings: TransferParams) -> dict[str, Any]:
    """What was done: operator, seed, shapes, and for each block of the target the source block it was made from."""
    planned = pair.growth
    return {
        "operator": planned.operator,
        "depth": planned.depth_map,
        "seed": seed,
        "preserves_function": planned.preserves,
        "dtype": settings.dtype,
        "options": {key: getattr(settings, key) for key in ("residual", "new_units", "free_std", "noise")},
        "source_config": pair.source.to_hf(),
        "target_config": pair.target.to_hf(),
        "source_parameters": parameters_of(pair.source),
        "parameters": parameters_of(pair.target),
        "new_parameters": count_new(planned.plan),
        "depth_map": [
            {"source": layer.source, "gain": layer.gain, "identity": layer.gain == 0, "new": layer.new}
            for layer in planned.layers
        ],
    }


def lineage_of(record: Mapping[str, Any], tokens: Tokens | None, of_source: Mapping[str, Any]) -> dict[str, Any]:
    """lineage.json of the grown checkpoint."""
    return {
        "step": "transfer",
        "operator": record["operator"],
        "seed": record["seed"],
        "tokens_fingerprint": tokens.manifest.fingerprint if tokens else None,
        "training_tokens": 0,
        "initial": {"weights_sha256": record["source_sha256"], "lineage": dict(of_source)},
    }


def parameters_of(config: PhiConfig) -> int:
    return sum(torch.Size(shape).numel() for shape in checkpoint.state_shapes(config).values())


def tokenizer_of(source: Path, tokens: Tokens | None) -> Path | None:
    """Where the grown checkpoint's tokenizer comes from: the source, else the tokens."""
    if (Path(source) / "tokenizer.json").is_file():
        return Path(source)
    return tokens.tokenizer_dir if tokens else None
