"""The process that parses HTML for `pages.py`, run as a script: a page on its input, the main text on its output.

HTML comes from strangers and the parser is native code: a page can make it take hours (its time grows with the square of
how deep tags are nested, or of how many attributes a tag has), gigabytes, or crash it. None of that can be stopped from
within a Python process, so it happens in this one, which the kernel ends at its limits.

Each message is a length of eight bytes, big-endian, and so many bytes: a page in UTF-8, and JSON in answer. The
first message says that the process is ready.
"""

import json
import math
import re
import resource
import struct
import sys
import time

DEEPEST = 2_500  # tags within tags; browsers stop at 512
SCANNED = 10_000  # tags from which on a page is looked at before it is parsed
MOST_ATTRIBUTES = 5_000  # of a tag
_LONG_TAG = re.compile(rf"<[a-zA-Z][^<>]{{{2 * MOST_ATTRIBUTES},}}")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
# Those that never end, or whose end is often left out, do not nest.
_TAG = re.compile(
    r"<(/?)(?!(?:area|base|br|col|dd|dt|embed|hr|img|input|li|link|meta|option|p|source|td|th|tr|wbr)\b)[a-z]"
)


def main(seconds: int, gigabytes: float) -> None:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    bound = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    send({"ready": True})
    while header := sys.stdin.buffer.read(8):
        page = sys.stdin.buffer.read(struct.unpack(">Q", header)[0]).decode("utf-8")
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + seconds, hard))
        if too_deep(page):
            answer = {"refused": f"nests tags more than {DEEPEST:,} deep"}
        elif any(len(_QUOTED.sub("", tag).split()) > MOST_ATTRIBUTES for tag in _LONG_TAG.findall(page)):
            answer = {"refused": f"has a tag of more than {MOST_ATTRIBUTES:,} attributes"}
        else:
            tree = HTMLTree.parse(page)
            # Without alternative texts, code that is shown as a table (as in embedded gists) is left out too.
            text = extract_plain_text(tree, main_content=True, comments=False, post_meta=False)
            answer = {"text": text, "title": tree.title or "", "licenses": _licenses(tree)}
        send(answer)


def send(answer: dict[str, object]) -> None:
    data = json.dumps(answer).encode()
    sys.stdout.buffer.write(struct.pack(">Q", len(data)) + data)
    sys.stdout.buffer.flush()


def too_deep(page: str) -> bool:
    """Whether a page of very many tags opens far more than it closes, somewhere."""
    if page.count("<") < SCANNED:
        return False
    depth = 0
    for closing in _TAG.findall(page.lower()):
        depth = max(0, depth - 1) if closing else depth + 1
        if depth > DEEPEST:
            return True
    return False


def _licenses(tree: object) -> list[str]:
    """What the page itself links to as its licence (HTML standard, link type `license`)."""
    if tree.document is None:
        return []
    links = tree.document.query_selector_all("[rel~=license][href]")
    return sorted({link["href"].strip() for link in links})


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
