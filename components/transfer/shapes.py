"""Checks the shape that a Phi is to grow into."""

from components.errors import StepError
from components.phi.model import PhiConfig

SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
)


def check_growth(source: PhiConfig, target: PhiConfig) -> None:
    """Refuse a target that the source cannot grow into.

    Raises:
        StepError: the target is smaller somewhere, or has other rotary positions; every reason is named.
    """
    reasons = [
        f"{name} {getattr(target, name)} is below the source's {getattr(source, name)}; choose at least that"
        for name in SIZES
        if getattr(target, name) < getattr(source, name)
    ]
    if target.rotary_dims != source.rotary_dims:
        reasons.append(
            f"{target.rotary_dims} rotary dimensions per head ({target.partial_rotary_factor} of {target.head_dim}) differ "
            f"from the source's {source.rotary_dims}, which changes every frequency: set partial_rotary_factor to "
            f"{source.rotary_dims / target.head_dim:g}"
        )
    if target.rope_theta != source.rope_theta:
        reasons.append(
            f"rope_theta {target.rope_theta:g} differs from the source's {source.rope_theta:g}, which changes every frequency"
        )
    if reasons:
        raise StepError(
            "the source cannot grow into this target: " + "; ".join(reasons) + "; correct what --target names"
        )


def check_vocabulary(source: PhiConfig, target: PhiConfig) -> None:
    """Refuse a vocabulary that the source's tokens do not fit into.

    Raises:
        StepError: the target's vocabulary is the smaller one.
    """
    if target.vocab_size < source.vocab_size:
        raise StepError(
            f"the target's vocab_size {target.vocab_size} is below the source's {source.vocab_size}: their tokens differ; raise vocab_size in what --target names"
        )
