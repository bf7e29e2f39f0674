"""Files behind a URL, by fsspec: `s3://bucket/folder`, `https://host/file.jsonl.gz`, and all others that it supports.

They are listed, and streamed when read; none is ever copied whole. Credentials and endpoints come from the environment,
as documented for each file system (for S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL).

An address with a signature, a token or a password comes from the environment variable that a source names in `url_env`.
Its query and user information are sent with the requests and nowhere else.

Requests over http and https are confined by `guarded`. For other file systems nothing is checked here: S3 and the like use
the endpoint that the environment names, or their provider's, and do not follow redirects away from it.
"""

import io
import os
import re
from functools import partial
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from components.errors import StepError, shortened
from components.foreign.addresses import is_web, without_secrets
from components.params import Source

_URL = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_QUERY = re.compile(r"(?<=\?)[^\s'\"]+")  # of an address in an error message
_HERE = re.compile(r"^(?:file|local)://", re.IGNORECASE)  # a path of this machine, written as a URL
SILENT = 300  # seconds without a byte from a web server until its connection counts as lost
NO_RANGES = "support range requests"  # in fsspec's error for a server that sends files only from their start
BLOCK = 1 << 16
VERSION = ("ETag", "etag", "md5Hash", "checksum", "LastModified", "last_modified", "updated", "mtime", "created")


def is_remote(path: str) -> bool:
    """Whether a source's path is a URL of another machine, not a path of this one, which may be written as file:///folder."""
    return bool(_URL.match(path)) and not _HERE.match(path)


def local_path(path: str) -> str:
    """A path of this machine, without the scheme if it is written as a URL."""
    return _HERE.sub("", path)


def public(url: str) -> str:
    """A URL that may be written down: without secrets, and a web address without its query."""
    return without_secrets(urlsplit(url)._replace(query="", fragment="").geturl() if is_web(url) else url)


def requested(source: Source) -> str:
    """The address that is requested for a source: its path, or the value of the variable in `url_env`.

    Raises:
        StepError: the variable is not set, or leads elsewhere.
    """
    if not source.url_env:
        return source.path
    given = os.environ.get(source.url_env, "")
    where = f"ingestion.sources: url_env names {source.url_env}"
    if not given:
        raise StepError(
            f"{where}, which is not set in the environment; expected the address of {public(source.path)} with its "
            "signature, token or password: set it and run again"
        )
    if _place(given) != _place(source.path):
        raise StepError(
            f"{where}, whose value is not the address {public(source.path)} with a signature, token or password added; "
            "correct the variable, or path"
        )
    return given


def _place(url: str) -> tuple[str, str | None, int | None, str]:
    """The parts that two addresses of the same file share, whatever the credentials."""
    try:
        parts = urlsplit(url)
        return parts.scheme.lower(), parts.hostname, parts.port, parts.path
    except ValueError:  # not a valid port
        return "", None, None, ""


def list_remote(url: str) -> list[tuple[str, int, str]]:
    """URL, size in bytes (0: not known) and version of every file below `url`, or of the file itself, by URL.

    The version changes with the file: it is the store's checksum, or its time and size, without reading it. URLs are
    those that may be written down; `open_remote` takes the requested one separately.

    Raises:
        StepError: the scheme is not known, or nothing is there, or it cannot be listed.
    """
    try:
        system, path = _system(url)
        found = {path: system.info(path)} if is_web(url) else system.find(path, detail=True)
    except Exception as error:  # each file system raises its own
        raise StepError(
            f"ingestion.sources: {public(url)} cannot be listed ({_reason(error)}); "
            "correct it, set its credentials in the environment, or install its file system"
        ) from error
    if not found:
        raise StepError(f"ingestion.sources: nothing was found at {public(url)}; correct the address there")
    return [
        (public(system.unstrip_protocol(name)), int(info.get("size") or 0), _version(info))
        for name, info in sorted(found.items())
        if info.get("type") != "directory"
    ]


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    fsspec's own function interprets `::`, which a file's name may contain, as a chain of file systems.
    """
    from fsspec import get_filesystem_class
    from fsspec.core import split_protocol

    kind = get_filesystem_class(split_protocol(url)[0].lower())
    options = kind._get_kwargs_from_urls(url)
    if is_web(url):
        from components.ingestion.guarded import REDIRECTS, guarded_session

        options["get_client"] = partial(guarded_session, urlsplit(url).hostname or "")
        options["max_redirects"] = REDIRECTS
        options["client_kwargs"] = {"timeout": _timeout()}
        # A query is sent unchanged, since a signature may cover its exact characters.
        options["encoded"] = url.isascii() and "?" in url
    return kind(**options), kind._strip_protocol(url)


def _version(info: dict[str, Any]) -> str:
    facts = [f"{name} {info[name]}" for name in VERSION if info.get(name)]
    return f"{facts[0] if facts else 'unversioned'}, {info.get('size') or 'unknown'} bytes"


def open_remote(url: str, size: int = 0, requested: str = "", ahead: int = 0) -> BinaryIO:
    """A file behind a URL, read one block at a time.

    Args:
        size: in bytes, as listed; 0 = unknown.
        requested: the address to request, if that has secrets.
        ahead: bytes to request beyond those that are read; 0 = the file system's default, some megabytes.

    Raises:
        OSError: it does not exist (any more), or may not be read.
        StepError: now or at a later read, it exists but is not delivered. That is not a property of the file, so the run
            must fail and be started again, not continue without it.
    """
    return io.BufferedReader(_Connection(url, size, requested or url, ahead), ahead or BLOCK)


class _Connection(io.RawIOBase):
    """A remote file whose connection errors are kept apart from errors of its content."""

    def __init__(self, url: str, size: int, requested: str, ahead: int) -> None:
        self._url, self._size, self._requested = url, size, requested
        self._from_start = True  # until the first seek elsewhere
        self._file: Any = None  # closed even if it does not open
        self._file = self._open(**({"block_size": ahead} if ahead else {}))

    def readinto(self, buffer: Any) -> int:
        data = self._read(len(buffer))
        if not data and len(buffer) and self._file.tell() < self._size:
            raise _lost(self._url, EOFError(f"it ends after {self._file.tell():,} of its {self._size:,} bytes"))
        buffer[: len(data)] = data
        return len(data)

    def _open(self, **more: Any) -> BinaryIO:
        try:
            system, path = _system(self._requested)
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
        """Read on in a single response, which starts at the beginning of the file again."""
        position = self._file.tell()
        self._file.close()
        self._file = self._open(block_size=0)
        while self._file.tell() < position and self._read(min(BLOCK, position - self._file.tell())):
            continue

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._from_start = False
        if getattr(self._file, "size", 0) is None:  # a streamed file of a web server
            raise self._no_ranges()
        return self._file.seek(offset, whence)

    def _no_ranges(self) -> StepError:
        return StepError(
            f"{self._url}: its server sends files from their start only (it does not support range requests), and this format is "
            "read from its end; copy the file to this machine, or use a server that supports them"
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
    """The time limits of requests. A file may take hours, since it is processed while read; only silence is limited."""
    import aiohttp

    return aiohttp.ClientTimeout(total=None, sock_connect=SILENT, sock_read=SILENT)


def _said(error: BaseException) -> str:
    """An error's message, without the query and the secrets of an address in it."""
    return shortened(_QUERY.sub("…", without_secrets(str(error))))


def _reason(error: BaseException) -> str:
    """An error with its kind. fsspec reports every failed response as a missing file; the error before it has the cause."""
    while isinstance(error, FileNotFoundError) and error.__cause__:
        error = error.__cause__
    return f"{type(error).__name__}: {_said(error)}"


def _lost(url: str, error: Exception) -> StepError:
    return StepError(f"{url} cannot be read now ({_reason(error)}); run again later")
