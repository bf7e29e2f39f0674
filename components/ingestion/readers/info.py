"""GNU Info files, as shown by `info`: the text of their nodes, without navigation lines and marks."""

import re

from components.ingestion.files import SourceFile
from components.ingestion.readers.base import Limits, Read, read_text_bytes
from components.ingestion.readers.plain import text_document

_NODE = re.compile(rb"\x1f\x0c?\n")  # begins a node, or a table of them
_TABLES = (b"Tag Table:", b"End Tag Table", b"Indirect:", b"Local Variables:")
_HEADER = re.compile(rb"\AFile: [^\n]*\n")
_DIRECTORY = re.compile(
    rb"^(?:INFO-DIR-SECTION [^\n]*\n|START-INFO-DIR-ENTRY\n(?:(?!END-INFO-DIR-ENTRY)[^\n]*\n)*END-INFO-DIR-ENTRY\n)",
    re.M,
)
_MADE_BY = re.compile(rb"\AThis is [^\n]{0,500}, produced by [^.]{0,200}makeinfo[^\n]*\n(?:from [^\n]*\n)?")
_MARK = re.compile(rb"\x00\x08\[[^\x00]{0,2000}\x00\x08\]")  # of an index or an image


def read_info(file: SourceFile, limits: Limits) -> Read:
    """The file as one document. A file without nodes is read as plain text."""
    yield text_document(file, plain(read_text_bytes(file, limits)))


def plain(data: bytes) -> bytes:
    """The text of an Info file, in its own encoding."""
    start, *nodes = _NODE.split(data)
    if not nodes:
        return data
    start = _DIRECTORY.sub(b"", _MADE_BY.sub(b"", start))
    bodies = [_HEADER.sub(b"", node) for node in nodes if not node.startswith(_TABLES)]
    return _MARK.sub(b"", b"\n\n".join(filter(None, (part.strip(b"\r\n\x1f") for part in [start, *bodies])))) + b"\n"
