"""HTML: the main text of a page, or all of it, by resiliparse.

The time that its parser takes grows with the square of how deep tags are nested, or of how many attributes a tag has.
"""

import re
from typing import Any

from components.ingestion.parsing import Refusal

DEEPEST = 2_500  # tags within tags; browsers stop at 512
SCANNED = 10_000  # tags from which on a page is looked at before it is parsed
MOST_ATTRIBUTES = 5_000  # of a tag
_LONG_TAG = re.compile(rf"<[a-zA-Z][^<>]{{{2 * MOST_ATTRIBUTES},}}")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
# Those that never end, or whose end is often left out, do not nest.
_TAG = re.compile(
    r"<(/?)(?!(?:area|base|br|col|dd|dt|embed|hr|img|input|li|link|meta|option|p|source|td|th|tr|wbr)\b)[a-z]"
)


def parse(html: str, main_content: bool = True, headings: bool = False) -> dict[str, Any]:
    """The text of a page, its title and the addresses of its licences.

    Args:
        main_content: leave out menus, footers and comments.
        headings: mark them as Markdown does.
    """
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLParserException, HTMLTree

    if too_deep(html):
        raise Refusal(f"nests tags more than {DEEPEST:,} deep")
    if any(len(_QUOTED.sub("", tag).split()) > MOST_ATTRIBUTES for tag in _LONG_TAG.findall(html)):
        raise Refusal(f"has a tag of more than {MOST_ATTRIBUTES:,} attributes")
    try:
        tree = HTMLTree.parse(html)
    except HTMLParserException as error:
        raise MemoryError from error  # all text is HTML to this parser: it fails where it gets no memory
    if headings and tree.document:
        _mark_headings(tree)
    # Without alternative texts, code that is shown as a table (as in embedded gists) is left out too.
    text = extract_plain_text(tree, main_content=main_content, comments=False, post_meta=False)
    return {"text": text.strip(), "title": (tree.title or "").strip(), "licenses": _licenses(tree)}


def _mark_headings(tree: Any) -> None:
    for level in range(1, 7):
        for heading in tree.document.query_selector_all(f"h{level}"):
            if heading.first_child:
                heading.insert_before(tree.create_text_node("#" * level + " "), heading.first_child)


def too_deep(page: str) -> bool:
    """Whether a page of very many tags opens far more than it closes, somewhere."""
    if page.count("<") < SCANNED:
        return False
    depth = 0
    for closing in _TAG.findall(page.lower()):
        depth = max(0, depth - 1) if closing else depth + 1
        if depth > DEEPEST:
            return True
    return False


def _licenses(tree: Any) -> list[str]:
    """What the page itself links to as its licence (HTML standard, link type `license`)."""
    if tree.document is None:
        return []
    links = tree.document.query_selector_all("[rel~=license][href]")
    return sorted({link["href"].strip() for link in links})
