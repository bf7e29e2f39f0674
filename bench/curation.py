"""The whole step of curation on generated corpora of growing size: CPU time, memory, disk.

    python -m bench.curation [--gigabytes 0.1 0.2 0.4] [--workers 1] [--folder DIR]

A corpus is made of sentences of the running Python's documentation and of its library's functions, drawn by a seed: documents
of half a kB to 8 kB, web, prose and code, a tenth of them near-duplicates of earlier ones and a hundredth equal to one. It is written
and curated as streams, with the defaults, but that the classifier of educational value need not reach its thresholds. The step runs in a process of its
own; its peak is what the kernel tells of it (`ru_maxrss`), that of its workers is told apart.
"""

import ast
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from pydoc_data import topics

from bench.common import ROOT, plain_parser

# The step in a process: its figures and its peaks in memory as the last line.
STEP = """
import json, resource, sys
from pathlib import Path
from components.curation import curate
from components.params import load_params
from components.tracking import Tracker
folder = Path(sys.argv[1])
params = load_params(Path("params.yaml"), ["engine.kind=" + ("serial" if sys.argv[2] == "1" else "processes"),
    "engine.workers=" + sys.argv[2], "curation.education.min_f1=0", "curation.education.min_spearman=-1",
    "curation.education.max_calibration_error=5"])
outputs = {"output": folder / "curated", "ledger": folder / "ledger.parquet", "report": folder / "report", "index": ""}
figures = curate.run({"documents": folder / "raw", "work": folder / "work"}, outputs, params, Tracker())
usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({"in": figures["documents_in"], "kept": figures["documents_kept"],
    "cpu": sum(one.ru_utime + one.ru_stime for one in usage), "peak": usage[0].ru_maxrss, "worker": usage[1].ru_maxrss}))
"""


def sentences() -> list[str]:
    """Sentences of the language reference."""
    text = "\n\n".join(topics.topics.values())
    plain = (" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text))
    found = (sentence for part in plain for sentence in re.findall(r"[A-Z][^.{}|]{40,240}\.(?= |$)", part))
    return sorted(set(found))


def functions() -> list[str]:
    """Functions of the library's modules."""
    found: set[str] = set()
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        nodes = (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))
        found.update(ast.get_source_segment(text, node) or "" for node in nodes)
    return sorted(part for part in found if 200 < len(part) < 4_000)


def documents(size: int, seed: int = 1) -> Iterator[tuple[str, str]]:
    """(Kind, text) of `size` bytes in all."""
    draw, prose, code = random.Random(seed), sentences(), functions()
    earlier: list[tuple[str, str]] = []
    made = 0
    while made < size:
        chance = draw.random()
        if chance < 0.11 and earlier:
            kind, text = draw.choice(earlier)
            if chance > 0.01:  # near: a word in a hundred is another one
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


def measure(size: float, workers: int, parent: Path | None) -> dict[str, float]:
    """Figures of one size, in GB."""
    folder = Path(tempfile.mkdtemp(prefix="curation-", dir=parent))
    try:
        write(folder / "raw", int(size * 1e9))
        environment = os.environ | {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", STEP, str(folder), str(workers)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(done.stderr[-2_000:])
        figures = json.loads(done.stdout.splitlines()[-1])
        used = sum(path.stat().st_size for path in (folder / "work").rglob("*") if path.is_file())
        return figures | {"wall": time.monotonic() - start, "disk": used / 1e6, "gigabytes": size}
    finally:
        shutil.rmtree(folder)


def main() -> None:
    options = plain_parser(__doc__)
    options.add_argument("--gigabytes", type=float, nargs="+", default=[0.1, 0.2, 0.4])
    options.add_argument("--workers", type=int, default=1)
    options.add_argument("--folder", type=Path, help="where the corpora are made for the time (default: temporary)")
    given = options.parse_args()
    names = ("GB", "documents", "kept", "CPU s", "MB/CPU s", "wall s", "peak MB", "worker MB", "disk MB")
    print("".join(f"{name:>11}" for name in names), flush=True)
    rows = []
    for size in given.gigabytes:
        row = measure(size, given.workers, given.folder)
        rows.append(row)
        print(
            f"{size:>11.2f}{row['in']:>11,}{row['kept']:>11,}{row['cpu']:>11,.0f}{1e3 * size / row['cpu']:>11.2f}"
            f"{row['wall']:>11,.0f}{row['peak'] / 1e3:>11,.0f}{row['worker'] / 1e3:>11,.0f}{row['disk']:>11,.0f}",
            flush=True,
        )
    for small, large in itertools.pairwise(rows):
        growth = (large["cpu"] / large["gigabytes"]) / (small["cpu"] / small["gigabytes"])
        slope = 1024 * (large["peak"] - small["peak"]) / max(1, large["in"] - small["in"])
        print(
            f"{small['gigabytes']:g} to {large['gigabytes']:g} GB: CPU time a GB times {growth:.2f}, peak {slope:,.0f} "
            "bytes more a document"
        )


if __name__ == "__main__":
    main()
