"""Parsing in a separate process, which a file may break: `parsing/process.py`, started when it is first needed."""

import contextlib
import json
import os
import shlex
import struct
import subprocess
import sys
import threading
import weakref
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from components.errors import StepError
from components.ingestion import parsing
from components.ingestion.readers.base import Refused

NEEDED = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")  # of the environment, to start Python
GIGABYTES = 4.0  # maximum address space of the process
MAX_TEXT_CHARS = 50_000_000  # maximum that it returns; ingestion.max_document_chars is never more


@dataclass(frozen=True)
class Job:
    """A task for the process: the module of `parsing`, its options, and its limits."""

    parser: str
    seconds: int  # of CPU
    max_chars: int = MAX_TEXT_CHARS
    options: dict[str, Any] = field(default_factory=dict)


class ParserProcess:
    """The process that parses; started at the first request, and again after a file has ended it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, content: bytes | str, job: Job) -> dict[str, Any]:
        """The parser's result: `text`, and other values that it returns.

        Raises:
            Refused: the parser refused the file, or the file has ended the process.
            StepError: the process does not start.
        """
        data = content.encode("utf-8", "replace") if isinstance(content, str) else content
        line = json.dumps(asdict(job) | {"is_text": isinstance(content, str)}).encode() + b"\n"
        process = self._running()
        assert process.stdin is not None  # a pipe
        assert process.stdout is not None
        try:
            process.stdin.write(struct.pack(">Q", len(line) + len(data)))
            process.stdin.write(line)
            process.stdin.write(data)
            process.stdin.flush()
            found = json.loads(_message(process.stdout))
        except (OSError, EOFError) as error:
            self.close()
            raise Refused(
                f"its {len(data):,} bytes broke the parser, or took more than {job.seconds} s of CPU "
                f"or {GIGABYTES:g} GB of memory"
            ) from error
        except BaseException:
            self.close()  # interrupted: a late answer would be taken for the next file's
            raise
        if "refused" in found:
            raise Refused(found["refused"])
        return found

    def close(self) -> None:
        if self._process:
            self._process = None
            self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            script = Path(parsing.__file__).with_name("process.py")
            command = [sys.executable, "-I", str(script), str(GIGABYTES)]
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    # As little as possible, since a file may take over the process.
                    env={name: os.environ[name] for name in NEEDED if name in os.environ},
                )
            except OSError as error:  # no memory, no handles: not the file's fault
                raise StepError(
                    f"the process that parses files does not start ({error}); run `{shlex.join(command)}` to see why"
                ) from error
            self._end = weakref.finalize(self, _end, self._process)  # with its thread, or at exit
            assert self._process.stdout  # a pipe
            try:
                _message(self._process.stdout)
            except EOFError:
                self.close()
                raise StepError(
                    f"the process that parses files does not start; run `{shlex.join(command)}` to see why"
                ) from None
        return self._process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in filter(None, (process.stdin, process.stdout)):
        with contextlib.suppress(OSError):  # unsent data have no reader
            stream.close()


def _message(stream: IO[bytes]) -> bytes:
    header = stream.read(8)
    data = stream.read(struct.unpack(">Q", header)[0]) if len(header) == 8 else b""
    if len(header) < 8 or not data:
        raise EOFError
    return data


_of_thread = threading.local()  # the threads of one process must not share a parser


def parser() -> ParserProcess:
    """This thread's parser process."""
    if not hasattr(_of_thread, "parser"):
        _of_thread.parser = ParserProcess()
    return _of_thread.parser
