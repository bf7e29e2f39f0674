"""Baselines without a neural network for the loss on held-out text.

All in nats per token or bits per byte of the text that the models are scored on.
"""

import lzma
import math
from dataclasses import dataclass

import numpy as np

from components.documents import GENERATED
from components.phi.checkpoint import load_tokenizer
from components.tokens import Tokens, TokenSplit

NOTHING, UNIGRAM, XZ = "nothing known", "token frequencies", "xz -9e"  # names of the baselines
CHUNK = 1 << 24  # tokens to count per read


@dataclass(frozen=True)
class HeldOutText:
    """The held-out targets that a training run measures its loss on, without documents that the pipeline wrote itself.

    Attributes:
        kinds: of the documents; generated ones only if there are no others.
        targets: token ids, int64 (tokens,).
        utf8_bytes: UTF-8 bytes of the targets, counted as training counts them.
        text: the targets as bytes, with a line end between documents.
    """

    kinds: tuple[str, ...]
    targets: np.ndarray
    utf8_bytes: float
    text: bytes

    @classmethod
    def read(cls, tokens: Tokens, length: int, limit: int) -> "HeldOutText":
        """The targets of up to `limit` held-out tokens in sequences of `length`, as training chooses them."""
        split = tokens.split("validation")
        places = np.add.outer(split.spread(length, limit) * length + 1, np.arange(length)).ravel()
        rows = split.rows_at(places)
        names, codes = split.kinds
        generated = np.isin(codes[rows], [names.index(kind) for kind in GENERATED])
        own = ~generated if not generated.all() else generated
        places, rows = places[own], rows[own]
        stream = split.read(0, len(split))
        runs = np.split(places, np.flatnonzero((np.diff(places) != 1) | (np.diff(rows) != 0)) + 1)
        tokenizer = load_tokenizer(tokens.tokenizer_dir)
        documents = split.documents
        share = documents["bytes"].to_numpy() / documents["length"].to_numpy()
        return cls(
            tuple(names[code] for code in np.unique(codes[rows])),
            stream[places],
            float(share[rows].sum()),
            "\n".join(tokenizer.decode(stream[run].tolist()) for run in runs if len(run)).encode(),
        )

    def bits_per_byte(self, nats_per_token: float) -> float:
        return nats_per_token * len(self.targets) / math.log(2) / self.utf8_bytes


def token_counts(split: TokenSplit, vocab_size: int) -> np.ndarray:
    """How often each token occurs in a stream, int64 (vocab_size,)."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(0, len(split), CHUNK):
        counts += np.bincount(split.read(start, min(CHUNK, len(split) - start)), minlength=vocab_size)
    return counts


def unigram_nats(counts: np.ndarray, targets: np.ndarray) -> float:
    """Nats per target of a model of only the token frequencies in the training text.

    One is added to each count, so that tokens missing in training have a probability.
    """
    log_p = np.log(counts + 1) - math.log(int(counts.sum()) + len(counts))
    return -float(log_p[targets].mean())


def xz_bits_per_byte(text: bytes) -> float:
    """Bits per byte of a text compressed by `xz -9e`, without the training text."""
    return 8 * len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)) / len(text)
