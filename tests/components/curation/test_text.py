"""Repair of texts: mojibake is removed from web text, code is unchanged, and a second repair changes nothing."""

# ruff: noqa: RUF001 - the texts are about such characters
import pytest
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad
from hypothesis import example, given
from hypothesis import strategies as st

from components.curation.text import _may_be_bad, normalise, repair
from components.documents import KINDS

CHARACTERS = [chr(c) for c in range(0x80, 0x2600) if any(chr(c) in letters for letters in MOJIBAKE_CATEGORIES.values())]
SUSPECT = st.text(st.sampled_from([*CHARACTERS, "Ã", "Â", "â", "€", "™", "œ", " ", "a", "e", ".", "\n"]), max_size=30)


def mojibake(text: str, layers: int = 1) -> str:
    for _ in range(layers):
        text = text.encode("utf-8").decode("cp1252", "replace")
    return text


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("The Mona Lisa doesnâ€™t have eyebrows.", "The Mona Lisa doesn’t have eyebrows."),
        (mojibake("Übergröße: schön & groß"), "Übergröße: schön & groß"),
        (mojibake("l’humanité – déjà vu", 2), "l’humanité – déjà vu"),
        ("voted in the \x93Rathaus\x94", "voted in the “Rathaus”"),
        ("naïve café, “quoted” — and so on…", "naïve café, “quoted” — and so on…"),
        ("Привет, как дела?", "Привет, как дела?"),
        ("日本語のテキスト", "日本語のテキスト"),
        (mojibake("à déjà-vu, così í"), "à déjà-vu, così í"),  # whose bytes are a no-break blank and a soft hyphen
        ("fish &amp; chips &lt;b&gt;", "fish &amp; chips &lt;b&gt;"),  # entities are the reader's business
    ],
)
def test_mojibake_of_web_text_is_undone_and_sound_text_stays(broken: str, whole: str) -> None:
    assert repair(broken, "web") == whole + "\n"


def test_only_the_bad_line_is_touched() -> None:
    assert repair("â€œdoneâ€\x9d\nnaïve ﬁsh ½", "web") == "“done”\nnaïve ﬁsh ½\n"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "web"])
def test_no_other_kind_is_guessed_at(kind: str) -> None:
    code = 's = "doesnâ€™t"  # a test of mojibake\r\n\tx = 1  \r\n'
    assert repair(code, kind) == normalise(code, kind) == 's = "doesnâ€™t"  # a test of mojibake\n\tx = 1\n'


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("written", "kept", "in_code"),
    [
        ("1\xa0234\u202f567", "1 234 567", "1\xa0234\u202f567"),
        ("555\u20110187", "555-0187", "555\u20110187"),
        ("one\u2028two", "one\ntwo", "one\u2028two"),
        ("1914–1918", "1914–1918", "1914–1918"),
        ("ＡＢＣ、１２", "ＡＢＣ、１２", "ＡＢＣ、１２"),
        ("a sto\xadry\u200b of \u202eevil\u202c \ufeffsigns\u2060", "a story of evil signs", "a story of evil signs"),
        ("e\u200b\u0301\xa0\n", "é", "é\xa0"),
    ],
)
def test_characters_that_look_alike_are_kept_as_one(written: str, kept: str, in_code: str, kind: str) -> None:
    assert repair(written, kind) == (in_code if kind == "code" else kept) + "\n"


@given(st.one_of(st.text(), SUSPECT), st.sampled_from(KINDS))
@example("Ã\u200b©", "web")
@example("À\xad\u0308Ã\xa0\u0301", "web")
@example("Ã\x83Â\x82Ã\x82Â", "web")
@example("a\x80\x99\r\nÂ \x07", "web")
def test_a_repair_is_the_last(text: str, kind: str) -> None:
    once = repair(text, kind)
    assert repair(once, kind) == once == normalise(once, kind)


@given(st.one_of(SUSPECT, st.text(), st.builds(mojibake, st.text(st.characters(exclude_categories=["Cs"])))))
def test_the_quick_look_misses_no_bad_text(text: str) -> None:
    if is_bad(text):
        assert _may_be_bad().search(text)
