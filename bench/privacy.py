"""Personal data and secrets: precision and recall on a labelled set, and speed beside datatrove's PIIFormatter.

    python -m bench.privacy [--documents DIR] [--rounds 5]

The labelled set is tests/components/curation/privacy_cases.yaml, of our own writing. A span counts as found if its kind
and both its borders are right. What is found and not labelled is wrong, whether or not a trap stands there.

The speed is megabytes of text a CPU second of one thread, on ordinary text that both go over in turn: the documents of
a folder, or else the running interpreter's library and language reference. datatrove looks for e-mail and internet
addresses alone; ours looks for six kinds, and is also measured on those two. datatrove has no labelled set of its own,
so it is not scored on ours.
"""

import hashlib
import re
import string
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.common import ROOT, Report, in_turn, machine, missing_peer, parser, rate_rows
from bench.texts import docstrings, reference, sources
from components.curation.privacy.redact import find, redact
from components.params.privacy import PrivacyParams

CASES = ROOT / "tests" / "components" / "curation" / "privacy_cases.yaml"
ALL = ["email", "phone", "ip", "card", "iban", "key"]
_MARK = re.compile(r"\[\[(-?)(email|phone|ip|card|iban|key)\|(.*?)\]\](?!\])", re.S)
_MADE = re.compile(r"\{(\d+)([Uh]?)\}")
_LETTERS = {
    "": string.ascii_letters + string.digits,
    "U": string.ascii_uppercase + string.digits,
    "h": "0123456789abcdef",
}


@dataclass(frozen=True)
class Case:
    """A text, its labelled spans (start, end, kind of data), and the stretches that only look like one."""

    kind: str
    text: str
    spans: tuple[tuple[int, int, str], ...]
    traps: tuple[tuple[int, int, str], ...]


def cases(path: Path = CASES) -> Iterator[Case]:
    """The labelled set, with its keys made."""
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
    """A key after its pattern: `{N}` stands for N invented characters, and " + " is cut out."""

    def invented(match: re.Match[str]) -> str:
        letters, size = _LETTERS[match[2]], int(match[1])
        stream = hashlib.shake_256(f"{seed}.{match.start()}".encode()).digest(size)
        return "".join(letters[byte % len(letters)] for byte in stream)

    return _MADE.sub(invented, pattern.replace(" + ", " " if "PRIVATE" in pattern else ""))


def score(params: PrivacyParams) -> dict[str, Counter[str]]:
    """By kind of data: labelled, traps, found, right."""
    table: dict[str, Counter[str]] = {data: Counter() for data in ALL}
    for case in cases():
        found = find(case.text, case.kind, params)
        for _, _, data in case.spans:
            table[data]["labelled"] += 1
        for _, _, data in case.traps:
            table[data]["traps"] += 1
        for span in found:
            table[span.data]["found"] += 1
            table[span.data]["right"] += tuple(span) in case.spans
    return table


def everything() -> PrivacyParams:
    """All kinds of data in all kinds of documents, so that traps for each stand in code too."""
    return PrivacyParams(redact={kind: ALL for kind in ("web", "prose", "code")})


def ordinary(folder: Path | None) -> list[tuple[str, str]]:
    """Texts and their kinds."""
    if folder:
        from components.documents import read_batches

        batches = read_batches(folder, columns=["text", "kind"])
        return [row for b in batches for row in zip(b["text"].to_pylist(), b["kind"].to_pylist(), strict=True)]
    code = [(text, "code") for text in sources()]
    return [*code, *((text, "prose") for text in (*docstrings(), *reference().values()))]


def main() -> int:
    options = parser(__doc__, rounds=5)
    options.add_argument("--documents", type=Path, help="folder of documents to measure the speed on")
    given = options.parse_args()
    report = Report("Personal data and secrets", machine(1))
    table = score(everything())
    rows = [[data, *row_of(counts)] for data, counts in (table | {"all": sum(table.values(), Counter())}).items()]
    report.table("Found", ["data", "labelled", "traps", "found", "precision", "recall"], rows)
    texts = ordinary(given.documents)
    size = sum(len(text.encode("utf-8", "replace")) for text, _ in texts) / 1e6
    default, two = PrivacyParams(), PrivacyParams(redact={kind: ["email", "ip"] for kind in ("web", "prose", "code")})
    ways: dict[str, Callable[[], int]] = {
        "ours, e-mail and ip": lambda: sum(redact(text, "web", two)[1].total() for text, _ in texts),
        "ours, default": lambda: sum(redact(text, kind, default)[1].total() for text, kind in texts),
        "ours, all kinds as web": lambda: sum(redact(text, "web", default)[1].total() for text, _ in texts),
    }
    if reason := missing_peer("datatrove"):
        report.note(reason)
    else:
        from datatrove.pipeline.formatters import PIIFormatter

        formatter = PIIFormatter()
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
