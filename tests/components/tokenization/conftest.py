"""A small corpus of several kinds."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.documents import Document, DocumentWriter

SENTENCE = "the value of a list is read by the function that adds each number to the total and returns it"


def text(number: int) -> str:
    """A text of its own for each number."""
    known = SENTENCE.split()
    words = [known[(number * 7 + step * step) % len(known)] for step in range(3 + number % 40)]
    return f"Item {number}: {' '.join(words)}.\n"


@pytest.fixture(scope="session")
def made() -> Callable[[int], list[Document]]:
    """So many documents of three kinds."""
    kinds = ("prose", "code", "textbook")
    return lambda count: [Document(text(n), kinds[n % 3], f"source/{n}", "MIT", "test") for n in range(count)]


@pytest.fixture(scope="session")
def write_set(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[Document]], Path]:
    """Write documents as a set, in shards of 23 rows."""

    def write(documents: list[Document]) -> Path:
        directory = tmp_path_factory.mktemp("documents")
        with DocumentWriter(directory, rows_per_shard=23) as writer:
            for document in documents:
                writer.write(document)
        return directory

    return write


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, made: Callable[[int], list[Document]]) -> Path:
    """A folder with a tokenizer of 300 entries."""
    from components.tokenization import tokenizer

    directory = tmp_path_factory.mktemp("trained") / "tokenizer"
    tokenizer.train((document.text for document in made(120)), 300, directory)
    return directory
