"""One normalisation of characters: invisible characters are removed, equal-looking ones become equal, and a second time changes nothing."""

# ruff: noqa: RUF001 - the texts are about such characters
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.text.characters import fold, plain, visible

ODD = (
    "\xad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2066\u2069\ufe0f\ufeff\U000e0041\U000e0100"
)
TEXTS = st.text(
    st.sampled_from(
        [*ODD, *"aÉ1#-Σςகொ\u1100\u1161\u11a8\n \xa0\u2011\u2013ﬁＡ９²½①…ﾊﾟ٣नกكΐİßſ❤🔥葛", "\u0301", "\u20e3"]
    )
    | st.characters(),
    max_size=20,
)


@pytest.mark.parametrize("character", ODD)
@pytest.mark.parametrize(
    ("before", "after"), [("wa", "ter"), ("12", "34"), ("ann@", "host.org"), ("日", "本"), ("\n", "x")]
)
def test_what_cannot_be_seen_goes(before: str, after: str, character: str) -> None:
    seen = before + after
    written = before + character + after
    if before == "日" and character in "\ufe0f\U000e0100":  # another form of the same sign
        assert visible(written) == written
    else:
        assert visible(written) == seen
    assert fold(written) == fold(seen)
    assert plain(written).text == plain(seen).text


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cخواهم",  # Persian
        "क्\u200dष क्\u200cष",  # Hindi
        "សួស្តី\u200bពិភពលោក",  # Khmer, whose words a blank of no width parts
        "👩\u200d💻 ❤\ufe0f\u200d🔥 ☺\ufe0f 1\ufe0f\u20e3",
        "葛\U000e0100城",
        "ᠪᠣᠯ\u180bᠤ",
    ],
)
def test_what_shapes_the_letters_around_it_stays(text: str) -> None:
    assert visible(text) == text
    assert fold(text) == fold(text.translate(dict.fromkeys(map(ord, ODD + "\u180b"))))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ﬁlter ＦＩＬＴＥＲ 𝐟𝐢𝐥𝐭𝐞𝐫", "filter filter filter"),
        ("STRASSE", "straße"),
        ("ΟΔΟΣ", "οδοσ"),
        ("ἈΡΧῌ͂", "ἀρχῇ"),
        ("\u1100\u1161\u11a8", "각"),
        ("cafe\u0301", "CAFÉ"),
        ("ﾊﾟﾝ", "パン"),
        ("１２３ ٣٤ ४५", "123 34 45"),
        ("H₂O", "h2o"),
        ("mix-\n  ture, mix\xad\nture", "mixture, mixture"),
        ("mix\u200b-\n\u2060ture, cafe\u0301-\nteria", "mixture, caféteria"),
    ],
)
def test_words_that_look_alike_are_alike(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("one", "other"), [("10²", "102"), ("1½", "112"), ("①", "1"), ("5-\n10", "510"), ("a - b", "ab")]
)
def test_no_number_is_made_up(one: str, other: str) -> None:
    assert fold(one) != fold(other)
    assert plain(one).text != plain(other).text


def test_a_soft_hyphen_at_a_line_end_joins_its_word() -> None:
    assert visible("a mix\xad\n  ture of well-\nknown things") == "a mixture of well-\nknown things"


@given(TEXTS)
def test_a_second_time_changes_nothing(text: str) -> None:
    assert visible(visible(text)) == visible(text)
    assert fold(fold(text)) == fold(text)
    assert fold(text) == fold(text + "\u200b") == fold(unicodedata.normalize("NFD", text))  # whichever way it takes
    assert plain(plain(text).text).text == plain(text).text


@given(TEXTS)
def test_plain_characters_know_where_they_come_from(text: str) -> None:
    made = plain(text)
    places = [made.place(at) for at in range(len(made.text))]
    assert places == sorted(places)
    for at, place in enumerate(places):
        assert made.text[at] in plain(text[place]).text
