"""A byte-level BPE trained on texts.

It splits text as GPT-4's does (words with their leading blank, runs of punctuation, line ends, blanks), but every digit
is separate, so that a small model sees numbers column by column. It works on bytes: any text is restored exactly, and
no token is unknown.
"""

from collections.abc import Iterable
from typing import Any

END_OF_TEXT = "<|endoftext|>"
PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)"  # English contractions
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"  # a word with the space or sign before it
    r"|\p{N}"  # one digit
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"  # punctuation, with the line end after it
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"  # line ends; spaces but the last, which belongs to what follows
)


def train(texts: Iterable[str], vocab_size: int) -> Any:
    """A `tokenizers.Tokenizer` of at most `vocab_size` entries.

    Entry 0 is the end-of-text token, entries 1 to 256 are the bytes. A merge needs a pair that occurs twice, so a small
    corpus gives fewer entries. Equal texts in equal order give equal entries.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
