"""Checkpoints: a Hugging Face directory of a Phi, read and written without transformers.

    config.json  model.safetensors  generation_config.json  tokenizer.json ...  lineage.json

or, in shards, model-00001-of-00002.safetensors, ... and model.safetensors.index.json. Reading takes only safetensors; a
checkpoint in pickle is refused, since loading one runs its code. Reading and writing hold one tensor, or one shard of
another dtype, beside the model.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from components import files
from components.confined import is_name, refuse_links_out
from components.errors import StepError
from components.files import atomic_directory, save_tensors, write_json
from components.phi.memory import check_room
from components.phi.model import Phi, PhiConfig
from components.tokenizer_file import open_tokenizer
from components.tokenizer_files import copy_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
GENERATION = "generation_config.json"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
BLOCK_KEYS = {  # ours -> Hugging Face's; q, k and v are split from our fused matrix
    "norm": "input_layernorm",
    "dense": "self_attn.dense",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}
IGNORED = ".rotary_emb.inv_freq"  # a buffer that early releases of transformers stored; the configuration says it all
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}  # that a file may hold
State = dict[str, Tensor]


def load(directory: Path, dtype: torch.dtype | None = None) -> Phi:
    """A model from a checkpoint, ready to evaluate.

    Args:
        directory: a Hugging Face directory of a Phi.
        dtype: of the activations; float32 if not given. Weights are held in float32, for float64 in float64.

    Raises:
        StepError: as `read_config` and `read_state`.
    """
    config = read_config(directory)
    check_weights(directory, config)
    check_room(config, str(directory))
    model = _empty(config, dtype or torch.float32)
    places = to_state(model)
    for name, tensor in read_tensors(directory, config):
        places[name].copy_(tensor)
    return model.eval()


def save(
    model: Phi,
    directory: Path,
    tokenizer_dir: Path | None,
    lineage: Mapping[str, Any],
    dtype: torch.dtype = torch.float32,
    max_shard_bytes: int | None = None,
) -> None:
    """Write a checkpoint directory, whole or not at all; equal arguments give equal bytes.

    Args:
        tokenizer_dir: where the tokenizer's files lie; None leaves them out.
        lineage: what the model came from, for lineage.json.
        dtype: of the stored weights.
        max_shard_bytes: largest file of weights, unless one tensor is larger; None writes one file.

    Raises:
        StepError: a weight is not finite, before or after its rounding to `dtype`; or `tokenizer_dir` has no
            tokenizer.json.
    """
    write_state(model.config, to_state(model), directory, tokenizer_dir, lineage, None, dtype, max_shard_bytes)


def write_state(
    config: PhiConfig,
    state: State,
    directory: Path,
    tokenizer_dir: Path | None,
    lineage: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    max_shard_bytes: int | None = None,
) -> None:
    """As `save`, from weights in Hugging Face's names, with `extra` JSON files by name."""
    check_state(config, state, "the model to save")
    with atomic_directory(directory) as folder:
        write_json(folder / "config.json", config.to_hf(_name_of(dtype)))
        eos = config.eos_token_id
        write_json(folder / GENERATION, {"bos_token_id": eos, "eos_token_id": eos, "pad_token_id": eos})
        write_weights(state, folder, dtype, max_shard_bytes)
        if tokenizer_dir is not None:
            copy_tokenizer(tokenizer_dir, folder)
        write_json(folder / "lineage.json", dict(lineage))
        for name, value in (extra or {}).items():
            write_json(folder / name, value)


def write_weights(state: State, folder: Path, dtype: torch.dtype, max_shard_bytes: int | None) -> None:
    """Write weights into a folder, in one file or in shards with their index, named as transformers names them.

    Raises:
        StepError: a weight is too large for `dtype`.
    """
    shards = _shards(state, dtype, max_shard_bytes)
    names = [WEIGHTS]
    if len(shards) > 1:
        names = [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
    for name, keys in zip(names, shards, strict=True):
        save_tensors({key: _stored(key, state[key], dtype) for key in keys}, folder / name, {"format": "pt"})
    if len(shards) > 1:
        count = sum(tensor.numel() for tensor in state.values())
        weight_map = {key: name for name, keys in zip(names, shards, strict=True) for key in keys}
        totals = {"total_parameters": count, "total_size": count * dtype.itemsize}
        write_json(folder / INDEX, {"metadata": totals, "weight_map": weight_map})


def _shards(state: State, dtype: torch.dtype, max_shard_bytes: int | None) -> list[list[str]]:
    """Names of the tensors of each file, in their order, none larger than asked unless by one tensor."""
    shards: list[list[str]] = [[]]
    size = 0
    for key, tensor in state.items():
        more = tensor.numel() * dtype.itemsize
        if max_shard_bytes is not None and shards[-1] and size + more > max_shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(key)
        size += more
    return shards


def _stored(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    stored = tensor.detach().to("cpu", dtype).contiguous()
    if dtype == torch.float16 and not torch.isfinite(stored).all():
        largest = float(tensor.abs().max())
        raise StepError(f"{name} has the value {largest:g}, too large for float16 (65504); store bfloat16 or float32")
    return stored


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def load_tokenizer(directory: Path) -> "Tokenizer":
    """The `tokenizers.Tokenizer` of a checkpoint or of a tokenizer's folder: `.encode(text).ids`, `.decode(ids)`.

    Raises:
        StepError: no tokenizer.json there, or one that cannot be read.
    """
    path = Path(directory) / "tokenizer.json"
    if not path.is_file():
        raise StepError(f"{directory} has no tokenizer.json; expected a checkpoint or a tokenizer's folder")
    return open_tokenizer(path)


def check_tokenizer(config: PhiConfig, tokenizer: "Tokenizer", directory: Path) -> None:
    """Refuse a tokenizer that knows tokens which the model does not have.

    Raises:
        StepError: it does.
    """
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if not 0 <= highest < config.vocab_size:
        raise StepError(
            f"{directory}: the tokenizer's highest id is {highest}, the model has {config.vocab_size} entries; the checkpoint "
            "holds the tokenizer of another model"
        )


def read_config(directory: Path) -> PhiConfig:
    """The configuration of a checkpoint, or of a config.json named directly.

    Where config.json leaves the end-of-text token open, as that of Phi-1.5 does, it is the one of the generation
    configuration or of the tokenizer beside it.

    Raises:
        StepError: missing, not JSON, not a Phi; or a file of the checkpoint is a link that leads out of it.
    """
    path = Path(directory)
    if path.is_dir():
        path = path / "config.json"
        if os.path.lexists(path):  # else it is not a checkpoint, and may be any folder
            refuse_links_out(directory)
    values = read_json(path)
    config = PhiConfig.from_hf(values, origin=str(path))
    if values.get("eos_token_id") is None:
        config = config.ending_with(
            _end_of_text(path.parent), f"{path.parent}: what names the end of text beside config.json"
        )
    return config


def read_end_tokens(directory: Path, config: PhiConfig) -> tuple[int, ...]:
    """Every token that ends an answer: those of generation_config.json, as transformers has it, else of config.json, else
    the end-of-text token of `config`.

    Raises:
        StepError: one is not an id of the vocabulary.
    """
    for name in (GENERATION, "config.json"):
        path = Path(directory) / name
        ends = read_json(path).get("eos_token_id") if path.is_file() else None
        if ends is not None and ends != []:
            ends = ends if isinstance(ends, list) else [ends]
            return tuple(config.ending_with(end, str(path)).eos_token_id for end in ends)
    return (config.eos_token_id,)


def _end_of_text(folder: Path) -> Any:
    """The end-of-text token by the files beside config.json; 0 where none says."""
    generation = folder / GENERATION
    eos = read_json(generation).get("eos_token_id") if generation.is_file() else None
    if isinstance(eos, list):
        eos = eos[0] if eos else None
    if eos is None and all((folder / name).is_file() for name in ("tokenizer_config.json", "tokenizer.json")):
        named = read_json(folder / "tokenizer_config.json").get("eos_token")
        named = named.get("content") if isinstance(named, dict) else named
        eos = load_tokenizer(folder).token_to_id(named) if isinstance(named, str) else None
    return 0 if eos is None else eos


def read_lineage(directory: Path) -> dict[str, Any]:
    """lineage.json of a checkpoint; empty where a model came from elsewhere and has none."""
    path = Path(directory) / "lineage.json"
    return read_json(path) if path.is_file() else {}


def read_state(directory: Path, config: PhiConfig) -> State:
    """Weights of a checkpoint in Hugging Face's names, in the dtype they are stored in, checked against `config`.

    Raises:
        StepError: no safetensors (pickle is refused), a broken or missing file, a tensor that is missing, unknown, of
            another shape, not floating point or not finite.
    """
    return dict(read_tensors(directory, config))


def read_tensors(directory: Path, config: PhiConfig) -> Iterator[tuple[str, Tensor]]:
    """As `read_state`, a tensor at a time; what is missing or unknown is found before the first."""
    files = check_weights(directory, config)
    expected, origin = state_shapes(config), str(directory)
    for path in files:
        with opened(path) as file:
            for name in _names(path):
                tensor = file.get_tensor(name)
                _check_tensor(name, tensor, expected[name], origin)
                yield name, tensor


def check_weights(directory: Path, config: PhiConfig) -> list[Path]:
    """The files of a checkpoint's weights, whose headers name the tensors and the shapes that `config` asks for.

    Raises:
        StepError: as `weight_files`; or a tensor is missing, unknown or of another shape.
    """
    files = weight_files(Path(directory))
    expected, origin = state_shapes(config), str(directory)
    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        with opened(path) as file:
            shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    shapes = {name: shape for name, shape in shapes.items() if not name.endswith(IGNORED)}
    _check_names(expected, shapes, origin)
    for name, shape in shapes.items():
        _check_shape(name, shape, expected[name], origin)
    return files


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A safetensors file, open for reading tensors one at a time.

    Raises:
        StepError: it cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise StepError(f"{path} cannot be read as safetensors: {error}; copy the checkpoint again") from error


def _names(path: Path) -> list[str]:
    with opened(path) as file:
        return [name for name in file.keys() if not name.endswith(IGNORED)]  # noqa: SIM118 - not a mapping


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files that hold a checkpoint's weights: one, or the shards that its index names.

    Raises:
        StepError: none there (pickle is refused), a shard is missing, or the index names anything else.
    """
    if (directory / WEIGHTS).is_file():
        return [directory / WEIGHTS]
    if (directory / INDEX).is_file():
        index = read_json(directory / INDEX).get("weight_map")
        if not isinstance(index, dict) or not index:
            raise StepError(f"{directory / INDEX} has no weight_map; copy the checkpoint again")
        names = sorted({str(name) for name in index.values()})
        if outside := [name for name in names if not is_name(name) or not name.endswith(".safetensors")]:
            raise StepError(
                f"{directory / INDEX} names {outside[0]!r}; a shard is a .safetensors file beside the index"
            )
        if missing := [name for name in names if not (directory / name).is_file()]:
            raise StepError(f"{directory} lacks the shard {missing[0]} that {INDEX} names; copy the checkpoint again")
        return [directory / name for name in names]
    pickled = sorted(path.name for pattern in PICKLED for path in directory.glob(pattern))
    if pickled:
        raise StepError(
            f"{directory} holds its weights as {pickled[0]}, and loading pickle runs its code; "
            "convert them to safetensors where you trust them"
        )
    raise StepError(f"{directory} has neither {WEIGHTS} nor {INDEX}; expected a Hugging Face checkpoint of a Phi")


def check_state(config: PhiConfig, state: Mapping[str, Tensor], origin: str) -> None:
    """Hold weights against the shapes of `config`.

    Raises:
        StepError: a tensor is missing, unknown, of another shape, not floating point or not finite.
    """
    expected = state_shapes(config)
    _check_names(expected, state, origin)
    for name, tensor in state.items():
        _check_tensor(name, tensor, expected[name], origin)


def _check_names(expected: Mapping[str, Any], found: Iterable[str], origin: str) -> None:
    found = set(found)
    if missing := sorted(expected.keys() - found):
        raise StepError(f"{origin}: {_first(missing)} missing from the weights; config.json asks for {len(expected)}")
    if extra := sorted(found - expected.keys()):
        raise StepError(f"{origin}: {_first(extra)} in the weights but not in a Phi of this config.json")


def _check_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...], origin: str) -> None:
    if shape != expected:
        raise StepError(f"{origin}: {name} has the shape {shape}; config.json asks for {expected}")


def _check_tensor(name: str, tensor: Tensor, expected: tuple[int, ...], origin: str) -> None:
    _check_shape(name, tuple(tensor.shape), expected, origin)
    if tensor.dtype not in (*DTYPES.values(), torch.float64):  # narrower ones are scaled, and their scale is elsewhere
        raise StepError(f"{origin}: {name} holds {tensor.dtype}; expected float32, float16 or bfloat16")
    if not torch.isfinite(tensor).all():
        bad = int((~torch.isfinite(tensor)).sum())
        raise StepError(f"{origin}: {name} has {bad} values that are NaN or infinite; the model is broken")


def _first(names: list[str]) -> str:
    rest = f" and {len(names) - 1} more are" if len(names) > 1 else " is"
    return f"{names[0]}{rest}"


def state_shapes(config: PhiConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a checkpoint, in Hugging Face's names."""
    width, inner, vocab = config.hidden_size, config.intermediate_size, config.vocab_size
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, width)}

    def add(name: str, outputs: int, inputs: int = 0) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs) if inputs else (outputs,)
        shapes[f"{name}.bias"] = (outputs,)

    for layer in range(config.num_hidden_layers):
        prefix = f"model.layers.{layer}"
        add(f"{prefix}.input_layernorm", width)
        for part in ("q_proj", "k_proj", "v_proj", "dense"):
            add(f"{prefix}.self_attn.{part}", width, width)
        add(f"{prefix}.mlp.fc1", inner, width)
        add(f"{prefix}.mlp.fc2", width, inner)
    add("model.final_layernorm", width)
    add("lm_head", vocab, width)
    return shapes


def to_state(model: Phi) -> State:
    """The model's weights in Hugging Face's names: q, k and v split from the fused matrix. Shares memory."""
    ours = dict(model.named_parameters())
    state: State = {"model.embed_tokens.weight": ours["embed.weight"].detach()}
    for part in ("weight", "bias"):
        for layer in range(model.config.num_hidden_layers):
            fused = ours[f"blocks.{layer}.qkv.{part}"].detach()
            for name, tensor in zip("qkv", fused.chunk(3), strict=True):
                state[f"model.layers.{layer}.self_attn.{name}_proj.{part}"] = tensor
            for name, theirs in BLOCK_KEYS.items():
                state[f"model.layers.{layer}.{theirs}.{part}"] = ours[f"blocks.{layer}.{name}.{part}"].detach()
        state[f"model.final_layernorm.{part}"] = ours[f"final_norm.{part}"].detach()
        state[f"lm_head.{part}"] = ours[f"head.{part}"].detach()
    return state


def from_state(config: PhiConfig, state: Mapping[str, Tensor], dtype: torch.dtype = torch.float32) -> Phi:
    """A model from weights in Hugging Face's names that `check_state` has accepted.

    Args:
        dtype: of the activations; weights become float32, for float64 float64.
    """
    model = _empty(config, dtype)
    for name, place in to_state(model).items():
        place.copy_(state[name])
    return model


def our_names(config: PhiConfig, state: Mapping[str, Tensor]) -> State:
    """Tensors named as Hugging Face names weights, by our names: those of q, k and v are joined."""
    ours = {"embed.weight": state["model.embed_tokens.weight"]}
    for part in ("weight", "bias"):
        for layer in range(config.num_hidden_layers):
            prefix = f"model.layers.{layer}"
            ours[f"blocks.{layer}.qkv.{part}"] = torch.cat(
                [state[f"{prefix}.self_attn.{x}_proj.{part}"] for x in "qkv"]
            )
            for name, theirs in BLOCK_KEYS.items():
                ours[f"blocks.{layer}.{name}.{part}"] = state[f"{prefix}.{theirs}.{part}"]
        ours[f"final_norm.{part}"] = state[f"model.final_layernorm.{part}"]
        ours[f"head.{part}"] = state[f"lm_head.{part}"]
    return ours


def _empty(config: PhiConfig, dtype: torch.dtype) -> Phi:
    """A model whose weights are still to be filled in."""
    return Phi(config, dtype).to(torch.float64 if dtype == torch.float64 else torch.float32)


def read_json(path: Path) -> dict[str, Any]:
    """The object in one of a checkpoint's JSON files.

    Raises:
        StepError: there is none, or it is broken.
    """
    return files.read_json(path, "expected a Hugging Face checkpoint of a Phi")
