"""Checkpoints: a Hugging Face directory of a Phi, read and written without transformers.

    config.json  model.safetensors  generation_config.json  tokenizer.json ...  lineage.json

or, in shards, model-00001-of-00002.safetensors, ... and model.safetensors.index.json. Only safetensors are read; a
checkpoint in pickle is refused, since loading pickle runs its code. Reading and writing need memory for one tensor
besides the model.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from components import files
from components.errors import StepError
from components.files import atomic_directory, write_json
from components.foreign.confined import refuse_links_out
from components.foreign.tokenizer_file import open_tokenizer
from components.foreign.tokenizer_files import CONFIG, TOKENIZER, copy_tokenizer
from components.phi.memory import check_room
from components.phi.model import Phi, PhiConfig
from components.phi.weights import CheckpointWeights, from_state, to_state, write_state

if TYPE_CHECKING:
    from tokenizers import Tokenizer

GENERATION, LINEAGE = "generation_config.json", "lineage.json"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}  # allowed in a file


def load(directory: Path, dtype: torch.dtype | None = None) -> Phi:
    """A model from a checkpoint, ready to evaluate.

    Args:
        directory: a Hugging Face directory of a Phi.
        dtype: data type of the activations; None = float32. Weights are float32, or float64 if `dtype` is.

    Raises:
        StepError: as `read_config` and `CheckpointWeights`.
    """
    config = read_config(directory)
    weights = CheckpointWeights(directory, config)
    check_room(config, str(directory))
    return from_state(config, weights, dtype or torch.float32).eval()


def save(
    model: Phi,
    directory: Path,
    tokenizer_dir: Path | None,
    lineage: Mapping[str, Any],
    dtype: torch.dtype = torch.float32,
    max_shard_bytes: int | None = None,
) -> None:
    """Write a checkpoint directory, completely or not at all; equal arguments give equal bytes.

    Args:
        tokenizer_dir: folder of the tokenizer's files; None leaves them out.
        lineage: the model's origin, for lineage.json.
        dtype: data type of the stored weights.
        max_shard_bytes: maximum size of a file of weights, unless one tensor is larger; None writes one file.

    Raises:
        StepError: a weight is not finite, before or after its rounding to `dtype`; or `tokenizer_dir` has no
            tokenizer.json.
    """
    with atomic_directory(directory) as folder:
        write_config(model.config, folder, dtype)
        write_state(model.config, to_state(model), folder, dtype, max_shard_bytes)
        if tokenizer_dir is not None:
            copy_tokenizer(tokenizer_dir, folder)
        write_json(folder / LINEAGE, dict(lineage))


def write_config(config: PhiConfig, folder: Path, dtype: torch.dtype) -> None:
    """Write config.json and generation_config.json into a checkpoint's folder."""
    write_json(folder / "config.json", config.to_hf(str(dtype).removeprefix("torch.")))
    eos = config.eos_token_id
    write_json(folder / GENERATION, {"bos_token_id": eos, "eos_token_id": eos, "pad_token_id": eos})


def load_tokenizer(directory: Path) -> "Tokenizer":
    """The `tokenizers.Tokenizer` of a checkpoint or of a tokenizer's folder: `.encode(text).ids`, `.decode(ids)`.

    Raises:
        StepError: there is no tokenizer.json, or it cannot be read.
    """
    path = Path(directory) / "tokenizer.json"
    if not path.is_file():
        raise StepError(f"{directory} has no tokenizer.json; expected a checkpoint or a tokenizer's folder")
    return open_tokenizer(path)


def check_tokenizer(config: PhiConfig, tokenizer: "Tokenizer", directory: Path) -> None:
    """Refuse a tokenizer with tokens that the model does not have.

    Raises:
        StepError: the tokenizer has an id beyond the vocabulary.
    """
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if not 0 <= highest < config.vocab_size:
        raise StepError(
            f"{directory}: the tokenizer's highest id is {highest}, but the model has {config.vocab_size} entries: it is the "
            "tokenizer of another model; copy the checkpoint again"
        )


def read_config(directory: Path) -> PhiConfig:
    """The configuration of a checkpoint, or of a config.json named directly.

    If config.json does not set the end-of-text token, as for Phi-1.5, it comes from the generation configuration or the
    tokenizer beside it. Of several tokens that end an answer, it is the one that the tokenizer names, else the first.

    Raises:
        StepError: the file is missing, not JSON or not of a Phi; or a file of the checkpoint is a link to outside it.
    """
    path = Path(directory)
    if path.is_dir():
        path = path / "config.json"
        if os.path.lexists(path):  # else it is not a checkpoint, and may be any folder
            refuse_links_out(directory)
    values = read_json(path)
    config = PhiConfig.from_hf(values, origin=str(path))
    given = values.get("eos_token_id")
    if given is None or (isinstance(given, list) and len(given) > 1):
        config = config.ending_with(
            _end_of_text(path.parent, given),
            f"{path.parent}: file that names the end-of-text token, next to config.json",
        )
    return config


def read_end_tokens(directory: Path, config: PhiConfig) -> tuple[int, ...]:
    """The tokens that end an answer: those of generation_config.json, which transformers uses, else of config.json, else
    the end-of-text token of `config`.

    Raises:
        StepError: one of them is not an id of the vocabulary.
    """
    for name in (GENERATION, "config.json"):
        path = Path(directory) / name
        ends = read_json(path).get("eos_token_id") if path.is_file() else None
        if ends is not None and ends != []:
            ends = ends if isinstance(ends, list) else [ends]
            return tuple(config.ending_with(end, str(path)).eos_token_id for end in ends)
    return (config.eos_token_id,)


def _end_of_text(folder: Path, given: Any) -> Any:
    """The end-of-text token among those given by config.json, else by the files beside it; 0 if they do not set it."""
    generation = folder / GENERATION
    eos = given or (read_json(generation).get("eos_token_id") if generation.is_file() else None)
    among = eos if isinstance(eos, list) else []
    if eos is not None and not among:
        return eos
    named = None
    if all((folder / name).is_file() for name in (CONFIG, TOKENIZER)):
        named = named_token(folder, "eos", load_tokenizer(folder))
    if among:
        return named if named in among else among[0]
    return 0 if named is None else named


def named_token(folder: Path, role: str, tokenizer: "Tokenizer") -> int | None:
    """The id of a special token that the tokenizer's settings name for a role, such as `bos`; None if they name none."""
    for name in (CONFIG, "special_tokens_map.json"):
        path = Path(folder) / name
        found = read_json(path).get(f"{role}_token") if path.is_file() else None
        found = found.get("content") if isinstance(found, dict) else found
        if isinstance(found, str):
            return tokenizer.token_to_id(found)
    return None


def read_lineage(directory: Path) -> dict[str, Any]:
    """The content of a checkpoint's lineage.json; empty if it has none."""
    path = Path(directory) / LINEAGE
    return read_json(path) if path.is_file() else {}


def read_json(path: Path) -> dict[str, Any]:
    """The object in one of a checkpoint's JSON files.

    Raises:
        StepError: the file is missing or broken.
    """
    return files.read_json(path, "expected a Hugging Face checkpoint of a Phi")
