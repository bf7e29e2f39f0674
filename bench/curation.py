"""The whole step of curation on generated corpora of growing size: CPU time, memory, disk.

    python -m bench.curation [--gigabytes 0.1 0.2 0.4] [--workers 1] [--folder DIR]

A corpus consists of sentences from the running Python's documentation and functions of its library, drawn by a seed: web, prose
and code documents of half a kB to 8 kB, of which a tenth are near-duplicates of earlier ones and a hundredth equal to one. It is
written and curated as a stream, with the defaults, except that the classifier of educational value need not reach its thresholds.
The step runs in its own process; its peak memory is the kernel's `ru_maxrss`, and that of its workers is reported separately.
"""

import contextlib
import itertools
import random
import re
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.common import ROOT, Report, Row, cpu_seconds, in_a_process, machine, parse, parser
from bench.texts import definitions, reference, sources

SETTINGS = ("min_f1=0", "min_spearman=-1", "max_calibration_error=5")  # of the classifier of educational value


def child(spec: Row) -> Row:
    """Run the step in this process; returns its figures and peaks of memory."""
    kind = "serial" if spec["workers"] == 1 else "processes"
    engine = [f"engine.kind={kind}", f"engine.workers={spec['workers']}"]
    figures = run_step(Path(spec["folder"]), [*engine, *(f"curation.education.{setting}" for setting in SETTINGS)])
    own, workers = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    row = {"documents": figures["documents_in"], "kept": figures["documents_kept"], "cpu": cpu_seconds()}
    return row | {"peak": own / 1e3, "worker": workers / 1e3}


def run_step(folder: Path, settings: Sequence[str]) -> Row:
    """Curate the documents in `raw` of a folder, with its `work` and all outputs beside it; returns the summary."""
    from components.curation import curate
    from components.params import load_params
    from components.tracking import Tracker

    params = load_params(ROOT / "params.yaml", list(settings))
    outputs = {
        "output": folder / "curated",
        "ledger": folder / "ledger.parquet",
        "report": folder / "report",
        "index": "",
    }
    with contextlib.redirect_stdout(sys.stderr):
        return curate.run({"documents": folder / "raw", "work": folder / "work"}, outputs, params, Tracker())


def sentences() -> list[str]:
    """Sentences of the language reference."""
    plain = (" ".join(part.split()) for text in reference().values() for part in re.split(r"\n\s*\n", text))
    found = (sentence for part in plain for sentence in re.findall(r"[A-Z][^.{}|]{40,240}\.(?= |$)", part))
    return sorted(set(found))


def functions() -> list[str]:
    """Functions of the library's modules."""
    found = {text.rstrip("\n") for source in sources() for node, text in definitions(source) if node.col_offset == 0}
    return sorted(text for text in found if text.startswith("def ") and 200 < len(text) < 4_000)


def documents(size: int, seed: int = 1) -> Iterator[tuple[str, str]]:
    """(Kind, text) of `size` bytes in all."""
    draw, prose, code = random.Random(seed), sentences(), functions()
    earlier: list[tuple[str, str]] = []
    made = 0
    while made < size:
        chance = draw.random()
        if chance < 0.11 and earlier:
            kind, text = draw.choice(earlier)
            if chance > 0.01:  # a near-duplicate: one word in a hundred is changed
                words = text.split(" ")
                for place in draw.sample(range(len(words)), max(1, len(words) // 100)):
                    words[place] = str(draw.randrange(10**6))
                text = " ".join(words)
        else:
            kind = draw.choice(("web", "prose", "code"))
            if kind == "code":
                text = "\n\n\n".join(draw.sample(code, draw.randint(2, 5))) + "\n"
            else:
                chosen = draw.sample(prose, draw.randint(8, 60))
                text = "\n\n".join(" ".join(chosen[at : at + 5]) for at in range(0, len(chosen), 5)) + "\n"
        if len(earlier) < 2_000:
            earlier.append((kind, text))
        else:
            earlier[draw.randrange(2_000)] = kind, text
        made += len(text)
        yield kind, text


def write(folder: Path, size: int) -> None:
    from components.documents import Document, DocumentWriter

    with DocumentWriter(folder) as writer:
        for number, (kind, text) in enumerate(documents(size)):
            writer.write(Document(text, kind, f"https://site{number % 97}.example/{number}", "CC0-1.0", "bench"))


def measure(size: float, workers: int, parent: Path | None) -> Row:
    """Figures of one size, in GB."""
    with tempfile.TemporaryDirectory(prefix="curation-", dir=parent) as folder:
        write(Path(folder) / "raw", int(size * 1e9))
        start = time.monotonic()
        spec = {"folder": folder, "workers": workers}
        row = in_a_process("bench.curation", spec, POLARS_MAX_THREADS="1", OMP_NUM_THREADS="1")
        used = sum(path.stat().st_size for path in (Path(folder) / "work").rglob("*") if path.is_file())
        row |= {"wall": time.monotonic() - start, "disk": used / 1e6, "rate": 1e3 * size / row["cpu"]}
        return row


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--gigabytes", type=float, nargs="+", default=[0.1, 0.2, 0.4])
    options.add_argument("--workers", type=int, default=1)
    options.add_argument(
        "--folder",
        type=Path,
        help="folder for the corpora, which are removed at the end (default: the system's temporary folder)",
    )
    given = parse(options, child)
    report = Report("Curation", machine() | {"workers": given.workers})
    rows = {size: measure(size, given.workers, given.folder) for size in given.gigabytes}
    columns = {"documents": "documents", "kept": "kept", "cpu": "CPU s", "rate": "MB/CPU s", "wall": "wall s"}
    columns |= {"peak": "peak MB", "worker": "worker MB", "disk": "disk MB"}
    report.table_of("By size", columns, {f"{size:g} GB": row for size, row in rows.items()})
    for (small, before), (large, after) in itertools.pairwise(rows.items()):
        growth = (after["cpu"] / large) / (before["cpu"] / small)
        slope = 1e6 * (after["peak"] - before["peak"]) / max(1, after["documents"] - before["documents"])
        report.note(
            f"{small:g} to {large:g} GB: CPU time per GB x {growth:.2f}, peak {slope:,.0f} bytes more per document"
        )
    report.measurements = rows
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
