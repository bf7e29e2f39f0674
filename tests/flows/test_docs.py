"""`make docs`: what a built page would load from outside is found, and a link to click is not taken for it."""

from pathlib import Path

import pytest

from flows import docs

LOADED = [
    '<script src="https://unpkg.com/shim"></script>',
    '<link rel="stylesheet" href="//fonts.example/css">',
    '<link rel="preconnect" href="https://fonts.example">',
    '<img src="http://host.example/a.png">',
    "<style>@import 'https://host.example/a.css';</style>",
    '<object data="https://host.example/a.svg"></object>',
]
FREE = [
    '<a href="https://host.example">a link</a>',
    '<link rel="canonical" href="https://host.example/page.html">',
    '<script src="assets/bundle.js"></script>',
    '<link rel="stylesheet" href="assets/main.css">',
    "<code>&lt;script src=&quot;https://host.example&quot;&gt;</code>",
]


@pytest.mark.parametrize("html", LOADED)
def test_what_a_page_loads_from_outside_is_found(tmp_path: Path, html: str) -> None:
    (tmp_path / "page.html").write_text(f"<html>{''.join(FREE)}{html}</html>")
    [found] = docs.outside(tmp_path)
    assert found.startswith("page.html: ")
    assert "example" in found or "unpkg" in found


def test_links_and_own_files_are_fine(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("".join(FREE))
    (tmp_path / "main.css").write_text(
        "a { background: url('data:image/svg+xml;<svg xmlns=\"http://www.w3.org/2000/svg\">') }"
    )
    assert list(docs.outside(tmp_path)) == []


def test_a_font_in_a_style_is_found(tmp_path: Path) -> None:
    (tmp_path / "css").mkdir()
    (tmp_path / "css" / "main.css").write_text("@font-face { src: url(https://fonts.example/a.woff2) }")
    assert list(docs.outside(tmp_path)) == ["css/main.css: https://fonts.example/a.woff2"]


def test_without_the_generator_the_fix_is_named(project: Path, capsys: pytest.CaptureFixture, monkeypatch) -> None:
    monkeypatch.setattr(docs.settings, "project_root", lambda: project)
    assert docs.main() == 1
    assert "is not installed; run: make docs" in capsys.readouterr().err
