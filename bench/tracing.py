"""Traces in a project with many runs and documents: CPU seconds of each direction and of the spans of a text.

    python -m bench.tracing [--runs 200] [--documents 1000000] [--token-sets 4] [--json FILE] [--markdown]

Makes the project with `bench.traced_project`, and runs `phiforge trace` as a new process each time: the first time, when every dvc.lock
is parsed, and again. Then makes the suffix array of 2.8 million tokens in their natural frequencies, and looks up texts of 300 tokens.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from bench.common import ROOT, Report, Row, machine, parser, run
from bench.traced_project import QUESTION, Made, make
from components.tracing.spans import _native, maximal

TOKENS, PROMPT, VOCABULARY = 2_800_000, 300, 2048
SECONDS, SPAN_SECONDS = 3.0, 0.05


def starts(made: Made) -> dict[str, str]:
    """What is traced, by its kind."""
    return {
        "version": f"models:/phiforge/{len(made.keys)}",
        "alias": "champion",
        "question": QUESTION,
        "run": made.flow_runs[len(made.keys) // 2],
        "report": "reports/final",
        "document": made.ids[7],
        "source": "https://site3.example",
        "licence": "CC-BY-4.0",
        "teacher": "procedural",
    }


def measure(project: Path, what: str) -> float:
    """CPU seconds of one command, with the start of Python."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run([sys.executable, "-m", "flows.trace", what, "--json"], PHIFORGE_HOME=str(project), PYTHONPATH=str(ROOT))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def spans(folder: Path) -> Row:
    """Seconds to make the array of Zipf-distributed tokens, its bytes, and median seconds for the spans of a text."""
    rng = np.random.default_rng(1)
    tokens = (rng.zipf(1.2, TOKENS) % VOCABULARY).astype("<u2")
    tokens.tofile(folder / "tokens")
    began = time.process_time()
    index = _native().MemmapIndex.build(str(folder / "tokens"), str(folder / "index"), vocab=VOCABULARY)
    built, seconds = time.process_time() - began, []
    for _ in range(20):
        cuts = rng.integers(0, TOKENS - 30, PROMPT // 30)
        text = np.concatenate([tokens[cut : cut + 30] for cut in cuts]).tolist()  # a text of ten verbatim pieces
        began = time.process_time()
        list(maximal(text, index.contains))
        seconds.append(time.process_time() - began)
    return {"build_s": built, "bytes": (folder / "index").stat().st_size, "spans_s": median(seconds)}


def main() -> int:
    made_parser = parser(__doc__)
    made_parser.add_argument("--runs", type=int, default=200)
    made_parser.add_argument("--documents", type=int, default=1_000_000)
    made_parser.add_argument("--token-sets", type=int, default=4, help="token sets that the runs share")
    given = made_parser.parse_args()
    settings = {"runs": given.runs, "documents": given.documents, "token sets": given.token_sets}
    report = Report("Traces", machine() | settings)
    with tempfile.TemporaryDirectory() as place:
        project = Path(place) / "project"
        project.mkdir()
        made = make(project, given.runs, given.documents, given.token_sets)
        rows = {}
        for name, what in {"first of all": "champion", **starts(made)}.items():
            rows[name] = {"seconds": measure(project, what)}
        slowest = max(row["seconds"] for name, row in rows.items() if name != "first of all")
        report.table_of("CPU seconds of `phiforge trace`", {"seconds": "CPU s"}, rows)
        found = spans(Path(place))
    report.table_of(
        "Spans of a text", {"build_s": "array, CPU s", "bytes": "bytes", "spans_s": "text, CPU s"}, {"spans": found}
    )
    report.target("slowest trace, CPU seconds", slowest, SECONDS, at_least=False)
    report.target("spans of a text, CPU seconds", found["spans_s"], SPAN_SECONDS, at_least=False)
    report.measurements = {"traces": rows, "spans": found}
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
