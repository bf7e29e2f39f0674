"""Bytes as browsers decode them: labels of the standard, a few wrong bytes, and no mojibake."""

# ruff: noqa: RUF001 - the texts are about such characters
import pytest

from components.ingestion.readers.base import NotText
from components.ingestion.readers.decoding import BY_BROWSERS, codec_of, decode

JAPANESE = "株式会社の歩みについて。山田商店は、創業と発展を経た。"
KOREAN = "오늘은 날씨가 매우 맑았고 모두가 즐거워했다. "
CHINESE = "这是一个普通的网页，内容是关于桥梁的历史。"
HONG_KONG = "這是一個普通的網頁，內容是關於橋樑的歷史。"
RUSSIAN = "Это обычный русский текст о погоде и о городе. "
FRENCH = "Le café est très bon à côté de la forêt. Les élèves français préfèrent les gâteaux. "
ENGLISH = "The old bridge was built by the town, and it has carried people over the river ever since. "


@pytest.mark.parametrize(
    ("label", "data", "text"),
    [
        ("Shift_JIS", (JAPANESE + "①㈱髙").encode("cp932"), JAPANESE + "①㈱髙"),
        ("x-sjis", (JAPANESE + "～").encode("cp932"), JAPANESE + "～"),
        ("windows-31j", (JAPANESE + "№").encode("cp932"), JAPANESE + "№"),
        ("euc-jp", JAPANESE.encode("euc_jp") + b"\xad\xa1", JAPANESE + "①"),
        ("iso-2022-jp", b"\x1b(I6@\x1b$B" + b"$N\x2d\x21" + b"\x1b(B", "ｶﾀの①"),
        ("iso-2022-kr", KOREAN.encode("iso2022_kr"), KOREAN),
        ("hz-gb-2312", CHINESE.encode("hz"), CHINESE),
        ("euc-kr", (KOREAN + "똠방각하").encode("cp949"), KOREAN + "똠방각하"),
        ("ks_c_5601-1987", (KOREAN + "펲").encode("cp949"), KOREAN + "펲"),
        ("cp949", (KOREAN + "펲").encode("cp949"), KOREAN + "펲"),
        ("gb2312", (CHINESE + "镕喆").encode("gbk"), CHINESE + "镕喆"),
        ("gbk", (CHINESE + "㐂𠀀").encode("gb18030") + b"\x80", CHINESE + "㐂𠀀€"),
        ("big5", (HONG_KONG + "嘅喺").encode("big5hkscs"), HONG_KONG + "嘅喺"),
        ("big5-hkscs", HONG_KONG.encode("big5") + b"\xf9\xd6", HONG_KONG + "碁"),
        ("iso-8859-1", (FRENCH + "“œ”€").encode("cp1252"), FRENCH + "“œ”€"),
        ("iso-8859-9", "İğşç – “".encode("cp1254"), "İğşç – “"),
        ("tis-620", "สวัสดีครับ…".encode("cp874"), "สวัสดีครับ…"),
        ("x-mac-cyrillic", RUSSIAN.encode("mac_cyrillic"), RUSSIAN),
        ("macintosh", FRENCH.encode("mac_roman"), FRENCH),
        ("ibm866", RUSSIAN.encode("cp866"), RUSSIAN),
        ("koi8-u", RUSSIAN.encode("koi8_u"), RUSSIAN),
        ("iso-8859-8-i", "שלום לכולם".encode("cp1255"), "שלום לכולם"),
        ("utf-16", ENGLISH.encode("utf-16-le"), ENGLISH),
    ],
)
def test_a_label_means_what_browsers_take_it_for(label: str, data: bytes, text: str) -> None:
    found = decode(data, [label])
    assert (found.text, found.wrong) == (text, 0)
    if not data.count(0):
        page = b"<html><head><!-- <meta charset=x-none> --><meta charset=" + label.encode() + b"></head>" + data
        assert decode(page).text.endswith(text)


@pytest.mark.parametrize(
    "label", ["utf-7", "rot13", "idna", "unicode_escape", "x-none", "", "hex", "undefined", "\x00"]
)
def test_a_label_that_browsers_do_not_know_counts_for_nothing(label: str) -> None:
    assert codec_of(label) == ""


@pytest.mark.parametrize(
    ("data", "labels", "text", "wrong"),
    [
        (FRENCH.encode() + b"na\xefve " + FRENCH.encode(), [], f"{FRENCH}na\ufffdve {FRENCH}", 1),
        (b"caf\xc3\xa9, na\xefve " + ENGLISH.encode(), [], "café, na\ufffdve " + ENGLISH, 1),
        (ENGLISH.encode() + b"\xe2\x80 " + ENGLISH.encode(), [], f"{ENGLISH}\ufffd {ENGLISH}", 1),
        (ENGLISH.encode() + b"\xf0\x9f\x98 " + ENGLISH.encode(), ["utf-8"], f"{ENGLISH}\ufffd {ENGLISH}", 1),
        (b"\xef\xbb\xbf" + FRENCH.encode() + b"\xff", [], FRENCH + "\ufffd", 1),
        (FRENCH.encode() + b"\xef\xbf\xbd\xff", [], FRENCH + "\ufffd\ufffd", 1),  # one stood there already
        (RUSSIAN.encode("cp1251") * 3 + b"\x98", ["windows-1251"], RUSSIAN * 3 + "\ufffd", 1),
        (CHINESE.encode("gbk") + b"\xff" + CHINESE.encode("gbk") * 2, ["gbk"], f"{CHINESE}\ufffd{CHINESE * 2}", 1),
        (
            CHINESE.encode("gbk") + b"\xd5<b>" + CHINESE.encode("gbk") * 2,
            ["gbk"],
            f"{CHINESE}\ufffd<b>{CHINESE * 2}",
            1,
        ),
        (
            KOREAN.encode("cp949") * 2 + b"\xc9\xff" + KOREAN.encode("cp949"),
            ["euc-kr"],
            f"{KOREAN * 2}\ufffd{KOREAN}",
            1,
        ),
        (JAPANESE.encode("euc_jp") * 3 + b"\xa4<b>", ["euc-jp"], f"{JAPANESE * 3}\ufffd<b>", 1),
        (HONG_KONG.encode("big5") * 3 + b'\xa1"x', ["big5"], f'{HONG_KONG * 3}\ufffd"x', 1),
        (ENGLISH.encode("utf-16") + b"\x00\xd8a\x00", [], ENGLISH + "\ufffda", 1),
        *(
            (JAPANESE.encode("cp932") * 3 + bytes([byte]) + b" x", ["shift_jis"], f"{JAPANESE * 3}\ufffd x", 1)
            for byte in (0xA0, 0xFD, 0xFE, 0xFF)  # characters of private use by Python's cp932
        ),
    ],
)
def test_a_wrong_byte_costs_itself_alone_and_is_counted(data: bytes, labels: list[str], text: str, wrong: int) -> None:
    found = decode(data, labels)
    assert (found.text, found.wrong) == (text, wrong)
    assert found.facts["wrong_bytes"] == wrong


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH, "cp1252"),
        (FRENCH + "L’été, on mange « dehors »", "mac_roman"),
        (FRENCH, "cp850"),
        ("The naïve café owner said that résumés weren’t needed. It costs £5 – or less.", "cp1252"),
        ("The naïve café owner said that résumés weren’t needed. It costs £5 – or less.", "mac_roman"),
        (ENGLISH + "A naïve one.", "cp1252"),
        (RUSSIAN * 3, "koi8_r"),
        (RUSSIAN * 3, "cp1251"),
        (RUSSIAN * 3, "cp866"),
        (JAPANESE * 3 + "①", "cp932"),
        (JAPANESE * 3, "euc_jp"),
        (JAPANESE, "iso2022_jp"),
        ("Zażółć gęślą jaźń.", "cp1250"),
        ("Dziś rano poszedłem do sklepu po chleb i mleko.", "cp1250"),
        ("Łódź", "cp1250"),
        ("Żółw idzie przez łąkę.", "cp1250"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy.", "cp1250"),
        ("Škola je již otevřena.", "cp1250"),
        ("Zażółć gęślą jaźń.", "iso8859-2"),
        ("Árvíztűrő tükörfúrógép.", "cp1250"),
        ("It costs (£m) ³ of «é», ¹See Ådal, 5 m² or ½.", "cp1252"),
        ("Καλημέρα κόσμε", "cp1253"),
        (ENGLISH + "naïve’", "utf-16-le"),
        (ENGLISH + "naïve’", "utf-16-be"),
    ],
)
def test_what_names_no_encoding_is_recognised(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)).text == text


@pytest.mark.parametrize(
    "data",
    [
        b"\x1b$)A\x0e1>Jv\x0f " + ENGLISH.encode(),  # ISO-2022-CN, which neither browsers nor Python know
        "佢哋喺度食嘢，啲嘢好好味。呢個係香港嘅網頁。".encode("big5hkscs") * 5 + bytes([0x80, 0xFF, 0x81]) * 30,
        bytes(range(128, 256)) * 3,
        b"\xff\xfe" + bytes([0, 0xD8]) * 50,
    ],
)
def test_what_would_be_mojibake_is_refused(data: bytes) -> None:
    with pytest.raises(NotText, match=r"convert it|starts as"):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x1b[31mred\x1b[0m and so on",
        b"~{ a brace after a tilde ~}",
        b"as in Fig.~{\\ref{a}}~{\\ref{b}}",
        b'(format t "~{[~A]=~A;~}" rows)',
        b"a name in braces, ~{foobar12~}",
        b"na+AO8-ve",
        "Ω ≈ 3, naïve — “quoted”".encode(),
        b"",
    ],
)
def test_what_is_utf8_stays(data: bytes) -> None:
    found = decode(data)
    assert (found.text, found.encoding, found.facts) == (data.decode(), "utf-8", {})


def test_only_decoding_has_these_rules() -> None:
    with pytest.raises(UnicodeEncodeError):
        "é".encode("ascii", BY_BROWSERS)
