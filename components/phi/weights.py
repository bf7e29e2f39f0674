"""The weights of a checkpoint: names of the tensors, and safetensors files read and written one tensor at a time.

`PARAMETERS_OF_BLOCK` and `parameter_names` are the only table between our names and Hugging Face's. `CheckpointWeights`
reads a checkpoint of any size and copies what its configuration shares (a tied head, grouped keys and values); `write_weights` writes one in shards of limited size. Memory is needed only for the tensor
being read or the rows being written.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from components.errors import StepError
from components.files import read_json, write_json
from components.foreign.confined import is_name
from components.phi.config import PhiConfig, key_value_heads
from components.phi.model import Phi

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
# Growth writes these in a folder of their own: some loaders read every safetensors file beside the weights as weights.
OPTIMIZER, NEW_PARAMETERS = "state/optimizer.safetensors", "state/new_parameters.safetensors"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
IGNORED = ".rotary_emb.inv_freq"  # a buffer of early releases of transformers, which follows from the configuration
SHARD_BYTES = 5 * 10**9  # transformers' default size of a shard
CODES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.float64: "F64", torch.bool: "BOOL"}
FLOATING = {"F64", "F32", "F16", "BF16"}  # narrower types are scaled, with the scale stored elsewhere
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
KEYS_AND_VALUES = re.compile(r"\.self_attn\.[kv]_proj\.")
PARTS = ("weight", "bias")
PARAMETERS_OF_BLOCK = {  # ours -> Hugging Face's, from which it is stacked
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "norm": ("input_layernorm",),
    "dense": ("self_attn.dense",),
    "fc1": ("mlp.fc1",),
    "fc2": ("mlp.fc2",),
}


def parameter_names(config: PhiConfig) -> dict[str, list[str]]:
    """Our parameter names with Hugging Face's names of the tensors that each is stacked from."""
    names = {"embed.weight": [EMBEDDING]}
    for part in PARTS:
        for layer in range(config.num_hidden_layers):
            names |= {f"blocks.{layer}.{ours}": theirs for ours, theirs in block_names(layer, part).items()}
        names[f"final_norm.{part}"] = [f"model.final_layernorm.{part}"]
        names[f"head.{part}"] = [f"lm_head.{part}"]
    return names


def block_names(layer: int, part: str) -> dict[str, list[str]]:
    """`parameter_names` of one block, by our names inside it; `part` is "weight" or "bias"."""
    return {
        f"{ours}.{part}": [f"model.layers.{layer}.{name}.{part}" for name in theirs]
        for ours, theirs in PARAMETERS_OF_BLOCK.items()
    }


def state_shapes(config: PhiConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a checkpoint, in Hugging Face's names."""
    width, inner, vocab = config.hidden_size, config.intermediate_size, config.vocab_size
    sizes = {
        "embed": (vocab, width),
        "qkv": (width, width),
        "norm": (width,),
        "dense": (width, width),
        "fc1": (inner, width),
        "fc2": (width, inner),
        "final_norm": (width,),
        "head": (vocab, width),
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for ours, stored in parameter_names(config).items():
        name, part = ours.split(".")[-2:]
        shapes |= dict.fromkeys(stored, sizes[name] if part == "weight" else sizes[name][:1])
    return shapes


def stack(tensors: list[Tensor]) -> Tensor:
    """Tensors stacked along their rows; a single tensor is not copied."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def our_names(config: PhiConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors in Hugging Face's names by our names: those of q, k and v are joined."""
    return {ours: stack([state[name] for name in theirs]) for ours, theirs in parameter_names(config).items()}


def to_state(model: Phi) -> dict[str, Tensor]:
    """The model's weights in Hugging Face's names: q, k and v split from the fused matrix. Shares memory."""
    ours = dict(model.named_parameters())
    state: dict[str, Tensor] = {}
    for name, theirs in parameter_names(model.config).items():
        state |= zip(theirs, ours[name].detach().chunk(len(theirs)), strict=True)
    return state


def from_state(config: PhiConfig, state: Mapping[str, Tensor], dtype: torch.dtype = torch.float32) -> Phi:
    """A model from weights in Hugging Face's names, each read once.

    Args:
        dtype: data type of the activations; weights become float32, or float64 if `dtype` is.
    """
    model = Phi(config, dtype).to(torch.float64 if dtype == torch.float64 else torch.float32)
    for name, place in to_state(model).items():
        place.copy_(state[name])
    return model


def is_finite(tensor: Tensor) -> bool:
    """Whether no value is NaN or infinite; the extremes show both, so no copy is made."""
    return bool(torch.stack(tensor.aminmax()).isfinite().all())


def check_finite(name: str, tensor: Tensor, origin: str) -> None:
    """Refuse unusable weights.

    Raises:
        StepError: some values are NaN or infinite.
    """
    if not is_finite(tensor):
        bad = int((~torch.isfinite(tensor)).sum())
        raise StepError(
            f"{origin}: {name} has {bad} values that are NaN or infinite; the model is broken; name another"
        )


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A safetensors file, opened for reading tensors one at a time.

    Raises:
        StepError: it cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise StepError(f"{path} cannot be read as safetensors: {error}; copy the checkpoint again") from error


class TensorFiles(Mapping[str, Tensor]):
    """The tensors of some safetensors files by name; each is read on access.

    Attributes:
        shapes: shapes of the tensors.
        dtypes: safetensors' codes of the stored data types.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        """Read the headers of the files.

        Raises:
            StepError: a file is missing or not safetensors.
        """
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        self._files: dict[str, Path] = {}
        for path in paths:
            with opened(path) as file:
                for name in file.keys():  # noqa: SIM118 - not a mapping
                    if name.endswith(IGNORED):
                        continue
                    part = file.get_slice(name)
                    self._files[name], self.dtypes[name] = path, part.get_dtype()
                    self.shapes[name] = tuple(part.get_shape())

    def __getitem__(self, name: str) -> Tensor:
        """A tensor in the dtype that it is stored in.

        Raises:
            StepError: it cannot be read.
        """
        with opened(self._files[name]) as file:  # once per tensor, so that its pages leave memory with the tensor
            return file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


class CheckpointWeights(TensorFiles):
    """The weights of a checkpoint by Hugging Face's names; each is read and checked on access.

    They are those of an untied Phi with as many key and value heads as queries. A tied head is a copy of the embedding, and
    a key or value head that several query heads share is repeated for each of them, as transformers does when it runs.
    """

    def __init__(self, directory: Path, config: PhiConfig) -> None:
        """Read the headers of the files and check them against `config`.

        Raises:
            StepError: there are no safetensors (pickle is refused), a file is broken or missing, or a tensor is missing,
                unknown, of another shape or not floating point.
        """
        self.directory = Path(directory)
        super().__init__(weight_files(self.directory))
        path, heads = self.directory / "config.json", config.num_attention_heads
        stored = read_json(path, "expected a Hugging Face checkpoint of a Phi") if path.is_file() else {}
        self._tied = stored.get("tie_word_embeddings") is True
        self._head_dim, self._sharing = config.head_dim, heads // key_value_heads(stored, heads, str(path))
        self._check(state_shapes(config))

    def __getitem__(self, name: str) -> Tensor:
        """A tensor in the dtype that it is stored in.

        Raises:
            StepError: it cannot be read, has values that are NaN or infinite, or is a tied head that differs from the
                embedding.
        """
        tensor = super().__getitem__(EMBEDDING if name == HEAD and self._tied else name)
        check_finite(name, tensor, str(self.directory))
        if name == HEAD and self._tied and HEAD in self.shapes and not torch.equal(super().__getitem__(HEAD), tensor):
            raise StepError(
                f"{self.directory}: {HEAD} differs from {EMBEDDING}, but config.json says tie_word_embeddings; set it to "
                "false to use the head's own weights, or remove them"
            )
        if self._sharing > 1 and KEYS_AND_VALUES.search(name):
            return tensor.unflatten(0, (-1, self._head_dim)).repeat_interleave(self._sharing, 0).flatten(0, 1)
        return tensor

    def _check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        expected = {
            name: (rows // self._sharing if KEYS_AND_VALUES.search(name) else rows, *columns)
            for name, (rows, *columns) in shapes.items()
            if name != HEAD or not self._tied or HEAD in self.shapes
        }
        missing, extra = sorted(expected.keys() - self.keys()), sorted(self.keys() - expected.keys())
        if missing == [HEAD]:
            raise StepError(
                f"{self.directory}: {HEAD} is missing, and config.json does not say tie_word_embeddings; set it to true if head "
                "and embedding are the same, or store the head's own weights"
            )
        if missing:
            raise StepError(
                f"{self.directory}: {_first(missing)} missing; config.json expects {len(expected)} tensors; name a complete checkpoint"
            )
        if extra:
            raise StepError(
                f"{self.directory}: {_first(extra)} in the weights but not in a Phi of this config.json; remove it, or "
                "correct config.json"
            )
        for name, shape in self.shapes.items():
            if shape != expected[name]:
                raise StepError(
                    f"{self.directory}: {name} has the shape {shape}; config.json expects {expected[name]}; name a complete checkpoint"
                )
            if self.dtypes[name] not in FLOATING:
                raise StepError(
                    f"{self.directory}: {name} is stored as {self.dtypes[name]}; expected float32, float16 or bfloat16; convert it, or name another checkpoint"
                )


def _first(names: list[str]) -> str:
    rest = f" and {len(names) - 1} more are" if len(names) > 1 else " is"
    return f"{names[0]}{rest}"


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a checkpoint's weights: one, or the shards that its index names.

    Raises:
        StepError: there are none (pickle is refused), a shard is missing, or the index names another file.
    """
    if (directory / WEIGHTS).is_file():
        return [directory / WEIGHTS]
    if (directory / INDEX).is_file():
        index = read_json(directory / INDEX, "expected the index of a checkpoint in shards").get("weight_map")
        if not isinstance(index, dict) or not index:
            raise StepError(f"{directory / INDEX} has no weight_map; copy the checkpoint again")
        names = sorted({str(name) for name in index.values()})
        if outside := [name for name in names if not is_name(name) or not name.endswith(".safetensors")]:
            raise StepError(
                f"{directory / INDEX} names {outside[0]!r}; a shard is a .safetensors file beside the index"
            )
        if missing := [name for name in names if not (directory / name).is_file()]:
            raise StepError(f"{directory} has no shard {missing[0]}, which {INDEX} names; copy the checkpoint again")
        return [directory / name for name in names]
    pickled = sorted(path.name for pattern in PICKLED for path in directory.glob(pattern))
    if pickled:
        raise StepError(
            f"{directory} stores its weights as {pickled[0]}, and loading pickle runs its code; convert them to safetensors "
            "if you trust them"
        )
    raise StepError(f"{directory} has neither {WEIGHTS} nor {INDEX}; expected a Hugging Face checkpoint of a Phi")


@dataclass(frozen=True)
class TensorSpec:
    """Shape and dtype of a tensor that is to be written."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def count(self) -> int:
        return torch.Size(self.shape).numel()

    @property
    def bytes(self) -> int:
        return self.count * self.dtype.itemsize


def write_state(
    config: PhiConfig, state: Mapping[str, Tensor], folder: Path, dtype: torch.dtype, max_shard_bytes: int | None
) -> None:
    """Write weights by Hugging Face's names into a checkpoint's folder, in the order that safetensors itself gives them.

    Raises:
        StepError: a weight is not finite, or too large for `dtype`.
    """
    specs = {name: TensorSpec(shape, dtype) for name, shape in sorted(state_shapes(config).items())}
    tensors = ((name, [_stored(name, state[name], dtype)]) for name in specs)
    write_weights(folder, specs, tensors, max_shard_bytes)


def _stored(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    check_finite(name, tensor, "the model to save")
    return rounded(name, tensor.detach().to("cpu"), dtype, "store bfloat16 or float32")


def rounded(name: str, tensor: Tensor, dtype: torch.dtype, remedy: str) -> Tensor:
    """Finite weights in the dtype in which they are stored.

    Raises:
        StepError: one is too large for `dtype`; the message ends with `remedy`.
    """
    narrow = tensor.to(dtype)
    if narrow is not tensor and not is_finite(narrow):
        largest = f"{torch.finfo(dtype).max:g} of {str(dtype).removeprefix('torch.')}"
        raise StepError(f"{name} has the value {float(tensor.abs().max()):g}; expected at most {largest}; {remedy}")
    return narrow


def write_weights(
    directory: Path,
    specs: Mapping[str, TensorSpec],
    tensors: Iterable[tuple[str, Iterable[Tensor]]],
    shard: int | None = SHARD_BYTES,
) -> None:
    """Write a checkpoint's weights, one file or shards with their index, named as transformers names them.

    Args:
        specs: the tensors to write, in order.
        tensors: names in the order of `specs`, each with its rows from top to bottom, in any dtype.
        shard: maximum bytes per file, but a tensor is never divided; None writes one file.
    """
    groups = _groups(specs, shard)
    names = [f"model-{i:05}-of-{len(groups):05}.safetensors" for i in range(1, len(groups) + 1)]
    if len(groups) == 1:
        names = [WEIGHTS]
    remaining = iter(tensors)
    for file, group in zip(names, groups, strict=True):
        write_file(directory / file, {name: specs[name] for name in group}, remaining)
    if len(groups) > 1:
        index = {name: file for file, group in zip(names, groups, strict=True) for name in group}
        counts = {
            "total_parameters": sum(spec.count for spec in specs.values()),
            "total_size": sum(spec.bytes for spec in specs.values()),
        }
        write_json(directory / INDEX, {"metadata": counts, "weight_map": index})


def _groups(specs: Mapping[str, TensorSpec], limit: int | None) -> list[list[str]]:
    """The names of the tensors of each file, in order."""
    groups: list[list[str]] = [[]]
    size = 0
    for name, spec in specs.items():
        if limit is not None and groups[-1] and size + spec.bytes > limit:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += spec.bytes
    return groups


def write_file(path: Path, specs: Mapping[str, TensorSpec], tensors: Iterator[tuple[str, Iterable[Tensor]]]) -> None:
    """Write a safetensors file: the length of the header, the header, the bytes of each tensor.

    It takes as many tensors from `tensors` as `specs` has, and leaves the rest.
    """
    with open(path, "wb") as file:
        header = _header(specs)
        file.write(len(header).to_bytes(8, "little") + header)
        for name, spec in specs.items():
            given, chunks = next(tensors)
            assert given == name, f"the next tensor is {given}, expected {name}"
            written = 0
            for chunk in chunks:
                narrow = chunk.to(spec.dtype).contiguous()
                file.write(narrow.reshape(-1).view(torch.uint8).numpy().data)
                written += narrow.numel() * spec.dtype.itemsize
            assert written == spec.bytes, f"{name} has {written} bytes, expected {spec.bytes}"


def _header(specs: Mapping[str, TensorSpec]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, spec in specs.items():
        entries[name] = {
            "dtype": CODES[spec.dtype],
            "shape": list(spec.shape),
            "data_offsets": [offset, offset + spec.bytes],
        }
        offset += spec.bytes
    header = json.dumps(entries, separators=(",", ":")).encode()
    return header + b" " * (-len(header) % 8)  # so that the data is aligned
