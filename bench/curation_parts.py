"""The whole step of curation on real web text: MB per CPU second, first and again, and the time of each part.

    python -m bench.curation_parts [--documents FILE.jsonl.gz ...] [--times 1 4] [--floor 2.5]

The documents are of the kind web, curated with the defaults by one worker in its own process. *Cold* starts without kept work;
*again* finds all of it except the result, as after a change of a threshold. CPU seconds are those of the whole process, including
its start and imports. In larger corpora, one in four words of each further copy of a document is replaced by another word of the
same document, so that the copy is not a duplicate and still looks like text to the rules. The parts are timed by wrapping
functions; a part's time excludes that of the parts that it calls. Without files the texts are the reference pages and docstrings
of the running Python, which are not web text, so the figures mean little.
"""

import contextlib
import functools
import importlib
import random
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.common import Report, Row, cpu_seconds, in_a_process, machine, parse, parser
from bench.curation import run_step
from bench.texts import docstrings, reference, rows

# The timed parts: module below components.curation, function, name in the table.
PARTS = (
    ("clean", "read_rows", "read"),
    ("main_languages", "read_rows", "read"),
    ("clean", "repair", "repair"),
    ("clean", "language.verdicts", "language"),
    ("main_languages", "identify", "language"),
    ("scoring", "identify", "language"),
    ("clean", "first_failure", "rules on characters and lines"),
    ("clean", "web.gopher_figures", "rules: Gopher"),
    ("clean", "web.c4_figures", "rules: C4"),
    ("clean", "web.fineweb_figures", "rules: FineWeb"),
    ("clean", "redact", "personal data"),
    ("clean", "BenchmarkIndex.find", "decontamination"),
    ("clean", "sketch", "sketches"),
    ("increment", "clean", "cleaning, the rest"),
    ("increment", "without_repeated", "passages"),
    ("increment", "learn", "educational value: learn"),
    ("increment", "score", "educational value: score"),
    ("increment", "find", "near-duplicates"),
    ("increment", "_write", "write"),
    ("increment", "_shown", "data page: samples"),
    ("increment", "token_rates", "data page: tokens"),
    ("curate", "_write_report", "data page: write"),
)


class Stopwatch:
    """CPU time of parts that call each other, each without the time of the parts that it calls."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running = ["start and the rest"]
        self._since = 0.0  # in CPU time of the process, so that its start is counted

    def wrap(self, owner: Any, name: str, label: str) -> None:
        function = getattr(owner, name)

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self.timing(label):
                return function(*arguments, **named)

        setattr(owner, name, timed)

    @contextlib.contextmanager
    def timing(self, label: str) -> Iterator[None]:
        self._running.append(label)
        self._charge(-2)
        try:
            yield
        finally:
            self._charge(-1)
            self._running.pop()

    def stop(self) -> dict[str, float]:
        self._charge(-1)
        return dict(self.seconds)

    def _charge(self, place: int) -> None:
        now = time.process_time()
        self.seconds[self._running[place]] += now - self._since
        self._since = now


def child(spec: Row) -> Row:
    """The step in this process."""
    watch = Stopwatch()
    for module, path, label in PARTS:
        *owners, name = path.split(".")
        imported = importlib.import_module(f"components.curation.{module}")
        watch.wrap(functools.reduce(getattr, owners, imported), name, label)
    figures = run_step(Path(spec["folder"]), ["engine.kind=serial", *spec["settings"]])
    parts = watch.stop()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"kept": figures["documents_kept"], "cpu": cpu_seconds(), "peak": peak, "parts": parts}


def varied(texts: Sequence[str], times: int, seed: int = 1) -> Iterator[str]:
    """The texts, and copies of them in which some words are replaced."""
    draw = random.Random(seed)
    for number in range(times):
        for text in texts:
            lines = [line.split(" ") for line in text.split("\n")]
            words = [word for line in lines for word in line if word]
            if number:
                lines = [
                    [draw.choice(words) if word and draw.random() < 0.25 else word for word in line] for line in lines
                ]
            yield "\n".join(" ".join(line) for line in lines)


def measure(texts: Sequence[str], times: int, settings: Sequence[str]) -> dict[str, Row]:
    """A cold run and another one, on `times` copies of the texts."""
    from components.documents import Document, DocumentWriter

    with tempfile.TemporaryDirectory(prefix="curation-") as folder:
        size = 0
        with DocumentWriter(Path(folder) / "raw") as writer:
            for number, text in enumerate(varied(texts, times)):
                writer.write(Document(text, "web", f"https://site{number % 97}.example/{number}", "unknown", "bench"))
                size += len(text.encode("utf-8", "surrogatepass"))
        found = {}
        for name in ("cold", "again"):
            spec = {"folder": folder, "settings": list(settings)}
            row = in_a_process("bench.curation_parts", spec, POLARS_MAX_THREADS="1", OMP_NUM_THREADS="1")
            found[f"{size / 1e6:.1f} MB, {name}"] = row | {
                "rate": size / 1e6 / row["cpu"],
                "documents": len(texts) * times,
            }
    return found


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--documents", type=Path, nargs="*", default=[], metavar="FILE")
    options.add_argument("--times", type=int, nargs="+", default=[1, 4], help="sizes of the corpus, in copies")
    options.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    options.add_argument("--floor", type=float, default=2.5, help="expected MB per CPU second of a cold run")
    given = parse(options, child)
    texts = [row["text"] for path in given.documents for row in rows(path)] or [*reference().values(), *docstrings()]
    found: dict[str, Row] = {}
    for times in given.times:
        found |= measure(texts, times, given.settings)
    report = Report("Curation of web text", machine(1))
    columns = {"documents": "documents", "kept": "kept", "cpu": "CPU s", "rate": "MB/CPU s", "peak": "peak MB"}
    report.table_of("The whole step", columns, found)
    parts = sorted({part for row in found.values() for part in row["parts"]}, key=_of_last(found))
    table = [[part, *(row["parts"].get(part, 0.0) for row in found.values())] for part in parts]
    report.table("CPU seconds of each part", ["", *found], table)
    cold = [row for name, row in found.items() if name.endswith("cold")]
    report.target("MB per CPU second, cold", cold[-1]["rate"], given.floor)
    report.target("peak MB", max(row["peak"] for row in found.values()), 1_000, at_least=False)
    report.measurements = found
    return report.finish(given)


def _of_last(found: dict[str, Row]) -> Callable[[str], float]:
    last = list(found.values())[-2]["parts"]
    return lambda part: -last.get(part, 0.0)


if __name__ == "__main__":
    sys.exit(main())
