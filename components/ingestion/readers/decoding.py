"""Decodes bytes as browsers do: UTF-8 first, then the declared encoding, then a guess from the bytes.

Labels follow the WHATWG's Encoding Standard: Shift_JIS is Windows-31J, EUC-KR is Windows-949, GBK is GB 18030, Big5 has Hong
Kong's characters, ISO-8859-1 is Windows-1252. A few wrong bytes become U+FFFD and are counted. A guess must give text:
characters that no language uses refute it.
"""

import codecs
import contextlib
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from components.ingestion.files import BROKEN, SourceFile
from components.ingestion.formats import MAN, START_BYTES, is_open, marked_format
from components.ingestion.readers.base import MOST_WRONG, NUL, REPLACEMENT, WRONG_BYTES, NotText, no_file, nul_in

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
UTF8 = "utf-8"
BY_BROWSERS = "phiforge-browsers"  # the error handler that decodes as browsers do
_CODECS = {  # Python's codecs for encodings that the standard extends beyond their names
    "shift_jis": "cp932", "iso2022_jp": "iso2022_jp_ext", "euc_kr": "cp949", "gbk": "gb18030", "big5": "big5hkscs",
    "iso8859-11": "cp874",
}  # fmt: skip
# Codecs for pairs that the first one lacks.
_SECOND = {"euc_jp": "euc_jis_2004", "iso2022_jp_ext": "euc_jis_2004", "big5hkscs": "cp950"}
_PAIRS = ("cp932", "cp949", "gb18030", "euc_jp", "big5hkscs")
# Encodings of Python that the standard has no label for, or refuses; without codecs such as UTF-7 or rot13.
_OF_PYTHON = re.compile(r"cp\d+|iso2022_\w+|hz|johab|mac[-_]\w+|koi8[-_]\w|kz1048|ptcp154|hp-roman8|iso8859[-_]\d+")
_LABEL = re.compile(
    rb"<meta\b[^>]*?charset\s*=\s*[\"']?\s*([\w.:+-]+)|<\?xml\b[^>]*?encoding\s*=\s*[\"']([\w.:+-]+)", re.IGNORECASE
)
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_HEAD = 4_096  # bytes in which a page names its encoding
_ESCAPES = {  # of encodings all of whose bytes are ASCII
    "iso2022_kr": re.compile(rb"\x1b\$\)C"),
    "iso2022_jp_ext": re.compile(rb"\x1b(?:\$[@B(]|\([IJ])"),
    # A run of common characters and signs (rows 1 to 3 and 16 to 55), which every Chinese text has; code has others in between.
    "hz": re.compile(rb"~\{(?:[\x21-\x23\x30-\x57][\x21-\x7e]){4,}~\}"),
}
_NULS = 0.2  # minimum share of the bytes of UTF-16 without a byte order mark
# Signs of a wrong guess at an encoding: control characters; and characters of private use, signs within words, and capitals
# after small letters.
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")
_LETTER = r"[A-Za-z\xc0-\xd6\xd8-\xf6\xf8-\u024f\u0370-\u04ff]"
_MISPLACED = re.compile(
    rf"[\ue000-\uf8ff]|(?<={_LETTER})(?:[\u02b0-\u02ff]|[^\w\s\x00-\x7f\xad\xb4\xb7\u0300-\u036f\u2010-\u2019\u2026](?={_LETTER}))"
    # £, ¯, ³ and ¹ are Ł, Ż, ł and ą of Central Europe, if a word begins with them.
    r"|(?<![A-Za-z\xc0-\xff])[\xa3\xaf\xb3\xb9](?=[a-z\xdf-\xff]*[\xdf-\xff])"
    r"|[a-z\xdf-\xf6\xf8-\xff\u0430-\u045f][\xc0-\xd6\xd8-\xde\u0400-\u042f]"
)
_MOST_MISPLACED = 0.05  # maximum share of the non-ASCII characters
# Encodings with few non-ASCII letters, and of computers before Windows.
_UNDETECTED = ("cp1252", "cp1250", "iso8859-2", "mac-roman", "cp850")
_WINDOWS = {  # the likelier encoding for a guess, with letters in place of its control characters
    "iso8859-2": "cp1250", "iso8859-4": "cp1257", "iso8859-6": "cp1256", "iso8859-7": "cp1253", "iso8859-8": "cp1255",
    "iso8859-13": "cp1257",
}  # fmt: skip
# Characters that Python's cp932, unlike browsers, has for wrong bytes.
_WRONG_IN_CP932 = dict.fromkeys(range(0xF8F0, 0xF8F4), REPLACEMENT)
_KANA = re.compile("[\u3041-\u3096]")
_LEAST_KANA = 0.2  # minimum share of the non-ASCII characters of a Japanese text
_CUT = 3  # maximum bytes of an incomplete character at the end of cut-off data


class Decoded(NamedTuple):
    """A text, the name of its encoding, and the number of wrong bytes or pairs that became U+FFFD."""

    text: str
    encoding: str
    wrong: int = 0

    @classmethod
    def of(cls, text: str, encoding: str) -> "Decoded":
        """A text that was already decoded; each U+FFFD in it counts as a wrong byte."""
        return cls(text, encoding, text.count(REPLACEMENT))

    @property
    def facts(self) -> dict[str, str | int]:
        """The facts for a document's metadata; empty for valid UTF-8."""
        facts: dict[str, str | int] = {
            "encoding": "" if self.encoding == UTF8 else self.encoding,
            WRONG_BYTES: self.wrong,
        }
        return {name: fact for name, fact in facts.items() if fact}

    @property
    def is_mostly_right(self) -> bool:
        return self.wrong <= max(1, MOST_WRONG * len(self.text))

    @property
    def refusal(self) -> str:
        """Why a text with many wrong bytes is refused, or an empty string."""
        if self.is_mostly_right:
            return ""
        return f"{self.wrong:,} of its {len(self.text):,} characters are not {self.encoding}; convert the file to UTF-8"

    def without_nuls(self) -> "Decoded":
        """The text with U+FFFD for each NUL, which browsers do not show either.

        Raises:
            NotText: there are many NULs.
        """
        if reason := nul_in(self.text):
            raise NotText(reason)
        return self._replace(text=self.text.replace(NUL, REPLACEMENT), wrong=self.wrong + self.text.count(NUL))


def looked_into(file: SourceFile) -> SourceFile:
    """The file, with its format by its first bytes if its name tells none.

    Raises:
        StepError: it is behind an address, and not delivered now.
    """
    if file.refused or not is_open(file.name) or no_file(file.location):
        return file
    try:
        with replace(file, ahead=START_BYTES).open() as stream:
            start = stream.read(START_BYTES)
        return replace(file, by_content=marked_format(start) or (MAN if begins_as_text(start) else None))
    except BROKEN:  # it may not be read, has vanished, or is damaged
        return file


def begins_as_text(start: bytes) -> bool:
    """Whether the first bytes of a file are text, in any encoding, without control characters but those of layout."""
    try:
        text = decode(start, cut_off=True).without_nuls().text
    except NotText:
        return False
    return bool(text.strip()) and len(_NO_TEXT.findall(text)) <= MOST_WRONG * len(text)


def decode(data: bytes, declared: Iterable[str] = (), cut_off: bool = False) -> Decoded:
    """The text of some bytes.

    Args:
        declared: encoding labels from headers, which take precedence over the text's own label and any guess.
        cut_off: whether the last character may be incomplete and is left out.

    Raises:
        NotText: neither UTF-8 nor another encoding fits; names the offset of the first byte that is not UTF-8.
    """
    for mark, encoding in MARKS:
        if data.startswith(mark):
            found = _decoded(data, encoding)
            if not found.is_mostly_right:
                raise NotText(f"starts as {encoding.removesuffix('-sig')}, but {found.wrong:,} characters are not")
            return found._replace(encoding=encoding.removesuffix("-sig"))
    if b"\0" in data and (by_nuls := _of_nuls(data)):
        return by_nuls
    labels = chain(declared, _named(data))  # lazy, since most text is UTF-8
    try:
        text = data.decode(UTF8)
        escaped = _unescaped(data, labels) if b"\x1b" in data or b"~{" in data else None
        return escaped or Decoded(text, UTF8)
    except UnicodeDecodeError as error:
        if cut_off and error.start >= len(data) - _CUT:
            return Decoded(data[: error.start].decode(UTF8), UTF8)
        where = f"byte {error.start}: {error.reason}"
    utf8 = _decoded(data, UTF8)
    # Characters of UTF-8, or the beginnings of such, are rare accidents in other encodings: a third of the wrong bytes at most.
    wrong_bytes = len(data) - len(utf8.text.encode()) + 3 * utf8.wrong
    if utf8.is_mostly_right and (_beyond_ascii(utf8.text) >= 2 * utf8.wrong or wrong_bytes >= 2 * utf8.wrong):
        return utf8
    for name in filter(None, map(codec_of, labels)):
        found = _decoded(data, name)
        if name != UTF8 and found.is_mostly_right:
            return found
    guessed = next((found for found in _guesses(data) if _is_text(found.text)), None)
    if guessed or utf8.is_mostly_right:
        return guessed or utf8
    raise NotText(f"is not UTF-8 ({where}), and no other encoding fits; convert it")


def decode_utf8(data: bytes) -> Decoded:
    """The text of bytes that must be UTF-8, such as those of JSON.

    Raises:
        NotText: more than a few bytes are not UTF-8.
    """
    found = _decoded(data, UTF8)
    if not found.is_mostly_right:
        raise NotText(f"is not UTF-8 ({_first_no_utf8(data)})")
    return found


def codec_of(label: str) -> str:
    """Python's codec for the label of an encoding; empty if it is not a text encoding."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    label = label.strip(" \"'").lower()
    if name := map_encoding_to_html5(label, False):
        return _CODECS.get(name, name)
    try:
        name = codecs.lookup(label.removeprefix("x-")).name
    except (LookupError, ValueError):
        return ""
    return name if _OF_PYTHON.fullmatch(name) else ""


def _named(data: bytes) -> Iterator[str]:
    """The encoding labels at the start of a page or an XML file. UTF-16 would be wrong, since the label was readable."""
    head = data[:_HEAD]
    if b"<" in head:
        for match in _LABEL.finditer(_COMMENT.sub(b"", head)):
            label = (match[1] or match[2]).decode("ascii")
            if not label.lower().startswith(("utf-16", "utf-32")):
                yield label


def _of_nuls(data: bytes) -> Decoded | None:
    """UTF-16 without a byte order mark, recognised by zeros in every other byte if most of the text is ASCII."""
    if (nuls := data.count(0)) < _NULS * len(data) or not data or len(data) % 2:
        return None
    encoding = "utf-16-le" if data[1::2].count(0) > nuls / 2 else "utf-16-be"
    found = _decoded(data, encoding)
    return found if found.is_mostly_right and not _NO_TEXT.search(found.text) else None


def _unescaped(data: bytes, labels: Iterable[str]) -> Decoded | None:
    """The text of ASCII that switches between character sets by escapes (ISO 2022, HZ); None if it has no escapes.

    Raises:
        NotText: no encoding has these escapes.
    """
    if not data.isascii():
        return None
    declared = [name for name in map(codec_of, labels) if name.startswith(("iso2022", "hz"))]
    escaped = [name for name, pattern in _ESCAPES.items() if pattern.search(data)]
    for found in (_decoded(data, name) for name in (*declared, *escaped)):
        if found.is_mostly_right and not found.text.isascii() and not _NO_TEXT.search(found.text):
            return found
    if b"\x1b$" in data or declared:
        raise NotText("switches character sets by escape sequences that no known encoding has; convert it to UTF-8")
    return None


def _guesses(data: bytes) -> Iterator[Decoded]:
    """Possible decodings of bytes, the likeliest first."""
    from resiliparse.parse.encoding import detect_encoding

    name = codec_of(detect_encoding(data) or UTF8)
    for guess in (name, _WINDOWS.get(name, UTF8)):
        if guess != UTF8 and (found := _decoded(data, guess)).is_mostly_right:
            yield found
    for found in (_decoded(data, name) for name in ("cp932", "euc_jp")):
        if found.is_mostly_right and len(_KANA.findall(found.text)) >= _LEAST_KANA * _beyond_ascii(found.text):
            yield found
    for found in (_decoded(data, name) for name in _UNDETECTED):
        if not found.wrong:
            yield found


def _beyond_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))


def _is_text(text: str) -> bool:
    """Whether a guess gives text of some language, not mojibake."""
    from ftfy.badness import is_bad

    misplaced = len(_MISPLACED.findall(text))
    return not _NO_TEXT.search(text) and misplaced <= _MOST_MISPLACED * _beyond_ascii(text) and not is_bad(text)


def _decoded(data: bytes, encoding: str) -> Decoded:
    """The text in an encoding, with U+FFFD for wrong bytes."""
    name = codecs.lookup(encoding).name
    try:
        text = data.decode(encoding)
        if name != "cp932":
            return Decoded(text, name)
    except UnicodeDecodeError:
        text = data.decode(encoding, BY_BROWSERS)
    if name == "cp932":
        text = text.translate(_WRONG_IN_CP932)
    own = data.count(REPLACEMENT.encode()) if name == UTF8 else 0
    return Decoded(text, name, text.count(REPLACEMENT) - own)


def _as_browsers(error: UnicodeError) -> tuple[str, int]:
    """The replacement for bytes that a codec does not know: mostly U+FFFD, one per pair if both bytes are beyond ASCII, so
    that the following pairs are not split.
    """
    if not isinstance(error, UnicodeDecodeError):
        raise error
    pair = error.object[error.start : error.start + 2]
    if error.encoding == "gb18030" and pair[0] == 0x80:
        return "€", error.start + 1
    if len(pair) == 2 and (second := _SECOND.get(error.encoding)):
        if error.encoding == "iso2022_jp_ext":  # its pairs have seven bits; elsewhere ASCII may follow a wrong byte
            pair = bytes(byte | 0x80 for byte in pair)
        with contextlib.suppress(UnicodeDecodeError):
            return pair.decode(second), error.start + 2
    is_pair = error.encoding in _PAIRS and 0x81 <= pair[0] <= 0xFE and pair[1:] >= b"\x80"
    return REPLACEMENT, error.start + 2 if is_pair else error.end


codecs.register_error(BY_BROWSERS, _as_browsers)


def decode_python(data: bytes) -> Decoded:
    """The text of a Python file in its declared encoding (PEP 263), or UTF-8.

    Raises:
        NotText: its bytes are not in that encoding.
    """
    try:
        encoding = tokenize.detect_encoding(io.BytesIO(data).readline)[0]
        return Decoded(data.decode(encoding), encoding.removesuffix("-sig"))
    except UnicodeDecodeError as error:
        raise NotText(f"is not {error.encoding} (byte {error.start}: {error.reason}); convert it") from error
    except (LookupError, UnicodeError) as error:
        # Not a text codec (rot13, zlib), or one that cannot decode whole texts.
        raise NotText(f"declares an encoding that is not for text ({error}); convert it to UTF-8") from error
    except SyntaxError as error:
        where = _first_no_utf8(data)
        raise NotText(f"is not UTF-8 ({where}); convert it" if where else str(error)) from error


def _first_no_utf8(data: bytes) -> str:
    try:
        data.decode(UTF8)
    except UnicodeDecodeError as error:
        return f"byte {error.start}: {error.reason}"
    return ""
