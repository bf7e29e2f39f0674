"""Extracts the main text from the bytes of a web page, in a process that a page may break."""

import re
from dataclasses import dataclass

from components.ingestion.readers.decoding import Decoded, decode
from components.ingestion.readers.isolation import Job, parser

SECONDS = 30  # maximum CPU time per page; a page of 100 kB takes a hundredth of a second, and the largest a few
_CREATIVE_COMMONS = re.compile(
    r"^(?:https?:)?//(?:www\.)?creativecommons\.org/"
    r"(?:licenses/(?P<terms>by(?:-(?:nc|nd|sa)){0,2})/(?P<version>\d\.\d)|publicdomain/zero/(?P<zero>1\.0))/?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Page:
    """The content of a page: its main text, its title, and its licence."""

    text: str
    title: str
    decoded: Decoded
    license: str  # SPDX identifier; empty if the page names none, or several
    license_url: str
    formulas_left_out: int  # those without TeX in the page


def read_page(data: bytes, charset: str = "", extractor: str = "auto", markdown: bool = True) -> Page:
    """Main text of a page's HTML.

    Args:
        charset: from the HTTP header; empty = not given.
        extractor: auto, fast or careful, as in `html_extractor` of a source.
        markdown: mark headings, lists, code blocks and tables as Markdown does.

    Raises:
        Refused: the parser broke, or took too long or too much memory.
        NotText: its bytes are not text in any encoding, or have many NULs.
    """
    decoded = decode(data, filter(None, [charset]), cut_off=True).without_nuls()
    job = Job("pages", SECONDS, options={"extractor": extractor, "markdown": markdown})
    found = parser().ask(decoded.text, job)
    licenses = found["licenses"]
    license = licenses[0] if len(licenses) == 1 else ""
    return Page(found["text"], found["title"], decoded, spdx(license), license, found["formulas_left_out"])


def spdx(url: str) -> str:
    """SPDX identifier of a Creative Commons licence's address, or an empty string."""
    match = _CREATIVE_COMMONS.match(url)
    if not match:
        return ""
    if match["zero"]:
        return "CC0-1.0"
    return f"CC-{match['terms'].upper()}-{match['version']}"
