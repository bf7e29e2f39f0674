"""Archives, zip and tar: each member is read like a file of its own, unless the archive is a decompression bomb.

Members are copied one at a time to a temporary file without their names, so that no name leads out of the archive, and
formats that are read from their end work. Links are not followed.
"""

import io
import os
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self

from components.errors import shortened
from components.ingestion.files import BROKEN, SourceFile
from components.ingestion.formats import format_of, is_open, passed_over, unread_reason
from components.ingestion.readers import read_file
from components.ingestion.readers.base import (
    MAX_NAME,
    UNLIMITED,
    Budget,
    Limits,
    Quarantined,
    Read,
    Refused,
    count_kind,
    is_scarcity,
    named_kinds,
)
from components.ingestion.readers.decoding import looked_into

DEEPEST = 2  # archives within each other
CHUNK = 1 << 20
ENCRYPTED = 1  # the flag of a zip's member
MAX_HEADER_BYTES = 1_000_000  # of a tar's long names and other extensions, which are read at once
NOTES = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
BREAKS = (zipfile.BadZipFile, tarfile.TarError, NotImplementedError, ValueError, *BROKEN)


@dataclass(frozen=True)
class Member:
    """A file of an archive: its name, why it cannot be read (in the plural; or an empty string), and where its bytes are."""

    name: str
    why: str
    archive: Any
    info: Any

    def open(self) -> IO[bytes]:
        if isinstance(self.archive, zipfile.ZipFile):
            return self.archive.open(self.info)
        return self.archive.extractfile(self.info)


def read_zip(file: SourceFile, limits: Limits) -> Read:
    """The documents of each file of a zip."""
    limits = _within(file, limits)
    with file.open() as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                yield from _read(file, _of_zip(archive), limits)
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise Refused(f"is not a complete zip file ({error})") from error


def read_tar(file: SourceFile, limits: Limits) -> Read:
    """The documents of each file of a tar, compressed or not, in one pass."""
    limits = _within(file, limits)
    with file.open() as stream:
        try:
            with tarfile.open(fileobj=Measured(stream, limits.budget), mode="r|", tarinfo=Header) as archive:
                yield from _read(file, _of_tar(archive), limits)
        except tarfile.TarError as error:
            raise Refused(f"is not a complete tar file ({error})") from error


def _within(file: SourceFile, limits: Limits) -> Limits:
    """The limits for the members of an archive; nested archives share the unpacking limit."""
    if limits.depth == DEEPEST:
        raise Refused(f"is an archive in archives, more than {DEEPEST} deep; unpack it first")
    return replace(limits, depth=limits.depth + 1, budget=limits.budget if limits.depth else Budget(file.size))


def _of_zip(archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        if not info.is_dir():
            yield Member(info.filename, "encrypted files" if info.flag_bits & ENCRYPTED else "", archive, info)


def _of_tar(archive: tarfile.TarFile) -> Iterator[Member]:
    for info in archive:
        if not info.isdir():
            is_link = info.issym() or info.islnk()
            why = "" if info.isreg() else "links" if is_link else "pipes and devices"
            yield Member(os.fsencode(info.name).decode("utf-8", "replace"), why, archive, info)
        archive.members = []  # type: ignore[attr-defined] # tarfile would keep them, for readers that seek back


def _read(file: SourceFile, members: Iterator[Member], limits: Limits) -> Read:
    others: Counter[str] = Counter()
    count = 0
    with tempfile.TemporaryDirectory(prefix="phiforge-") as folder:
        try:
            for member in members:
                count += 1
                if reason := _reason(member):
                    count_kind(others, reason)
                    continue
                yield from _member(file, member, limits, Path(folder) / "member", others)
                if limits.budget.is_spent:
                    break
        except BREAKS as error:
            if is_scarcity(error):
                raise
            reason = f"ends after {count:,} members ({shortened(str(error))}); what was read before is kept"
            yield Quarantined(file.name, 0, reason)
    if limits.budget.is_spent:
        yield Quarantined(file.name, 0, f"{limits.budget}; the rest is not read")
    if others:
        yield Quarantined(file.name, 0, f"members that are not read: {named_kinds(others)}")


def _reason(member: Member) -> str:
    """Why a member is skipped, in the plural, or an empty string."""
    parts = PurePosixPath(member.name.replace("\\", "/")).parts
    if ".." in parts or parts[:1] == ("/",):
        return "files whose names lead out of the archive"
    if len(member.name) > MAX_NAME:
        return f"files whose names have more than {MAX_NAME:,} characters"
    known = format_of(member.name) or is_open(member.name)
    reasons = [member.why, *map(passed_over, parts), "" if known else unread_reason(member.name)]
    return next(filter(None, reasons), "")


def _member(file: SourceFile, member: Member, limits: Limits, path: Path, others: Counter[str]) -> Read:
    """The documents of a member; counted in `others` if its first bytes are those of no text."""
    name = f"{file.name}/{member.name}"
    try:
        with member.open() as packed, path.open("wb") as copy:
            measured = Measured(packed, limits.budget if isinstance(member.archive, zipfile.ZipFile) else UNLIMITED)
            while data := measured.read(CHUNK):
                copy.write(data)
    except BREAKS as error:
        if is_scarcity(error):
            raise
        yield Quarantined(name, 0, f"cannot be unpacked ({shortened(str(error))})")
        return
    copied = looked_into(SourceFile(path, name, file.source, path.stat().st_size))
    if copied.format:
        yield from read_file(copied, limits)
    else:
        count_kind(others, unread_reason(member.name))


class Measured(io.RawIOBase):
    """A stream whose bytes count towards the unpacking limit of an archive."""

    def __init__(self, stream: IO[bytes], budget: Budget) -> None:
        self._stream = stream
        self._budget = budget

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._budget.spend(len(data))
        return data


class Header(tarfile.TarInfo):
    """A header of a tar. A broken header is an error here; tarfile itself takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined] # missing in the stubs
            raise
        except tarfile.HeaderError as error:
            raise OSError(
                f"a broken header: {error}" if str(error) != "empty header" else "no mark of its end"
            ) from error

    @classmethod
    def frombuf(cls, buffer: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buffer, encoding, errors)
        if header.type in NOTES and header.size > MAX_HEADER_BYTES:
            raise OSError(f"a header of {header.size:,} bytes")
        return header
