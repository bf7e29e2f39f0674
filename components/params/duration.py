"""Estimates how long a run takes: training by its FLOPs, a fixed time per run, and a time per megabyte of text.

The estimates are calibrated on two cores of an AMD EPYC with AVX-512 and bfloat16: the default run (9 minutes on an idle
machine), a run on 1.6 MB of release notes (588 s of training on a busy machine), and a run on 20 kB for the fixed time.
"""

from components.params.load import Params
from components.params.models import ModelParams
from components.params.sizing import CORE_FLOPS

FIXED_SECONDS = 150.0  # starting 17 stages, their gates, three exams, the report
SECONDS_PER_MEGABYTE = 3.0  # of text that is read, curated and tokenized


def training_seconds(params: Params, cores: int) -> float:
    """Seconds to train the smaller model, the larger one and its control on this many cores without a GPU."""
    threads = min(cores, params.training.threads)
    flops = _flops(params.small, params) + 2 * _flops(params.large, params)
    return flops / (threads * CORE_FLOPS)


def run_seconds(params: Params, cores: int, text_bytes: float) -> float:
    """Seconds of the whole pipeline on this many bytes of text, if nothing is cached."""
    return training_seconds(params, cores) + FIXED_SECONDS + SECONDS_PER_MEGABYTE * text_bytes / 1e6


def _flops(model: ModelParams, params: Params) -> float:
    """FLOPs of training a model: six per weight and token (PaLM, appendix B)."""
    shape = model.model
    block = 4 * shape.hidden_size**2 + 2 * shape.hidden_size * shape.intermediate_size
    weights = shape.num_hidden_layers * block + params.tokenization.vocab_size * shape.hidden_size
    return 6.0 * weights * model.tokens
