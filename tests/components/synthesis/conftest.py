"""A small curated corpus: two functions of the allow-list, some others, and a page of prose."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.documents import Document, DocumentWriter
from components.synthesis.curriculum import load_lexicon
from components.synthesis.sandboxed import Programs

SHORTEN = '''def shorten(text, width, **kwargs):
    """Collapse and truncate the given text to fit in the given width.

    The text first has its whitespace collapsed.
    """
    w = TextWrapper(width=width, max_lines=1, **kwargs)
    return w.fill(' '.join(text.strip().split()))
'''
ISLEAP = '''def isleap(year):
    """Return True for leap years, False for non-leap years."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
# a comment that makes this text long enough to be worth a chapter
'''
CLAMP = '''def clamp{number}(value, low=0, high={number}):
    """Return value, or the nearer of low and high if it lies outside them.

    The bounds belong to the range.
    """
    if low > high:
        raise ValueError("low is over high")
    return max(low, min(value, high))
'''


def _document(text: str, source: str, kind: str = "code") -> Document:
    return Document(text=text, kind=kind, source=source, license="PSF-2.0", created_by="test")


@pytest.fixture(scope="session")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("seeds") / "curated"
    with DocumentWriter(directory) as writer:
        writer.write(_document(SHORTEN, "python:textwrap.shorten"))
        writer.write(_document(ISLEAP, "python:calendar.isleap"))
        writer.write(_document("A page of prose about nothing in particular.\n", "notes.txt", "prose"))
        for number in range(1, 7):
            writer.write(_document(CLAMP.replace("{number}", str(number)), f"shop.prices.clamp{number}"))
    return directory


@pytest.fixture(scope="session")
def lexicon() -> dict:
    return load_lexicon()


@pytest.fixture(scope="session")
def programs() -> Iterator[Programs]:
    """The sandbox of a model's programs."""
    with Programs() as programs:
        yield programs
