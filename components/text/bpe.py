"""A byte-level BPE trained on texts.

It splits text as GPT-4's does (words with their leading space, runs of punctuation, line ends, spaces), but every digit
is separate, so that a small model sees numbers digit by digit. It works on bytes: any text is restored exactly, and
there are no unknown tokens.
"""

import re
from collections.abc import Iterable
from typing import Any

# Maximum characters of a word in training; each merge reads whole words, so one of megabytes would take hours.
LONGEST = 128
END_OF_TEXT = "<|endoftext|>"
PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)"  # English contractions
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"  # a word with the space or sign before it
    r"|\p{N}"  # one digit
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"  # punctuation, with the line end after it
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"  # line ends; spaces except the last, which belongs to the next word
)

_WORDS = re.compile(r"[^\W\d_]+|[^\w\s]+")


def train(texts: Iterable[str], vocab_size: int) -> Any:
    """A `tokenizers.Tokenizer` of at most `vocab_size` entries.

    Entry 0 is the end-of-text token, entries 1 to 256 are the bytes. A merge needs a pair that occurs twice, so a small
    corpus gives fewer entries. Equal texts in equal order give equal entries. Words of more than LONGEST characters, such
    as DNA or Chinese without punctuation, are cut into pieces for training; they are encoded whole.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    def split(pattern: str) -> Any:
        words = pre_tokenizers.Split(Regex(pattern), "isolated")
        return pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = split(PATTERN.replace("+", f"{{1,{LONGEST}}}").replace("*", f"{{0,{LONGEST}}}"))
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = split(PATTERN)
    return tokenizer


def long_words(text: str) -> int:
    """The number of words of a text that are cut into pieces for training."""
    if max(map(len, text.split()), default=0) <= LONGEST:  # the usual case
        return 0
    return sum(len(word) > LONGEST for word in _WORDS.findall(text))
