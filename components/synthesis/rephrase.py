"""Plans and checks a model's rewrites of the user's curated documents.

This follows WRAP (arXiv 2401.16380), BeyondWeb (2508.10975) and FinePhrase (2604.13977): the same knowledge in a form that
teaches, in addition to the original. A rewrite may leave out and reorder, but not invent. The checks show that its numbers
and names occur in the passage. They cannot show that its sentences are true to the passage.
"""

import hashlib
import heapq
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.documents import REWRITE, read_batches
from components.synthesis import facts
from components.synthesis.plan import Job
from components.synthesis.prose import CODE, COMMON, Fault, copied_share, leaked, manner_fault, written_sums, wrong_sum
from components.text.languages import PEOPLE_WRITE, UNKNOWN, identify

SUBJECT = "rephrased"
LEAST_CHARS, MOST_CHARS = 500, 4_000  # of a passage
SHORTEST, LONGEST = 0.25, 2.5  # characters of a rewrite per character of its passage
MOST_COPIED = 0.5  # maximum share of the rewrite's runs of ten words that occur in the passage
ENGLISH = "en"
NOUN_CAPITALS = ("de", "lb")  # languages that write every noun with a capital
_PARAGRAPHS = re.compile(r"\n\s*\n")
_ABOUT = re.compile(
    r"\b(?:(?:original|source|given|above|provided) (?:text|passage|document|article)|rewritten|the passage)\b", re.I
)
_LABEL = re.compile(
    r"^[\s>*#|_-]*(?:(?:Q|A|Problem|Solution|Answer|Step|Question|Part|Example)(?: \d{1,2})?[:.)]|\d{1,2}[.)](?=\s))[*_]*",
    re.M,
)
_NUMBERED = re.compile(r"\b(?:Step|Problem|Question|Part|Example|Table)s? \d+")
_SCALES = facts.SCALES | {"trillion": 10**12, "k": 1_000, "m": 10**6, "mn": 10**6, "bn": 10**9, "tn": 10**12}
_SCALES |= {"millionen": 10**6, "milliarden": 10**9, "millions": 10**6, "milliards": 10**9}
_SCALES |= {"millones": 10**6, "milioni": 10**6}
_CLUSTER = re.compile(
    r"(\d+(?:[.,'\u2019\u00a0\u202f ]\d{3})*(?:[.,]\d+)?)(?:[ \u00a0-]?(" + "|".join(_SCALES) + r")\b)?", re.I
)
_WORD = re.compile(r"[^\W\d_]+(?:[-'\u2019][^\W\d_]+)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:;\u2026|])[\s\"'\u201c\u201d\u2018\u2019\u00ab\u00bb()\[\]*_>|\u2013-]*$")
_HEADING = re.compile(r"\s*(?:#|[*_]{2}[^*_]+[*_]{2}:?\s*$)")
_RULE = re.compile(r"[\s|:-]+")  # the line under a table's header
_OPENERS = frozenset(
    re.findall(
        r"\w+",
        """
        a about above according after again all also although an and another answer any are as at because
        before below besides both but by can compare compared consider depending despite do does down during
        each either even every few finally find first following for from further given had has have he hence
        here how however i if imagine in instead into is it its just last later let like likewise many more
        moreover most much neither next no nor not nothing notice now of often on once one only or other
        others our out over overall perhaps problem question remember second several she similarly since so
        solution some sometimes still such suppose take than thanks that the their then there therefore these
        they thing think third this those though through thus to today together too two under unlike until up
        upon usually we what when where whereas whether which while who whose why will with within without yes
        yet you your
        """,
    )
)
_ENDINGS = ("s", "es", "n", "an", "ian", "ians", "ans", "ish", "ese", "ic", "er", "ers", "en", "e", "a", "i")
_CONTRACTED = re.compile(r"(?:n['\u2019]t|['\u2019](?:s|re|ll|ve|d|m)|['\u2019])$", re.I)
_USUAL_ENDINGS = ("ly", "ing", "ed")


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a curated document."""

    document: str  # its id
    number: int
    text: str
    kind: str
    source: str
    license: str


def plan_rewrites(
    directory: Path, count: int, formats: Sequence[str], seed: int
) -> tuple[list[Job], dict[str, Passage]]:
    """Jobs of at most `count` rewrites, and the passage of each by its job's id.

    Passages are chosen by hash, so that their order in the set does not matter. Each is rewritten in one format, in a
    second one only if there are too few passages, and so on.
    """
    if not count:
        return [], {}
    chosen = heapq.nsmallest(count, _passages(directory), key=lambda passage: _rank(passage, seed))
    jobs: list[Job] = []
    of: dict[str, Passage] = {}
    for turn in range(len(formats)):
        for place, passage in enumerate(chosen):
            if len(jobs) == count:
                return jobs, of
            form = REWRITE + formats[(place + turn) % len(formats)]
            job = Job(SUBJECT, passage.document, passage.kind, form, "", passage.number, passage.document)
            jobs.append(job)
            of[job.id] = passage
    return jobs, of


def _rank(passage: Passage, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{passage.document}/{passage.number}".encode()).digest()


def _passages(directory: Path) -> Iterator[Passage]:
    columns = ["id", "text", "kind", "source", "license"]
    for batch in read_batches(directory, columns=columns):
        for row in batch.to_pylist():
            if row["kind"] in PEOPLE_WRITE:
                for number, text in enumerate(split(row["text"])):
                    yield Passage(row["id"], number, text, row["kind"], row["source"], row["license"])


def split(text: str) -> list[str]:
    """Passages of whole paragraphs, up to MOST_CHARS characters each. A longer paragraph is cut between its lines or
    sentences, and passages under LEAST_CHARS are left out."""
    pieces: list[str] = []
    for paragraph in _PARAGRAPHS.split(text.strip()):
        while len(paragraph) > MOST_CHARS:
            cut = max(paragraph.rfind(end, 1, MOST_CHARS) for end in ("\n", ". ", "\u3002")) + 1 or MOST_CHARS
            pieces.append(paragraph[:cut])
            paragraph = paragraph[cut:]
        pieces.append(paragraph)
    passages, current = [], ""
    for piece in (piece.strip() for piece in pieces):
        if current and len(current) + 2 + len(piece) > MOST_CHARS:
            passages.append(current)
            current = ""
        current = f"{current}\n\n{piece}" if current else piece
    return [passage for passage in (*passages, current) if len(passage) >= LEAST_CHARS]


def is_rewrite(form: str) -> bool:
    """Whether a format is one of the formats of rewrites."""
    return form.startswith(REWRITE)


def rewrite_fault(text: str, passage: str, instructions: str, ordinary: set[str]) -> Fault | None:
    """The first rule that a rewrite fails, or None.

    Args:
        instructions: the prompt without the passage.
        ordinary: words that occur in lower case somewhere, so that they are not names at the start of a sentence.
    """
    if found := manner_fault(text):
        return found
    if (about := _ABOUT.search(text)) and about.group().lower() not in passage.lower():
        return Fault("prompt_leak", about.group())
    size = len(text) / len(passage)
    if not SHORTEST <= size <= LONGEST:
        rule, border = ("too_short", SHORTEST) if size < SHORTEST else ("too_long", LONGEST)
        return Fault(rule, f"{len(text)} characters for a passage of {len(passage)}", size, border)
    (language, _), (own, _) = identify([_told(text), passage])
    if language not in (own, UNKNOWN) and own != UNKNOWN:
        return Fault("language", f"in {language}, the passage is in {own}")
    if found_run := leaked(text, instructions):
        return Fault("prompt_leak", found_run)
    if (copied := copied_share(text, passage)) > MOST_COPIED:
        return Fault("copied_seed", f"{copied:.0%} of its runs of ten words", copied, MOST_COPIED)
    if wrong := wrong_sum(text):
        return Fault("wrong_sum", wrong)
    if block := next((code for _, code in CODE.findall(text) if _bare(code) not in _bare(passage)), ""):
        return Fault("code", f"not in the passage: {block.partition(chr(10))[0]}")
    if number := invented_number(text, passage):
        return Fault("invented_number", number)
    if name := invented_name(text, passage, own, ordinary):
        return Fault("invented_name", name)
    return None


def _bare(text: str) -> str:
    return "".join(text.split())


def _told(text: str) -> str:
    return _LABEL.sub("", CODE.sub("", text)).replace("|", " ")


def invented_number(text: str, passage: str) -> str:
    """The first number that is neither in the passage nor the result of a written calculation with the passage's numbers; an
    empty string if there is none. The numbers of steps, problems and lists are ignored."""
    told = _NUMBERED.sub("", _LABEL.sub("", text))
    given = set().union(*(_values(found) for found in _CLUSTER.finditer(passage))) | facts.in_words(passage)
    for left, right, result in written_sums(told):
        if {left, right} <= given:
            given.add(result)
    given |= {value / 100 for value in given if value <= 100}  # percentages
    for found in _CLUSTER.finditer(told):
        if not _values(found) & given:
            return found.group()
    words = sorted(facts.in_words(told, parts=False))
    return next((f"{value:g}" for value in words if value > 10 and value not in given), "")


def _values(number: re.Match[str]) -> set[float]:
    """The possible values of a number: thousands and decimal separators differ between languages, and 5m is a length or five
    million."""
    plain = re.sub(r"['\u2019\u00a0\u202f ]", "", number[1])
    found = set()
    for thousands, decimal in (",.", ".,"):
        t, d = re.escape(thousands), re.escape(decimal)
        if re.fullmatch(rf"\d{{1,3}}(?:{t}\d{{3}})+(?:{d}\d+)?|\d+(?:{d}\d+)?", plain):
            found.add(float(plain.replace(thousands, "").replace(decimal, ".")))
    if not number[2]:
        return found
    scaled = {round(value * _SCALES[number[2].lower()], 6) for value in found}
    return scaled if len(number[2]) > 2 else scaled | found


def invented_name(text: str, passage: str, language: str, ordinary: set[str]) -> str:
    """The first name that is not in the passage, or an empty string.

    A name is a capitalised word within a sentence, or a word in capitals. At the start of a sentence, it is a word that
    never occurs in lower case; this is checked only in English and outside tables. In languages that capitalise every noun,
    only words with several capitals are checked.
    """
    known = set().union(*(_stems(word) for word in _WORD.findall(passage)))
    usual = ordinary | _OPENERS | COMMON | {word for word in _WORD.findall(text) if word.islower()}
    lines = CODE.sub("", text).split("\n")
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        cells = line.startswith("|")
        heading = bool(_HEADING.match(line)) or (cells and bool(_RULE.fullmatch(following)))
        line = _NUMBERED.sub("", _LABEL.sub("", line))
        for found in _WORD.finditer(line):
            word = _CONTRACTED.sub("", found.group())
            low = word.lower()
            if word.islower() or len(word) < 2 or _stems(word) & known or facts.in_words(low):
                continue
            if sum(map(str.isupper, word)) > 1 and low not in usual and "-" not in word:
                return word
            if heading or language in NOUN_CAPITALS or not word[0].isupper():
                continue
            if not _SENTENCE_START.search(line[: found.start()]):
                return word
            usual_here = low in usual or low.endswith(_USUAL_ENDINGS)
            if language == ENGLISH and not cells and not usual_here:
                return word
    return ""


def _stems(word: str) -> set[str]:
    """A word in lower case, its parts, and each without endings: Newton and Newtonian share one, as do Sweden and Swedish."""
    words = {_CONTRACTED.sub("", part.lower()) for part in (word, *re.split(r"[-'\u2019]", word)) if len(part) > 1}
    return words | {
        part.removesuffix(end)
        for part in words
        for end in _ENDINGS
        if part.endswith(end) and (len(part) - len(end) >= 4 or end == "s")
    }


def ordinary_words(texts: Iterable[str], most: int = 300_000) -> set[str]:
    """The words that occur in lower case in some of the texts, until there are more than `most`."""
    words: set[str] = set()
    for text in texts:
        words.update(word for word in _WORD.findall(text) if word.islower())
        if len(words) > most:
            break
    return words
