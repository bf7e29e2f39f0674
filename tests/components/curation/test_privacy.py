"""Personal data and secrets: what is found, what is left alone, what the text is afterwards."""

import ast
import re
import string
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.privacy import ALL, HALVES, Case, cases, everything, lines, made, score
from components.curation.privacy.accounts import luhn
from components.curation.privacy.redact import redact
from components.curation.privacy.spans import PLACEHOLDERS
from components.documents import KINDS
from components.params.privacy import PrivacyParams
from tests.components.curation.linear import assert_linear

DEFAULT = PrivacyParams()
CASES = list(cases())
KEY = made("ghp_ + {36}", "test")


def test_the_labelled_set_is_large_enough() -> None:
    assert sum(len(case.spans) for case in CASES) >= 150
    assert sum(len(case.traps) for case in CASES) >= 150
    assert {data for case in CASES for _, _, data in case.spans} == set(ALL)
    assert {case.kind for case in CASES} == {"web", "prose", "code"}


def test_precision_and_recall_do_not_fall() -> None:
    table = score(CASES)
    total = sum(table.values(), Counter())
    assert total["right"] / total["found"] >= 0.98
    assert total["right"] / total["labelled"] >= 0.95
    for data, counts in table.items():
        assert counts["right"] >= 0.95 * counts["found"], data
        assert counts["right"] >= 0.93 * counts["labelled"], data


def test_the_labelled_lines_are_many_and_of_many_countries() -> None:
    both = [list(lines(half)) for half in HALVES]
    assert all(len(half) >= 200 for half in both)
    assert all(len({line.country for line in half}) >= 12 for half in both)
    assert all(sum(not line.spans for line in half) >= 100 for half in both)


@pytest.mark.parametrize("half", HALVES)
def test_precision_and_recall_hold_for_each_kind_in_the_forms_of_many_countries(half: str) -> None:
    for data, counts in score(lines(half)).items():
        assert counts["right"] >= 0.97 * counts["found"], data
        assert counts["right"] >= 0.95 * counts["labelled"], data


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.text[:30].strip())
def test_a_case_keeps_all_but_its_data(case: Case) -> None:
    text, counts = redact(case.text, case.kind, everything())
    assert redact(text, case.kind, everything()) == (text, Counter())
    assert sum(text.count(p) for p in PLACEHOLDERS.values()) == counts.total()
    kept = re.split("|".join(PLACEHOLDERS.values()), text)
    assert re.fullmatch(".+?".join(map(re.escape, kept)), case.text, re.S)
    if case.kind == "code" and _parses(case.text):
        ast.parse(text)


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def test_counts_are_a_kind() -> None:
    text, counts = redact("a@fenmail.org, b@fenmail.org, +44 20 7946 0123 and 93.184.71.203", "prose", DEFAULT)
    assert text == "<EMAIL>, <EMAIL>, <PHONE> and <IP>"
    assert counts == {"email": 2, "phone": 1, "ip": 1}


@pytest.mark.parametrize("name", ["X-Amz-Signature", "sig", "access_token", "key"])
def test_a_signature_in_an_address_goes_and_the_address_stays(name: str) -> None:
    signature = made("{64h}", name)
    text, counts = redact(f"See https://host.net/a?b=1&{name}={signature}&c=2, signed.", "web", DEFAULT)
    assert text == f"See https://host.net/a?b=1&{name}=<KEY>&c=2, signed."
    assert counts == {"key": 1}
    quoted = made("{32h}", name) + "%2B"
    assert redact(f"https://host.net/a?{name}={quoted}", "web", DEFAULT)[0] == f"https://host.net/a?{name}=<KEY>"
    plain = f"https://host.net/a?{name}=an-ordinary-word-or-more"
    assert redact(plain, "web", DEFAULT) == (plain, Counter())


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("Ring +33\xa06\xa012\xa034\xa056\xa078 today", "Ring <PHONE> today"),
        ("Ring 06\u202f12\u202f34\u202f56\u202f78", "Ring <PHONE>"),
        ("Ring +1\u2011212\u2013555\u20140187", "Ring <PHONE>"),
        ("Ring +49\u200b30\u200b901820", "Ring <PHONE>"),
        ("Ring \u200e+972 3 123 4567\u200e!", "Ring \u200e<PHONE>\u200e!"),
        (
            "Ring \uff0b\uff18\uff11\u2212\uff13\u2212\uff11\uff12\uff13\uff14\u2212\uff15\uff16\uff17\uff18",
            "Ring <PHONE>",
        ),
        ("Ring +\u0669\u0666\u0666 \u0665\u0660 \u0661\u0662\u0663 \u0664\u0665\u0666\u0667", "Ring <PHONE>"),
        ("ﬁle… card 4111\xa01111\xa01111\xa01111 paid", "ﬁle… card <CARD> paid"),
        ("DE89\u202f3704\u202f0044\u202f0532\u202f0130\u202f00", "<IBAN>"),
        ("an\xadn@fen\u200bmail.org, ann\uff20fenmail.org", "<EMAIL>, <EMAIL>"),
        ("server 93.184\u2060.71.203", "server <IP>"),
        ("1914\u20131918, 10\u202f000\u202f000, 12²³⁴⁵⁶⁷⁸", "1914\u20131918, 10\u202f000\u202f000, 12²³⁴⁵⁶⁷⁸"),
    ],
)
def test_typography_hides_nothing(written: str, left: str) -> None:
    for kind in ("prose", "code"):
        assert redact(written, kind, everything())[0] == left


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("ann.lee [at] fenmail [dot] org", "<EMAIL>"),
        ("(ann(at)fenmail(dot)co(dot)uk)", "(<EMAIL>)"),
        ("mail ann&#64;fenmail&#46;org or ann&commat;fenmail.org", "mail <EMAIL> or <EMAIL>"),
        ("mailto:ann%40fenmail.org?subject=x", "mailto:<EMAIL>?subject=x"),
        ("write to ann dot lee at fenmail dot org. No calls", "write to <EMAIL>. No calls"),
        ("ANN AT FENMAIL DOT ORG", "<EMAIL>"),
        ("escriba a ann arroba fenmail punto es", "escriba a <EMAIL>"),
        ("Kontakt: info @ fenmail.org", "Kontakt: <EMAIL>"),
        ("o'neil@fenmail.org, o\u2019neil@fenmail.org", "<EMAIL>, <EMAIL>"),
        ("name='ann@fenmail.org'", "name='<EMAIL>'"),
        ('"ann lee"@fenmail.org', "<EMAIL>"),
        ("ann@praxis.berlin ann@firma.xn--p1ai ann@пример.рф", "<EMAIL> <EMAIL> <EMAIL>"),
        ("メールはann@fenmail.co.jpまで", "メールは<EMAIL>まで"),
        ("to=ann@fenmail.org.Then", "to=<EMAIL>.Then"),
    ],
)
def test_hidden_addresses_are_found(written: str, left: str) -> None:
    assert redact(written, "web", DEFAULT)[0] == left


@pytest.mark.parametrize(
    "text",
    [
        "Meet us at the dot net user group, or look at fenmail.org.",
        "3 apples @ fenmarket.com; icon@2x.zip; a@b.transpose(); left-pad@1.3.0",
        "f(a)b and List<at> and x[at]",
        "Tel Aviv 2020-2021 season",
        "at 52.5200 13.4050, 37.774929, -122.419416 and 48.8566, 2.3522",
        "from 09:00-17:30, 08.30-12.30 and 10.15 - 18.00",
        "ISBN 978-3-16-148410-0, ISBN 0 306 40615 2, ISSN 0971-1234",
        "versions 120.0.6099.109, 4.18.0-305 and 3.11.4",
        "on 12.05.2019, 2024-01-02 03:04:05, 01/28/2002 and 1914-1918",
        "for 1.299,00 EUR, 12 345 678 Einwohner, 1,234,567.89 USD",
        "doi 10.1016/j.cell.2019.05.031, arXiv 2306.11644, pages 509-518 (2002)",
        "2024-01-02 03:04:05,123 INFO [12345] pid=0712198128 took 0.415-555 ms",
        "SSN 123-45-6789, NHS number 943 476 5919, Sort code 20-00-00",
        "order number 415-362-771, Kundennummer 0711-25678, SIRET 732 829 320 00074",
        "We compute 415-555-2671 = -2811 and 800-555-3535.",
        "UTC +01 00 and +1 2024 01 02 03 and +20240102030405",
        "the row 468 469 470 471 472 and 04 11 23 35 42",
        "DE88 3704 0044 0532 0130 00, at 12 noon we met 16 of them all, de89",
    ],
)
def test_what_only_looks_like_personal_data_stays(text: str) -> None:
    assert redact(text, "prose", everything()) == (text, Counter())


@pytest.mark.parametrize(
    "number",
    [
        "DE89 3704 0044 0532 0130 00", "DE89370400440532013000", "de89 3704 0044 0532 0130 00", "DE89.3704.0044.0532.0130.00",
        "DE89-3704-0044-0532-0130-00", "DE 89 37040044 0532013000", "ES91  2100  0418  4502  0005  1332", "gb82west12345698765432",
        "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
    ],
)  # fmt: skip
def test_an_iban_is_found_in_any_spelling(number: str) -> None:
    assert redact(f"to {number}, please", "prose", DEFAULT) == ("to <IBAN>, please", Counter(iban=1))
    wrong = number.translate(str.maketrans("3", "4"))
    assert redact(f"to {wrong}, please", "prose", PrivacyParams(redact={"prose": ["iban"]}))[1] == {}


@pytest.mark.parametrize(
    ("text", "language", "regions", "left"),
    [
        ("Läkaren: 08-508 290 00 i Stockholm", "sv", [], "Läkaren: <PHONE> i Stockholm"),
        ("Den Arzt 0151-24682207 rief niemand", "de", [], "Den Arzt <PHONE> rief niemand"),
        ("Taller Pardo, 954-28-17-33, Sevilla", "es", [], "Taller Pardo, <PHONE>, Sevilla"),
        ("Taller Pardo, 954-28-17-33, Sevilla", "en", [], None),
        ("Taller Pardo, 954-28-17-33, Sevilla", "en", ["ES"], "Taller Pardo, <PHONE>, Sevilla"),
        ("the total of 22 827 46 13 came in", "en", [], None),
        ("Proszę dzwonić: +48 601 372 915 lub 22 827 46 13.", None, [], "Proszę dzwonić: <PHONE> lub <PHONE>."),
        ("Please call me at 241 - 2661 or at (212) 715 - 5601", None, [], "Please call me at <PHONE> or at <PHONE>"),
        ("West Hills, CA 91307 (310) 742 - 7762", "en", [], "West Hills, CA 91307 <PHONE>"),
        ("office +44 20\n7946 0958 or +41 · 44 · 668 · 18 · 00", None, [], "office <PHONE> or <PHONE>"),
        ("0044 20 7946 0123, (+44) 20 7946 0123", None, [], "<PHONE>, <PHONE>"),
        ("Switchboard 0161 496 0999 extn 3312", None, [], "Switchboard <PHONE>"),
        ("TEL:+81 6 6341 7052 FAX:06-6341-7053", "ja", [], "TEL:<PHONE> FAX:<PHONE>"),
    ],
)
def test_numbers_are_told_by_country_and_words(
    text: str, language: str | None, regions: list[str], left: str | None
) -> None:
    params = PrivacyParams(regions=regions)
    assert redact(text, "prose", params, language)[0] == (left or text)


def test_a_kind_of_document_that_is_not_named_stays() -> None:
    text = f"write to a@fenmail.org, key {KEY}"
    assert redact(text, "textbook", PrivacyParams(redact={"prose": ["email"]})) == (text, Counter())
    assert redact(text, "prose", PrivacyParams(redact={"code": ["email"]})) == (text, Counter())
    assert redact(text, "prose", PrivacyParams(redact={"prose": ["key"]}))[1] == {"key": 1}


def test_every_kind_is_redacted() -> None:
    assert set(DEFAULT.redact) == set(KINDS)
    assert all({"email", "key"} <= set(data) for data in DEFAULT.redact.values())


def test_allowed_domains_and_networks() -> None:
    text = "a@mail.fenmail.org b@fenmail.org c@notfenmail.org 93.184.71.203 93.184.80.1 192.168.0.1 2001:db8::1"
    params = PrivacyParams(allowed_domains=["fenmail.org"], allowed_networks=["93.184.71.0/24"])
    assert redact(text, "prose", params)[0] == (
        "a@mail.fenmail.org b@fenmail.org <EMAIL> 93.184.71.203 <IP> 192.168.0.1 2001:db8::1"
    )


@pytest.mark.parametrize(
    "values",
    [
        {"allowed_networks": ["93.184.71.999"]},
        {"regions": ["XX"]},
        {"redact": {"web": ["ip", "ip"]}},
        {"redact": {"x": []}},
    ],
)
def test_parameters_refuse_what_means_nothing(values: dict) -> None:
    with pytest.raises(ValidationError):
        PrivacyParams(**values)


@pytest.mark.parametrize(
    "code",
    [
        f'token = "{KEY}"\nx = 1\n',
        f"call(b'{KEY}', r\"{KEY}\")  # mail a@fenmail.org\n",
        'name = f"{user}@{host}" + f"mail a@fenmail.org {x!r}"\n',
        '"""Docs.\n\nBy a@fenmail.org\n"""\ny = w@fenmail.org\n',
        'x = "line\\na@fenmail.org\\x41b@fenmail.org\\u0041c@fenmail.org"\n',
        "x = '\\xe9a@fenmail.org'\n",
        'x = f"{a@fenmail.org}"\n',
        "n = 4111111111111111\n",
    ],
)
def test_python_still_parses(code: str) -> None:
    before = ast.dump(ast.parse(code), annotate_fields=False)
    text, counts = redact(code, "code", everything())
    after = ast.dump(ast.parse(text), annotate_fields=False)
    assert before.count("Constant(") == after.count("Constant(")
    assert KEY not in text
    assert (text == code) == (not counts)


def test_code_outside_literals_stays() -> None:
    code = "import a\ny = w@fenmail.org\nn = 4111111111111111\nv = (1.2, 3.4)\n"
    assert redact(code, "code", everything()) == (code, Counter())


def test_code_that_is_not_python_is_redacted_everywhere() -> None:
    text, counts = redact("const c = 'unclosed; // a@fenmail.org `\n", "code", DEFAULT)
    assert counts == {"email": 1}
    assert "<EMAIL>" in text


@pytest.mark.parametrize(
    ("row", "redacted"),
    [
        ('    "u{}@fenmail.org",\n', True),  # each its own literal
        ("    u{}@fenmail.org\n", True),  # all in one literal
        ('    f"{{u{}@fenmail.org}}",\n', False),  # each breaks its literal
    ],
)
def test_code_full_of_addresses_takes_linear_time(row: str, redacted: bool) -> None:
    def code(count: int) -> str:
        rows = "".join(row.format(number) for number in range(count))
        rows = rows if '"' in row else f'    """\n{rows}""",\n'
        return f'x = [\n{rows}]\ny = f"{{a@fenmail.org}}"\n'

    def check(count: int) -> None:
        text, counts = redact(code(count), "code", DEFAULT)
        assert counts == ({"email": count} if redacted else {})
        assert 'y = f"{a@fenmail.org}"' in text
        ast.parse(text)

    assert_linear(check, 200)


def test_a_literal_that_too_many_placeholders_break_is_redacted_all_the_same() -> None:
    many = "".join(f"{{u{number}@fenmail.org}}" for number in range(400))
    assert "@" not in redact(f'x = f"{many}"\n', "code", DEFAULT)[0]


def test_code_that_can_be_cut_into_tokens_but_not_parsed_is_redacted_everywhere() -> None:
    text = "// by a@fenmail.org\nfn total(values) { return values }\n"
    assert redact(text, "code", DEFAULT)[0] == text.replace("a@fenmail.org", "<EMAIL>")
    indented = "    def f(self):\n        return w@fenmail.org\n"
    assert redact(indented, "code", DEFAULT) == (indented, Counter())


def test_luhn() -> None:
    assert luhn("79927398713")
    assert [luhn(f"7992739871{digit}") for digit in range(10)].count(True) == 1


PIECES = st.sampled_from(
    [
        "a@fenmail.org", "+44 20 7946 0123", "415-555-0134", "93.184.71.203", "2606:4700::64", "4111 1111 1111 1111",
        "DE89 3704 0044 0532 0130 00", "tel", "phone: ", "ip ", "password = 'q7#Lw92!vTz'", "token: ", KEY, "<PHONE>", "<EMAIL>",
        "<IP>", " ", "\n", ".", "-", "/", "(", ")", "+", "@", ":", "0", "1", "555", "version ", "\\", "'", '"', "=", "é", "x",
    ]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=24).map("".join), st.sampled_from(["web", "prose", "code"]))
def test_redacting_twice_changes_nothing(text: str, kind: str) -> None:
    once, counts = redact(text, kind, everything())
    assert redact(once, kind, everything()) == (once, Counter())
    assert (once == text) == (not counts)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_plain_data_between_any_words_is_found(before: str, after: str) -> None:
    text = f"{before} \n o.brambleworks@quillfeather.org \n {after}"
    assert "o.brambleworks@quillfeather.org" not in redact(text, "web", DEFAULT)[0]


HOSTILE = [
    "@", "1", "1.", "1 ", "1-", "+1", "(1", "a.", "a@", "@a.", "a@b.", "0", "00 1", "eyJ", "eyJ.", " eyJa.", "sk-", "sk-a1", "AKIA", "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----", "://", "://a:", "://a:b@", "token", "token=", "token='a1", "password: a1", "2001:", "2:", ":", "AB12 ", "AB12CDEF",
    "4111 ", "415-", "415-555-", "phone 1", "phone: 5550134 ", "a@b.co ", "ghp_", "xox", "https://hooks.slack.com/", "AccountKey=", "tel ", "SG.", "_",
    "+14155550100", "+14155550100 ", "1.2.3.4 ", "93.184.71.203.", "a",
    "415-555-0134 ", "020 7946 0123 ", "0044 20 7946 0123 ", "4111 1111 1111 1111 ", "4111111111111111 ", "DE89 3704 0044 0532 0130 00 ",
    "DE89370400440532013000", "020 7946 0123 415-555-0134 ", "93.184.71.203 ", "tel +14155550100", "[at] ", "(a)", "&#64;", " at ", " dot ", " at a dot ", " arroba ", "a'", "+1 ", "tel 0", "0151-24682207 ", "(0", "DE8 ", "password='q7#Lw92!vTz'", " ", "é", "\\", "'",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    _is_read_in_linear_time(unit, 100_000)


@pytest.mark.parametrize(
    "unit", ["@", "1", "1.", "1 ", "a@b.", "eyJ.", "token='a1", "+14155550100", "phone: 5550134 ", "93.184.71.203."]
)
def test_the_worst_of_it_takes_linear_time(unit: str) -> None:
    _is_read_in_linear_time(unit, 20_000)


def _is_read_in_linear_time(unit: str, small: int) -> None:
    redact(unit * 50, "web", DEFAULT)  # imports
    assert_linear(lambda size: redact(unit * (size // len(unit)), "web", DEFAULT), small)


def test_any_bytes_are_a_text() -> None:
    text = string.printable + "\ud800 a@fenmail.org \x00"
    assert redact(text, "web", DEFAULT)[1] == {"email": 1}
