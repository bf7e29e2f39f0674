"""The main text of web pages: what each extractor gives, and which one counts."""

import re

import pytest

from components.ingestion.parsing import pages

STORY = [
    "The old bridge over the river was built of stone, and the people of the village crossed it every day.",
    "In the spring the water rose higher than it ever had, but the bridge, which had been repaired, held well.",
    "The mason who had built it was long dead, and only his name, which was cut into a stone, was left of him.",
]
ARTICLE = "<h1>The old bridge</h1>" + "".join(f"<p>{sentence}</p>" for sentence in STORY)
MENU = "<ul>" + "".join(f"<li><a href=/{i}>Topic number {i}</a></li>" for i in range(12)) + "</ul>"
CHOICES = pytest.mark.parametrize("extractor", ["auto", "fast", "careful"])


def text_of(body: str, extractor: str = "auto") -> str:
    return pages.parse(f"<html><body>{body}</body></html>", extractor=extractor)["text"]


@CHOICES
@pytest.mark.parametrize(
    "container",
    [
        "<article class='post comments-closed'>",
        "<div class='post comments-open'>",
        "<div class='entry has-comments'>",
        "<section class=related-work>",
        "<div class='article popup-gallery'>",
        "<div class=ad-free-content>",
        "<div class=social-science>",
        "<div class=newsletter-issue>",
        "<div class='recipe menu-of-the-day'>",
        "<div class='recipe cookie-recipe'>",
        "<div class=header-image-post>",
        "<div id=footer-bridge-article>",
        "<div class='content-sidebar-1 news-wrapper'>",
        "<nav>",  # never closed
        "<noscript>",
    ],
)
def test_no_name_of_a_container_loses_the_article(container: str, extractor: str) -> None:
    text = text_of(container + ARTICLE, extractor)
    assert all(sentence in text for sentence in STORY)


@CHOICES
def test_lists_near_the_body_stay_and_menus_go(extractor: str) -> None:
    text = text_of(
        f"{MENU}<main>{ARTICLE}<ul><li>One stone arch</li><li>Two iron beams</li></ul><p>{STORY[0]}</p></main>",
        extractor,
    )
    assert "One stone arch\nTwo iron beams" in text
    assert "Topic number" not in text


@CHOICES
def test_what_is_hidden_or_around_is_left_out(extractor: str) -> None:
    around = "<footer>Imprint</footer><aside>Related</aside><div hidden>Secret</div><noscript>Switch on</noscript>"
    text = text_of(f"<nav>{MENU}</nav><main>{ARTICLE}<img alt='A photograph' src=a.jpg></main>{around}", extractor)
    assert all(sentence in text for sentence in STORY)
    assert not [word for word in ("Topic", "Imprint", "Related", "Secret", "Switch", "photograph") if word in text]


@CHOICES
def test_a_page_without_an_article_keeps_its_text(extractor: str) -> None:
    assert text_of("<div class=comment>A short remark.</div>", extractor) == "A short remark."
    assert text_of("<table><tr><td>A cell of a table</td></tr></table>", extractor) == "A cell of a table"


def test_auto_takes_the_careful_text_of_a_page_with_much_around_it_and_the_fast_one_of_a_clean_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pages, "_careful", lambda tree, thorough=False: "what the careful one says " * 20)
    teasers = "".join(f"<div><h3>Read more {i}</h3><span>Two words</span></div>" for i in range(60))
    assert "careful one says" in text_of(f"<div>{ARTICLE}</div>{teasers}")
    assert "careful one says" not in text_of(f"<div>{ARTICLE}</div>{teasers}", "fast")
    assert "careful one says" not in text_of("".join(f"<p>{sentence}</p>" for sentence in STORY))


@pytest.mark.parametrize(
    ("bound", "asked"),
    [({"MOST_CAREFUL": 3}, []), ({"LARGEST_CAREFUL": 30}, []), ({"MOST_THOROUGH": 3}, [True]), ({}, [True, False])],
)
def test_what_a_page_may_cost_is_bounded_by_what_it_holds(
    monkeypatch: pytest.MonkeyPatch, bound: dict[str, int], asked: list[bool]
) -> None:
    seen = []
    monkeypatch.setattr("trafilatura.bare_extraction", lambda *_, fast, **__: seen.append(fast))  # finds nothing
    for name, value in bound.items():
        monkeypatch.setattr(pages, name, value)
    assert STORY[0] in text_of(ARTICLE, "careful")
    assert seen == asked


ENTRY = "<b>Key {0}</b></td><td><ul><li>value {0}<ul><li>more {0}<ul><li>most {0}</li></ul></li></ul></li></ul>"
LISTS_IN_TABLES = {
    "beside keys": "<table>" + "".join(f"<tr><td>{ENTRY.format(n)}</td></tr>" for n in range(200)) + "</table>",
    "a table each": "".join(f"<table><tr><td>{ENTRY.format(n)}</td></tr></table>" for n in range(200)),
    "of a hundred": "<table>"
    + "".join(f"<tr><td>{n}</td><td><ol><li>a {n}</li><li>b {n}</li></ol></td></tr>" for n in range(99))
    + "</table>",
    "definitions": "<table>"
    + "".join(f"<tr><td>{n}</td><td><dl><dt>a {n}</dt><dd>b {n}</dd></dl></td></tr>" for n in range(99))
    + "</table>",
}


@pytest.mark.parametrize("name", LISTS_IN_TABLES)
@pytest.mark.parametrize("extractor", ["auto", "fast", "careful"])
def test_lists_within_tables_stay(name: str, extractor: str) -> None:
    words = re.sub("<[^>]*>", " ", LISTS_IN_TABLES[name]).split()
    text = text_of(f"<h1>A table of things</h1>{LISTS_IN_TABLES[name]}", extractor)
    assert len(set(words) - set(text.split())) < 0.05 * len(set(words))


def test_a_page_that_breaks_the_careful_extractor_has_the_fast_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise AttributeError("a fault of the library")

    monkeypatch.setattr("trafilatura.bare_extraction", broken)
    assert STORY[0] in text_of(ARTICLE, "careful")
