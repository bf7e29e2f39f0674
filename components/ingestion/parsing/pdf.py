"""PDF, by pdfium: the text of the pages, without the running heads and page numbers that most of them repeat."""

import re
from collections import Counter
from typing import Any

from components.ingestion.parsing import Refusal

RUNNING = 4  # minimum pages for a line that most of them repeat to be a running head
_HYPHEN = re.compile("[\x02\ufffe](?:\r?\n)?")  # pdfium's mark of a word divided at a line's end
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_LEADERS = re.compile(r"(?: ?\.){6,} ?")  # dots of a table of contents, from the title to the page
_DIGITS = re.compile(r"\d+")


def parse(data: bytes) -> dict[str, Any]:
    import pypdfium2 as pdfium
    from pypdfium2.raw import FPDF_ERR_PASSWORD

    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if error.err_code == FPDF_ERR_PASSWORD:
            raise Refusal("is encrypted; save it without a password") from error
        raise Refusal(f"is not a PDF that can be read ({error})") from error
    try:
        pages, lost = [], 0
        for number in range(len(document)):
            try:
                pages.append(_lines(document[number]))
            except pdfium.PdfiumError:
                lost += 1
        title = document.get_metadata_value("Title").strip()
    finally:
        document.close()
    text = "\n\n".join("\n".join(lines) for lines in without_running_lines(pages) if lines)
    if not text.strip():
        raise Refusal(
            f"has no text in its {len(pages) + lost:,} pages, which may be scans; run text recognition (OCR) on it"
        )
    return {"text": text, "title": title, "pages": len(pages), "pages_lost": lost}


def _lines(page: Any) -> list[str]:
    found = page.get_textpage()
    text = _CONTROL.sub("", _HYPHEN.sub("", found.get_text_bounded()))
    found.close()
    page.close()
    return [_LEADERS.sub(" ", line).rstrip() for line in text.strip().splitlines()]


def without_running_lines(pages: list[list[str]]) -> list[list[str]]:
    """The pages without a first or last line that over half of them have, ignoring numbers."""
    for place in (0, -1):
        shapes = Counter(_shape(lines[place]) for lines in pages if lines)
        repeated = {shape for shape, count in shapes.items() if count >= RUNNING and 2 * count > len(pages)}
        pages = [_without(lines, place) if lines and _shape(lines[place]) in repeated else lines for lines in pages]
    return pages


def _without(lines: list[str], place: int) -> list[str]:
    return lines[1:] if place == 0 else lines[:-1]


def _shape(line: str) -> str:
    return _DIGITS.sub("0", line.strip())
