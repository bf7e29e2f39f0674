"""HTML: the main text of a page, or all of it.

Two extractors find the main text. resiliparse is fast and keeps too much; trafilatura is careful, and takes ten times as
long. `auto` decides by the first one's text whether the second is needed, and uses a third, slower way, trafilatura with its
own fallbacks, if the first two differ greatly. Structure from the tags is written into the text first (`structure.py`), so
that all extractors give the same numbers, formulas, code and tables.

A page with text is given up only after all of its text was tried.
"""

import re
from typing import Any

from components.ingestion.parsing import Refusal
from components.ingestion.parsing.formulas import keep_tex
from components.ingestion.parsing.structure import write_into

DEEPEST = 2_500  # maximum nesting of tags; browsers stop at 512
SCANNED = 10_000  # tags above which a page is checked before it is parsed
MOST_ATTRIBUTES = 5_000  # maximum per tag
# Up to these limits the careful extractor takes a second or two for any page. They limit its work, not its time, so that a page
# gives the same text on every machine. Its time grows with the number of elements, or its square in thorough mode.
LARGEST_CAREFUL, MOST_CAREFUL = 3_000_000, 60_000  # characters of a page without its scripts, and elements
MOST_THOROUGH = 6_000  # elements
RAGGED = 0.01  # share of the fast extractor's text outside whole sentences, under which it needs no second extractor
SENTENCE = 60  # minimum characters of a line of sentences
CLEAN = 0.3  # of the page's text: a shorter text always needs a second extractor
SMALL, NEARLY_ALL = 1_000, 0.9  # characters of a page, and the share of its text with which nothing was left out
MOST_AROUND = 0.5  # maximum share of the page's text in a menu, a footer or the like
MENU = 0.9  # minimum share of a menu's text in links
MOST_UNSCRIPTED = 0.2  # maximum share of the page's text in parts shown without scripts
FAR_SHORTER = 0.5  # of the fast text, under which the careful extractor has lost something
SHORT, LOST = 200, 0.1  # characters of a main text, and its share of the page's, under which another try is made
_LONG_TAG = re.compile(rf"<[a-zA-Z][^<>]{{{2 * MOST_ATTRIBUTES},}}")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
# Tags that never end, or whose end is often left out, do not nest.
_TAG = re.compile(
    r"<(/?)(?!(?:area|base|br|col|dd|dt|embed|hr|img|input|li|link|meta|option|p|source|td|th|tr|wbr)\b)[a-z]"
)
# Tags that close themselves, as in SVG; libxml2 accepts that for any tag, except for a slash in a value without quotes.
_EMPTY = re.compile(r"<[a-z][^\s<>/]*(?:\s+[^\s=<>\"'/]+(?:\s*=\s*(?:\"[^\"<]*\"|'[^'<]*'))?)*\s*/>")
_BLANKS = re.compile(r"\s+")
_ENDED = re.compile('[.!?:;\u2026"\u201d\u2019)\u3002\uff01\uff1f]$')
# Elements without text, and elements that no extractor takes for the main text.
_UNSEEN = ("style", "svg", "template", "iframe", "link", "meta", "object", "embed", "canvas", "map", "video", "audio")
_AROUND = ("nav", "footer", "aside", "button", "datalist", "input", "select", "textarea", "noscript")
LINKED_DATA = "application/ld+json"  # in which trafilatura finds articles
_BLOCKS = ("p", "head", "quote", "list", "item", "table", "row", "code", "div", "fw", "ab")
Tree = Any  # lxml.html.HtmlElement, which has no types


def parse(html: str, main_content: bool = True, markdown: bool = False, extractor: str = "auto") -> dict[str, Any]:
    """The text of a page, its title, the addresses of its licences, and how many formulas were left out.

    Args:
        main_content: leave out menus, footers and comments.
        markdown: mark headings, lists, code blocks and tables as Markdown does.
        extractor: of the main text: fast, careful, or auto for the careful one where the fast one's text needs it.
    """
    from lxml import etree

    if too_deep(html):
        raise Refusal(f"nests tags more than {DEEPEST:,} deep")
    if any(len(_QUOTED.sub("", tag).split()) > MOST_ATTRIBUTES for tag in _LONG_TAG.findall(html)):
        raise Refusal(f"has a tag of more than {MOST_ATTRIBUTES:,} attributes")
    try:
        tree = _parsed(html)
    except etree.ParserError:  # only comments or blanks
        return {"text": "", "title": "", "licenses": [], "formulas_left_out": 0}
    except etree.XMLSyntaxError as error:
        raise MemoryError from error  # this parser also accepts any text as HTML
    title = " ".join((tree.findtext(".//title") or "").split())
    licenses = _licenses(tree)
    keep_tex(tree)
    _strip(tree, main_content)
    marks = write_into(tree, html, markdown)
    text = _main_text(tree, extractor) if main_content else _all_text(tree)
    return {"text": marks.render(text), "title": title, "licenses": licenses, "formulas_left_out": marks.omitted}


def _strip(tree: Tree, main_content: bool) -> None:
    """Remove elements without text, and elements around the main text."""
    from lxml import etree

    for element in list(tree.iter("script")):
        if element.get("type") != LINKED_DATA:
            element.drop_tree()
    etree.strip_elements(tree, *_UNSEEN, with_tail=False)
    if not main_content:
        return
    size = _size(tree)
    for element in tree.xpath("//*[@hidden]"):
        if element.getparent() is not None and _size(element) <= MOST_AROUND * size:
            element.drop_tree()
    for element in list(tree.iter(*_AROUND)):
        own = _size(element)
        if own > (MOST_UNSCRIPTED if element.tag == "noscript" else MOST_AROUND) * size and not _is_menu(element, own):
            element.tag = "div"  # it may contain the main text if it is never closed
        elif element.tag != "nav" or _is_menu(element, own):
            element.drop_tree()


def _main_text(tree: Tree, extractor: str) -> str:
    size = _size(tree)
    html = _serialised(tree)
    fast = text = _fast(html)
    is_whole = size < SMALL and len(fast) > NEARLY_ALL * size
    is_enough = is_whole or (len(fast) > CLEAN * size and not _is_ragged(fast))
    is_asked = len(html) <= LARGEST_CAREFUL and (extractor == "careful" or (extractor == "auto" and not is_enough))
    if is_asked and (elements := sum(1 for _ in tree.iter())) <= MOST_CAREFUL:
        text = _careful(tree)
        if len(text) < FAR_SHORTER * len(fast):
            text = fast if elements > MOST_THOROUGH else _careful(_parsed(html), thorough=True) or fast
        if len(text) < min(FAR_SHORTER * len(fast), _in_long_lines(fast)) and len(fast) > NEARLY_ALL * size:
            text = fast  # nothing is around the main text, so the missing part is text, such as entries of a reference
        elif len(text) < FAR_SHORTER * len(fast) and _is_tabulated(_parsed(html)):
            text = fast
    if len(text) < SHORT:
        whole = _all_text(_parsed(html))
        if len(text) < LOST * len(whole):
            return whole
    return text


def _is_menu(element: Tree, size: int) -> bool:
    return element.tag == "nav" and sum(_size(link) for link in element.iter("a")) >= MENU * size


def _is_tabulated(tree: Tree) -> bool:
    """Whether most of a page's text is in lists within tables, which the careful extractor loses, and not in links."""
    lists = tree.xpath(
        "//table//*[self::ul or self::ol or self::dl][not(ancestor::ul or ancestor::ol or ancestor::dl)]"
    )
    unlinked = sum(_size(one) - sum(_size(link) for link in one.iter("a")) for one in lists)
    return unlinked > MOST_AROUND * _size(tree)


def _size(element: Tree) -> int:
    return len(element.text_content())


def _in_long_lines(text: str) -> int:
    return sum(len(line) for line in text.split("\n") if len(line) >= SENTENCE)


def _is_ragged(text: str) -> bool:
    """Whether a text has more in short lines, or in lines without a sentence, than a clean article."""
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    whole = sum(len(line) for line in lines if len(line) >= SENTENCE and _ENDED.search(line))
    return whole < (1 - RAGGED) * sum(map(len, lines)) or not lines


def _fast(html: str, main_content: bool = True) -> str:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLParserException

    try:
        return extract_plain_text(
            html,
            main_content=main_content,
            alt_texts=False,
            list_bullets=False,
            comments=not main_content,
            post_meta=not main_content,
        )
    except HTMLParserException as error:
        raise MemoryError from error  # this parser accepts any text as HTML: it fails only without memory


def _all_text(tree: Tree) -> str:
    return _fast(_serialised(tree), main_content=False)


def _careful(tree: Tree, thorough: bool = False) -> str:
    """Main text by trafilatura; an empty string if it fails.

    Args:
        thorough: let it try its other methods and choose.
    """
    from trafilatura import bare_extraction
    from trafilatura.metadata import Document

    try:
        found = bare_extraction(
            tree, fast=not thorough, include_comments=False, include_formatting=False, output_format="txt"
        )
    except Exception:  # noqa: BLE001 - the fast extractor can read pages that this one cannot
        return ""
    return _text_of(found.body) if isinstance(found, Document) and found.body is not None else ""


def _text_of(body: Tree) -> str:
    """The text of trafilatura's result: blocks separated, with the line breaks of the page."""
    for element in body.iter():
        apart = (
            "\n\n" if element.tag in _BLOCKS else "\n" if element.tag == "lb" else " " if element.tag == "cell" else ""
        )
        if element.text:
            element.text = _BLANKS.sub(" ", element.text)
        if element.tail:
            element.tail = _BLANKS.sub(" ", element.tail)
        if apart:
            element.tail = apart + (element.tail or "")
            element.text = ("" if element.tag == "lb" else apart) + (element.text or "")
    return "".join(body.itertext()).strip()


def _parsed(html: str) -> Tree:
    from lxml.html import HTMLParser, document_fromstring

    # Comments and processing instructions would disturb the code that walks the tree.
    parser = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    return document_fromstring(html.encode("utf-8", "replace"), parser=parser)


def _serialised(tree: Tree) -> str:
    from lxml.html import tostring

    return tostring(tree, encoding="unicode")


def too_deep(page: str) -> bool:
    """Whether a page of very many tags somewhere opens far more tags than it closes."""
    if page.count("<") < SCANNED:
        return False
    depth = 0
    for closing in _TAG.findall(_EMPTY.sub("", page.lower())):
        depth = max(0, depth - 1) if closing else depth + 1
        if depth > DEEPEST:
            return True
    return False


def _licenses(tree: Tree) -> list[str]:
    """The addresses that the page links to as its licence (HTML standard, link type `license`)."""
    links = (link for link in tree.iter("a", "link", "area") if "license" in (link.get("rel") or "").lower().split())
    return sorted({link.get("href").strip() for link in links if link.get("href")})
