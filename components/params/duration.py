"""How long a run takes, about: the training by its FLOPs, what every run does, and what it does for each megabyte of text.

Calibrated on two cores of an AMD EPYC with AVX-512 and bfloat16: the default run (9 minutes when nothing else ran), a run on
1.6 MB of release notes (training 588 s beside other work) and one on 20 kB for what every run does.
"""

from components.params.load import Params
from components.params.models import ModelParams
from components.params.sizing import CORE_FLOPS

FIXED_SECONDS = 150.0  # 17 stages that start, their gates, three exams, the report
SECONDS_PER_MEGABYTE = 3.0  # of text that is read, curated and tokenized


def training_seconds(params: Params, cores: int) -> float:
    """Seconds of training the smaller model, the larger one and its control on so many cores without a GPU."""
    threads = min(cores, params.training.threads)
    flops = _flops(params.small, params) + 2 * _flops(params.large, params)
    return flops / (threads * CORE_FLOPS)


def run_seconds(params: Params, cores: int, text_bytes: float) -> float:
    """Seconds of the whole pipeline on so much text, nothing being cached."""
    return training_seconds(params, cores) + FIXED_SECONDS + SECONDS_PER_MEGABYTE * text_bytes / 1e6


def _flops(model: ModelParams, params: Params) -> float:
    """Six per weight and token (PaLM, appendix B)."""
    shape = model.model
    block = 4 * shape.hidden_size**2 + 2 * shape.hidden_size * shape.intermediate_size
    weights = shape.num_hidden_layers * block + params.tokenization.vocab_size * shape.hidden_size
    return 6.0 * weights * model.tokens
