"""Personal data and secrets: precision and recall on labelled sets, and speed, beside datatrove's PIIFormatter.

    python -m bench.privacy [--documents DIR] [--rounds 5]

Labelled lines (tests/components/curation/privacy_lines/) contain personal data, or text that only looks like it, in the forms
of 13 countries: `ours` by the authors of the rules, `unseen` by someone who had not seen them. Labelled texts that also contain
keys are in tests/components/curation/privacy_cases.yaml. A span counts as found if its kind and both borders are right; any
other span is wrong. Each line is judged alone, so its language is identified from the line; allowed domains and networks are
the defaults. datatrove only finds e-mail and internet addresses.

The speed is in megabytes of text per CPU second of one thread. All contenders process the same ordinary text in turn: the
documents of a folder, or else the running interpreter's library and language reference. Ours is given the documents' language,
as in curation.
"""

import hashlib
import json
import re
import string
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.common import ROOT, Report, in_turn, machine, missing_peer, parser, rate_rows
from bench.texts import docstrings, documents_of, reference, sources
from components.curation.privacy.redact import find, redact
from components.params.privacy import PrivacyParams

CASES = ROOT / "tests" / "components" / "curation" / "privacy_cases.yaml"
LINES = ROOT / "tests" / "components" / "curation" / "privacy_lines"
HALVES = ("ours", "unseen")
ALL = ["email", "phone", "ip", "card", "iban", "key"]
Span = tuple[int, int, str]
Finder = Callable[[str], Iterable[Span]]
_MARK = re.compile(r"\[\[(-?)(email|phone|ip|card|iban|key)\|(.*?)\]\](?!\])", re.S)
_MADE = re.compile(r"\{(\d+)([Uh]?)\}")
_LETTERS = {
    "": string.ascii_letters + string.digits,
    "U": string.ascii_uppercase + string.digits,
    "h": "0123456789abcdef",
}


@dataclass(frozen=True)
class Case:
    """A text, its labelled spans (start, end, kind of data), and its traps, spans that only look like one."""

    kind: str
    text: str
    spans: tuple[Span, ...]
    traps: tuple[Span, ...]
    country: str = ""


def cases(path: Path = CASES) -> Iterator[Case]:
    """The labelled texts, with generated keys."""
    from ruamel.yaml import YAML

    for number, row in enumerate(YAML(typ="safe").load(path.read_text(encoding="utf-8"))):
        text, found, end = "", ([], []), 0
        for mark in _MARK.finditer(row["text"]):
            text += row["text"][end : mark.start()]
            start = len(text)
            text += made(mark[3], f"{number}.{mark.start()}") if mark[2] == "key" else mark[3]
            found[bool(mark[1])].append((start, len(text), mark[2]))
            end = mark.end()
        yield Case(row["kind"], text + row["text"][end:], tuple(found[0]), tuple(found[1]))


def made(pattern: str, seed: str) -> str:
    """A key from a pattern: `{N}` stands for N generated characters, and " + " is removed."""

    def invented(match: re.Match[str]) -> str:
        letters, size = _LETTERS[match[2]], int(match[1])
        stream = hashlib.shake_256(f"{seed}.{match.start()}".encode()).digest(size)
        return "".join(letters[byte % len(letters)] for byte in stream)

    return _MADE.sub(invented, pattern.replace(" + ", " " if "PRIVATE" in pattern else ""))


def lines(half: str) -> Iterator[Case]:
    """One half of the labelled lines."""
    for line in (LINES / f"{half}.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield Case("prose", row["text"], tuple(map(tuple, row["spans"])), (), row["country"])


def score(labelled: Iterable[Case], finder: Finder | None = None) -> dict[str, Counter[str]]:
    """By kind of data: labelled, traps, found, right; by our rules or another finder."""
    table: dict[str, Counter[str]] = {data: Counter() for data in ALL}
    for case in labelled:
        found = finder(case.text) if finder else find(case.text, case.kind, everything())
        for _, _, data in case.spans:
            table[data]["labelled"] += 1
        for _, _, data in case.traps:
            table[data]["traps"] += 1
        for span in map(tuple, found):
            table[span[2]]["found"] += 1
            table[span[2]]["right"] += span in case.spans
    return {data: counts for data, counts in table.items() if counts}


def datatroves(formatter: Any) -> Finder:
    """A finder of the spans that datatrove's formatter replaces."""
    replacers = {"email": formatter.emails_replacer, "ip": formatter.ip_replacer}

    def spans(text: str) -> Iterator[Span]:
        for data, replacer in replacers.items():
            for match in replacer.regex.finditer(text):
                if not replacer.validator or replacer.validator(match[0]):
                    yield *match.span(), data

    return spans


def everything() -> PrivacyParams:
    """All kinds of data in all kinds of documents, so that traps of each kind are also tried in code."""
    return PrivacyParams(redact={kind: ALL for kind in ("web", "prose", "code")})


def ordinary(folder: Path | None) -> list[tuple[str, str]]:
    """Texts and their kinds."""
    if folder:
        return documents_of(folder)
    code = [(text, "code") for text in sources()]
    return [*code, *((text, "prose") for text in (*docstrings(), *reference().values()))]


def main() -> int:
    options = parser(__doc__, rounds=5)
    options.add_argument("--documents", type=Path, help="folder of documents to measure the speed on")
    given = options.parse_args()
    report = Report("Personal data and secrets", machine(1))
    sets = {"cases": list(cases()), **{half: list(lines(half)) for half in HALVES}}
    table = score(sets["cases"])
    rows = [[data, *row_of(counts)] for data, counts in (table | {"all": sum(table.values(), Counter())}).items()]
    report.table("Texts", ["data", "labelled", "traps", "found", "precision", "recall"], rows)
    reason = missing_peer("datatrove")
    if reason:
        report.note(reason)
    finders: dict[str, Finder | None] = {"": None}
    if not reason:
        from datatrove.pipeline.formatters import PIIFormatter

        formatter = PIIFormatter()
        finders["datatrove, "] = datatroves(formatter)
    both = [(who + half, score(sets[half], finder)) for who, finder in finders.items() for half in HALVES]
    rows = [[name, data, *row_of(counts)] for name, found in both for data, counts in found.items() if counts["found"]]
    report.table("Lines", ["half", "data", "labelled", "traps", "found", "precision", "recall"], rows)
    texts = ordinary(given.documents)
    size = sum(len(text.encode("utf-8", "replace")) for text, _ in texts) / 1e6
    default, two = PrivacyParams(), PrivacyParams(redact={kind: ["email", "ip"] for kind in ("web", "prose", "code")})
    ways: dict[str, Callable[[], int]] = {
        "ours, e-mail and ip": lambda: sum(redact(text, "web", two, "en")[1].total() for text, _ in texts),
        "ours, default": lambda: sum(redact(text, kind, default, "en")[1].total() for text, kind in texts),
        "ours, all kinds as web": lambda: sum(redact(text, "web", default, "en")[1].total() for text, _ in texts),
    }
    if not reason:
        ways["datatrove, e-mail and ip"] = lambda: sum(formatter.format(text) != text for text, _ in texts)
    seconds, found = in_turn(ways, given.rounds, warm=1)
    report.measurements = rate_rows(seconds, size)
    rows = [[name, *rate, found[name]] for name, rate in report.measurements.items()]
    columns = ["", "MB per CPU second", "ours is x, on e-mail and ip", "spans (datatrove: texts changed)"]
    report.table(f"{len(texts):,} texts, {size:.1f} MB", columns, rows)
    return report.finish(given)


def row_of(counts: Counter[str]) -> list[str]:
    precision = counts["right"] / counts["found"] if counts["found"] else float("nan")
    recall = counts["right"] / counts["labelled"] if counts["labelled"] else float("nan")
    return [*(str(counts[name]) for name in ("labelled", "traps", "found")), f"{precision:.3f}", f"{recall:.3f}"]


if __name__ == "__main__":
    sys.exit(main())
