"""Checkpoints: a Hugging Face directory of a Phi, read and written without transformers.

    config.json  model.safetensors  generation_config.json  tokenizer.json ...  lineage.json

Reading takes only safetensors, whole or sharded; a checkpoint in pickle is refused, since loading one runs its code.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from components.errors import StepError
from components.files import atomic_directory, write_json
from components.phi.model import Phi, PhiConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
BLOCK_KEYS = {  # ours -> Hugging Face's; q, k and v are split from our fused matrix
    "norm": "input_layernorm",
    "dense": "self_attn.dense",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}
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
    dtype = dtype or torch.float32
    return from_state(config, read_state(directory, config), dtype).eval()


def save(model: Phi, directory: Path, tokenizer_dir: Path | None, lineage: Mapping[str, Any]) -> None:
    """Write a checkpoint directory, whole or not at all; equal arguments give equal bytes.

    Args:
        tokenizer_dir: where the tokenizer's files lie; None leaves them out.
        lineage: what the model came from, for lineage.json.

    Raises:
        StepError: a weight is not finite, or `tokenizer_dir` has no tokenizer.json.
    """
    write_state(model.config, to_state(model), directory, tokenizer_dir, lineage)


def write_state(
    config: PhiConfig,
    state: State,
    directory: Path,
    tokenizer_dir: Path | None,
    lineage: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """As `save`, from weights in Hugging Face's names, with `extra` JSON files by name."""
    check_state(config, state, "the model to save")
    with atomic_directory(directory) as folder:
        write_json(folder / "config.json", config.to_hf())
        eos = config.eos_token_id
        write_json(folder / "generation_config.json", {"bos_token_id": eos, "eos_token_id": eos, "pad_token_id": eos})
        contiguous = {name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in state.items()}
        save_file(contiguous, folder / WEIGHTS, metadata={"format": "pt"})
        (folder / WEIGHTS).chmod(0o644)  # safetensors makes it readable by its owner alone
        if tokenizer_dir is not None:
            copy_tokenizer(tokenizer_dir, folder)
        write_json(folder / "lineage.json", dict(lineage))
        for name, value in (extra or {}).items():
            write_json(folder / name, value)


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy a tokenizer's files.

    Raises:
        StepError: no tokenizer.json at `source`.
    """
    if not (source / "tokenizer.json").is_file():
        raise StepError(f"{source} has no tokenizer.json; expected the tokenizer that the tokens were made with")
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def load_tokenizer(directory: Path) -> "Tokenizer":
    """The `tokenizers.Tokenizer` of a checkpoint or of a tokenizer's folder: `.encode(text).ids`, `.decode(ids)`.

    Raises:
        StepError: no tokenizer.json there, or one that cannot be read.
    """
    from tokenizers import Tokenizer

    path = Path(directory) / "tokenizer.json"
    if not path.is_file():
        raise StepError(f"{directory} has no tokenizer.json; expected a checkpoint or a tokenizer's folder")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:
        raise StepError(f"{path} cannot be read as a tokenizer: {error}") from error


def read_config(directory: Path) -> PhiConfig:
    """The configuration of a checkpoint, or of a config.json named directly.

    Raises:
        StepError: missing, not JSON, not a Phi.
    """
    path = Path(directory)
    path = path / "config.json" if path.is_dir() else path
    return PhiConfig.from_hf(_read_json(path), origin=str(path))


def read_lineage(directory: Path) -> dict[str, Any]:
    """lineage.json of a checkpoint; empty where a model came from elsewhere and has none."""
    path = Path(directory) / "lineage.json"
    return _read_json(path) if path.is_file() else {}


def read_state(directory: Path, config: PhiConfig) -> State:
    """Weights of a checkpoint in Hugging Face's names, in the dtype they are stored in, checked against `config`.

    Raises:
        StepError: no safetensors (pickle is refused), a broken or missing file, a tensor that is missing, unknown, of
            another shape, not floating point or not finite.
    """
    directory = Path(directory)
    state: State = {}
    for path in _weight_files(directory):
        try:
            with safe_open(path, framework="pt") as file:
                state |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        except (SafetensorError, OSError) as error:
            raise StepError(f"{path} cannot be read as safetensors: {error}; copy the checkpoint again") from error
    check_state(config, state, str(directory))
    return state


def _weight_files(directory: Path) -> list[Path]:
    if (directory / WEIGHTS).is_file():
        return [directory / WEIGHTS]
    if (directory / INDEX).is_file():
        index = _read_json(directory / INDEX).get("weight_map")
        if not isinstance(index, dict) or not index:
            raise StepError(f"{directory / INDEX} has no weight_map; copy the checkpoint again")
        names = sorted({str(name) for name in index.values()})
        if outside := [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]:
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
    if missing := sorted(expected.keys() - state.keys()):
        raise StepError(f"{origin}: {_first(missing)} missing from the weights; config.json asks for {len(expected)}")
    if extra := sorted(state.keys() - expected.keys()):
        raise StepError(f"{origin}: {_first(extra)} in the weights but not in a Phi of this config.json")
    for name, tensor in state.items():
        if tuple(tensor.shape) != expected[name]:
            raise StepError(
                f"{origin}: {name} has the shape {tuple(tensor.shape)}; config.json asks for {expected[name]}"
            )
        if not tensor.is_floating_point():
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
    held = torch.float64 if dtype == torch.float64 else torch.float32
    ours = {"embed.weight": state["model.embed_tokens.weight"]}
    for part in ("weight", "bias"):
        for layer in range(config.num_hidden_layers):
            prefix = f"model.layers.{layer}"
            split = [state[f"{prefix}.self_attn.{name}_proj.{part}"] for name in "qkv"]
            ours[f"blocks.{layer}.qkv.{part}"] = torch.cat(split)
            for name, theirs in BLOCK_KEYS.items():
                ours[f"blocks.{layer}.{name}.{part}"] = state[f"{prefix}.{theirs}.{part}"]
        ours[f"final_norm.{part}"] = state[f"model.final_layernorm.{part}"]
        ours[f"head.{part}"] = state[f"lm_head.{part}"]
    model = Phi(config, dtype).to(held)
    model.load_state_dict(ours)
    return model


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StepError(f"{path} is not there; expected a Hugging Face checkpoint of a Phi") from None
    except (OSError, ValueError) as error:
        raise StepError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise StepError(f"{path} holds a {type(value).__name__}; expected a JSON object")
    return value
