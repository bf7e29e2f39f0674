"""How large the models are and how they are trained, from the amount of text and the machine: one dial, `--size`.

The rules, with their reasons; `python -m bench.sizing` measures how far each lies from a swept optimum:

- **Tokens.** A text may come by EPOCHS times: up to four passes are as good as new text (Muennighoff et al. 2023, arXiv
  2305.16264). The larger model then sees it twice more. With twice as many passes, a book of 330 kB gave the smaller model the
  same held-out loss, and the larger one, which goes on from it, a higher one: it learned the book by heart. The machine's
  minutes are the other bound: each core does about CORE_FLOPS.
- **Size.** The largest pair whose smaller model sees TOKENS_PER_WEIGHT tokens per weight of its blocks within both bounds. In
  minutes on a CPU no model comes near the twenty that are optimal for compute (Hoffmann et al. 2022, arXiv 2203.15556). On
  1.1 MB of reference pages and 170 s of two cores, 0.6M ends at 3.09 nats per token, 1M, with 1.4 tokens per weight, at 3.25.
- **Shape.** Widths of a pair stand as 4 to 5 and depths as 1 to 2, so the larger model holds the smaller one, and a head
  carries its position in as many dimensions in both, as growth needs. Depth rises with width.
- **Vocabulary.** It doubles with every tenfold amount of text, since a small text holds too few examples of rare tokens; and it
  stays under some 32 entries per dimension, since embedding and head would outweigh the blocks of a narrow model.
- **Batch.** Tokens to the power 0.38 (Bergsma et al. 2025, arXiv 2505.13738), from the default pair's 2,048 of 1.5 million.
- **Learning rate.** From the default pair's, which was swept, it falls with the fourth root of the width and with the tokens to
  the power 0.32 (Bjorck et al. 2024, arXiv 2409.19913), up to twice the default. With the root of the width and of the batch
  instead, rates were down to a third of the best of the sweep, and losses up to 0.08 nats per token above its. The grown model keeps
  the default pair's rate: more would undo what it knows.
- **Parts.** A long document of a small text is cut into shorter ones, so that there are some PARTS to hold out and learn from.
- **Weight decay.** DECAY_PER_PASS for each pass over the text, at most 1: it holds back learning by heart (Kim et al. 2025,
  arXiv 2509.14786). The larger model's held-out loss on that book, after four passes of the smaller one, is 4.28 nats per token with
  0.4, and 4.23 with 1.
- **Generated text.** As many exercises and textbooks as the own text leaves room for, where it has 70% of the tokens.
"""

import math
from dataclasses import dataclass
from typing import Any

from components.errors import StepError
from components.params.load import Params

WIDTHS = {"0.3M": 64, "0.6M": 96, "1M": 128, "3M": 192, "10M": 320}  # of the smaller model, by its size
EPOCHS = 4
CORE_FLOPS = 3.8e10  # per second of one core in training, with validations; bfloat16 where there is any
SECONDS = 190  # of training for all three models
TOKENS_PER_WEIGHT = 2.5
BYTES_PER_TOKEN = 3.4  # of a small vocabulary
DECAY_PER_PASS, MOST_DECAY = 0.25, 1.0
MOST_RATE = 2.0  # times the default pair's learning rate
LARGE_SHARE = 0.47  # of the smaller model's tokens that the larger one and its control train on
OWN_SHARE = 0.7  # of the training tokens, which tokenization.own_share leaves to the own text
CONTEXT = 256
PARTS = 100
LEAST_PART = 1_000  # characters, some paragraphs
MOST_THREADS = 8  # a model of a few million weights gains nothing from more
DEFAULT = Params()  # the pair that the rules start from: its batch and learning rates were swept


@dataclass(frozen=True)
class Sizing:
    """The sizes that follow from the text and the machine.

    Attributes:
        size: name of the pair, one of WIDTHS.
        overlay: dotted keys of the parameters and their values.
        seconds: of training that the machine needs for it, about.
    """

    size: str
    overlay: dict[str, Any]
    seconds: float


def plan(text_bytes: int, cores: int, size: str = "auto") -> Sizing:
    """The sizes for so much text on so many cores.

    Args:
        text_bytes: of the user's own text, UTF-8.
        size: one of WIDTHS, or auto for the largest that fits.

    Raises:
        StepError: the size is unknown.
    """
    if size != "auto" and size not in WIDTHS:
        raise StepError(f"--size: {size!r} is not a size; expected auto or one of {', '.join(WIDTHS)}")
    available = EPOCHS * text_bytes / BYTES_PER_TOKEN / OWN_SHARE
    flops = cores * CORE_FLOPS * SECONDS
    chosen = size
    if size == "auto":
        fitting = [
            name
            for name, width in WIDTHS.items()
            if min(available, flops / _flops_per_token(width, text_bytes)) >= TOKENS_PER_WEIGHT * blocks(width)
        ]
        chosen = fitting[-1] if fitting else next(iter(WIDTHS))
    width = WIDTHS[chosen]
    affordable = max(flops / _flops_per_token(width, text_bytes), TOKENS_PER_WEIGHT * blocks(width) * (size != "auto"))
    batch = batch_of(int(min(available, affordable)))
    tokens = max(batch, int(min(available, affordable)) // batch * batch)
    overlay = {
        "ingestion.part_chars": max(LEAST_PART, min(text_bytes // PARTS, DEFAULT.ingestion.part_chars)),
        "tokenization.vocab_size": vocabulary_of(text_bytes, width),
        "training.batch_tokens": batch,
        "training.micro_batch_tokens": min(batch, DEFAULT.training.micro_batch_tokens),
        "training.weight_decay": weight_decay(tokens, text_bytes),
        "training.threads": max(1, min(cores, MOST_THREADS)),
        "transfer.threads": max(1, min(cores, MOST_THREADS)),
        "transfer.learning_rate": DEFAULT.transfer.learning_rate,
        **_model("small", width, layers(width), tokens, learning_rate(width, tokens)),
        **_model("large", large_width(width), 2 * layers(width), _large(tokens, batch), _control_rate(width, tokens)),
        **_generated(text_bytes),
    }
    return Sizing(chosen, overlay, tokens * _flops_per_token(width, text_bytes) / (cores * CORE_FLOPS))


def vocabulary_of(text_bytes: int, width: int) -> int:
    """1,024 for 100 kB, 2,048 for 1 MB and so on, up to some 32 entries per dimension."""
    by_text = 1024 * 2 ** max(0, round(math.log10(max(text_bytes, 1) / 1e5)))
    return min(by_text, 2 ** round(math.log2(32 * width)))


def batch_of(tokens: int) -> int:
    """Tokens an optimizer step for a budget, a power of two; whole sequences of the default context."""
    own = DEFAULT.training.batch_tokens * (max(tokens, 1) / DEFAULT.small.tokens) ** 0.38
    return max(2 * CONTEXT, 2 ** round(math.log2(own)))


def learning_rate(width: int, tokens: int) -> float:
    """Peak learning rate of a smaller model that is trained on so many tokens."""
    default = DEFAULT.small
    shape = (default.model.hidden_size / width) ** 0.25
    horizon = (default.tokens / max(tokens, 1)) ** 0.32
    return _rounded(default.learning_rate * min(MOST_RATE, shape * horizon))


def weight_decay(tokens: int, text_bytes: int) -> float:
    """Weight decay for a budget, by the passes over the own text that it comes to."""
    passes = OWN_SHARE * tokens * BYTES_PER_TOKEN / max(text_bytes, 1)
    return _rounded(min(MOST_DECAY, max(DEFAULT.training.weight_decay, DECAY_PER_PASS * passes)))


def layers(width: int) -> int:
    """Blocks of a smaller model."""
    return max(2, round(width / 40))


def large_width(width: int) -> int:
    """Width of the larger model of a pair."""
    return width * 5 // 4


def blocks(width: int) -> int:
    """Weights of a smaller model's blocks."""
    return 12 * width**2 * layers(width)


def _control_rate(width: int, tokens: int) -> float:
    """Of the larger model from a random start: the default pair's ratio, whose larger model sees half of the tokens."""
    return _rounded(learning_rate(width, tokens) * DEFAULT.large.learning_rate / DEFAULT.small.learning_rate)


def _flops_per_token(width: int, text_bytes: int) -> float:
    """FLOPs of all three trainings per token of the smaller model: six per weight (PaLM, appendix B)."""
    large, vocabulary = large_width(width), vocabulary_of(text_bytes, width)
    small = blocks(width) + vocabulary * width
    return 6 * (small + 2 * LARGE_SHARE * (12 * large**2 * 2 * layers(width) + vocabulary * large))


def _large(tokens: int, batch: int) -> int:
    return max(batch, int(LARGE_SHARE * tokens) // batch * batch)


def _model(section: str, width: int, depth: int, tokens: int, rate: float) -> dict[str, Any]:
    heads = 4 if width <= 240 else 5
    return {
        f"{section}.model.hidden_size": width,
        f"{section}.model.intermediate_size": 4 * width,
        f"{section}.model.num_hidden_layers": depth,
        f"{section}.model.num_attention_heads": heads,
        f"{section}.model.partial_rotary_factor": 0.5 if section == "small" else 0.4,
        f"{section}.tokens": tokens,
        f"{section}.learning_rate": rate,
    }


def _generated(text_bytes: int) -> dict[str, Any]:
    """Exercises of some 26 tokens and chapters of some 250, as many as the own text leaves room for, within bounds: fewer
    would teach no family of exercises, and the default pair's are all that the curriculum holds."""
    room = text_bytes / BYTES_PER_TOKEN * (1 - OWN_SHARE) / OWN_SHARE
    return {
        "synthesis.exercises": int(min(DEFAULT.synthesis.exercises, max(4000, 0.8 * room / 26))),
        "synthesis.chapters": int(min(DEFAULT.synthesis.chapters, max(100, 0.2 * room / 250))),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
