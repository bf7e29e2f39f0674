"""Document sets as objects, for tests that look at every row."""

from collections.abc import Iterator
from pathlib import Path

from components.documents import DOCUMENT, Document, metadata_of, read_batches


def read_documents(directory: Path) -> Iterator[Document]:
    """The documents of a set, in order."""
    for batch in read_batches(directory, DOCUMENT.names):
        for row in batch.to_pylist():
            yield Document(**{**row, "metadata": metadata_of(row["metadata"], row["id"])})
