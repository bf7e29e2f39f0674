"""A page of a MediaWiki dump: its text without templates, tables and files, headings as Markdown."""

import re
from typing import Any

from components.ingestion.parsing import Refusal
from components.ingestion.parsing.containers import safe_xml

ARTICLES = "0"  # the namespace; others hold talk, templates and users' pages
REDIRECT, OTHER = NOT_ARTICLES = ("redirects", "of other namespaces")
MARK, POINT = "\ue000", "\ue001"  # private characters in place of Markdown's, which have other meanings here
_ITEM = re.compile(r"^[*#]+[ \t]*", re.MULTILINE)
_BLANK = re.compile(r"\n\s*\n\s*\n")
_MEDIA = re.compile(
    r"^(?:file|image|datei|bild|fichier|archivo|category|kategorie|catégorie|categoría):", re.IGNORECASE
)


def parse(data: bytes) -> dict[str, Any]:
    page = safe_xml(data)
    if page.find("redirect") is not None:
        raise Refusal(REDIRECT)
    if page.findtext("ns", ARTICLES).strip() != ARTICLES:
        raise Refusal(OTHER)
    texts = page.findall("revision/text")  # in a dump with the history, the last is the newest
    return {"text": _plain(texts[-1].text or "") if texts else "", "title": (page.findtext("title") or "").strip()}


def _plain(wikitext: str) -> str:
    import mwparserfromhell

    code = mwparserfromhell.parse(_ITEM.sub(f"{POINT} ", wikitext), skip_style_tags=False)
    for link in code.filter_wikilinks(recursive=True):
        if _MEDIA.match(str(link.title).strip()):
            _remove(code, link)
    for tag in code.filter_tags(
        recursive=True, matches=lambda tag: str(tag.tag).lower() in ("ref", "table", "gallery")
    ):
        _remove(code, tag)
    for heading in code.filter_headings():
        heading.title = f"{MARK * heading.level} {str(heading.title).strip()}"
    text = code.strip_code(normalize=True, collapse=True).replace(MARK, "#").replace(POINT, "-")
    return _BLANK.sub("\n\n", text).strip()


def _remove(code: Any, node: Any) -> None:
    try:
        code.remove(node)
    except ValueError:  # it was removed together with its parent node
        return
