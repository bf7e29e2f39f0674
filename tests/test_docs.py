"""The pages of documentation: every link leads somewhere."""

import re
from pathlib import Path

import pytest

from checks.links import LINK, faults

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert list(faults(page)) == []


def test_every_measurement_is_listed() -> None:
    scripts = [path for path in (ROOT / "bench").glob("*.py") if "__main__" in path.read_text(encoding="utf-8")]
    listed = re.findall(r"python -m bench\.(\w+)", (ROOT / "bench/README.md").read_text(encoding="utf-8"))
    assert sorted(path.stem for path in scripts) == sorted(listed)


def test_every_page_is_linked_from_another() -> None:
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in PAGES
        for target in LINK.findall(page.read_text(encoding="utf-8"))
    }
    assert [page.name for page in PAGES[1:] if page not in linked] == ["index.md"]  # the home page of the site
