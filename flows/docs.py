"""`make docs`: builds docs/ as a static site, in which a browser loads nothing from outside addresses."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from components.errors import StepError
from flows import settings

CONFIGURATION = "zensical.toml"
_OUTSIDE = re.compile(r"(?:https?:)?//", re.IGNORECASE)
_IN_CSS = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)


class _Loads(HTMLParser):
    """Collects the addresses that a page makes a browser load: scripts, styles, fonts, images and frames, but not links."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.addresses.append(given.get("href", ""))
        elif tag != "a":
            self.addresses += [given.get(name, "") for name in ("src", "data")]


def outside(folder: Path) -> Iterator[str]:
    """The outside addresses that the pages and styles of a site load, each after the name of its file."""
    for path in sorted(folder.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        page = _Loads()
        page.feed(text)
        loaded = [address for address in page.addresses if _OUTSIDE.match(address)]
        yield from (f"{path.relative_to(folder)}: {address}" for address in [*loaded, *_IN_CSS.findall(text)])
    for path in sorted(folder.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        yield from (f"{path.relative_to(folder)}: {address}" for address in _IN_CSS.findall(text))


def main() -> int:
    """Build the site; returns the exit status."""
    root = settings.project_root()
    folder = settings.state_folder(root) / "docs"
    try:
        build(root, folder)
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    site = folder / "site"
    print(f"Open {site / 'index.html'}, or serve it with search:")
    print(f"  python -m http.server --bind 127.0.0.1 --directory {site.relative_to(root)}")
    return 0


def build(root: Path, folder: Path) -> None:
    """Build the site into `folder`.

    Raises:
        StepError: the generator is missing or refuses a page, or the site would load something from outside.
    """
    generator = folder / "bin" / "zensical"
    if not generator.is_file():
        raise StepError(f"docs: {generator} is not installed; run: make docs")
    done = subprocess.run(
        [generator, "build", "--clean", "--strict", "--config-file", root / CONFIGURATION], check=False
    )
    if done.returncode:
        raise StepError("docs: the generator refused a page; correct what it names above")
    if found := list(outside(folder / "site")):
        raise StepError(f"docs: the site loads {found[0]}; expected files of its own only; correct {CONFIGURATION}")


if __name__ == "__main__":
    sys.exit(main())
