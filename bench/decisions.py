"""A fixed sample of documents that curation keeps and drops, for reading.

    python -m bench.decisions --data DIR [--count 40] [--excerpt 400] [--kind web ...]

DIR has `corpora/` with web pages, stories, textbooks and labelled texts (gzip JSON lines); code is the installed Python
packages. Textbooks are judged by the rules for web pages too, which are the stricter ones. Documents are drawn by a hash of
their ids. Near duplicates, educational value and benchmarks are not looked at here.
"""

import gzip
import hashlib
import json
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench.common import parser

# Kind of the sample: kind of its documents, and where they are from
SETS = {
    "web": ("web", ["web/c4_*", "web/cc*", "web/warc*"]),
    "prose": ("prose", ["stories/*", "quality_labels/*", "web/masc*"]),
    "textbook": ("web", ["textbooks/*"]),
    "code": ("code", []),
}
FILES = 2_500  # of code


def texts(folder: Path, patterns: list[str]) -> Iterator[tuple[str, str]]:
    """(Text, where it is from)."""
    for path in sorted(file for pattern in patterns for file in (folder / "corpora").glob(f"{pattern}.jsonl.gz")):
        for number, line in enumerate(gzip.decompress(path.read_bytes()).splitlines()):
            yield json.loads(line)["text"], f"{path.name.partition('.')[0]}:{number}"


def code() -> Iterator[tuple[str, str]]:
    root = Path(sysconfig.get_path("purelib"))
    names = sorted((str(path.relative_to(root)) for path in root.rglob("*.py")), key=_draw)
    for name in names[:FILES]:
        yield (root / name).read_text(encoding="utf-8", errors="replace"), name


def _draw(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--count", type=int, default=40, help="number of kept and of dropped documents per kind")
    options.add_argument("--excerpt", type=int, default=400, help="shown characters per document")
    options.add_argument("--kind", choices=SETS, nargs="+", default=list(SETS))
    given = options.parse_args()
    from components.curation.clean import judge
    from components.documents import Document, Drop, document_id
    from components.params import CurationParams, LanguageParams

    params = CurationParams(language=LanguageParams(keep=["en"]))
    for name in given.kind:
        kind, patterns = SETS[name]
        found = texts(given.data, patterns) if patterns else code()
        rows = [Document(text, kind, source, "", "").row() for text, source in found]
        verdicts = [(row, verdict) for row in rows for verdict, _ in judge([row], params)]
        # Texts in other languages and very short ones need no reading.
        dropped = [
            (row, verdict)
            for row, verdict in verdicts
            if isinstance(verdict, Drop) and not verdict.rule.startswith(("language", "min_chars"))
        ]
        kept = [(row, verdict) for row, verdict in verdicts if not isinstance(verdict, Drop)]
        print(f"# {name}: {len(rows):,} documents, {len(kept):,} kept; dropped but for language and min_chars:")
        print(f"# {dict(Counter(verdict.rule for _, verdict in dropped).most_common())}")
        for label, group in (("KEPT", kept), ("DROPPED", dropped)):
            for row, verdict in sorted(group, key=lambda item: _draw(document_id(item[0]["text"])))[: given.count]:
                why = f" by {verdict.rule} ({verdict.detail})" if isinstance(verdict, Drop) else ""
                print(f"{label} {row['source']}, {len(row['text']):,} characters{why}")
                print("    " + " / ".join(row["text"][: given.excerpt].split("\n")))


if __name__ == "__main__":
    main()
