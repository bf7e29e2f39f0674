"""Chooses the size of the models and their training from the amount of text and the machine (`--size`).

These are the rules and their reasons; `python -m bench.sizing` measures how far each is from a swept optimum:

- **Tokens.** A text is repeated up to EPOCHS times: up to four passes are as good as new text (Muennighoff et al. 2023,
  arXiv 2305.16264). The larger model then sees it twice more. With twice as many passes over a book of 330 kB, the smaller
  model had the same held-out loss, and the larger one, which continues from it, a higher one: it memorised the book. The
  machine's time is the other bound: each core does about CORE_FLOPS.
- **Size.** The largest pair is chosen whose smaller model sees TOKENS_PER_WEIGHT tokens per weight of its blocks within both
  bounds. In minutes on a CPU, models stay far below the twenty that are compute-optimal (Hoffmann et al. 2022, arXiv
  2203.15556). On 1.1 MB of reference pages and 170 s of two cores, 0.6M ends at 3.09 nats per token, and 1M, with 1.4 tokens
  per weight, at 3.25.
- **Shape.** The widths of a pair have the ratio 4 to 5 and the depths 1 to 2, so that the larger model can contain the
  smaller one. A head has equally many position dimensions in both, as growth needs. Depth rises with width.
- **Vocabulary.** It doubles with every tenfold amount of text, since a small text has too few examples of rare tokens. It
  stays under about 32 entries per dimension; otherwise embedding and head would outweigh the blocks of a narrow model.
- **Batch.** It grows with the tokens to the power 0.38 (Bergsma et al. 2025, arXiv 2505.13738), from the default pair's 2,048
  for 1.5 million.
- **Learning rate.** It starts from the default pair's, which was swept. It falls with the fourth root of the width and with
  the tokens to the power 0.32 (Bjorck et al. 2024, arXiv 2409.19913), and is at most twice the default. With the root of the
  width and of the batch instead, rates were down to a third of the sweep's best, and losses up to 0.08 nats per token higher.
  The grown model keeps the default pair's rate: a higher one would undo what it knows.
- **Parts.** A long document of a small text is cut into shorter ones, so that there are about PARTS to hold out and learn from.
- **Weight decay.** DECAY_PER_PASS per pass over the text, at most 1, which limits memorisation (Kim et al. 2025, arXiv
  2509.14786). The larger model's held-out loss on that book, after four passes of the smaller one, is 4.28 nats per token
  with 0.4, and 4.23 with 1.
- **Generated text.** As many exercises and textbooks are written as fit if the user's own text has 70% of the tokens.
"""

import math
from dataclasses import dataclass
from typing import Any

from components.errors import StepError
from components.params.load import Params

WIDTHS = {"0.3M": 64, "0.6M": 96, "1M": 128, "3M": 192, "10M": 320}  # width of the smaller model, by size
EPOCHS = 4
CORE_FLOPS = 3.8e10  # FLOPs per second and core in training, with validations; in bfloat16 if supported
SECONDS = 190  # training time of all three models
TOKENS_PER_WEIGHT = 2.5
BYTES_PER_TOKEN = 3.4  # with a small vocabulary
DECAY_PER_PASS, MOST_DECAY = 0.25, 1.0
MOST_RATE = 2.0  # as a multiple of the default pair's learning rate
LARGE_SHARE = 0.47  # tokens of the larger model and its control, as a share of the smaller one's
OWN_SHARE = 0.7  # share of the training tokens for the user's text, as in tokenization.own_share
CONTEXT = 256
PARTS = 100
LEAST_PART = 1_000  # characters, a few paragraphs
MOST_THREADS = 8  # a model of a few million weights gains nothing from more
DEFAULT = Params()  # the pair that the rules start from: its batch and learning rates were swept


@dataclass(frozen=True)
class Sizing:
    """The sizes that follow from the text and the machine.

    Attributes:
        size: name of the pair, one of WIDTHS.
        overlay: dotted keys of the parameters and their values.
        seconds: estimated training time on this machine.
    """

    size: str
    overlay: dict[str, Any]
    seconds: float


def plan(text_bytes: int, cores: int, size: str = "auto") -> Sizing:
    """The sizes for this amount of text and this number of cores.

    Args:
        text_bytes: bytes of the user's own text in UTF-8.
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
    """Number of vocabulary entries: 1,024 for 100 kB, 2,048 for 1 MB and so on, up to about 32 per dimension."""
    by_text = 1024 * 2 ** max(0, round(math.log10(max(text_bytes, 1) / 1e5)))
    return min(by_text, 2 ** round(math.log2(32 * width)))


def batch_of(tokens: int) -> int:
    """Tokens per optimizer step for a token budget: a power of two, in whole sequences of the default context."""
    own = DEFAULT.training.batch_tokens * (max(tokens, 1) / DEFAULT.small.tokens) ** 0.38
    return max(2 * CONTEXT, 2 ** round(math.log2(own)))


def learning_rate(width: int, tokens: int) -> float:
    """Peak learning rate of a smaller model for this width and token budget."""
    default = DEFAULT.small
    shape = (default.model.hidden_size / width) ** 0.25
    horizon = (default.tokens / max(tokens, 1)) ** 0.32
    return _rounded(default.learning_rate * min(MOST_RATE, shape * horizon))


def weight_decay(tokens: int, text_bytes: int) -> float:
    """Weight decay for a token budget, by its number of passes over the user's text."""
    passes = OWN_SHARE * tokens * BYTES_PER_TOKEN / max(text_bytes, 1)
    return _rounded(min(MOST_DECAY, max(DEFAULT.training.weight_decay, DECAY_PER_PASS * passes)))


def layers(width: int) -> int:
    """Number of blocks of a smaller model."""
    return max(2, round(width / 40))


def large_width(width: int) -> int:
    """Width of the larger model of a pair."""
    return width * 5 // 4


def blocks(width: int) -> int:
    """Number of weights in a smaller model's blocks."""
    return 12 * width**2 * layers(width)


def _control_rate(width: int, tokens: int) -> float:
    """Learning rate of the larger model from a random start: the default pair's ratio, whose larger model sees half the tokens."""
    return _rounded(learning_rate(width, tokens) * DEFAULT.large.learning_rate / DEFAULT.small.learning_rate)


def _flops_per_token(width: int, text_bytes: int) -> float:
    """FLOPs of all three training runs per token of the smaller model: six per weight (PaLM, appendix B)."""
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
    """Numbers of exercises (about 26 tokens) and chapters (about 250) that fit besides the user's text, within bounds: fewer
    would not teach any family of exercises, and the curriculum has no more than the default pair's."""
    room = text_bytes / BYTES_PER_TOKEN * (1 - OWN_SHARE) / OWN_SHARE
    return {
        "synthesis.exercises": int(min(DEFAULT.synthesis.exercises, max(4000, 0.8 * room / 26))),
        "synthesis.chapters": int(min(DEFAULT.synthesis.chapters, max(100, 0.2 * room / 250))),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
