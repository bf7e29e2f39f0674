"""Which shape can grow into which, and why not."""

import json
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.params import Params
from components.phi.model import PhiConfig


def read_target(target: str, params: Params, source: PhiConfig) -> PhiConfig:
    """The target's shape: a section of params.yaml (with the source's vocabulary and positions) or a config.json.

    Raises:
        StepError: neither a section with a model nor a readable configuration.
    """
    section: Any = getattr(params, target, None)
    shape = getattr(section, "model", None)
    if shape is not None:
        return PhiConfig.from_shape(shape, source.vocab_size, source.max_position_embeddings, source.eos_token_id)
    path = Path(target)
    if not path.is_file():
        sections = ", ".join(name for name in type(params).model_fields if hasattr(getattr(params, name), "model"))
        raise StepError(f"--target {target!r} is neither a section with a model ({sections}) nor a config.json")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StepError(f"--target {path} is not JSON ({error})") from error
    return PhiConfig.from_hf(values, str(path))


def check_growth(source: PhiConfig, target: PhiConfig) -> None:
    """Refuse a growth that cannot preserve the function.

    Raises:
        StepError: names every reason.
    """
    reasons = [
        f"{name} shrinks from {getattr(source, name)} to {getattr(target, name)}"
        for name in (
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "head_dim",
            "vocab_size",
            "max_position_embeddings",
        )
        if getattr(target, name) < getattr(source, name)
    ]
    if target.rotary_dims != source.rotary_dims:
        wanted = source.rotary_dims / target.head_dim
        reasons.append(
            f"rotary dimensions differ, {source.rotary_dims} and {target.rotary_dims}, so every frequency would change: "
            f"set partial_rotary_factor to {wanted:.4g}"
        )
    reasons += [
        f"{name} differs, {getattr(source, name)} and {getattr(target, name)}"
        for name in ("rope_theta", "layer_norm_eps")
        if getattr(source, name) != getattr(target, name)
    ]
    if reasons:
        raise StepError("this source cannot grow into this target: " + "; ".join(reasons))
