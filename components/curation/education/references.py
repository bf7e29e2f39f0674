"""Texts that show the classifier of web and prose what teaches and what does not.

Good: `references/good.txt`, short textbook texts on many subjects, with glossaries, formulas and tables among them, and the
topics of Python's language reference, which every interpreter has. Bad: reviews, dialogues, forum threads, bug lists,
advertisements, menus and the like, made by the grammars of `references/bad.yaml`. In between: the stories of `references/stories.txt`,
which explain little and are not rubbish. Nothing is downloaded. What the user names as good or bad joins them.
"""

import hashlib
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from components.curation.education.sample import READ
from components.foreign import yaml_text

FOLDER = Path(__file__).with_name("references")
GOOD_VALUE, STORY_VALUE, BAD_VALUE = 5.0, 3.0, 0.0
GENERATED = 2  # bad references per good one; both sides weigh the same
MIDDLE = (GOOD_VALUE + BAD_VALUE) / 2  # texts below it are nearer to the bad references
_PART = 2_000  # characters after which a topic is cut, at a paragraph
_LEAST = 300  # characters of a last part
_SLOT = re.compile(r"\{(\w+)\}")


class References(NamedTuple):
    """Texts, and the value from 0 to 5 that each stands for."""

    texts: list[str]
    values: list[float]

    @property
    def sha256(self) -> str:
        return hashlib.sha256("\0".join(self.texts).encode("utf-8", "surrogatepass")).hexdigest()


def references(seed: int, good: Sequence[str] = (), bad: Sequence[str] = ()) -> References:
    """The reference texts.

    Args:
        seed: of what is generated.
        good, bad: texts that the user names.
    """
    better = [*good_texts(), *(text[:READ] for text in good)]
    worse = [*generated(GENERATED * len(better), seed), *(text[:READ] for text in bad)]
    stories = [piece for text in _written("stories.txt") for piece in (text, *_halves(text))]
    values = [GOOD_VALUE] * len(better) + [BAD_VALUE] * len(worse) + [STORY_VALUE] * len(stories)
    return References([*better, *worse, *stories], values)


def good_texts() -> list[str]:
    """Textbook texts, whole and in halves, since documents may be short; and Python's topics in parts."""
    from pydoc_data.topics import topics

    written = _written("good.txt")
    halves = [half for text in written for half in _halves(text)]
    return [*written, *halves, *(part for _, text in sorted(topics.items()) for part in _parts(text))]


def generated(count: int, seed: int) -> list[str]:
    """Texts by the grammars, evenly over their kinds."""
    grammars = yaml_text.read(FOLDER / "bad.yaml")
    words, kinds = grammars["words"], list(grammars["kinds"].values())
    draw = random.Random(seed)
    texts = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        sentences = draw.sample(kind["sentences"] * 2, draw.randint(kind["least"], kind["most"]))
        filled = (_SLOT.sub(lambda slot: draw.choice(words[slot[1]]), sentence) for sentence in sentences)
        texts.append("".join(sentence + draw.choice(kind["ends"]) for sentence in filled).strip())
    return texts


def _written(name: str) -> list[str]:
    return [text.strip() for text in (FOLDER / name).read_text(encoding="utf-8").split("\n%%\n")]


def _halves(text: str) -> tuple[str, str]:
    """Two halves of a text, cut between paragraphs, or between sentences where there are fewer than three paragraphs."""
    glue, pieces = "\n\n", text.split("\n\n")
    if len(pieces) < 3:
        glue, pieces = " ", re.split(r"(?<=\.) ", text)
    middle = len(pieces) // 2
    return glue.join(pieces[:middle]), glue.join(pieces[middle:])


def _parts(text: str) -> list[str]:
    parts, now = [], ""
    for paragraph in text.split("\n\n"):
        now += paragraph + "\n\n"
        if len(now) > _PART:
            parts.append(now)
            now = ""
    return [*parts, now] if len(now) > _LEAST else parts
