"""Broken links of pages are found: to files, to headings, of pages elsewhere; what works or leads to the web is not."""

from pathlib import Path

import pytest

from checks import links


@pytest.mark.parametrize(
    ("target", "works"),
    [
        ("other.md", True),
        ("other.md#what-x-costs-and-why", True),
        ("#here-1", True),
        ("folder", True),
        ("a%20b.txt", True),
        ("https://host.example/nowhere", True),
        ("mailto:me@host.example", True),
        ("nowhere.md", False),
        ("other.md#what-x-costs", False),
        ("other.md#in-a-fence", False),
        ("#here-2", False),
        ("a%20b.txt#here", False),
    ],
)
def test_a_link_works_where_file_and_heading_exist(tmp_path: Path, target: str, works: bool) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a b.txt").touch()
    (tmp_path / "other.md").write_text("# What `x` costs, [and](y.md) why\n```\n# In a fence\n```\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(f"# Here\n## Here\n```\n[x](nothing.md)\n```\nSee [it]({target}).\n", encoding="utf-8")
    assert list(links.faults(page)) == ([] if works else [target])


def test_the_check_ends_with_1_where_a_link_is_broken(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "ROOT", tmp_path)
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text("[x](page.md)", encoding="utf-8")
    assert links.main() == 0
    page.write_text("[x](pages.md)", encoding="utf-8")
    assert links.main() == 1
    assert "docs/page.md: pages.md" in capsys.readouterr().out
