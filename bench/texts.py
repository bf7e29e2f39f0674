"""Text that every machine has: the running Python's library, its functions and docstrings, and its language reference."""

import ast
import gzip
import json
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

NODES = ast.FunctionDef | ast.ClassDef


def sources(deep: bool = False) -> Iterator[str]:
    """The library's modules; `deep`: those of its packages too."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.glob("**/*.py" if deep else "*.py")):
        if "site-packages" not in path.parts:
            yield path.read_text(encoding="utf-8", errors="replace")


def chunks(characters: int, deep: bool = False) -> Iterator[str]:
    """The modules in pieces, without end."""
    while True:
        for text in sources(deep):
            yield from (text[start : start + characters] for start in range(0, len(text), characters))


def definitions(text: str) -> Iterator[tuple[NODES, str]]:
    """Functions and classes of a module, at any depth, with their source."""
    try:
        nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, NODES)]
    except (SyntaxError, ValueError):
        return
    lines = text.splitlines(keepends=True)
    yield from ((node, "".join(lines[node.lineno - 1 : node.end_lineno])) for node in nodes)


def docstrings() -> list[str]:
    return [doc for text in sources() for doc in re.findall(r'"""(.{40,}?)"""', text, re.S)]


def reference() -> dict[str, str]:
    """The language reference by topic."""
    from pydoc_data import topics

    return topics.topics


def documents_of(folder: Path) -> list[tuple[str, str]]:
    """Texts and kinds of a folder of documents."""
    from components.documents import read_batches

    batches = read_batches(folder, columns=["text", "kind"])
    return [row for b in batches for row in zip(b["text"].to_pylist(), b["kind"].to_pylist(), strict=True)]


def rows(path: Path) -> list[dict]:
    """Rows of a file of JSON lines, compressed or not."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
