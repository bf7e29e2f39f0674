"""HTML files: one page, its main text."""

from components.documents import Document
from components.ingestion.files import SourceFile
from components.ingestion.readers.base import MAX_PAGE_BYTES, Limits, Quarantined, Read, read_whole
from components.ingestion.readers.pages import Page, read_page

CREATED_BY = "html-reader/2"


def read_html(file: SourceFile, limits: Limits) -> Read:
    """A page as one document."""
    data = read_whole(file, MAX_PAGE_BYTES, "a page")
    page = read_page(data, extractor=file.source.html_extractor, markdown=file.source.html_markdown)
    if not page.text:
        yield Quarantined(file.name, 0, f"has no main text in its {len(data):,} bytes of HTML")
        return
    yield Document(
        text=page.text + "\n",
        kind=file.kind,
        source=file.name,
        license=page.license or file.source.license,
        created_by=CREATED_BY,
        metadata=page_metadata(page),
    )


def page_metadata(page: Page) -> dict[str, str | int]:
    facts: dict[str, str | int] = {
        "title": page.title,
        "encoding": page.decoded.encoding,
        **page.decoded.facts,
        "license_url": page.license_url,
        "formulas_left_out": page.formulas_left_out,
    }
    return {name: fact for name, fact in facts.items() if fact}
