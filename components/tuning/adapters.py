"""Low-rank adapters (LoRA; Hu et al., arXiv 2106.09685) on a Phi.

The adapters are peft's own layers, put into our model by peft. Ours is what fits them to it: queries, keys and values are
one matrix in a Phi and three in the format that other tools read, and activations may be narrower than weights. The saved
folder is peft's, and peft loads it: adapter_config.json, adapter_model.safetensors, tensors in Hugging Face's names.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from components.errors import StepError, short
from components.files import read_json, save_tensors, write_json
from components.params import TuningParams
from components.phi.config import PhiConfig
from components.phi.model import Linear, Phi
from components.phi.weights import PARAMETERS_OF_BLOCK, check_finite, state_shapes

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."  # of the tensors' names in peft's files
NAME = "default"  # of the adapter within peft


class CastLinear(nn.Linear):
    """A Linear that casts its weights to the dtype of `x`, like `components.phi.model.Linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype))


class Fused(nn.Module):
    """Queries, keys and values as three matrices beside one another."""

    def __init__(self, qkv: Linear, names: list[str]) -> None:
        super().__init__()
        parts = zip(names, qkv.weight.data.chunk(3), qkv.bias.data.chunk(3), strict=True)
        for name, weight, bias in parts:
            self.add_module(name, linear(weight, bias))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.children()], dim=-1)


def linear(weight: Tensor, bias: Tensor) -> CastLinear:
    """A layer that shares the memory of weights, without gradients."""
    made = CastLinear(weight.shape[1], weight.shape[0], device="meta")
    made.weight, made.bias = (nn.Parameter(tensor, requires_grad=False) for tensor in (weight, bias))
    return made


def add_adapters(model: Phi, settings: TuningParams, seed: int) -> None:
    """Freeze a model and add adapters to its blocks. They change nothing yet: B starts at 0, A at peft's random values."""
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.lora import LoraLayer

    model.requires_grad_(False)
    for block in model.blocks:
        for ours, theirs in PARAMETERS_OF_BLOCK.items():
            names = [name.rpartition(".")[2] for name in theirs]
            if not set(names) & set(settings.targets):
                continue
            layer = getattr(block, ours)
            setattr(block, ours, Fused(layer, names) if len(names) > 1 else linear(layer.weight.data, layer.bias.data))
    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=list(settings.targets))  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model, NAME)
    for layer in model.modules():
        if isinstance(layer, LoraLayer):  # peft would widen activations to the adapters' dtype
            layer.cast_input_dtype_enabled = False
            for matrices in (layer.lora_A, layer.lora_B):
                matrices[NAME].__class__ = CastLinear


def hf_name(ours: str) -> str:
    """Hugging Face's name of one of our adapted layers: blocks.0.qkv.q_proj -> model.layers.0.self_attn.q_proj."""
    _, layer, name, *part = ours.split(".")
    theirs = PARAMETERS_OF_BLOCK[name]
    chosen = next(each for each in theirs if not part or each.endswith(f".{part[0]}"))
    return f"model.layers.{layer}.{chosen}"


def adapted(model: Phi) -> Iterator[tuple[str, Any]]:
    """peft's layers of a model, by Hugging Face's name."""
    from peft.tuners.lora import LoraLayer

    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            yield hf_name(name), layer


def adapter_state(model: Phi) -> dict[str, Tensor]:
    """The adapters of a model by the names in peft's files, on the CPU."""
    return {
        f"{PREFIX}{name}.lora_{side}.weight": matrices[NAME].weight.detach().cpu().contiguous()
        for name, layer in adapted(model)
        for side, matrices in (("A", layer.lora_A), ("B", layer.lora_B))
    }


def merged_state(base: Mapping[str, Tensor], state: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Weights in Hugging Face's names with adapters added: W + scale * B A, computed in float32.

    Args:
        base: the checkpoint's weights.
        state: `adapter_state`.
    """
    merged = dict(base)
    for name in base:
        stem = PREFIX + name.removesuffix(".weight")
        if (a := state.get(f"{stem}.lora_A.weight")) is not None:
            merged[name] = (
                base[name].detach().cpu().float() + scale * state[f"{stem}.lora_B.weight"].float() @ a.float()
            )
    return merged


def save_adapter(state: Mapping[str, Tensor], settings: TuningParams, folder: Path) -> None:
    """Write an adapter in peft's format into a folder. The base's path is left out: it is another one elsewhere.

    Raises:
        StepError: a weight is NaN or infinite.
    """
    from peft import LoraConfig

    for name, tensor in state.items():
        check_finite(name, tensor, "the adapter to save")
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        target_modules=list(settings.targets),
        task_type="CAUSAL_LM",
        inference_mode=True,
    )
    values = {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}
    write_json(folder / CONFIG, values | {"peft_type": "LORA", "task_type": "CAUSAL_LM"})
    save_tensors(dict(state), folder / WEIGHTS, {"format": "pt"})


def read_adapter(folder: Path, config: PhiConfig) -> tuple[dict[str, Tensor], float]:
    """The tensors of an adapter in peft's format, checked against the shape of its base, and their scale.

    Raises:
        StepError: a file is missing or broken, it is not a plain LoRA adapter, or a tensor doesn't fit the base.
    """
    values = read_json(folder / CONFIG, "expected a folder with an adapter in peft's format")
    plain = {
        "peft_type": "LORA",
        "bias": "none",
        "use_dora": False,
        "fan_in_fan_out": False,
        "modules_to_save": None,
        "rank_pattern": {},
        "alpha_pattern": {},
    }
    for key, expected in plain.items():
        if (given := values.get(key, expected)) != expected and (given or expected):
            raise StepError(
                f"{folder / CONFIG}: {key} is {short(given)}; expected {short(expected)}; merge it with peft"
            )
    rank, alpha = values.get("r"), values.get("lora_alpha")
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise StepError(
            f"{folder / CONFIG}: r is {short(rank)} and lora_alpha {short(alpha)}; expected a rank and a number"
        )
    path = folder / WEIGHTS
    if not path.is_file():
        raise StepError(f"{path} is not there; expected the adapter's weights in safetensors; pickle is not read")
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise StepError(f"{path} cannot be read ({error}); copy the adapter again") from error
    check_state(state, config, rank, str(path))
    return state, alpha / (rank**0.5 if values.get("use_rslora") else rank)


def check_state(state: Mapping[str, Tensor], config: PhiConfig, rank: int, origin: str) -> None:
    """Refuse tensors that don't fit a base.

    Raises:
        StepError: a tensor is unknown, of another shape, not finite, or half of a pair.
    """
    shapes = state_shapes(config)
    expected = {}
    for name, shape in shapes.items():
        if len(shape) == 2 and name.startswith("model.layers."):
            stem = PREFIX + name.removesuffix(".weight")
            expected[f"{stem}.lora_A.weight"] = (rank, shape[1])
            expected[f"{stem}.lora_B.weight"] = (shape[0], rank)
    if not state:
        raise StepError(f"{origin}: no tensors; expected those of an adapter; copy it again")
    for name, tensor in state.items():
        if name not in expected:
            raise StepError(
                f"{origin}: {short(name)} is not of a block's matrix of this Phi; name the adapter's own base"
            )
        if tuple(tensor.shape) != expected[name]:
            raise StepError(
                f"{origin}: {name} has the shape {tuple(tensor.shape)}; expected {expected[name]}; name the adapter's own base"
            )
        other = name.replace(".lora_A.", ".lora_B.") if ".lora_A." in name else name.replace(".lora_B.", ".lora_A.")
        if other not in state:
            raise StepError(f"{origin}: {other} is missing; copy the adapter again")
        check_finite(name, tensor, origin)
