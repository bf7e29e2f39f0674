"""The results of `make run TEXT=FOLDER` on folders of text: minutes, kept documents, shares of training tokens, bits per byte.

    python -m bench.own_text CORPUS [CORPUS ...] [--run ARGUMENT ...] [--keep FOLDER] [--markdown] [--json FILE]

Runs that command for each corpus, one after the other, in the current folder, and reads the report of the run. CPU time is that
of the command and of all processes that it has started and waited for, so it is valid on a busy machine. Sizes depend on the
cores for the benchmark: `taskset -c 0 python -m bench.own_text ...` limits it to one. `--keep` writes the output of each run to
FOLDER/NAME.log. A run that fails or is refused has a row with the reason.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from bench.common import ROOT, Report, Row, machine, parser
from components.documents import GENERATED
from components.reporting.baselines import UNIGRAM, XZ

COLUMNS = (
    "corpus",
    "CPU min",
    "wall min",
    "documents read",
    "kept",
    "own share of tokens",
    "large, bits per byte",
    "xz",
    "unigram",
    "outcome",
)
REPORT_LINE = re.compile(r"^ *the report +(.+)index\.html$", re.MULTILINE)


def main() -> int:
    options = parser(__doc__)
    options.add_argument("corpora", type=Path, nargs="+", metavar="CORPUS", help="file or folder of text")
    options.add_argument(
        "--run", default="", metavar="ARGUMENTS", help="further arguments of the run, such as '--size 0.3M'"
    )
    options.add_argument("--keep", type=Path, metavar="FOLDER", help="folder for the output of the runs")
    arguments = options.parse_args()
    report = Report("Runs on own text", machine() | {"cores of the run": len(os.sched_getaffinity(0))})
    rows = []
    for corpus in arguments.corpora:
        rows.append(measure(corpus.resolve(), arguments.run, arguments.keep))
        print(f"  {rows[-1]}", file=sys.stderr, flush=True)
    report.table("make run TEXT=CORPUS", list(COLUMNS), [[row.get(name) for name in COLUMNS] for row in rows])
    report.target("runs that failed", sum(row["outcome"].startswith("failed") for row in rows), 0, at_least=False)
    report.measurements = rows
    return report.finish(arguments)


def measure(corpus: Path, further: str, keep: Path | None) -> Row:
    """Run the command on a corpus; its row."""
    command = ["make", "--no-print-directory", "run", f"TEXT={corpus}", f"ARGS={further}"]
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = process.stdout.read().decode(errors="replace")
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{corpus.name}.log").write_text(said, encoding="utf-8")
    row = {
        "corpus": corpus.name,
        "CPU min": (used.ru_utime + used.ru_stime) / 60,
        "wall min": (time.monotonic() - started) / 60,
    }
    if process.returncode:
        return row | {"outcome": failure(said)}
    folder = REPORT_LINE.findall(said)[-1]
    return row | figures(json.loads((ROOT / folder / "leaderboard.json").read_text(encoding="utf-8")))


def failure(said: str) -> str:
    """Whether a run was refused before any work, except for listing files, or failed later; and its last error."""
    errors = re.findall(r"^error: (.*)$", said, re.MULTILINE)
    worked = re.search(r"^(?!inventory)\S+: (done|restored|failed) \(", said, re.MULTILINE)
    return f"{'failed' if worked or not errors else 'refused'}: {errors[-1] if errors else said.strip()[-200:]}"


def figures(board: Row) -> Row:
    """The columns from the leaderboard of a finished run."""
    text = board["text"]
    tokens = text["training"]["by_kind"]
    bits = {cost["by"]: cost["bits_per_byte"] for cost in (text["held_out"] or {"costs": []})["costs"]}
    return {
        "documents read": text["documents"]["read"],
        "kept": text["documents"]["kept"],
        "own share of tokens": sum(n for kind, n in tokens.items() if kind not in GENERATED) / sum(tokens.values()),
        "large, bits per byte": bits.get("large"),
        "xz": bits.get(XZ),
        "unigram": bits.get(UNIGRAM),
        "outcome": "done",
    }


if __name__ == "__main__":
    sys.exit(main())
