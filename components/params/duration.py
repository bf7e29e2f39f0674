"""How long a run takes, about: the training by its FLOPs, what is done once, and what is done for every megabyte of text."""

from components.params.load import Params
from components.params.models import ModelParams
from components.params.sizing import CORE_FLOPS

FIXED_SECONDS = 150.0
SECONDS_PER_MEGABYTE = 6.0


def training_seconds(params: Params, cores: int) -> float:
    """Of the smaller model, the larger one and its control, on so many cores without a GPU."""
    threads = min(cores, params.training.threads)
    flops = _flops(params.small, params) + 2 * _flops(params.large, params)
    return flops / (threads * CORE_FLOPS)


def run_seconds(params: Params, cores: int, text_bytes: float) -> float:
    """Of the whole pipeline, nothing being cached."""
    return training_seconds(params, cores) + FIXED_SECONDS + SECONDS_PER_MEGABYTE * text_bytes / 1e6


def _flops(model: ModelParams, params: Params) -> float:
    """Six per weight and token (PaLM, appendix B)."""
    shape = model.model
    block = 4 * shape.hidden_size**2 + 2 * shape.hidden_size * shape.intermediate_size
    weights = shape.num_hidden_layers * block + params.tokenization.vocab_size * shape.hidden_size
    return 6.0 * weights * model.tokens
