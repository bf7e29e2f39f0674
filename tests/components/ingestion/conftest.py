"""One file to a reader, without the step around it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.documents import Document
from components.ingestion.inventory import list_files
from components.ingestion.readers import Limits, Quarantined, read_file
from components.params import Source

ReadBack = tuple[list[Document], list[Quarantined]]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., ReadBack]:
    """Write a file and read it: its documents, and what was quarantined."""

    def read(name: str, data: bytes, max_chars: int = 200_000, **fields: str) -> ReadBack:
        path = tmp_path / "sources" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(data)
        return read_source(str(path), max_chars, **fields)

    return read


@pytest.fixture
def read_path() -> Callable[..., ReadBack]:
    return read_source


def read_source(path: str, max_chars: int = 200_000, **fields: str) -> ReadBack:
    items = [item for file in list_files(Source(path=path, **fields))[0] for item in read_file(file, Limits(max_chars))]
    return [i for i in items if isinstance(i, Document)], [i for i in items if isinstance(i, Quarantined)]
