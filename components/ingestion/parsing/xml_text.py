"""XML of any vocabulary: its text, with a paragraph for each element that directly contains text, and titles as headings."""

from collections.abc import Iterator
from typing import Any

from components.ingestion.parsing.containers import safe_xml

TITLES = ("title", "head", "heading")
SECTIONS = ("article", "book", "chapter", "div", "part", "section", "sec", "sect1", "sect2", "sect3", "sect4")


def parse(data: bytes) -> dict[str, Any]:
    root = safe_xml(data)
    title = next(
        (" ".join("".join(element.itertext()).split()) for element in root.iter() if _name(element) == "title"), ""
    )
    return {"text": "\n\n".join(filter(None, _blocks(root, 0))), "title": title, "xml_root": _name(root)}


def _blocks(element: Any, level: int) -> Iterator[str]:
    """Paragraphs in order: an element is one if it has its own text beside other elements, or contains no elements."""
    if _is_paragraph(element):
        text = " ".join("".join(element.itertext()).split())
        yield f"{'#' * min(6, max(1, level))} {text}" if text and _name(element) in TITLES else text
        return
    deeper = level + (_name(element) in SECTIONS)
    for child in element:
        yield from _blocks(child, deeper)


def _is_paragraph(element: Any) -> bool:
    own = [element.text, *(child.tail for child in element)]
    return not len(element) or any(text and text.strip() for text in own)


def _name(element: Any) -> str:
    return element.tag.rpartition("}")[2].lower() if isinstance(element.tag, str) else ""
