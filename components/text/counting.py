"""Words that do not identify a text: counting words and repetitions."""

from collections.abc import Sequence

_ROWS = [
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty",
    "first second third fourth fifth sixth seventh eighth ninth tenth",
    "monday tuesday wednesday thursday friday saturday sunday",
    "january february march april may june july august september october november december",
    " ".join("abcdefghijklmnopqrstuvwxyz"),
]
_NEXT = {one: other for row in _ROWS for one, other in zip(row.split(), row.split()[1:], strict=False)}


def distinct(words: Sequence[str]) -> int:
    """The number of different words, without those that the next one in a row of counting words follows."""
    there = set(words)
    return sum(not ({_NEXT.get(word), _next(word)} & there) for word in there)


def _next(word: str) -> str | None:
    return str(int(word) + 1) if word.isdecimal() and len(word) < 5 else None
