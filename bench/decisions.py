"""Documents that curation keeps and drops by its default parameters, to be judged by a reader who does not see the decision.

    python -m bench.decisions draw --data DIR --output DIR [--seed 0] [--count 40] [--kind web ...] [--without DIR]
    python -m bench.decisions compare --output DIR --judgments FILE

`draw` curates each kind separately and writes `texts.md` (the drawn documents, numbered, kept and dropped ones mixed) and
`decisions.jsonl`. Read the first and write one line `NUMBER keep|drop [reason]` per document; `compare` prints the agreement.

DIR contains `corpora/` with web pages, stories, textbooks and labelled texts (gzip JSON lines); code is that of the installed
Python packages. Textbooks are judged as web pages, by the strictest rules. Documents dropped for their language, as duplicates,
as contaminated or because they are too short are not drawn: a reader of the text alone cannot judge that.
"""

import hashlib
import json
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.common import parser
from bench.texts import rows

# By name of the sample: kind of its documents, and patterns of their files
SETS = {
    "web": ("web", ["web/c4_*", "web/cc*", "web/warc*"]),
    "prose": ("prose", ["stories/*", "quality_labels/*", "web/masc*"]),
    "textbook": ("web", ["textbooks/*"]),
    "code": ("code", []),
}
DECISIONS = "decisions.jsonl"
FILES = 1_500  # of code
NOT_JUDGED = ("language", "min_chars", "exact_duplicate", "near_duplicate", "contaminated")  # rules, by their beginning
START, MIDDLE = 1_500, 600  # characters shown

Row = dict[str, Any]


def texts(folder: Path, patterns: list[str]) -> Iterator[tuple[str, str]]:
    """(Text, its source)."""
    for path in sorted(file for pattern in patterns for file in (folder / "corpora").glob(f"{pattern}.jsonl.gz")):
        for number, row in enumerate(rows(path)):
            yield row["text"], f"{path.name.partition('.')[0]}:{number}"


def code(seed: int) -> Iterator[tuple[str, str]]:
    root = Path(sysconfig.get_path("purelib"))
    names = sorted((str(path.relative_to(root)) for path in root.rglob("*.py")), key=lambda name: _draw(seed, name))
    for name in names[:FILES]:
        yield (root / name).read_text(encoding="utf-8", errors="replace"), name


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def decisions(kind: str, found: list[tuple[str, str]]) -> Iterator[Row]:
    """Each text with the decision of the curation step on it."""
    from components.documents import Document, DocumentWriter, read_ledger

    with tempfile.TemporaryDirectory() as folder:
        with DocumentWriter(Path(folder, "raw")) as writer:
            for text, source in found:
                writer.write(Document(text, kind, source, "", ""))
        out = {name: f"{folder}/{name}" for name in ("output", "report", "work")} | {"ledger": f"{folder}/l.parquet"}
        options = [word for name, path in out.items() for word in (f"--{name}", path)]
        run = [sys.executable, "-m", "components.curation", "--documents", f"{folder}/raw", *options]
        subprocess.run(run, check=True, stdout=sys.stderr)
        drops = {drop.source: drop for drop in read_ledger(Path(out["ledger"]))}
    for text, source in found:
        drop = drops.get(source)
        rule, detail = (drop.rule, drop.detail) if drop else ("", None)
        yield {"source": source, "text": text, "kept": not drop, "rule": rule, "detail": detail}


def draw(data: Path, output: Path, seed: int, count: int, kinds: list[str], without: Path | None) -> None:
    output.mkdir(parents=True, exist_ok=True)
    read = {row["source"] for row in rows(without / DECISIONS)} if without else set()
    drawn = []
    for name in kinds:
        kind, patterns = SETS[name]
        decided = list(decisions(kind, list(texts(data, patterns) if patterns else code(seed))))
        dropped = [row for row in decided if not row["kept"] and not row["rule"].startswith(NOT_JUDGED)]
        kept = [row for row in decided if row["kept"]]
        print(f"{name}: {len(decided):,} documents, {len(kept):,} kept, dropped:", Counter(r["rule"] for r in dropped))
        for side in (kept, dropped):
            fresh = [row for row in side if row["source"] not in read]
            chosen = sorted(fresh, key=lambda row: _draw(seed, row["source"]))[:count]
            drawn += [row | {"set": name} for row in chosen]
    drawn.sort(key=lambda row: (kinds.index(row["set"]), _draw(seed + 1, row["source"])))
    with open(output / "texts.md", "w") as shown, open(output / DECISIONS, "w") as file:
        for number, row in enumerate(drawn):
            text = row.pop("text")
            file.write(json.dumps({"number": number} | row) + "\n")
            print(f"=== {number} {row['set']}, {len(text):,} characters\n{_excerpt(text)}", file=shown)


def _excerpt(text: str) -> str:
    middle = max(START, len(text) // 2 - MIDDLE // 2)
    rest = text[middle : middle + MIDDLE]
    return text[:START] + (f"\n[...]\n{rest}" if rest else "")


def compare(output: Path, judgments: Path) -> None:
    from scipy.stats import binomtest

    said = {}
    for line in judgments.read_text().splitlines():
        number, verdict, *words = line.split(maxsplit=2)
        if verdict not in ("keep", "drop"):
            raise SystemExit(f"{judgments}: {line!r}; expected NUMBER keep|drop [reason]")
        said[int(number)] = verdict == "keep", " ".join(words)
    judged = [row for row in rows(output / DECISIONS) if row["number"] in said]
    print("| kind | side | read | agreed | agreement (95%) |\n|---|---|--:|--:|--:|")
    groups = [(name, kept) for name in SETS for kept in (True, False)]
    for name, kept in [*groups, (None, None)]:
        own = [row for row in judged if name is None or (row["set"], row["kept"]) == (name, kept)]
        agreed = sum(said[row["number"]][0] == row["kept"] for row in own)
        if not own:
            continue
        low, high = binomtest(agreed, len(own)).proportion_ci(method="wilson")
        side = {True: "kept", False: "dropped", None: ""}[kept]
        share = f"{agreed / len(own):.0%} ({low:.0%} to {high:.0%})"
        print(f"| {name or 'all'} | {side} | {len(own)} | {agreed} | {share} |")
    for row in judged:
        keep, reason = said[row["number"]]
        if keep != row["kept"]:
            decision = f"{row['rule'] or 'kept'} ({row['detail']})"
            print(f"{row['number']} {row['set']} {row['source']}: {decision}; reader: {reason}")


def main() -> None:
    options = parser(__doc__)
    options.add_argument("action", choices=["draw", "compare"])
    options.add_argument("--data", type=Path, help="folder of corpora")
    options.add_argument("--output", type=Path, required=True, help="folder for the drawn texts and the decisions")
    options.add_argument("--judgments", type=Path, help="file of the reader's verdicts")
    options.add_argument("--seed", type=int, default=0, help="seed of the sample")
    options.add_argument("--count", type=int, default=40, help="number of kept and of dropped documents per kind")
    options.add_argument("--kind", choices=SETS, nargs="+", default=list(SETS))
    options.add_argument("--without", type=Path, help="folder of an earlier draw, whose documents are not drawn again")
    given = options.parse_args()
    if given.action == "draw":
        draw(given.data, given.output, given.seed, given.count, given.kind, given.without)
    else:
        compare(given.output, given.judgments)


if __name__ == "__main__":
    main()
