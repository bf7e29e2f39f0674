"""`python -m checks.links`: names each link of a page that leads to a file or a heading that does not exist.

Addresses of the web are left alone: the check needs no network. Exit status: 0 nothing found, 1 something was.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).parents[1]
PAGES = ("*.md", "docs/**/*.md", "bench/*.md", ".github/*.md")

LINK = re.compile(r"\]\(<?([^)\s>]+)")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def main() -> int:
    """Print every broken link; returns the exit status."""
    pages = sorted({page for pattern in PAGES for page in ROOT.glob(pattern)})
    broken = [
        f"{page.relative_to(ROOT)}: {target}: no such file or heading" for page in pages for target in faults(page)
    ]
    for line in broken:
        print(line)
    return bool(broken)


def faults(page: Path) -> Iterator[str]:
    """The links of a page that lead to nothing."""
    for target in LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        place = page.parent / path if path else page
        if not place.exists() or (anchor and (place.suffix != ".md" or anchor not in anchors(place))):
            yield target


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page: equal ones are numbered."""
    found, seen = set(), Counter[str]()
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


if __name__ == "__main__":
    sys.exit(main())
