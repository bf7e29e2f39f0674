"""Writes the structure in a page's tags into its text, before an extractor removes the tags.

Extractors keep words and drop tags. So `10<sup>23</sup>` would become 1023, a formula a row of letters, and code a paragraph.
`write_into` makes one pass over the parsed page: numbers, formulas, deletions and code become text, and headings, list items,
code blocks and tables get marks that extractors keep. `Marks.render` turns them into Markdown or plain lines.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator

from components.ingestion.parsing.formulas import FORMULA_CLASSES, drop_rendered, formula, image, subscript, superscript
from components.ingestion.parsing.marks import (
    HEADINGS,
    LEVELS,
    Element,
    Marks,
    append,
    separate_blocks,
    set_block,
    set_text,
    text_before,
)

FENCE = "```"
LONGEST_DELETION = 500  # characters; longer text that is struck through is badly marked up, not deleted
LONGEST_CELL, MOST_ROWS, MOST_COLUMNS = 300, 2_000, 50
LONGEST_INLINE_CODE = 200
LONGEST_HEADING = 500  # characters; a longer one is not closed and contains the text below it
PROSE_SYMBOLS = 0.02  # share of preformatted text's characters, under which it is prose
ASCII_AND_LATIN = "\u07ff"  # the last character of two bytes in UTF-8
_NUMBERING = re.compile(
    r"(?:^|[\s_-])(?:lineno|linenos|linenodiv|lnt|ln|line-?numbers?|linenumber|gutter|gl|blob-num|hljs-ln-n\w+)(?:$|[\s_-])",
    re.IGNORECASE,
)
_NUMBERS = re.compile(r"[\s.:|]*\d[\d\s.:|]*")
_LANGUAGE = re.compile(r"(?:^|\s)(?:language|lang|highlight-source|brush)[-:]\s*([\w+#-]{1,20})")
_CODE_CLASSES = {
    "code",
    "codeblock",
    "code-block",
    "sourcecode",
    "source-code",
    "syntaxhighlighter",
    "highlight",
    "hljs",
    "shiki",
}
_LINE_CLASS = re.compile(r"(?:^|\s)(?:line|ln|code-line|cl|view-line|CodeMirror-line)(?:$|\s)")
_CODE_SYMBOLS = re.compile(r"[{}()\[\]=<>;_$\\|/*#+&@]")
_WIDE = re.compile("[\u0800-\u1fff\u20a0-\u20bf\u2e80-\uffdc]")  # letters and currencies of three bytes in UTF-8
_PERMALINKS = ("¶", "#", "§", "🔗", "")
_NOT_IN_CELLS = ("table", "ul", "ol", "dl", "pre", "blockquote", "form", "article", "section", *HEADINGS)
_INLINE = ("a", "abbr", "b", "bdi", "bdo", "cite", "code", "em", "i", "kbd", "small", "span", "strong", "u", "var")
_SENTENCES = ("p", "li", "td", "em", "strong", "b", "i")


def write_into(tree: Element, html: str, markdown: bool = True) -> Marks:
    """Write the structure in the tags of a parsed page into its text; changes the tree.

    Args:
        html: the page that was parsed.
        markdown: mark headings, bullets, code and tables as Markdown does.
    """
    marks = Marks(html, markdown)
    if any(name in html for name in FORMULA_CLASSES):
        for element in list(tree.iter("span", "div")):
            drop_rendered(element)
    found: dict[str, list[Element]] = {}
    for element in tree.iter(*_TAGS):
        found.setdefault(element.tag, []).append(element)
    for tags, handle in _PASSES:
        for tag in tags:
            # Inner elements first, so that a script within a script is text when the outer one is written.
            for element in reversed(found.get(tag, ())):
                if element.getparent() is not None and element.tag == tag:
                    handle(element, marks)
    if _WIDE.search(tree.text_content()):
        _keep_single(tree, marks)
    return marks


def _keep_single(tree: Element, marks: Marks) -> None:
    """Keep texts of one Chinese character or a euro sign, which resiliparse would drop as icons."""
    for text in tree.xpath("//text()[string-length(normalize-space(.))=1]"):
        sign = text.strip()
        if sign > ASCII_AND_LATIN and (sign.isalnum() or unicodedata.category(sign) == "Sc"):
            if text.is_tail:
                text.getparent().tail += marks.kept
            else:
                text.getparent().text += marks.kept


def _deletion(element: Element, _marks: Marks) -> None:
    if len(element.text_content()) <= LONGEST_DELETION:
        set_text(element, "")


def _unwrapped(element: Element, _marks: Marks) -> None:
    element.tag = "span"


def _quotation(element: Element, _marks: Marks) -> None:
    element.tag, element.text = "span", '"' + (element.text or "")
    append(element, '"')


def _reading(element: Element, _marks: Marks) -> None:
    """Put the reading of Chinese characters in brackets."""
    has_brackets = element.getparent().find("rp") is not None
    element.tag = "span"
    if not has_brackets:
        element.text = "(" + (element.text or "")
        append(element, ")")


def _summary(element: Element, _marks: Marks) -> None:
    element.tag = "p"


def _time(element: Element, _marks: Marks) -> None:
    """Keep a date within a sentence: it is not the date of the page, which extractors leave out."""
    if element.getparent().tag in _SENTENCES and text_before(element).strip() and (element.tail or "").strip():
        element.tag = "span"


def _figure(element: Element, _marks: Marks) -> None:
    """Keep a figure of code or of a table as text."""
    if next(element.iter("pre", "table", "code"), None) is not None:
        element.tag = "div"


def _has_code_class(element: Element) -> bool:
    classes = element.get("class")
    return bool(classes) and not _CODE_CLASSES.isdisjoint(classes.lower().split())


def _is_code(element: Element, text: str) -> bool:
    around = (element, element.getparent(), *element.iterchildren("code"))
    if any(one.tag == "code" or _has_code_class(one) for one in around):
        return True
    return len(_CODE_SYMBOLS.findall(text)) > PROSE_SYMBOLS * len(text)


def _language(element: Element) -> str:
    for one in (element, *element.iterchildren("code"), element.getparent()):
        found = _LANGUAGE.search(one.get("class") or "") if one is not None else None
        if found:
            return found[1].lower()
    return ""


def _code_text(element: Element) -> str:
    """The lines of code without their numbers."""
    for one in list(element.iterdescendants()):
        is_numbering = _NUMBERING.search(one.get("class") or "") or one.get("data-line-number") is not None
        if is_numbering and one.getparent() is not None and _NUMBERS.fullmatch(one.text_content()):
            set_text(one, "")
    for one in list(element.iter("br")):
        set_text(one, "\n")
    lines = [one for one in element.iterdescendants("div", "span", "code") if _is_line(one)]
    text = element.text_content()
    if len(lines) > 1 and text.strip("\n").count("\n") < len(lines) - 1:
        text = "\n".join(line.text_content().rstrip("\n") for line in lines)
    return text.strip("\n").rstrip()


def _is_line(element: Element) -> bool:
    is_named = _LINE_CLASS.search(element.get("class") or "")
    return bool(is_named or element.tag == "div") and not len(element.findall("div"))


def _fenced(code: str, language: str, marks: Marks) -> str:
    if not marks.markdown:
        return marks.code + marks.lines(code) + marks.code
    fence = FENCE
    while fence in code:
        fence += "`"
    return marks.code + marks.lines(f"{fence}{language}\n{code}\n{fence}") + marks.code


def _preformatted(element: Element, marks: Marks) -> None:
    if marks.code in (element.text or ""):  # it was already converted as lines of code or a table
        return
    code = _code_text(element)
    if not code.strip():
        set_text(element, "")
    elif _is_code(element, code):
        set_block(element, _fenced(code, _language(element), marks))
    else:
        set_block(element, marks.lines("\n".join(line.strip() for line in code.split("\n"))))


def _lines_of_code(element: Element, marks: Marks) -> None:
    """Convert code whose lines are elements, without a `pre`."""
    if not _has_code_class(element) or not len(element):
        return
    if not all(one.tag == "div" for one in element):
        return
    if len(element) > 1 and next(element.iter("p", "pre", "table", "ul", *HEADINGS), None) is None:
        set_block(element, _fenced(_code_text(element), _language(element), marks))


def _inline_code(element: Element, marks: Marks) -> None:
    if element.find(".//br") is not None and element.getparent().tag != "pre":
        set_block(element, _fenced(_code_text(element), _language(element), marks))
        return
    text = element.text_content()
    element.tag = "span"  # not a block for trafilatura
    if marks.markdown and "`" not in text and text.strip() and len(text) <= LONGEST_INLINE_CODE:
        element.text = "`" + (element.text or "")
        append(element, "`")


def _table(element: Element, marks: Marks) -> None:
    """Turn a table of data into rows of Markdown, and a table of code into code. A layout table stays."""
    rows = [row for row in element.iter("tr") if len(row)]
    if _is_listing(element, rows):
        whole = rows[0] if len(rows) == 1 else None
        code = _code_text(whole) if whole is not None else "\n".join(_code_text(row) for row in rows)
        set_block(element, _fenced(code, _language(element), marks))
        return
    cells = _cells(element, rows)
    if not cells:
        return
    caption = element.find("caption")
    title = f"{' '.join(caption.text_content().split())}\n\n" if caption is not None else ""
    if marks.markdown:
        lines = ["|" + "".join(f" {text} |" if text else " |" for text in row) for row in cells]
        lines.insert(1, "|" + " --- |" * len(cells[0]))
    else:
        lines = [(2 * marks.blank).join(filter(None, row)) for row in cells]
    set_block(element, marks.code + marks.lines(title) + marks.newline.join(lines) + marks.code)


def _is_listing(element: Element, rows: list[Element]) -> bool:
    """Whether a table shows code: one or all of its lines beside their numbers."""
    cells = list(element.iter("td"))
    numbered = [cell for cell in cells if _NUMBERING.search(cell.get("class") or "") or cell.get("data-line-number")]
    return bool(numbered) and all(_NUMBERS.fullmatch(cell.text_content()) for cell in numbered)


def _cells(element: Element, rows: list[Element]) -> list[list[str]]:
    """The texts of a table of data, with rows of equal length; empty for a layout table or a menu."""
    if not 1 < len(rows) <= MOST_ROWS or element.get("role") in ("presentation", "none"):
        return []
    if next(element.iterdescendants(*_NOT_IN_CELLS), None) is not None:
        return []
    separate_blocks(element)
    below: dict[int, tuple[int, str]] = {}  # by column: how many more rows a cell spans, and its text
    table = []
    for row in rows:
        texts: list[str] = []
        for cell in row.iterchildren("td", "th"):
            _take_spanned(texts, below)
            text = " ".join(cell.text_content().split()).replace("|", "\\|")
            if len(text) > LONGEST_CELL or len(texts) > MOST_COLUMNS:
                return []
            height, width = _span(cell, "rowspan", MOST_ROWS), _span(cell, "colspan", MOST_COLUMNS)
            if height > 1:
                below |= {len(texts) + i: (height - 1, text if not i else "") for i in range(width)}
            texts += [text] + [""] * (width - 1)
        _take_spanned(texts, below)
        table.append(texts)
    width = max(map(len, table))
    linked = sum(len(link.text_content()) for link in element.iter("a"))
    if width < 2 or 2 * linked > len(element.text_content().strip()):
        return []
    if 2 * sum(sum(map(bool, row)) > 1 for row in table) < len(table):
        return []
    return [row + [""] * (width - len(row)) for row in table]


def _take_spanned(texts: list[str], below: dict[int, tuple[int, str]]) -> None:
    """Repeat the texts of cells above that span into this place."""
    while len(texts) in below:
        left, text = below.pop(len(texts))
        if left > 1:
            below[len(texts)] = (left - 1, text)
        texts.append(text)


def _span(cell: Element, name: str, most: int) -> int:
    value = cell.get(name) or ""
    return min(max(int(value), 1), most) if value.isascii() and value.isdecimal() else 1


def _texts(element: Element) -> Iterator[tuple[Element, bool]]:
    """The non-blank texts of an element: the element of each, and whether the text follows it."""
    for one in element.iter():
        if (one.text or "").strip():
            yield one, False
        if one is not element and (one.tail or "").strip():
            yield one, True


def _prefix(element: Element, prefix: str) -> None:
    """Put a mark before the first text within an element, where extractors keep it whatever surrounds it."""
    for one, is_tail in _texts(element):
        if is_tail:
            one.tail = prefix + one.tail.lstrip()
        else:
            one.text = prefix + one.text.lstrip()
        return


def _items(element: Element, marks: Marks) -> None:
    """Mark bullets and numbers of a list; if an item begins with a list, only the inner marks count."""
    mark = marks.items[min(sum(1 for _ in element.iterancestors("ul", "ol")), LEVELS - 1)]
    items = list(element.iterchildren("li"))
    is_reversed, start = element.get("reversed") is not None, element.get("start") or ""
    first = int(start) if start.isascii() and start.isdecimal() else len(items) if is_reversed else 1
    for place, item in enumerate(items):
        opening = next((one.tail if is_tail else one.text for one, is_tail in _texts(item)), mark).lstrip()
        if opening[0] not in marks.items:
            number = first - place if is_reversed else first + place
            _prefix(item, mark + (f"{number}{marks.number}" if element.tag == "ol" else ""))


def _list(element: Element, _marks: Marks) -> None:
    """Protect a list right below the body, which resiliparse takes for a menu unless it is numbered."""
    near = element.getparent()
    is_near = near.tag == "body" or (near.getparent() is not None and near.getparent().tag == "body")
    if is_near and 2 * sum(len(link.text_content()) for link in element.iter("a")) < len(element.text_content()):
        element.tag = "ol"


def _heading(element: Element, marks: Marks) -> None:
    for link in list(element.iter("a")):
        if link.text_content().strip() in _PERMALINKS and next(link.iter("img"), None) is None:
            set_text(link, "")
    if len(element.text_content()) <= LONGEST_HEADING:
        separate_blocks(element)
        for one in list(element.iterdescendants()):
            if one.tag == "br":
                set_text(one, "")
            elif one.tag not in _INLINE:
                one.tag = "span"
    _prefix(element, marks.headings[int(element.tag[1]) - 1])


Handler = Callable[[Element, Marks], None]
_PASSES: tuple[tuple[tuple[str, ...], Handler], ...] = (
    (("math",), formula),
    (("img",), image),
    (("del", "s", "strike"), _deletion),
    (("sub",), subscript),
    (("sup",), superscript),
    (("q",), _quotation),
    (("rt",), _reading),
    (("rp", "ins"), _unwrapped),
    (("summary",), _summary),
    (("time",), _time),
    (("figure",), _figure),
    (("table",), _table),
    (("pre",), _preformatted),
    (("div",), _lines_of_code),
    (("code",), _inline_code),
    (("ul", "ol"), _items),
    (("ul",), _list),
    (HEADINGS, _heading),
)
_TAGS = tuple({tag for tags, _ in _PASSES for tag in tags})
