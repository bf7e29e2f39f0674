"""The cost of a night that adds 1 % of new text to a crawl, compared with reading and curating all of it.

    python -m bench.nights [--megabytes 40] [--rounds 3] [--folder DIR]

The crawl is `bench.curation`'s generated text, as JSON lines in 100 files; each night adds one more. The steps are those of the
stages, called one after another in this process, with one worker: CPU seconds are of the work alone, without the start of a
process, which is the same for any corpus. A *night* has `ingestion.incremental` on. *Nothing new* is the same once more, which
DVC would not run. The *whole* is read and curated with it off, by a project that keeps nothing. Medians over the rounds.
"""

import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.common import ROOT, Report, Row, machine, parser
from bench.curation import documents

SETTINGS = (
    "engine.kind=serial",
    'ingestion.sources=[{"path": "../crawl"}]',
    "curation.education.min_f1=0",
    "curation.education.min_spearman=-1",
    "curation.education.max_calibration_error=5",
)
FILES = 100
Seconds = dict[str, float]


def main() -> int:
    options = parser(__doc__, threads=1, rounds=3)
    options.add_argument("--megabytes", type=float, default=40, help="size of the crawl")
    options.add_argument("--folder", type=Path, help="where the crawl is made for the time (default: temporary)")
    arguments = options.parse_args()
    os.environ |= {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    folder = Path(tempfile.mkdtemp(prefix="nights-", dir=arguments.folder))
    try:
        found = measure(folder, int(arguments.megabytes * 1e6), arguments.rounds)
    finally:
        shutil.rmtree(folder)
    return report(found, arguments.megabytes, arguments.rounds).finish(arguments)


def measure(folder: Path, size: int, rounds: int) -> dict[str, list[Seconds]]:
    """CPU seconds of each step: for all text, for nights, and without new text."""
    made = list(documents(size))
    each = len(made) // (FILES + rounds)
    files = [made[start : start + each] for start in range(0, each * (FILES + rounds), each)]
    (folder / "crawl").mkdir()
    for number, texts in enumerate(files[:FILES]):
        add(folder / "crawl", number, texts)
    run(folder / "nights", incremental=True)
    found: dict[str, list[Seconds]] = {"the whole": [], "a night": [], "nothing new": []}
    for number, texts in enumerate(files[FILES:], start=FILES):
        add(folder / "crawl", number, texts)
        for name in ("a night", "nothing new"):
            found[name].append(run(folder / "nights", incremental=True))
        found["the whole"].append(run(folder / f"whole-{number}", incremental=False))
    return found


def add(crawl: Path, number: int, texts: Sequence[tuple[str, str]]) -> None:
    """Write a file of the crawl."""
    with open(crawl / f"{number:05d}.jsonl", "w", encoding="utf-8") as file:
        for place, (kind, text) in enumerate(texts):
            source = f"https://site{place % 97}.example/{number}/{place}"
            file.write(json.dumps({"text": text, "kind": kind, "source": source}) + "\n")


def run(project: Path, incremental: bool) -> Seconds:
    """CPU seconds of each step in a project's folder."""
    project.mkdir(exist_ok=True)
    seconds = {}
    with contextlib.chdir(project), contextlib.redirect_stdout(None):
        for name, step in steps(incremental).items():
            before = time.process_time()
            step()
            seconds[name] = time.process_time() - before
    return seconds


def steps(incremental: bool) -> dict[str, Callable[[], object]]:
    """The steps up to the curated corpus, in the present folder."""
    from components.curation import curate
    from components.ingestion import ingest, inventory
    from components.params import load_params
    from components.tracking import Tracker
    from components.validation import validate

    params = load_params(ROOT / "params.yaml", [*SETTINGS, f"ingestion.incremental={str(incremental).lower()}"])
    listed, raw, curated = Path("inventory.json"), Path("raw"), Path("curated")
    outputs = {"output": curated, "ledger": Path("ledger.parquet"), "report": Path("report")}

    def gate(asset: str) -> Callable[[], object]:
        inputs = {"asset": asset, "input": Path(asset)}
        return lambda: validate.run(inputs, {"output": Path(f"gate-{asset}")}, params, Tracker())

    return {
        "inventory": lambda: inventory.run({}, {"output": listed}, params, Tracker()),
        "ingest": lambda: ingest.run({"inventory": listed}, {"output": raw}, params, Tracker()),
        "gate, raw": gate("raw"),
        "curate": lambda: curate.run({"documents": raw}, outputs, params, Tracker()),
        "gate, curated": gate("curated"),
    }


def report(found: dict[str, list[Seconds]], megabytes: float, rounds: int) -> Report:
    medians: dict[str, Row] = {
        what: {step: statistics.median(row[step] for row in rows) for step in rows[0]} for what, rows in found.items()
    }
    made = Report("A night of 1 % new text", machine(1) | {"megabytes": megabytes, "rounds": rounds})
    for row in medians.values():
        row["inventory to curate, without gates"] = sum(row[name] for name in ("inventory", "ingest", "curate"))
    names = list(medians["a night"])
    made.table("CPU seconds", ["", *names], [[label, *(row[name] for name in names)] for label, row in medians.items()])
    whole, night = medians["the whole"], medians["a night"]
    made.table("A night, of the whole", ["", *names], [["", *(f"{night[name] / whole[name]:.1%}" for name in names)]])
    made.measurements = found
    return made


if __name__ == "__main__":
    sys.exit(main())
