"""The process that parses files for `readers/isolation.py`, run as a script: a file on its input, its text on its output.

A file from a stranger can make a parser take hours, gigabytes, or crash it, and none of that can be stopped from within a
Python process. So it happens in this one, which the kernel ends at its limits.

Each message is a length of eight bytes, big-endian, and so many bytes. A request is a `Job` as a line of JSON and then
the file's bytes; the answer is JSON. The first message says that the process is ready.
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
    os.dup2(2, 1)  # whatever a library prints is not an answer
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
    """What a parser finds in a file, or why it is refused. Memory that runs out ends this process."""
    from components.errors import shortened
    from components.ingestion.parsing import Refusal

    module = import_module(f"components.ingestion.parsing.{job['parser']}")
    try:
        found = module.parse(data.decode() if job["is_text"] else data, **job["options"])
    except MemoryError:
        raise
    except Refusal as error:
        return {"refused": str(error)}
    except Exception as error:  # noqa: BLE001 - each library raises its own, and hostile bytes make it raise any
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
