"""Word documents: paragraphs, headings as Markdown, list items and tables. Deleted text and notes are left out."""

from collections.abc import Iterator
from typing import Any

from components.ingestion.parsing.containers import Container, title_of

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # repeats the same content
BREAKS = {f"{W}tab": "\t", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}
LEVELS = {"title": 1} | {f"heading {level}": level for level in range(1, 7)}


def parse(data: bytes) -> dict[str, Any]:
    container = Container(data)
    levels = _heading_levels(container)
    body = container.xml("word/document.xml").find(f"{W}body")
    blocks = _blocks(body, levels) if body is not None else ()
    title = title_of(container.xml("docProps/core.xml")) if "docProps/core.xml" in container else ""
    return {"text": "\n\n".join(filter(None, blocks)), "title": title}


def _heading_levels(container: Container) -> dict[str, int]:
    """Heading levels by style id. Ids are in the author's language, so the English names of the styles are used."""
    if "word/styles.xml" not in container:
        return {}
    styles = container.xml("word/styles.xml").iter(f"{W}style")
    names = {style.get(f"{W}styleId", ""): style.find(f"{W}name") for style in styles}
    return {
        style: LEVELS[name.get(f"{W}val", "").lower()]
        for style, name in names.items()
        if name is not None and name.get(f"{W}val", "").lower() in LEVELS
    }


def _blocks(parent: Any, levels: dict[str, int]) -> Iterator[str]:
    for block in parent:
        if block.tag == f"{W}p":
            yield _paragraph(block, levels)
        elif block.tag == f"{W}tbl":
            yield "\n".join(_row(row) for row in block.iter(f"{W}tr"))
        elif block.tag in (f"{W}sdt", f"{W}sdtContent"):  # fields of the document's template
            yield from _blocks(block, levels)


def _paragraph(paragraph: Any, levels: dict[str, int]) -> str:
    text = "".join(_text(paragraph)).strip()
    style = paragraph.find(f"{W}pPr/{W}pStyle")
    level = levels.get(style.get(f"{W}val", ""), 0) if style is not None else 0
    if text and level:
        return f"{'#' * level} {' '.join(text.split())}"
    return f"- {text}" if text and paragraph.find(f"{W}pPr/{W}numPr") is not None else text


def _row(row: Any) -> str:
    return " | ".join(" ".join("".join(_text(cell)).split()) for cell in row.iter(f"{W}tc"))


def _text(element: Any) -> Iterator[str]:
    for child in element:
        if child.tag == f"{W}t":
            yield child.text or ""
        elif child.tag in BREAKS:
            yield BREAKS[child.tag]
        elif child.tag != FALLBACK:
            yield from _text(child)
            if child.tag == f"{W}p":  # of a cell or a text box
                yield "\n"
