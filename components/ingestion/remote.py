"""Files behind a URL, by fsspec: `s3://bucket/folder`, `https://host/file.jsonl.gz`, and whatever else it knows.

They are listed, and streamed when read; none is ever copied whole. Credentials and endpoints come from the environment,
as each file system's own documentation says (for S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL).
"""

import io
import re
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from components.errors import StepError

_URL = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
SINGLE = ("http", "https")  # a web server lists nothing: each file is named
BLOCK = 1 << 16
VERSION = ("ETag", "etag", "md5Hash", "checksum", "LastModified", "last_modified", "updated", "mtime", "created")


def is_remote(path: str) -> bool:
    """Whether a source's path is a URL, rather than a path of this machine."""
    return bool(_URL.match(path))


def list_remote(url: str) -> list[tuple[str, int, str]]:
    """URL, size in bytes (0: not known) and version of every file below `url`, or of the file itself, by URL.

    The version changes when the file does: the store's checksum, or its time and size, without reading it.

    Raises:
        StepError: the scheme is not known, or nothing is there, or it cannot be listed.
    """
    if urlsplit(url).password:
        raise StepError(
            "ingestion.sources: a URL holds a password, which would be written into every document; leave it out, and "
            "give it in the environment"
        )
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(url)
        if system.protocol in SINGLE or set(SINGLE) & set(system.protocol):
            found = {path: system.info(path)}
        else:
            found = system.find(path, detail=True)
    except Exception as error:  # each file system raises its own
        raise StepError(
            f"ingestion.sources: {url} cannot be listed ({type(error).__name__}: {error}); "
            "correct it, or what it needs in the environment, or install its file system"
        ) from error
    if not found:
        raise StepError(f"ingestion.sources: nothing lies at {url}")
    return [
        (system.unstrip_protocol(name), int(info.get("size") or 0), _version(info))
        for name, info in sorted(found.items())
        if info.get("type") != "directory" and not any(part.startswith(".") for part in name.split("/"))
    ]


def _version(info: dict[str, Any]) -> str:
    facts = [f"{name} {info[name]}" for name in VERSION if info.get(name)]
    return f"{facts[0] if facts else 'unversioned'}, {info.get('size') or 'unknown'} bytes"


def open_remote(url: str) -> BinaryIO:
    """A file behind a URL, read a block at a time.

    Raises:
        OSError: it is not there (any more), or may not be read.
        StepError: now or at a later read, it is there but does not come. That is no property of the file, so the run
            must fail and be started again, rather than go on without it.
    """
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(url)
        return io.BufferedReader(_Connection(system.open(path, "rb"), url), BLOCK)
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # each file system raises its own
        raise _lost(url, error) from error


class _Connection(io.RawIOBase):
    """A remote file whose errors are not taken for errors of what it holds."""

    def __init__(self, file: BinaryIO, url: str) -> None:
        self._file, self._url = file, url

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except FileNotFoundError:
            raise  # it has vanished
        except Exception as error:  # each file system raises its own
            raise _lost(self._url, error) from error
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return self._file.seekable()

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        super().close()
        self._file.close()


def _lost(url: str, error: Exception) -> StepError:
    return StepError(f"{url} cannot be read now ({type(error).__name__}: {error}); start again when it can")
