"""OpenDocument text: paragraphs, headings as Markdown, list items and tables. Notes and comments are left out."""

from collections.abc import Iterator
from typing import Any

from components.ingestion.parsing import Refusal
from components.ingestion.parsing.containers import Container, title_of

_NAMES = "urn:oasis:names:tc:opendocument:xmlns:{}:1.0"
OFFICE, TEXT, TABLE, MANIFEST = (f"{{{_NAMES.format(name)}}}" for name in ("office", "text", "table", "manifest"))
LEFT_OUT = {f"{OFFICE}annotation", f"{TEXT}note", f"{TEXT}tracked-changes", f"{TEXT}sequence-decls"}
BREAKS = {f"{TEXT}tab": "\t", f"{TEXT}line-break": "\n"}


def parse(data: bytes) -> dict[str, Any]:
    container = Container(data)
    manifest = "META-INF/manifest.xml"
    if manifest in container and container.xml(manifest).find(f".//{MANIFEST}encryption-data") is not None:
        raise Refusal("is encrypted; save it without a password")
    body = container.xml("content.xml").find(f"{OFFICE}body/{OFFICE}text")
    blocks = _blocks(body) if body is not None else ()
    title = title_of(container.xml("meta.xml")) if "meta.xml" in container else ""
    return {"text": "\n\n".join(filter(None, blocks)), "title": title}


def _blocks(parent: Any) -> Iterator[str]:
    for block in parent:
        if block.tag == f"{TEXT}h":
            level = block.get(f"{TEXT}outline-level", "1")
            text = " ".join(_inline(block).split())
            yield f"{'#' * min(6, int(level) if level.isdecimal() else 1)} {text}" if text else ""
        elif block.tag == f"{TEXT}p":
            yield _inline(block).strip()
        elif block.tag == f"{TEXT}list":
            yield "\n".join(f"- {text}" for item in block for text in _blocks(item) if text)
        elif block.tag == f"{TABLE}table":
            yield "\n".join(_row(row) for row in block.iter(f"{TABLE}table-row"))
        elif block.tag not in LEFT_OUT:
            yield from _blocks(block)


def _row(row: Any) -> str:
    return " | ".join(" ".join(" ".join(_blocks(cell)).split()) for cell in row if cell.tag == f"{TABLE}table-cell")


def _inline(element: Any) -> str:
    parts = [element.text or ""]
    for child in element:
        if child.tag in BREAKS:
            parts.append(BREAKS[child.tag])
        elif child.tag == f"{TEXT}s":  # several spaces
            count = child.get(f"{TEXT}c", "1")
            parts.append(" " * min(100, int(count) if count.isdecimal() else 1))
        elif child.tag not in LEFT_OUT:
            parts.append(_inline(child))
        parts.append(child.tail or "")
    return "".join(parts)
