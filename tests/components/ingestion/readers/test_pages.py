"""Web pages: the main text, its encoding and licence, and pages that are made to break a parser."""

# ruff: noqa: RUF001 - the texts are of several scripts
import contextlib
import os
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.curation.clean import judge
from components.documents import Document
from components.errors import StepError
from components.ingestion.parsing.pages import DEEPEST, MOST_ATTRIBUTES, parse, too_deep
from components.ingestion.readers import isolation, pages
from components.ingestion.readers.base import Refused
from components.ingestion.readers.decoding import decode
from components.ingestion.readers.isolation import Job, ParserProcess
from components.ingestion.readers.pages import read_page, spdx
from components.params import CurationParams

HTML = Job("pages", 10)
STORY = (
    "The water of the river is cold in spring, since it comes from the snow of the mountains. "
    "In summer it is warm, and the children of the village swim in it every day until the evening comes."
)


def page(body: str, head: str = "") -> str:
    return (
        f"<!DOCTYPE html><html><head><title>The river</title>{head}</head><body>"
        "<nav><ul><li><a href='/'>Home</a></li><li><a href='/shop'>Shop now</a></li></ul></nav>"
        f"<main><article><h1>The river</h1><p>{body}</p></article></main>"
        "<footer>Copyright, all rights reserved, cookie settings</footer><script>var x = 'tracked';</script></body></html>"
    )


def test_main_text_without_menu_footer_and_script(read: Callable) -> None:
    (document,), quarantined = read("a.html", page(STORY).encode(), license="MIT")
    assert STORY in document.text
    assert not [word for word in ("Home", "Shop", "cookie", "tracked", "<") if word in document.text]
    assert (document.kind, document.source, document.license) == ("prose", "a.html", "MIT")
    assert document.created_by == "html-reader/2"
    assert document.metadata == {"title": "The river", "encoding": "utf-8"}
    assert not quarantined


def test_code_of_a_page_keeps_its_lines_and_indents(read: Callable) -> None:
    code = "def f(x):\n    if x:\n        return 1\n"
    (document,), _ = read("a.htm", page(f"{STORY}</p><pre><code>{code}</code></pre><p>{STORY}").encode())
    assert code.strip() in document.text


def test_technical_pages_are_not_held_to_the_rules_for_crawled_pages(read: Callable) -> None:
    code = "<pre><code>function swim(river) {\n  return river.cold ? null : river;\n}</code></pre>"
    data = page(f"{STORY}</p>{code}<h2>Options</h2><ul><li>cold</li><li>warm</li></ul>").encode()  # few words

    def judged(**source: str) -> Any:
        (document,), _ = read("a.html", data, **source)
        ((verdict, _),) = judge([document.row()], CurationParams())
        return verdict

    assert isinstance(judged(), Document)
    assert judged(kind="web").rule.startswith(("gopher", "c4", "fineweb"))


def test_the_kind_can_be_named(read: Callable) -> None:
    assert read("a.xhtml", page(STORY).encode(), kind="textbook")[0][0].kind == "textbook"


@pytest.mark.parametrize(
    ("encoding", "head", "text"),
    [
        ("utf-8", "", "naïve café"),
        ("utf-8", '<meta charset="iso-8859-1">', "naïve café"),  # what is UTF-8 is that, whatever it says
        ("cp1252", '<meta charset="iso-8859-1">', "“naïve” café, as the web means Latin-1"),
        ("koi8-r", '<meta http-equiv=content-type content="text/html; charset=koi8-r">', "Вода в реке холодная"),
        ("shift_jis", '<meta charset="shift_jis">', "川の水は春には冷たい。"),
        ("cp1251", "", "Вода в реке весной холодная, потому что она приходит из снега гор. " * 5),
        ("cp1252", '<meta charset="utf-8">', "Voilà une phrase tout à fait française, avec des œuvres élevées. " * 9),
        ("utf-16", "", "naïve café"),
        ("iso2022_jp", "", "川の水は春には冷たい。"),
    ],
)
def test_each_encoding_is_found(read: Callable, encoding: str, head: str, text: str) -> None:
    (document,), _ = read("a.html", page(f"{text} x", head).encode(encoding))
    assert text.strip() in document.text
    assert document.metadata["encoding"] == {"shift_jis": "cp932", "iso2022_jp": "iso2022_jp_ext"}.get(
        encoding, encoding
    )


def test_a_page_cut_off_within_a_character_loses_that_alone(read: Callable) -> None:
    (document,), _ = read("a.html", f"<article><p>{STORY} caf\u00e9".encode()[:-1])
    assert document.text.strip().endswith("caf")


def test_bytes_of_no_encoding_are_quarantined_with_the_offset(read: Callable) -> None:
    documents, (quarantined,) = read("a.html", b"<p>text" + bytes(range(128, 256)) * 3 + b"\x01\x02</p>")
    assert not documents
    assert "byte 7: invalid start byte" in quarantined.reason


@pytest.mark.parametrize("head", ["", '<meta charset="utf-8">', '<meta charset="x-none">', '<meta charset="latin1">'])
def test_a_page_of_utf8_with_one_wrong_byte_loses_that_alone(read: Callable, head: str) -> None:
    data = page(f"Voilà une phrase française, avec des œuvres élevées. {STORY}", head).encode()
    (document,), _ = read("a.html", data.replace(b"phrase", b"phr\xffase"))
    assert "Voilà une phr\ufffdase française" in document.text
    assert document.metadata["wrong_bytes"] == 1


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp874", "ร้านอาหารในประเทศไทยมีมากมาย"),
        ("euc_kr", "언어 모델에 관한 한국어 문장입니다"),
        ("gb2312", "关于语言模型的中文句子"),
    ],
)
def test_characters_of_utf8_by_chance_make_none(encoding: str, text: str) -> None:
    assert decode((text * 9).encode(encoding), [encoding]).text == text * 9


def test_a_nul_in_a_page_is_a_wrong_byte(read: Callable) -> None:
    (document,), quarantined = read("a.html", page(STORY).replace("water", "wa\0ter", 1).encode())
    assert ("wa\ufffdter" in document.text, document.metadata["wrong_bytes"], quarantined) == (True, 1, [])
    documents, (quarantined,) = read("b.html", page(STORY).replace("e", "e\0").encode())
    assert not documents
    assert "holds a NUL (character" in quarantined.reason


def test_a_page_may_name_its_licence(read: Callable) -> None:
    link = '<link rel="license" href="https://creativecommons.org/licenses/by-sa/4.0/deed.en">'
    (document,), _ = read("a.html", page(STORY, link).encode(), license="MIT")
    assert document.license == "CC-BY-SA-4.0"
    assert document.metadata["license_url"].endswith("deed.en")
    two = link + '<link rel="license" href="https://creativecommons.org/publicdomain/zero/1.0/">'
    assert read("a.html", page(STORY, two).encode(), license="MIT")[0][0].license == "MIT"
    assert spdx("http://creativecommons.org/publicdomain/zero/1.0/") == "CC0-1.0"
    assert spdx("https://example.org/?https://creativecommons.org/licenses/by/4.0/") == ""


@pytest.mark.parametrize("html", ["", "<html><body></body></html>", "<script>1</script>", "<!--"])
def test_a_page_without_text_is_named(read: Callable, html: str) -> None:
    documents, (quarantined,) = read("a.html", html.encode())
    assert not documents
    assert "has no main text" in quarantined.reason


def test_a_million_nested_tags_are_refused_and_the_next_page_is_read(read: Callable) -> None:
    documents, (quarantined,) = read("bomb.html", b"<div>" * 1_000_000 + b"text")
    assert not documents
    assert f"nests tags more than {DEEPEST:,} deep" in quarantined.reason
    assert STORY in read("a.html", page(STORY).encode())[0][0].text


@pytest.mark.parametrize("attribute", ["a{}=1", "a{}", "a{}='x y'", 'A{}="\n"'])
def test_a_tag_of_very_many_attributes_is_refused_at_once(read: Callable, attribute: str) -> None:
    attributes = " ".join(attribute.format(number) for number in range(600_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    documents, (quarantined,) = read("bomb.html", f"<div {attributes}>text</div>".encode())
    assert not documents
    assert f"has a tag of more than {MOST_ATTRIBUTES:,} attributes" in quarantined.reason
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 3
    assert STORY in read("a.html", page(STORY).encode())[0][0].text


def test_a_long_tag_of_few_attributes_is_read(read: Callable) -> None:
    drawing = "M0 0 L1 1 " * 10_000
    html = page(f"<svg><path d='{drawing}' class=\"a b\"/></svg><p>{STORY}")
    assert STORY in read("a.html", html.encode())[0][0].text


FLOODS = {
    "one text": "<p>" + "word " * 1_900_000,
    "entities": "<p>" + "&amp;" * 1_900_000,
    "unknown entities": "<p>" + "&aaaaaaaaa" * 900_000,
    "comments": "<!--" * 2_000_000,
    "line breaks": "<br>" * 600_000,
    "ends of tags": "</p>" * 1_200_000,
    "an open quote": '<p a="' + "x" * 9_000_000,
    "nesting that is mended": "<a><b><i><p>" * 800_000,
    "a title": "<title>" + "x" * 9_000_000,
}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_read_or_refused_within_seconds_and_a_gigabyte(name: str) -> None:
    parser = ParserProcess()
    with contextlib.suppress(Refused):
        assert len(parser.ask(FLOODS[name], HTML)["text"]) < 10_000_000
    status = Path(f"/proc/{parser._process.pid}/status").read_text()
    assert int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) < 1_000_000
    seconds = sum(map(int, Path(f"/proc/{parser._process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    assert seconds / os.sysconf("SC_CLK_TCK") < HTML.seconds + 1
    parser.close()


def test_a_page_that_takes_too_long_ends_its_process_alone(read: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "SECONDS", 1)
    parser = ParserProcess()
    monkeypatch.setattr(pages, "parser", lambda: parser)
    assert STORY in read("a.html", page(STORY).encode())[0][0].text
    attributes = " ".join(f"a{i}='<'" for i in range(100_000))  # quadratic in the parser: hours, were it let
    documents, (quarantined,) = read("bomb.html", f"<div {attributes}>text</div>".encode())
    assert not documents
    assert "broke the parser, or took more than 1 s of CPU" in quarantined.reason
    assert STORY in read("a.html", page(STORY).encode())[0][0].text
    parser.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold a process to its address space")
def test_a_page_that_takes_too_much_memory_ends_its_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "GIGABYTES", 0.15)
    parser = ParserProcess()
    with pytest.raises(Refused, match="GB of memory"):
        parser.ask("<p>x" * 2_000_000, HTML)
    assert "river" in parser.ask(page(STORY), HTML)["text"]
    parser.close()


def test_a_huge_page_is_not_read(read: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.ingestion.readers.html.MAX_PAGE_BYTES", 1_000)
    documents, (quarantined,) = read("a.html", b" " * 1_001)
    assert not documents
    assert quarantined.reason == "1,001 bytes, more than a page can take"


def test_the_entries_of_a_reference_are_kept() -> None:
    entry = (
        "<details open><summary><section><a href=/s>Source</a><a href=/t>§</a><h4>fn <a href=/n>swim_{0}</a>(&amp;mut self, river: "
        "&amp;River) -&gt; <a href=/o>Option</a></h4></section></summary><div class=docblock>Swims {0} strokes in the river and "
        "returns the river itself, or nothing where it is cold. <a href=/m{0}>Read more</a></div></details>"
    )
    entries = "".join(entry.format(number) for number in range(40))
    text = parse(f"<main><h1>River</h1><div class=docblock><p>{STORY}</p><p>{STORY[::-1]}</p></div>{entries}</main>")[
        "text"
    ]
    assert all(f"Swims {number} strokes in the river" in text for number in range(40))


def test_ordinary_pages_are_not_deep() -> None:
    assert not too_deep("<p>one<br>" * 50_000)
    assert not too_deep("<div><b>x</b></div>" * 50_000)
    assert not too_deep("<svg><path d='M 1'/><rect/></svg>" * 50_000)
    assert too_deep("<i><div>" * 50_000)
    assert too_deep("<a href=x/><a title='/>'>" * 50_000)  # neither ends itself


def test_threads_have_a_parser_each() -> None:
    from concurrent.futures import ThreadPoolExecutor

    texts = [f"{STORY} Number {i}." for i in range(60)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda text: read_page(page(text).encode()).text, texts))
    assert all(text in got for text, got in zip(texts, found, strict=True))


def test_the_process_ends_with_its_owner() -> None:
    parser = ParserProcess()
    assert "river" in parser.ask(page(STORY), HTML)["text"]
    process = parser._process
    del parser
    assert process.poll() is not None


def test_a_parser_that_does_not_start_is_not_a_fault_of_the_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation.sys, "executable", "/bin/false")
    with pytest.raises(StepError, match="the process that parses files does not start; run `/bin/false -I"):
        ParserProcess().ask(page(STORY), HTML)
    monkeypatch.setattr(isolation.sys, "executable", "/nowhere")  # Popen itself fails, as without memory or handles
    with pytest.raises(StepError, match="the process that parses files does not start"):
        ParserProcess().ask(page(STORY), HTML)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="/proc shows a process's environment")
def test_the_process_that_parses_sees_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    parser = ParserProcess()
    try:
        parser.ask(page(STORY), HTML)
        assert b"planted" not in Path(f"/proc/{parser._process.pid}/environ").read_bytes()
    finally:
        parser.close()
