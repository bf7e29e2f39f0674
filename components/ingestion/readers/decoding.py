"""From bytes to text: UTF-8 first, then what the file declares, then what its bytes look like, each strictly."""

import codecs
import io
import re
import tokenize
from collections.abc import Iterable
from itertools import chain

from components.ingestion.readers.base import NotText

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
UTF8 = "utf-8"
JAPANESE, _ESCAPED = "iso2022_jp", b"\x1b$"  # the one encoding of the web that is not UTF-8 though all bytes are ASCII
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")  # a wrong guess at an encoding shows by these
_ACCIDENTS = 4  # characters of UTF-8 a wrong byte that are none by chance; in Japanese, Korean and Thai a third is seen
_CUT = 3  # bytes of an incomplete character, at most, at the end of what was cut off


def decode(data: bytes, declared: Iterable[str] = (), cut_off: bool = False) -> tuple[str, str]:
    """The text of some bytes, and the name of their encoding.

    Args:
        declared: encodings that headers or the text itself name, tried before any is guessed.
        cut_off: whether the last character may be incomplete, and is then left out.

    Raises:
        NotText: neither UTF-8 nor another encoding fits; names the offset of the first byte that is not UTF-8.
    """
    for mark, encoding in MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding), encoding.removesuffix("-sig")
            except UnicodeDecodeError as error:
                raise NotText(
                    f"starts as {encoding.removesuffix('-sig')}, but byte {error.start} is not ({error.reason})"
                ) from error
    if _ESCAPED in data and (text := _strictly(data, JAPANESE)) is not None:
        return text, JAPANESE
    try:
        return data.decode(UTF8), UTF8
    except UnicodeDecodeError as error:
        if cut_off and error.start >= len(data) - _CUT:
            return data[: error.start].decode(UTF8), UTF8
        where = f"byte {error.start}: {error.reason}"
    if _is_nearly_utf8(data):
        raise NotText(f"is UTF-8 but for a few bytes ({where}); fix them")
    for guess in chain(declared, (_detected(data, by_meta) for by_meta in (True, False))):
        if guess and (text := _strictly(data, guess)) is not None:
            return text, codecs.lookup(guess).name
    raise NotText(f"is not UTF-8 ({where}), and no other encoding fits; convert it")


def decode_python(data: bytes) -> tuple[str, str]:
    """The text of a Python file in the encoding that it declares (PEP 263), which is UTF-8 otherwise.

    Raises:
        NotText: its bytes are not in that encoding.
    """
    try:
        encoding = tokenize.detect_encoding(io.BytesIO(data).readline)[0]
        return data.decode(encoding), encoding.removesuffix("-sig")
    except UnicodeDecodeError as error:
        raise NotText(f"is not {error.encoding} (byte {error.start}: {error.reason}); convert it") from error
    except (LookupError, UnicodeError) as error:  # a codec of bytes (rot13, zlib), or none for whole texts
        raise NotText(f"declares an encoding that is none of texts ({error}); convert it to UTF-8") from error
    except SyntaxError as error:
        where = _first_no_utf8(data)
        raise NotText(f"is not UTF-8 ({where}); convert it" if where else str(error)) from error


def _first_no_utf8(data: bytes) -> str:
    try:
        data.decode(UTF8)
    except UnicodeDecodeError as error:
        return f"byte {error.start}: {error.reason}"
    return ""


def _strictly(data: bytes, encoding: str) -> str | None:
    """The text in an encoding, or None where it is unknown, does not fit, or gives what no text holds."""
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None
    return None if _NO_TEXT.search(text) else text


def _is_nearly_utf8(data: bytes) -> bool:
    """Whether bytes that are not UTF-8 are so for a few of them: in other encodings characters of UTF-8 are rare accidents.

    Every byte is a character of the encodings of one byte, so that one of them would fit, and give mojibake.
    """
    kept = data.decode(UTF8, "ignore")
    wrong = len(data) - len(kept.encode())
    beyond_ascii = len(kept) - len(kept.encode("ascii", "ignore"))
    return beyond_ascii >= _ACCIDENTS * wrong


def _detected(data: bytes, by_meta: bool) -> str | None:
    """The encoding that a page's `meta` names, or the one that bytes look like."""
    from resiliparse.parse.encoding import detect_encoding

    return detect_encoding(data, from_html_meta=by_meta)
