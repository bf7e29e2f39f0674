"""Electronic books: the chapters in reading order, headings as Markdown."""

import posixpath
from typing import Any
from urllib.parse import unquote

from components.ingestion.parsing import Refusal, pages
from components.ingestion.parsing.containers import Container, decode_xml, title_of

CONTAINER, ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
PAGES = ("application/xhtml+xml", "text/html", "text/x-oeb1-document")


def parse(data: bytes) -> dict[str, Any]:
    container = Container(data)
    package = container.xml(CONTAINER).find(".//{*}rootfile")
    path = package.get("full-path", "") if package is not None else ""
    root = container.xml(path)
    chapters = [posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) for name in _reading_order(root)]
    if ENCRYPTION in container:
        encrypted = {
            unquote(name.get("URI", "")) for name in container.xml(ENCRYPTION).findall(".//{*}CipherReference")
        }
        if encrypted & set(chapters):
            raise Refusal("is encrypted by its seller (DRM)")
    there = [name for name in chapters if name in container]
    texts = [pages.parse(decode_xml(container.read(name)), False, True)["text"] for name in there]
    language = (root.findtext(".//{http://purl.org/dc/elements/1.1/}language") or "").strip()
    return {
        "text": "\n\n".join(filter(None, texts)),
        "title": title_of(root),
        "book_language": language,
        "chapters_lost": len(chapters) - len(there),
    }


def _reading_order(root: Any) -> list[str]:
    items = {item.get("id"): item for item in root.iter("{http://www.idpf.org/2007/opf}item")}
    spine = [items.get(reference.get("idref")) for reference in root.iter("{http://www.idpf.org/2007/opf}itemref")]
    return [unquote(item.get("href", "")) for item in spine if item is not None and item.get("media-type") in PAGES]
