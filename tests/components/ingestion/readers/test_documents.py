"""Each format of documents: what it is read as, and what is said of files that cannot be read."""

import json
import re
from collections.abc import Callable

import pytest

from components.ingestion.formats import EXPECTED, FORMATS, format_of
from components.ingestion.parsing import notebook
from components.ingestion.parsing.pdf import without_running_lines
from tests.components.ingestion.readers import samples
from tests.components.ingestion.readers.samples import SAMPLES, SENTENCE


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_of_each_format_gives_its_text(read: Callable, name: str) -> None:
    documents, _ = read(name, SAMPLES[name], license="MIT")
    text = "\n".join(document.text for document in documents)
    assert SENTENCE in " ".join(text.split())
    assert all(document.license == "MIT" for document in documents)
    assert all(document.source.startswith(name) for document in documents)


@pytest.mark.parametrize(
    "name",
    ["a.md", "a.html", "a.pdf", "a.docx", "a.odt", "a.epub", "a.ipynb", "a.tex", "a.org", "a.pod", "a.eml", "a.xml"],
)
def test_the_title_is_recorded_where_the_format_has_one(read: Callable, name: str) -> None:
    assert read(name, SAMPLES[name])[0][0].metadata["title"] == "The river"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", f"## A heading\n\n{SENTENCE}\n"),
        ("a.docx", f"# A heading\n\n{SENTENCE}\n\n- a point\n\none | two\n"),
        ("a.odt", f"## A heading\n\n{SENTENCE}\n\n- a point\n\none | two\n"),
        ("a.epub", f"## Chapter 2\n\nIt begins at its end.\n\n## Chapter 1\n\n{SENTENCE}\n"),
        ("a.ipynb", f"# The river\n{SENTENCE}\n\n```julia\nprint(1)\n```\n"),
        ("a.org", f"# A heading\n{SENTENCE} See the page.\n```julia\n* x = 1\n```\n"),
        (
            "a.pod",
            f"# The river\n\n{SENTENCE} It is -> deep, 5 < 6, see the sea, `x=1`.\n\n- a point\n\n"
            '```\n    my $x = "I<kept>";\n\n    print $x;\n```\n',
        ),
        ("a.1", f"# A HEADING\n\nriver - flows down\n\n{SENTENCE}\n\n--cold[=degrees]\nhow cold it is\n\n```\n$ river  --cold\n```\n"),
        ("b.8", f"# NAME\n\nriver - flows down\n\n# A HEADING\n\n{SENTENCE} river [-c degrees] sees sea(1).\n"),
        ("a.srt", f"{SENTENCE}\nIt is deep.\n"),
        ("a.vtt", f"{SENTENCE}\nDeep & wide.\n"),
        ("a.eml", f"{SENTENCE} Café.\n"),
        ("a.xml", f"# The river\n\n## A heading\n\n{SENTENCE}\n\nTwo.\n"),
        ("a.pdf", f"{SENTENCE}\nSecond line.\n\nSecond page.\n"),
        (
            "a.tex",
            f"## A heading\n\n{SENTENCE} See  and $a^2 + \\frac{{1}}{{2}}$, café.\n\n```\nx = 1\n    y % kept\n```\n",
        ),
    ],
)  # fmt: skip
def test_headings_lists_and_code_are_markdown(read: Callable, name: str, text: str) -> None:
    assert read(name, SAMPLES[name])[0][0].text == text


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("a.py", "Python"),
        ("b.rs", "Rust"),
        ("c.TSX", "TypeScript"),
        ("Makefile", "Make"),
        ("d.h", "C"),
        ("e.sh.gz", "Shell"),
    ],
)
def test_source_code_is_code_with_its_language(read: Callable, name: str, language: str) -> None:
    import gzip

    data = b"# a comment\n"
    (document,), _ = read(name, gzip.compress(data) if name.endswith("gz") else data)
    assert (document.kind, document.metadata) == ("code", {"programming_language": language})


def test_each_message_of_a_mailbox_is_a_document(read: Callable) -> None:
    documents, (quarantined,) = read("a.mbox", SAMPLES["a.mbox"])
    assert [(d.source, d.metadata["title"]) for d in documents] == [
        ("a.mbox:1", "The river"), ("a.mbox:2", "S"), ("a.mbox:3", "Two"),
    ]  # fmt: skip
    assert documents[1].text == "Body\nFrom here on\n"
    assert documents[2].text == f"{SENTENCE}\n\nSecond.\n"
    assert "example.org" not in json.dumps([document.metadata for document in documents])
    assert quarantined.reason == "attachments, which are not read: 1 image/png"


def test_each_article_of_a_wiki_dump_is_a_document(read: Callable) -> None:
    (document,), (quarantined,) = read("b.xml", SAMPLES["b.xml"])
    assert document.metadata == {"title": "River"}
    assert document.text == f"A river is running water. {SENTENCE}\n\n## A heading\n\n- a point\n"
    assert quarantined.reason == "pages that are not articles: 1 of other namespaces, 1 redirects"


def test_pages_of_a_dump_need_no_lines_of_their_own(read: Callable) -> None:
    joined = re.sub(rb">\s+<", b"><", SAMPLES["b.xml"])
    (document,), (quarantined,) = read("b.xml", joined)
    assert document.text == read("b.xml", SAMPLES["b.xml"])[0][0].text
    assert quarantined.reason == "pages that are not articles: 1 of other namespaces, 1 redirects"


def test_a_dump_that_breaks_off_keeps_its_pages(read: Callable) -> None:
    data = SAMPLES["b.xml"]
    (document,), quarantined = read("b.xml", data[: data.index(b"<title>Talk")])
    assert document.metadata["title"] == "River"
    assert "ends within a page" in quarantined[-1].reason


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><x>&b;</x>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.pdf", b"%PDF", "is not a PDF that can be read"),
        ("a.pdf", samples.pdf([[]]), "has no text in its 1 pages, which may be scans; run text recognition"),
        (
            "a.pdf",
            samples.pdf([["x"]], trailer=f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{'41' * 32}> /U <{'42' * 32}> >> /ID [<41> <41>] "),
            "is encrypted; save it without a password",
        ),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is encrypted or in an old format"),
        ("a.docx", b"PK", "is not a complete zip file"),
        ("a.docx", samples.zipped({"x": "y"}), "has no word/document.xml"),
        ("a.docx", samples.zipped({"word/document.xml": BOMB}), "its XML declares entities"),
        ("a.odt", samples.zipped({"content.xml": OUTSIDE}), "its XML declares entities"),
        ("a.odt", samples.odt("", "<manifest:encryption-data/>"), "is encrypted"),
        ("a.odt", samples.odt(""), "has no text"),
        ("a.epub", samples.epub(**{"META-INF/encryption.xml": '<e><CipherReference URI="OPS/text/one%20.xhtml"/></e>'}), "DRM"),
        ("a.xml", BOMB.encode(), "its XML declares entities"),
        ("a.xml", OUTSIDE.encode(), "its XML declares entities"),
        ("a.xml", b"<a><b></a>", "its XML is broken"),
        ("a.xml", b"<a>" * 100_000, "its XML is broken"),
        ("a.ipynb", b"{", "is not a notebook"),
        ("a.ipynb", b"[1]", "holds a list"),
        ("a.ipynb", b'{"cells": []}', "has no text in its 13 bytes"),
        ("a.1", b".br\nJust text.\n", "is not a manual page"),
        ("a.1", b".so man1/other.1\n", "only refers to man1/other.1"),
        ("a.srt", b"Just text.\n", "has no subtitle times"),
        ("a.mbox", b"Just text.\n", "is not a mailbox"),
        ("a.tex", b"{" * 100_000, "RecursionError"),
        ("a.tex", b"a\x00b", "holds a NUL (character 1)"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(read: Callable, name: str, data: bytes, reason: str) -> None:
    documents, (quarantined,) = read(name, data)
    assert not documents
    assert (quarantined.file, reason in quarantined.reason) == (name, True), quarantined.reason


@pytest.mark.parametrize(
    ("level", "marks"), [(2, "##"), (6, "######"), (0, "#"), (7, "#"), (2.0, "#"), ("2", "#"), (None, "#")]
)
def test_a_notebook_of_format_3_has_headings_whatever_their_level_is(level: object, marks: str) -> None:
    cells = [{"cell_type": "heading", "level": level, "source": "The river"}]
    found = notebook.parse(json.dumps({"worksheets": [{"cells": cells}]}))
    assert found["text"].strip() == f"{marks} The river"


def test_too_long_a_text_of_a_small_file_is_named(read: Callable) -> None:
    body = "<w:p><w:r><w:t>word </w:t></w:r></w:p>" * 1_000
    documents, (quarantined,) = read("a.docx", samples.docx(body), max_chars=1_000)
    assert not documents
    assert "over the 1,000 that a document may have" in quarantined.reason


def test_a_member_that_is_a_bomb_is_not_unpacked(read: Callable) -> None:
    documents, (quarantined,) = read("a.docx", samples.zipped({"word/document.xml": b" " * 150_000_000}))
    assert not documents
    assert "unpacks to more than 100,000,000 bytes" in quarantined.reason


def test_a_file_that_hangs_its_parser_costs_no_other(read: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.ingestion.readers.parsed.SECONDS", 1)
    documents, (quarantined,) = read("a.tex", b"$x$ text " * 200_000, max_chars=2_000_000)
    assert not documents
    assert "took more than 1 s of CPU" in quarantined.reason
    assert SENTENCE in read("b.tex", SAMPLES["a.tex"])[0][0].text


def test_running_heads_and_page_numbers_are_left_out() -> None:
    pages = [["The River", f"Text {i} of a page", f"- {i} -"] for i in range(1, 9)]
    assert without_running_lines(pages) == [[f"Text {i} of a page"] for i in range(1, 9)]
    few = pages[:3]
    assert without_running_lines(few) == few


def test_what_is_expected_names_every_format() -> None:
    prose = {ending for ending, found in FORMATS.items() if not found.language}
    same = {
        ".text",
        ".markdown",
        ".mdx",
        ".adoc",
        ".asciidoc",
        ".jsonlines",
        ".tab",
        ".htm",
        ".xhtml",
        ".latex",
        ".ltx",
    }
    same |= {".man", ".mdoc", ".roff"}
    assert not {ending for ending in prose - same if ending[1:] not in EXPECTED}


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("a.MD", "plain"), ("a.tar.zst", "archives"), ("a.TGZ", "archives"), ("git.1.gz", "parsed"), ("x.3pm", "parsed"),
        ("README", "plain"), ("readme.gz", "plain"), ("24.TXT", "plain"), ("a.arc", "arc"), ("25.markdown", "plain"), ("31.text", "plain"),
    ],
)  # fmt: skip
def test_a_format_is_known_by_the_name(name: str, module: str) -> None:
    assert format_of(name).reader.partition(".")[0] == module


@pytest.mark.parametrize("name", ["a.7z", "a.3gp", "a.zip.gz", "a.parquet.gz", "a.png", "LICENSE", "a.ark", "a.lz4"])
def test_other_names_have_no_reader(name: str) -> None:
    assert format_of(name) is None


@pytest.mark.parametrize(
    ("escaped", "letters"),
    [
        (r"\(:UBERSICHT, Gr\(:o\(sse", "ÜBERSICHT, Größe"),
        (r"\(^etre fran\(,cais, d\('ej\(`a, \[oe]uvre", "être français, déjà, œuvre"),
        (r"a\(~no, r\(oam, \[/o]l, \[Fo]x\[Fc], \(:1x \(zzx", "año, råm, øl, «x», x x"),
    ],
)
def test_letters_of_a_manual_page_that_are_written_by_name(escaped: str, letters: str, read: Callable) -> None:
    page = f".TH A 1\n.SH NAME\na \\- {escaped}\n"
    ((document,), _) = read("a.1", page.encode())
    assert f"a - {letters}\n" in document.text
