"""Grows a checkpoint, measures how well its function is preserved, and writes the grown checkpoint."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from components.errors import StepError
from components.files import atomic_directory, write_json
from components.foreign.tokenizer_files import copy_tokenizer
from components.params import Params, TransferParams
from components.phi import checkpoint
from components.phi.memory import check_room
from components.phi.model import PhiConfig
from components.phi.weights import OPTIMIZER, SHARD_BYTES, CheckpointWeights
from components.running.cli import Paths
from components.tokens import Tokens
from components.tracking import Tracker, weights_sha256
from components.transfer.grown import GrownWeights, write_grown
from components.transfer.moments import write_grown_state
from components.transfer.new_parameters import count_new, write_new_parameters
from components.transfer.operators import Growth, growth
from components.transfer.options import Options
from components.transfer.proof import compare, proof_rows
from components.transfer.streamed import StreamedPhi

SECTIONS = ("small", "large")
SMALL = 200_000_000  # parameters of the target above which float64 is measured on EXACT_TOKENS only
EXACT_TOKENS = 64
CONSTRUCTION_BOUND = 1e-12  # relative logit error of exact growth in float64, before any rounding
KL_BOUND = 1e-6  # nats per position of exact growth; 100,000 new tokens cost 1e-8


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write the grown checkpoint and, beside it, transfer.json and new_parameters.safetensors.

    Returns:
        transfer.json's metrics, without shapes and depth map.

    Raises:
        StepError: the shape is impossible, the checkpoint is broken, or a function that should be preserved is not.
    """
    settings = params.transfer
    seed = params.seed if inputs.get("seed") is None else check_seed(inputs["seed"])
    operator, depth_map = (inputs.get(key) or getattr(settings, key) for key in ("operator", "depth_map"))
    tokens = Tokens.open(inputs["tokens"]) if inputs.get("tokens") else None
    source = checkpoint.read_config(inputs["source"])
    target = read_target(inputs["target"], params, source)
    for config, origin in ((source, inputs["source"]), (target, f"--target {inputs['target']}")):
        check_room(config, str(origin), weights=False)
    planned = growth(source, target, operator, depth_map, Options.of(settings, seed))
    pair = Pair(source, CheckpointWeights(inputs["source"], source), target, planned)
    check_place(
        inputs["source"], outputs["output"], target.parameter_count() * checkpoint.DTYPES[settings.dtype].itemsize
    )
    rows = proof_rows(tokens, settings.proof_tokens, source.max_position_embeddings, source.vocab_size, seed)
    with atomic_directory(outputs["output"]) as folder:
        write_checkpoint(pair, folder, settings, Path(inputs["source"]), tokenizer_of(inputs["source"], tokens))
        proof = prove(pair, folder, rows)
        record = describe(pair, seed, settings) | headline(proof) | {"proof": proof}
        record |= {
            "proof_on": "held-out tokens" if tokens else "random tokens",
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
        StepError: the seed is out of range.
    """
    if not 0 <= seed < 2**31:
        raise StepError(f"--seed is {seed}; expected a whole number from 0 to {2**31 - 1:,}")
    return seed


def check_place(source: Path, output: Path, needed: int) -> None:
    """Check the output folder before any work.

    Raises:
        StepError: it is the source, or the disk has fewer than `needed` bytes free.
    """
    source, output = source.resolve(), output.resolve()
    if source == output:
        raise StepError(f"--output {output.name} is the source itself; name another folder")
    place = next(folder for folder in output.parents if folder.is_dir())
    if (free := shutil.disk_usage(place).free) < needed:
        raise StepError(
            f"the grown checkpoint needs {needed / 1e9:.1f} GB, but the disk of {output.name} has {free / 1e9:.1f} "
            "GB free; free some space, or set transfer.dtype to bfloat16"
        )


def read_target(target: str, params: Params, source: PhiConfig) -> PhiConfig:
    """The target's shape: a section of params.yaml, with the source's vocabulary and positions, or a config.json.

    Raises:
        StepError: `target` is neither.
    """
    if target in SECTIONS:
        shape = getattr(params, target).model
        return PhiConfig.from_shape(shape, source.vocab_size, source.max_position_embeddings, source.eos_token_id)
    if not Path(target).exists():
        raise StepError(
            f"--target {target} is neither a section of params.yaml ({', '.join(SECTIONS)}) nor a file; correct it"
        )
    return checkpoint.read_config(Path(target))


def write_checkpoint(pair: Pair, folder: Path, settings: TransferParams, source: Path, tokenizer: Path | None) -> None:
    """Write a checkpoint without its records: configuration, weights, mask of new entries, optimizer, tokenizer."""
    dtype = checkpoint.DTYPES[settings.dtype]
    checkpoint.write_config(pair.target, folder, dtype)
    write_grown(pair.grown, folder, dtype, SHARD_BYTES)
    write_new_parameters(pair.growth.plan, folder)
    if settings.grow_optimizer and pair.growth.layers:
        write_grown_state(source / OPTIMIZER, folder, pair.growth.plan, pair.source, pair.target)
    if tokenizer is not None:
        copy_tokenizer(tokenizer, folder)


def prove(pair: Pair, folder: Path, rows: Tensor) -> dict[str, dict[str, Any]]:
    """Compare source and target over `rows`, by name of the comparison.

    construction: the growth before it is rounded for storage; in float64.
    stored: what lies on the disk; in float64.
    rounding: the source itself in float32, from the source in float64: the yardstick for
    float32: what lies on the disk and the source, both computed in float32.

    Of a large model float64 sees EXACT_TOKENS tokens only.
    """
    stored = CheckpointWeights(folder, pair.target)
    few = rows if pair.target.parameter_count() <= SMALL else rows[:1, : EXACT_TOKENS + 1]

    def source(dtype: torch.dtype) -> StreamedPhi:
        return StreamedPhi(pair.source, pair.weights, dtype)

    def target(weights: Mapping[str, Tensor], dtype: torch.dtype) -> StreamedPhi:
        return StreamedPhi(pair.target, weights, dtype)

    exactly = {
        "construction": target(pair.grown, torch.float64),
        "stored": target(stored, torch.float64),
        "rounding": source(torch.float32),
    }
    single = {"float32": target(stored, torch.float32)}
    return {
        name: difference.record() | {"tokens": compared[:, 1:].numel()}
        for dtype, targets, compared in ((torch.float64, exactly, few), (torch.float32, single, rows))
        for name, difference in compare(source(dtype), targets, compared).items()
    }


def headline(proof: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The proof's headline metrics: those of the stored checkpoint, over all tokens."""
    name = "stored" if proof["stored"]["tokens"] == proof["float32"]["tokens"] else "float32"
    figures = dict(proof[name])
    return figures | {
        "proof_tokens": figures.pop("tokens"),
        "proof_precision": "float64" if name == "stored" else name,
        "max_relative_logit_difference_float64": proof["construction"]["max_relative_logit_difference"],
    }


def enforce(proof: Mapping[str, Mapping[str, Any]], settings: TransferParams) -> None:
    """Refuse a growth that should preserve the function and does not.

    Raises:
        StepError: the construction's error is above CONSTRUCTION_BOUND, or that of float32 weights above
            transfer.max_relative_error; or KL is above KL_BOUND. The cost of narrower storage is measured, not refused.
    """
    for name in ("construction", "stored") if settings.dtype == "float32" else ("construction",):
        if not proof[name]["kl"] <= KL_BOUND:
            raise StepError(
                f"the grown model's probabilities differ from the source's by {proof[name]['kl']:.2e} nats per token, more than "
                f"{KL_BOUND:g}; nothing was written; report this with the source's config.json"
            )
    error = proof["construction"]["relative_logit_error"]
    if not error <= CONSTRUCTION_BOUND:
        raise StepError(
            f"the grown model's logits differ from the source's by {error:.2e} of their size in float64, more than "
            f"{CONSTRUCTION_BOUND:g}; nothing was written; report this with the source's config.json"
        )
    error = proof["stored"]["relative_logit_error"]
    if settings.dtype == "float32" and not error <= settings.max_relative_error:
        raise StepError(
            f"rounded to float32 the grown model's logits differ from the source's by {error:.2e} of their size, more than "
            f"transfer.max_relative_error {settings.max_relative_error:g}; nothing was written: raise it if so much is harmless"
        )


def describe(pair: Pair, seed: int, settings: TransferParams) -> dict[str, Any]:
    """The record of a growth: operator, seed, shapes, and for each block of the target its source block."""
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
        "source_parameters": pair.source.parameter_count(),
        "parameters": pair.target.parameter_count(),
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


def tokenizer_of(source: Path, tokens: Tokens | None) -> Path | None:
    """The folder of the grown checkpoint's tokenizer: the source, else the tokens'."""
    if (source / "tokenizer.json").is_file():
        return source
    return tokens.tokenizer_dir if tokens else None
