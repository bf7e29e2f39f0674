"""Marks of structure in a page's text, and functions that replace elements with text.

The marks are letters of scripts that the page does not use (Linear A), so extractors treat them as text.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Any

Element = Any  # lxml.html.HtmlElement, which has no types
LETTERS = range(0x10600, 0x10700)
LEVELS = 8  # of nested lists that are distinguished
BASE_CHARS = 30  # examined before a superscript or subscript
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u2060\ufeff]")  # soft hyphens and the like; joiners are spelling
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = frozenset(("div", "p", "ul", "ol", "li", "table", "tr", "blockquote", "section", "article", *HEADINGS))


class Marks:
    """Letters that mark structure in a page's text, and their replacements.

    Attributes:
        omitted: number of formulas left out because the page has no TeX for them.
    """

    def __init__(self, html: str, markdown: bool) -> None:
        free = (letter for letter in map(chr, LETTERS) if letter not in html)
        self.newline, self.blank, self.number, self.code, self.kept = (next(free) for _ in range(5))
        self.headings = "".join(next(free) for _ in HEADINGS)  # by level; one letter each, as lengths count
        self.items = "".join(next(free) for _ in range(LEVELS))
        self.markdown = markdown
        self.omitted = 0

    def lines(self, text: str) -> str:
        """Text with marks that preserve its line breaks and indents."""
        blanks = re.compile(r"(?<![^\n]) +|  +")
        text = blanks.sub(lambda found: self.blank * len(found[0]), text.expandtabs(4).replace("\xa0", " "))
        return text.replace("\n", self.newline)

    def render(self, text: str) -> str:
        """An extractor's text, with the marks turned into Markdown or plain lines."""
        text = _each_line(text, lambda line: line.strip(" \t"))
        if self.code in text:
            text = re.sub(f"{self.code}([^{self.code}]*){self.code}", r"\n\n\1\n\n", text)
        if not set(self.items).isdisjoint(text):
            text = self._with_bullets(text)
        if not set(self.headings).isdisjoint(text):
            title = rf"^((?:{self.blank}*(?:-|\d+\.) )?)([{self.headings}])\s*"
            text = re.sub(title, self._title, text, flags=re.MULTILINE)
        text = re.sub(f"[{self.items}{self.number}{self.headings}{self.kept}{self.code}]", "", text)
        text = re.sub(r"\n{3,}", "\n\n", text)
        text = re.sub(f" ?{self.newline} ?", "\n", text).replace(self.blank, " ")
        return unicodedata.normalize("NFC", _INVISIBLE.sub("", _each_line(text, str.rstrip).strip("\n ")))

    def _with_bullets(self, text: str) -> str:
        """The text with items on separate lines, and lists separated from the text before them."""
        item = f"[{self.items}]"
        text = re.sub(rf"(?:^(?:[-*•]|\d+\.))?[ \t]*({item})\s*", r"\n\1", text, flags=re.MULTILINE)
        text = re.sub(rf"(^{item}.*)\n+(?={item})", r"\1\n", text, flags=re.MULTILINE)
        text = re.sub(rf"(^[^{self.items}\n].*)\n+(?={item})", r"\1\n\n", text, flags=re.MULTILINE)
        return re.sub(rf"^({item})(?:(\d+){self.number})?\s*", self._bullet, text, flags=re.MULTILINE)

    def _bullet(self, found: re.Match[str]) -> str:
        bullet = f"{found[2]}. " if found[2] else "- " if self.markdown else ""
        return self.blank * 2 * self.items.index(found[1]) * self.markdown + bullet

    def _title(self, found: re.Match[str]) -> str:
        return found[1] + ("#" * (1 + self.headings.index(found[2])) + " " if self.markdown else "")


def _each_line(text: str, change: Callable[[str], str]) -> str:
    return "\n".join(map(change, text.split("\n")))


def set_text(element: Element, text: str) -> None:
    """Replace the content of an element with text. Text joined to its neighbours' would be copied again each time."""
    _rename(element, "span", text)


def set_block(element: Element, text: str) -> None:
    """Make an element a block of one text; not a paragraph, since trafilatura gives weight to the number of those."""
    _rename(element, "pre", text)


def _rename(element: Element, tag: str, text: str) -> None:
    tail = element.tail
    element.clear()
    element.tag, element.text, element.tail = tag, text, tail


def text_before(element: Element) -> str:
    """The end of the text before an element, within its parent."""
    sibling = element.getprevious()
    if sibling is None:
        return (element.getparent().text or "")[-BASE_CHARS:]
    return (sibling.tail or ("" if sibling.tag in _BLOCKS else sibling.text_content()))[-BASE_CHARS:]


def character_after(element: Element) -> str:
    """The character after an element, or an empty string."""
    if element.tail:
        return element.tail[0]
    following = element.getnext()
    return following.text_content()[:1] if following is not None and following.tag not in _BLOCKS else ""


def separate_blocks(element: Element) -> None:
    """Put spaces around the blocks and line ends within an element that becomes one line, so that no words are joined."""
    for one in element.iterdescendants("br", "dt", "dd", *_BLOCKS):
        if one.tag != "br":
            one.text = " " + (one.text or "")
        one.tail = " " + (one.tail or "")


def append(element: Element, text: str) -> None:
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text
