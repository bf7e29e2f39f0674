"""From the bytes of a web page to its main text, by resiliparse, in a process that a page may break."""

import contextlib
import json
import os
import re
import shlex
import struct
import subprocess
import sys
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from components.errors import StepError
from components.ingestion.readers.base import NotText, nul_in
from components.ingestion.readers.decoding import decode

SECONDS = 10  # of CPU that one page may take; a page of 100 kB takes a hundredth of one
NEEDED = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")  # of the environment, to start Python
GIGABYTES = 4.0  # of address space that the process may take
_CREATIVE_COMMONS = re.compile(
    r"^(?:https?:)?//(?:www\.)?creativecommons\.org/"
    r"(?:licenses/(?P<terms>by(?:-(?:nc|nd|sa)){0,2})/(?P<version>\d\.\d)|publicdomain/zero/(?P<zero>1\.0))/?",
    re.IGNORECASE,
)


class Refused(ValueError):
    """A page that was not taken; says why."""


@dataclass(frozen=True)
class Page:
    """What a page is read as: its main text, its title, and the licence that it names."""

    text: str
    title: str
    encoding: str
    license: str  # SPDX identifier, or empty where the page names none, or several
    license_url: str


def read_page(data: bytes, charset: str = "") -> Page:
    """Main text of a page's HTML.

    Args:
        charset: what its HTTP header says, if anything.

    Raises:
        Refused: the parser broke on it, or took too long or too much memory.
        NotText: its bytes are in no encoding, or hold a NUL.
    """
    html, encoding = decode(data, filter(None, [web_encoding(charset)]), cut_off=True)
    if reason := nul_in(html):  # which the parser passes over
        raise NotText(reason)
    answer = _parser().ask(html)
    if "refused" in answer:
        raise Refused(answer["refused"])
    licenses = answer["licenses"]
    found = licenses[0] if len(licenses) == 1 else ""
    return Page(answer["text"].strip(), answer["title"].strip(), encoding, spdx(found), found)


def spdx(url: str) -> str:
    """SPDX identifier of a Creative Commons licence's address, or an empty string."""
    match = _CREATIVE_COMMONS.match(url)
    if not match:
        return ""
    if match["zero"]:
        return "CC0-1.0"
    return f"CC-{match['terms'].upper()}-{match['version']}"


def web_encoding(charset: str) -> str | None:
    """An encoding as browsers take its name, or None: ISO-8859-1 means Windows-1252 on the web."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    return map_encoding_to_html5(charset.strip(" \"'"), False) if charset else None


class PageProcess:
    """The process that parses; started when it is first asked, and again after a page has ended it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, html: str) -> dict[str, Any]:
        """The process's answer to a page.

        Raises:
            Refused: the page has ended the process.
            StepError: the process does not start.
        """
        page = html.encode("utf-8", "replace")
        process = self._running()
        try:
            process.stdin.write(struct.pack(">Q", len(page)) + page)
            process.stdin.flush()
            return json.loads(_message(process.stdout))
        except (OSError, EOFError) as error:
            self.close()
            raise Refused(
                f"its {len(page):,} bytes of HTML broke the parser, or took more than {SECONDS} s of CPU "
                f"or {GIGABYTES:g} GB of memory"
            ) from error
        except BaseException:
            self.close()  # interrupted: an answer may be under way, which would be taken for the next page's
            raise

    def close(self) -> None:
        if self._process:
            self._process = None
            self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            script = Path(__file__).with_name("page_process.py")
            command = [sys.executable, "-I", str(script), str(SECONDS), str(GIGABYTES)]
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={name: os.environ[name] for name in NEEDED if name in os.environ},  # a page may take it over
                )
            except OSError as error:  # no memory, no handles: no fault of the page
                raise StepError(f"the parser of HTML does not start ({error}); `{shlex.join(command)}`") from error
            self._end = weakref.finalize(self, _end, self._process)  # with its thread, or at exit
            try:
                _message(self._process.stdout)
            except EOFError:
                self.close()
                raise StepError(f"the parser of HTML does not start; `{shlex.join(command)}` shows why") from None
        return self._process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # what was not sent yet has nobody to read it
            stream.close()


def _message(stream: BinaryIO) -> bytes:
    header = stream.read(8)
    data = stream.read(struct.unpack(">Q", header)[0]) if len(header) == 8 else b""
    if len(header) < 8 or not data:
        raise EOFError
    return data


_of_thread = threading.local()  # the threads of one process must not talk to one parser


def _parser() -> PageProcess:
    if not hasattr(_of_thread, "parser"):
        _of_thread.parser = PageProcess()
    return _of_thread.parser
