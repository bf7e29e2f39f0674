"""Weights on disk, a tensor at a time: read from a checkpoint of any size, written to shards of a bounded size.

Nothing is held: what is in memory at any time is the tensor that is being read and a few rows that are being written.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from components.errors import StepError
from components.files import write_json
from components.phi.checkpoint import IGNORED, INDEX, WEIGHTS, opened, state_shapes, weight_files
from components.phi.model import PhiConfig

SHARD_BYTES = 5 * 10**9  # transformers' usual size of a shard
CODES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.float64: "F64", torch.bool: "BOOL"}
FLOATING = {"F64", "F32", "F16", "BF16"}
HEAD = "lm_head.weight"


class TensorFiles(Mapping[str, Tensor]):
    """The tensors of some safetensors files by name; each is read when it is asked for.

    Attributes:
        shapes: of the tensors.
        dtypes: of the tensors as stored, safetensors' codes.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        """Read the headers of the files.

        Raises:
            StepError: a file that is missing or no safetensors.
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
        with opened(self._files[name]) as file:  # anew for each tensor: its pages in memory go when the tensor does
            return file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


class CheckpointWeights(TensorFiles):
    """The weights of a checkpoint by Hugging Face's names; each is read when it is asked for and checked then."""

    def __init__(self, directory: Path, config: PhiConfig) -> None:
        """Read the headers of the files and hold them against `config`.

        Raises:
            StepError: no safetensors (pickle is refused), a broken or missing file, a tensor that is missing, unknown,
                of another shape or not floating point.
        """
        self.directory = Path(directory)
        super().__init__(weight_files(self.directory))
        self._check(state_shapes(config))

    def __getitem__(self, name: str) -> Tensor:
        """A tensor in the dtype that it is stored in.

        Raises:
            StepError: it cannot be read, or not all of it is finite.
        """
        tensor = super().__getitem__(name)
        if not torch.stack(tensor.aminmax()).isfinite().all():  # NaN too shows in both; no copy is made
            bad = int((~torch.isfinite(tensor)).sum())
            raise StepError(
                f"{self.directory}: {name} has {bad} values that are NaN or infinite; the model is broken; name another with --source"
            )
        return tensor

    def _check(self, expected: Mapping[str, tuple[int, ...]]) -> None:
        missing, extra = sorted(expected.keys() - self.keys()), sorted(self.keys() - expected.keys())
        if missing == [HEAD]:
            raise StepError(
                f"{self.directory}: {HEAD} is missing, as where head and embedding are tied; Phi's are not: store the "
                "head's own weights"
            )
        if missing:
            raise StepError(
                f"{self.directory}: {missing[0]} is missing{_more(missing)}; config.json asks for {len(expected)} tensors; name a whole checkpoint with --source"
            )
        if extra:
            raise StepError(
                f"{self.directory}: {extra[0]}{_more(extra)} belongs to no Phi of this config.json; remove it, or correct "
                "config.json"
            )
        for name, shape in self.shapes.items():
            if shape != expected[name]:
                raise StepError(
                    f"{self.directory}: {name} has the shape {shape}; config.json asks for {expected[name]}; name a whole checkpoint with --source"
                )
            if self.dtypes[name] not in FLOATING:
                raise StepError(
                    f"{self.directory}: {name} holds {self.dtypes[name]}; expected float32, float16 or bfloat16; convert it, or name another with --source"
                )


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


@dataclass(frozen=True)
class TensorSpec:
    """Shape and dtype of a tensor that is to be written."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        return torch.Size(self.shape).numel() * self.dtype.itemsize


def write_weights(
    directory: Path,
    specs: Mapping[str, TensorSpec],
    tensors: Iterable[tuple[str, Iterable[Tensor]]],
    shard: int = SHARD_BYTES,
) -> None:
    """Write a checkpoint's weights, one file or shards with their index.

    Args:
        specs: what will come, in its order.
        tensors: names in the order of `specs`, each with its rows from top to bottom, in any dtype.
        shard: bytes per file, at most; a tensor is never divided.
    """
    groups = _groups(specs, shard)
    names = [WEIGHTS] if len(groups) == 1 else [shard_name(i, len(groups)) for i in range(len(groups))]
    coming = iter(tensors)
    for file, group in zip(names, groups, strict=True):
        write_file(directory / file, {name: specs[name] for name in group}, coming)
    if len(groups) > 1:
        index = {name: file for file, group in zip(names, groups, strict=True) for name in group}
        size = sum(spec.bytes for spec in specs.values())
        write_json(directory / INDEX, {"metadata": {"total_size": size}, "weight_map": index})


def shard_name(number: int, count: int) -> str:
    """File name of shard `number` (from 0) of `count`, as transformers names them."""
    return f"model-{number + 1:05d}-of-{count:05d}.safetensors"


def _groups(specs: Mapping[str, TensorSpec], limit: int) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    size = 0
    for name, spec in specs.items():
        if groups[-1] and size + spec.bytes > limit:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += spec.bytes
    return groups


def write_file(path: Path, specs: Mapping[str, TensorSpec], coming: Iterator[tuple[str, Iterable[Tensor]]]) -> None:
    """Write a safetensors file: the length of the header, the header, the tensors' bytes one after another.

    `coming` is asked for as many tensors as `specs` has, and may have more.
    """
    with open(path, "wb") as file:
        header = _header(specs)
        file.write(len(header).to_bytes(8, "little") + header)
        for name, spec in specs.items():
            given, chunks = next(coming)
            assert given == name, f"{given} came where {name} was announced"
            written = 0
            for chunk in chunks:
                narrow = chunk.to(spec.dtype).contiguous()
                file.write(narrow.reshape(-1).view(torch.uint8).numpy().data)
                written += narrow.numel() * spec.dtype.itemsize
            assert written == spec.bytes, f"{name} has {written} bytes, {spec.bytes} were announced"


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
