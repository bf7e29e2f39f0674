"""Long texts become several documents, cut at headings if there are any, else between paragraphs.

So one book is a corpus: it has chapters to hold out, and parts short enough for every later rule. Each part keeps the
source of its text, and its metadata has its place in the text, under `part_of`:

    document   id of the whole text
    number     number of the part, from 1
    parts      number of parts of the text
    section    parts with the same number belong together: tokenization holds all of them out, or none
    heading    the heading that the part begins with or is under, if any

Nothing is lost: the parts in order are the text, except for blank lines at their ends. No cut is within a sentence; a
single sentence that is longer than a part stays whole.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from components.documents import PART_OF, Document

LONG = 4  # a document of more than this many parts' characters is long; ordinary articles stay whole
LARGEST = 2  # a section of up to this many parts' characters stays whole
SMALL = 8  # a section under 1/SMALL of a part, such as a lone title, is joined to the next one
SECTIONS = 10  # in a section of more than 1/SECTIONS of the text, each part has its own number
KINDS = ("web", "prose", "textbook")  # code has no chapters

# Every pattern takes time linear in the text: repetitions are bounded, or start only at a line's end.
PARAGRAPH = re.compile(r"\n[ \t]*\n(?=[ \t]*\S)")
# After a word of five characters or more, since shorter ones may be abbreviations; and the marks of Chinese and Japanese.
SENTENCE = re.compile(
    r"(?<=\w{5}[.!?\u2026])[\"'\u201d\u2019\u00bb)\]]*\s+(?=[\"'\u201c\u2018\u201e\u00ab(\[]*[^\W_a-z])"
    r"|(?<=[\u3002\uff01\uff1f])(?=\S)"
)
CODE_FENCE = re.compile(r"^```", re.MULTILINE)

BEFORE = r"(?:\A|\n[ \t]*\n)[ \t]*"  # a blank line
CHAPTER = (
    "chapter|part|book|section|volume|act|letter|appendix|kapitel|teil|abschnitt|buch|anhang|chapitre|partie|livre"
    "|cap[ií]tulo|parte|libro|capitolo|hoofdstuk"
)
NUMBER = r"(?:\d{1,3}|[ivxlc]{1,8}|[^\W\d_]{3,9}(?:-[^\W\d_]{3,6})?)"
HEADINGS = {  # pattern of a heading by its level, 1 being the highest
    "markdown": (0, re.compile(r"^(?P<marks>#{1,6})[ \t]+(?P<title>\S[^\n]{0,199}?)[ \t#]*$", re.MULTILINE)),
    "underlined =": (1, re.compile(r"^(?P<title>\S[^\n]{0,99})\n={3,}[ \t]*$", re.MULTILINE)),
    "underlined -": (2, re.compile(r"^(?P<title>\S[^\n]{0,99})\n-{3,}[ \t]*$", re.MULTILINE)),
    "underlined": (3, re.compile(r"^(?P<title>\S[^\n]{0,99})\n([~^*+\"])\2{2,}[ \t]*$", re.MULTILINE)),
    "chapter": (
        1,
        re.compile(
            rf"{BEFORE}(?P<title>(?:{CHAPTER})[ \t]+{NUMBER}(?:[ \t]*[.:\u2013\u2014-][^\n]{{0,80}})?)[ \t]*$",
            re.MULTILINE | re.IGNORECASE,
        ),
    ),
    "roman": (2, re.compile(rf"{BEFORE}(?P<title>[IVXLC]{{1,8}}\.?)[ \t]*(?=\n[ \t]*\n)")),
    "numbered": (
        3,
        re.compile(
            rf"{BEFORE}(?P<title>\d{{1,3}}(?:\.\d{{1,3}})*\.?[ \t]+[^\W\d_a-z][^\n]{{0,78}}[^\n.,;:])(?=\n[ \t]*\n)"
        ),
    ),
    "upper case": (3, re.compile(rf"{BEFORE}(?P<title>[^\W\d_a-z][^\na-z]{{2,78}}\w)[ \t]*$", re.MULTILINE)),
}


@dataclass(frozen=True)
class Heading:
    """The position of a heading, its level (1 is the highest), and its title."""

    start: int
    level: int
    title: str


@dataclass(frozen=True)
class Piece:
    """The part [start, end) of a text, the heading over it, and its section."""

    start: int
    end: int
    heading: str
    section: int = 0


def split(document: Document, characters: int) -> Iterator[Document]:
    """A long document in parts, in order; any other document unchanged.

    Args:
        characters: approximate size of a part; 0 = split nothing.
    """
    text = document.text
    if PART_OF in document.metadata:  # the source's own field, which must not look like ours
        own = document.metadata
        document = replace(document, metadata={f"source_{key}" if key == PART_OF else key: own[key] for key in own})
    if not characters or document.kind not in KINDS or len(text) <= LONG * characters:
        yield document
        return
    pieces = [piece for piece in cut(text, characters) if not text[piece.start : piece.end].isspace()]
    for number, piece in enumerate(pieces, start=1):
        place = {"document": document.id, "number": number, "parts": len(pieces), "section": piece.section}
        place |= {"heading": piece.heading} if piece.heading else {}
        content = text[piece.start : piece.end].strip("\n") + "\n"
        yield replace(document, text=content, id="", metadata=document.metadata | {PART_OF: place})


def cut(text: str, characters: int) -> list[Piece]:
    """The parts of a text, in order and without gaps."""
    pieces: list[Piece] = []
    for section in _joined(_at_headings(Piece(0, len(text), ""), headings(text), characters), characters):
        alone = section.end - section.start > len(text) / SECTIONS
        number = pieces[-1].section if pieces else 0
        for part in _paragraphs(text, section, characters):
            number += alone or part.start == section.start
            pieces.append(replace(part, section=number))
    return pieces


def headings(text: str) -> list[Heading]:
    """The headings of a text, in order: Markdown, reStructuredText, numbered, named as chapters, or in upper case."""
    fences = [found.start() for found in CODE_FENCE.finditer(text)]
    code = list(zip(fences[::2], fences[1::2], strict=False))
    found: dict[int, Heading] = {}
    for name, (level, pattern) in HEADINGS.items():
        for match in pattern.finditer(text):
            title = match["title"].strip()
            if not any(map(str.isalnum, title)) or (name == "upper case" and not title.isupper()):
                continue
            start = match.start("marks" if name == "markdown" else "title")
            found.setdefault(start, Heading(start, level or len(match["marks"]), title))
    starts = sorted(found)
    inside = _inside(starts, code)
    return [found[start] for start in starts if start not in inside]


def _inside(starts: list[int], stretches: list[tuple[int, int]]) -> set[int]:
    """The positions within one of the stretches; both must be in order."""
    within, waiting = set(), iter(starts)
    start = next(waiting, None)
    for begin, end in stretches:
        while start is not None and start < end:
            if start > begin:
                within.add(start)
            start = next(waiting, None)
    return within


def _at_headings(whole: Piece, found: list[Heading], characters: int) -> Iterator[Piece]:
    """A text cut at its highest headings, and parts that are too long at the next ones."""
    if whole.end - whole.start <= characters or not found:
        yield whole
        return
    highest = min(heading.level for heading in found)
    cuts = [heading for heading in found if heading.level == highest]
    starts = [whole.start, *(heading.start for heading in cuts), whole.end]
    titles = [whole.heading, *(heading.title for heading in cuts)]
    for (start, end), title in zip(pairwise(starts), titles, strict=True):
        if start < end:
            below = found[bisect_right(found, start, key=_start) : bisect_left(found, end, key=_start)]
            yield from _at_headings(Piece(start, end, title), below, characters)


def _start(heading: Heading) -> int:
    return heading.start


def _joined(pieces: Iterable[Piece], characters: int) -> Iterator[Piece]:
    """Neighbours joined as long as they fit into a part."""
    waiting: Piece | None = None
    for piece in pieces:
        if waiting is None:
            waiting = piece
        elif piece.end - waiting.start <= characters or SMALL * (waiting.end - waiting.start) < characters:
            waiting = replace(waiting, end=piece.end)
        else:
            yield waiting
            waiting = piece
    if waiting:
        yield waiting


def _paragraphs(text: str, piece: Piece, characters: int) -> list[Piece]:
    """A piece cut between paragraphs, and between sentences in a paragraph that is longer than a part."""
    if piece.end - piece.start <= LARGEST * characters:
        return [piece]
    stretches = [(piece.start, piece.end)]
    for border in (PARAGRAPH, SENTENCE):
        stretches = [part for stretch in stretches for part in _between(text, stretch, border, characters)]
    return list(_joined((Piece(start, end, piece.heading) for start, end in stretches), characters))


def _between(text: str, stretch: tuple[int, int], border: re.Pattern[str], characters: int) -> list[tuple[int, int]]:
    start, end = stretch
    if end - start <= characters:
        return [stretch]
    cuts = [match.end() for match in border.finditer(text, start, end)]
    return list(pairwise([start, *(place for place in cuts if start < place < end), end]))
