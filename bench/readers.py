"""Reading sources: pages of HTML into main text, and each kind of file into documents.

    python -m bench.readers [--archive FILE.warc.gz] [--megabytes 20] [--repeats 3]

The pages are those of the archive, or the topics of the language reference of the running Python as pages with a menu and a
footer. The main text is extracted by resiliparse alone, as a lower bound; by our reader, which also detects the encoding, and
has a separate process for the parser, so that no page can break or hang a run; and by trafilatura alone. Then the unchanged
readers read the same text as txt, JSON lines, Parquet and WARC.

Rates are per CPU second of this process and the parser's together; contenders take turns, and results are medians.
"""

import gzip
import html
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.common import Report, in_turn, machine, parser, rate_rows
from bench.texts import reference
from components.ingestion.inventory import list_files
from components.ingestion.readers import Limits, Quarantined, isolation, read_file
from components.ingestion.readers.pages import read_page
from components.params import Source

MENU = "<nav><ul>" + "".join(f"<li><a href='/{i}'>Chapter {i}</a></li>" for i in range(40)) + "</ul></nav>"
FOOTER = "<footer><p>Copyright. <a href='/terms'>Terms</a> <a href='/privacy'>Privacy</a></p></footer>"


def reference_pages() -> list[bytes]:
    """The language reference as web pages."""
    pages = []
    for name, text in sorted(reference().items()):
        body = "".join(f"<p>{html.escape(part)}</p>" for part in text.split("\n\n"))
        head = f"<html><head><meta charset=utf-8><title>{name}</title></head><body>{MENU}"
        pages.append(f"{head}<main><h1>{name}</h1>{body}</main>{FOOTER}</body></html>".encode())
    return pages


def archive_pages(path: Path) -> list[bytes]:
    """The HTML of an archive's pages."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    records = ArchiveIterator(str(path), record_types=WarcRecordType.response, auto_decode="all")
    return [r.reader.read() for r in records if "html" in (r.http_content_type or "")]


def extractors() -> dict[str, Callable[[list[bytes]], int]]:
    """By contender, a function that reads all pages and returns the number of characters of text."""

    def ours(pages: list[bytes]) -> int:
        return sum(len(read_page(page).text) for page in pages)

    def resiliparse(pages: list[bytes]) -> int:
        from resiliparse.extract.html2text import extract_plain_text

        return sum(
            len(extract_plain_text(page.decode("utf-8", "replace"), main_content=True, comments=False, post_meta=False))
            for page in pages
        )

    def trafilatura(pages: list[bytes]) -> int:
        from trafilatura import extract

        return sum(len(extract(page, include_comments=False) or "") for page in pages)

    return {"ours": ours, "resiliparse alone": resiliparse, "trafilatura": trafilatura}


def with_parser(work: Callable[[], int]) -> int:
    """The result of some work; its time includes that of a parser process."""
    parser = isolation.ParserProcess()
    isolation._of_thread.parser = parser
    try:
        return work()
    finally:
        parser.close()


def files(folder: Path, pages: list[bytes]) -> dict[str, Path]:
    """The same pages, or their text, as files of each kind."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = [read_page(page).text for page in pages]
    rows = "".join(json.dumps({"text": text, "url": f"https://example.org/{i}"}) + "\n" for i, text in enumerate(texts))
    made = {name: folder / name for name in ("txt", "jsonl", "jsonl.gz", "jsonl.zst", "parquet", "wet.gz", "warc.gz")}
    made["txt"].mkdir()
    for i, text in enumerate(texts):
        (made["txt"] / f"{i}.txt").write_text(text, encoding="utf-8")
    made = {name: path if name == "txt" else folder / f"a.{name}" for name, path in made.items()}
    made["jsonl"].write_text(rows, encoding="utf-8")
    made["jsonl.gz"].write_bytes(gzip.compress(rows.encode(), 6))
    made["jsonl.zst"].write_bytes(pa.compress(rows.encode(), "zstd", asbytes=True))
    pq.write_table(pa.table({"text": texts}), made["parquet"], compression="zstd")
    wet = (record("conversion", text.encode(), "text/plain", i) for i, text in enumerate(texts))
    made["wet.gz"].write_bytes(b"".join(gzip.compress(one, 6) for one in wet))
    fetched = (
        record("response", b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page, "application/http", i)
        for i, page in enumerate(pages)
    )
    made["warc.gz"].write_bytes(b"".join(gzip.compress(one, 6) for one in fetched))
    return made


def record(kind: str, block: bytes, content_type: str, number: int) -> bytes:
    lines = {
        "WARC-Type": kind,
        "WARC-Target-URI": f"https://example.org/{number}",
        "WARC-Date": "2024-01-01T00:00:00Z",
        "WARC-Record-ID": f"<urn:uuid:{number:08x}>",
        "Content-Type": content_type,
        "Content-Length": str(len(block)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"WARC/1.0\r\n{head}\r\n".encode() + block + b"\r\n\r\n"


def read_all(path: Path) -> int:
    """Bytes of text that the readers find in a file or folder."""
    size = 0
    for file in list_files(Source(path=str(path)))[0]:
        for item in read_file(file, Limits(10_000_000)):
            if isinstance(item, Quarantined):
                if "no main text" not in item.reason and "is empty" not in item.reason:
                    sys.exit(f"{item.file}: {item.reason}")
                continue
            size += len(item.text.encode())
    return size


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--archive", type=Path, help="a WARC with pages to read (default: the language reference)")
    options.add_argument("--megabytes", type=float, default=20, help="MB of HTML")
    options.add_argument("--repeats", type=int, default=3, help="turns of each contender")
    given = options.parse_args()
    pages = archive_pages(given.archive) if given.archive else reference_pages()
    pages *= max(1, round(given.megabytes * 1e6 / sum(map(len, pages))))
    megabytes = sum(map(len, pages)) / 1e6
    report = Report("Readers", machine() | {"pages": len(pages), "MB of HTML": megabytes})
    contenders = extractors()
    ways = {name: partial(with_parser, partial(extract, pages)) for name, extract in contenders.items()}
    seconds, found = in_turn(ways, given.repeats)
    extraction = {
        name: {"pages": rate / megabytes * len(pages), "megabytes": rate, "times": times, "characters": found[name]}
        for name, (rate, times) in rate_rows(seconds, megabytes).items()
    }
    columns = {"pages": "pages/CPU s", "megabytes": "MB/CPU s", "characters": "characters", "times": "ours is x"}
    report.table_of("Main text of HTML", columns, extraction)
    readers = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, path in files(Path(folder), pages).items():
            spent, size = in_turn({name: partial(with_parser, partial(read_all, path))}, given.repeats)
            readers[name] = size[name] / 1e6 / statistics.median(spent[name])
    report.table("Readers", ["", "MB of text/CPU s"], [list(row) for row in readers.items()])
    report.measurements = {"extraction": extraction, "readers": readers}
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
