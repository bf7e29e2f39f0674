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
_HEADING = re.compile(r"<h([1-6])(?:\s[^<>]{0,500})?>(?!\s*</h)", re.IGNORECASE)
_PERMALINK = re.compile(r"^(#{1,6} .*?) ?¶$", re.MULTILINE)


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
    if headings:  # in the text: the tree takes a time for each change that grows with its size
        html = _HEADING.sub(lambda tag: f"{tag[0]}{'#' * int(tag[1])} ", html)
    try:
        tree = HTMLTree.parse(html)
    except HTMLParserException as error:
        raise MemoryError from error  # all text is HTML to this parser: it fails where it gets no memory
    # Without alternative texts, code that is shown as a table (as in embedded gists) is left out too.
    text = extract_plain_text(tree, main_content=main_content, comments=False, post_meta=False)
    if headings:
        text = _PERMALINK.sub(r"\1", text)
    return {"text": text.strip(), "title": (tree.title or "").strip(), "licenses": _licenses(tree)}


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
