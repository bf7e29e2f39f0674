"""The process that parses files for `readers/isolation.py`, run as a script: a file on its input, its text on its output.

An untrusted file can make a parser take hours or gigabytes, or crash it, and a Python process cannot stop that from within.
So it happens in this process, which the kernel ends at its limits.

Each message is a length of eight bytes, big-endian, and that many bytes. A request is a `Job` as a line of JSON, followed by
the file's bytes; the answer is JSON. The first message reports that the process is ready.
"""

import json
import math
import os
import resource
import struct
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO


def main(gigabytes: float) -> None:
    sys.path.insert(0, str(Path(__file__).parents[3]))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output that a library prints is not an answer
    bound = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    send(answers, {"ready": True})
    while header := sys.stdin.buffer.read(8):
        message = sys.stdin.buffer.read(struct.unpack(">Q", header)[0])
        line, _, data = message.partition(b"\n")
        del message
        job = json.loads(line)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + job["seconds"], hard))
        send(answers, answer(job, data))


def answer(job: dict[str, Any], data: bytes) -> dict[str, Any]:
    """A parser's result for a file, or why the file is refused. If memory runs out, this process ends."""
    from components.errors import shortened
    from components.ingestion.parsing import Refusal

    module = import_module(f"components.ingestion.parsing.{job['parser']}")
    try:
        found = module.parse(data.decode() if job["is_text"] else data, **job["options"])
    except MemoryError:
        raise
    except Refusal as error:
        return {"refused": str(error)}
    except Exception as error:  # noqa: BLE001 - each library raises its own errors, and hostile bytes can cause any
        return {"refused": f"cannot be read: {shortened(f'{type(error).__name__}: {error}')}"}
    if len(found["text"]) > job["max_chars"]:
        return {"refused": f"{len(found['text']):,} characters, over the {job['max_chars']:,} that a document may have"}
    return found


def send(answers: BinaryIO, message: dict[str, Any]) -> None:
    data = json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass")
    answers.write(struct.pack(">Q", len(data)) + data)
    answers.flush()


if __name__ == "__main__":
    main(float(sys.argv[1]))
