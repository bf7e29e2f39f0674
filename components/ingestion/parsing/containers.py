"""Shared code for docx, odt and epub: XML in a zip file. Both have limits so that unpacking cannot fill the memory."""

import io
import re
import zipfile
from typing import Any

from components.ingestion.parsing import Refusal

MAX_MEMBER_BYTES = 100_000_000
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # container of encrypted and of old Office documents
_DECLARED = re.compile(rb"""\s*<\?xml[^>]{0,100}encoding\s*=\s*["']([\w.-]{1,40})""")


class Container:
    """The members of a zip file, each read whole and within a limit."""

    def __init__(self, data: bytes) -> None:
        if data.startswith(OLE):
            raise Refusal("is encrypted or in an old format of Office; save it again without a password")
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except zipfile.BadZipFile as error:
            raise Refusal(f"is not a complete zip file ({error}); files of this format are zip files") from error
        self._names = set(self._zip.namelist())

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def read(self, name: str) -> bytes:
        """The bytes of a member.

        Raises:
            Refusal: the member is missing, encrypted or too large.
        """
        if name not in self._names:
            raise Refusal(f"has no {name} in its zip file, which files of this format need")
        if self._zip.getinfo(name).flag_bits & 1:
            raise Refusal("is encrypted; save it without a password")
        with self._zip.open(name) as member:
            data = member.read(MAX_MEMBER_BYTES + 1)
        if len(data) > MAX_MEMBER_BYTES:
            raise Refusal(f"its {name} unpacks to more than {MAX_MEMBER_BYTES:,} bytes")
        return data

    def xml(self, name: str) -> Any:
        """The root element of a member."""
        return safe_xml(self.read(name))


def safe_xml(data: bytes) -> Any:
    """The root element of XML that must not declare entities, which could grow without limit or name other files."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        return fromstring(data)
    except DefusedXmlException as error:
        raise Refusal("its XML declares entities, which are not followed") from error
    except ParseError as error:
        raise Refusal(f"its XML is broken ({error})") from error


def title_of(root: Any) -> str:
    """The first title of Dublin Core in some metadata, or an empty string."""
    return (root.findtext(".//{http://purl.org/dc/elements/1.1/}title") or "").strip()


def decode_xml(data: bytes) -> str:
    """The text of XML or XHTML in the encoding of its byte order mark or its declaration; UTF-8 otherwise."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    else:
        declared = _DECLARED.match(data)
        encoding = declared[1].decode() if declared else "utf-8-sig"
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise Refusal(f"is not in the encoding {encoding} ({error})") from error
