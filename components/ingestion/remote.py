"""Files behind a URL, by fsspec: `s3://bucket/folder`, `https://host/file.jsonl.gz`, and whatever else it knows.

They are listed, and streamed when read; none is ever copied whole. Credentials and endpoints come from the environment,
as each file system's own documentation says (for S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL).

The query of a web address may be a credential (`?X-Amz-Signature=`): it goes with the requests and nowhere else.
"""

import io
import re
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from components.errors import StepError, shortened

_URL = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_QUERY = re.compile(r"(?<=\?)[^\s'\"]+")  # of an address in an error's text
SINGLE = ("http", "https")  # a web server lists nothing: each file is named
SILENT = 300  # seconds without a byte from a web server, after which its connection is lost
NO_RANGES = "support range requests"  # said by fsspec of a server that gives files from their start only
BLOCK = 1 << 16
VERSION = ("ETag", "etag", "md5Hash", "checksum", "LastModified", "last_modified", "updated", "mtime", "created")


def is_remote(path: str) -> bool:
    """Whether a source's path is a URL, rather than a path of this machine."""
    return bool(_URL.match(path))


def public(url: str) -> str:
    """A URL as it may be written down: a web address without its query."""
    return urlsplit(url)._replace(query="", fragment="").geturl() if _is_web(url) else url


def query_of(url: str) -> str:
    """What `public` leaves out, to be given to `open_remote`."""
    return urlsplit(url).query if _is_web(url) else ""


def _is_web(url: str) -> bool:
    return urlsplit(url).scheme.lower() in SINGLE


def list_remote(url: str) -> list[tuple[str, int, str]]:
    """URL, size in bytes (0: not known) and version of every file below `url`, or of the file itself, by URL.

    The version changes when the file does: the store's checksum, or its time and size, without reading it. URLs are
    those that may be written down; `open_remote` takes the query apart.

    Raises:
        StepError: the scheme is not known, or nothing is there, or it cannot be listed.
    """
    if urlsplit(url).password:
        raise StepError(
            "ingestion.sources: a URL holds a password, which would be written into every document; leave it out, and "
            "give it in the environment"
        )
    try:
        system, path = _system(url)
        found = {path: system.info(path)} if _is_web(url) else system.find(path, detail=True)
    except Exception as error:  # each file system raises its own
        raise StepError(
            f"ingestion.sources: {public(url)} cannot be listed ({type(error).__name__}: {_said(error)}); "
            "correct it, or what it needs in the environment, or install its file system"
        ) from error
    if not found:
        raise StepError(f"ingestion.sources: nothing lies at {public(url)}")
    return [
        (public(system.unstrip_protocol(name)), int(info.get("size") or 0), _version(info))
        for name, info in sorted(found.items())
        if info.get("type") != "directory" and not any(part.startswith(".") for part in public(name).split("/"))
    ]


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    fsspec's own function for that takes `::`, which a file's name may hold, for a chain of file systems.
    """
    from fsspec import get_filesystem_class
    from fsspec.core import split_protocol

    kind = get_filesystem_class(split_protocol(url)[0].lower())
    options = kind._get_kwargs_from_urls(url)
    if _is_web(url):
        options["client_kwargs"] = {"timeout": _timeout()}
        # A query is sent as it is given: what is signed may be its very characters.
        options["encoded"] = url.isascii() and "?" in url
    return kind(**options), kind._strip_protocol(url)


def _version(info: dict[str, Any]) -> str:
    facts = [f"{name} {info[name]}" for name in VERSION if info.get(name)]
    return f"{facts[0] if facts else 'unversioned'}, {info.get('size') or 'unknown'} bytes"


def open_remote(url: str, size: int = 0, query: str = "") -> BinaryIO:
    """A file behind a URL, read a block at a time.

    Args:
        size: in bytes, as it was listed; 0 where it is not known.
        query: of a web address.

    Raises:
        OSError: it is not there (any more), or may not be read.
        StepError: now or at a later read, it is there but does not come. That is no property of the file, so the run
            must fail and be started again, rather than go on without it.
    """
    return io.BufferedReader(_Connection(url, size, query), BLOCK)


class _Connection(io.RawIOBase):
    """A remote file whose errors are not taken for errors of what it holds."""

    def __init__(self, url: str, size: int, query: str) -> None:
        self._url, self._size = url, size
        self._address = f"{url}?{query}" if query else url
        self._from_start = True  # as long as nobody has gone elsewhere
        self._file: Any = None  # which is closed even if it doesn't open
        self._file = self._open()

    def readinto(self, buffer: Any) -> int:
        data = self._read(len(buffer))
        if not data and len(buffer) and self._file.tell() < self._size:
            raise _lost(self._url, EOFError(f"it ends after {self._file.tell():,} of its {self._size:,} bytes"))
        buffer[: len(data)] = data
        return len(data)

    def _open(self, **more: Any) -> BinaryIO:
        try:
            system, path = _system(self._address)
            return system.open(path, "rb", **more)
        except FileNotFoundError as error:
            raise FileNotFoundError(_said(error)) from None
        except PermissionError as error:
            raise PermissionError(_said(error)) from None
        except Exception as error:  # each file system raises its own
            raise _lost(self._url, error) from error

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except FileNotFoundError as error:
            raise FileNotFoundError(_said(error)) from None  # it has vanished
        except Exception as error:  # each file system raises its own
            if NO_RANGES not in str(error):
                raise _lost(self._url, error) from error
        if not self._from_start:
            raise self._no_ranges()
        self._stream_on()
        return self._read(size)

    def _stream_on(self) -> None:
        """From here on in one answer, which begins at the start again."""
        position = self._file.tell()
        self._file.close()
        self._file = self._open(block_size=0)
        while self._file.tell() < position and self._read(min(BLOCK, position - self._file.tell())):
            continue

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._from_start = False
        if getattr(self._file, "size", 0) is None:  # as a web server's file that is streamed
            raise self._no_ranges()
        return self._file.seek(offset, whence)

    def _no_ranges(self) -> StepError:
        return StepError(
            f"{self._url}: its server gives files from their start only (it knows no range requests), and this format is "
            "read from its end; copy the file to this machine, or serve it by one that knows them"
        )

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        super().close()
        if self._file:
            self._file.close()


def _timeout() -> Any:
    """A file may take hours, since what is read is worked on between; only a server's silence counts."""
    import aiohttp

    return aiohttp.ClientTimeout(total=None, sock_connect=SILENT, sock_read=SILENT)


def _said(error: Exception) -> str:
    """What an error says, without the query of the address that it may name."""
    return shortened(_QUERY.sub("…", str(error)))


def _lost(url: str, error: Exception) -> StepError:
    return StepError(f"{url} cannot be read now ({type(error).__name__}: {_said(error)}); start again when it can")
