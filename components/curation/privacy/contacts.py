"""E-mail addresses, telephone numbers, addresses of the internet protocol.

Telephone numbers are taken conservatively: as they are written internationally (ITU-T E.123), or nationally in North
America, the United Kingdom and France, or after a word such as `Tel.`; never 7 digits alone. Of internet addresses only
public ones are taken, and none that reads as a version. E-mail addresses that hide their sign (`ann at host dot org`)
are not found.
"""

import functools
import ipaddress
import itertools
import re
from collections.abc import Iterator

from components.curation.privacy.spans import Span

_DOMAIN = re.compile(r"@((?:[^\W_][\w-]{0,62}\.){1,8}([^\W\d_]{2,24}))(?![\w-])")
_LOCAL_BACKWARDS = re.compile(r"[\w.%+\-]{1,65}")
# Of domains with more than two letters at their end; `a@b.transpose` is a product of matrices, `logo@2x.png` a file.
_GENERIC_DOMAINS = """
    com org net edu gov mil int info biz name pro aero coop museum jobs mobi travel tel cat asia post arpa app dev
    blog shop store online site tech xyz club cloud email live news space website agency digital media design
    studio solutions systems company group global world life today academy education university school health care
    clinic law bank finance team work works zone page wiki software network services support center foundation
    institute science photography consulting
"""
_GENERIC = frozenset(_GENERIC_DOMAINS.split())
_COUNTRY_CODE = re.compile(
    r"1|7|2(?:0|7|[1-689][0-9])|3(?:[0-469]|[578][0-9])|4(?:[013-9]|2[0-9])|5(?:[1-8]|0[0-9]|9[0-9])|6(?:[0-6]|[789][0-9])|8(?:[1246]|[058][0-9])"
    r"|9(?:[0-58]|[679][0-9])"
)
_END = r"(?![\w@]|[.\-/][0-9])"
_INTERNATIONAL = re.compile(rf"(?<![\w+.*^)\]])\+[0-9](?:[ .\-/]{{0,3}}\(?[0-9]\)?){{6,16}}{_END}")
_SUMMAND = re.compile(r"(?:^|[^+0-9])[0-9]{1,12} *$")
_DECIMAL = re.compile(r"\+[0-9]{4,}\.[0-9]+")
_BY_ZEROS = re.compile(rf"(?<![\w+.,\-/])(?<![0-9] )00[1-9][0-9]{{0,2}}(?:[ .\-/]\(?[0-9]{{1,7}}\)?){{2,6}}{_END}")
_NATIONAL = re.compile(
    r"(?<![\w.+\-/)])(?:(?:1[-. ])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}([-.]))[2-9][0-9]{2}[-.][0-9]{4}"  # North America
    r"|(?<![0-9] )(?:\(0[0-9]{2,4}\) ?[0-9]{3,4}[ -]?[0-9]{3,4}|0[127][0-9] [0-9]{4} [0-9]{4}|0[127][0-9]{2} [0-9]{3} [0-9]{4}"
    r"|0[127][0-9]{3} [0-9]{3} ?[0-9]{3}"  # United Kingdom
    r"|0[1-9]([ .\-])[0-9]{2}(?:\2[0-9]{2}){3})(?! [0-9]))"  # France; a row of numbers is a table's
    rf"{_END}"
)
_PHONE_CUE = re.compile(
    r"(?i)(?<![<\w])(?:tel|telephone|phone|mobile|mob|cell(?=[:.]| ?phone| number)|fax|call|dial|hotline|whatsapp|sms)\b[^0-9\n<>+(]{0,14}[+(]{0,2}$"
)
_AFTER_CUE = re.compile(rf"[0-9](?:[ .\-/]{{0,3}}\(?[0-9]\)?){{6,14}}{_END}")
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}[-/. ][01]?[0-9][-/. ][0-3]?[0-9]|[0-3]?[0-9][-/. ][01]?[0-9][-/. ](?:19|20)[0-9]{2}"
)
_IPV4 = re.compile(r"(?<![\w.\-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\w|\.[0-9]|-[0-9])")
_IPV6 = re.compile(r"[23][0-9a-fA-F]{3}:[0-9a-fA-F:]{2,35}")  # what is public begins so (RFC 4291, 2000::/3)
_VERSION = re.compile(
    r"(?i)(?:\b(?:v|ver|versions?|releases?|released|build|firmware|driver|patch|sections?|clause|chapter|figure|oid|upgraded? to|"
    r"update[ds]? to|downgraded? to|from version)|§|==|>=|<=|~=)[ .:=\"'(]{0,3}(?:is |was |number |no\. )?$"
)
_HOST_CUE = re.compile(
    r"(?i)(?:\bip(?:v4)?\b|address|\baddr|\bhost|server|\bping|client|\bdns\b|gateway|router|proxy|\bssh\b|\bpeer|://|@)[^0-9\n<>]{0,24}$"
)
_SHORT = 10  # characters; a shorter address may be a version and needs a word that says what it is


def emails(text: str, allowed: tuple[str, ...]) -> Iterator[Span]:
    """E-mail addresses (RFC 5321, without quoted names) outside the allowed domains."""
    for match in _DOMAIN.finditer(text):
        domain, top = match[1].lower(), match[2].lower()
        if len(top) > 2 and top not in _GENERIC and top not in allowed:
            continue
        at = match.start()
        before = _LOCAL_BACKWARDS.match(text[max(0, at - 65) : at][::-1])
        local = before[0][::-1].lstrip(".%+-") if before else ""
        if (
            not local
            or len(local) > 64
            or local.endswith(".")
            or any(domain == a or domain.endswith("." + a) for a in allowed)
        ):
            continue
        start = at - len(local)
        if text.endswith("://", 0, start) or (local == "git" and text[match.end() : match.end() + 1] in (":", "/")):
            continue  # a place, nobody's mailbox
        yield Span(start, match.end(), "email")


def phones(text: str, start: int, end: int) -> Iterator[Span]:
    """Telephone numbers within a run of digits."""
    first, stop = max(0, start - 2), min(len(text), end + 3)
    for match in _INTERNATIONAL.finditer(text, first, stop):
        digits = _digits(match[0])
        plain = match[0] == f"+{digits}"
        if not 8 + 2 * plain <= len(digits) <= 15 or not _COUNTRY_CODE.match(digits) or _DECIMAL.fullmatch(match[0]):
            continue
        if plain and _SUMMAND.search(text, max(0, match.start() - 16), match.start()):
            continue  # a sum
        yield Span(match.start(), match.end(), "phone")
    for match in _BY_ZEROS.finditer(text, first, stop):
        if 9 <= len(_digits(match[0])) - 2 <= 15 and _COUNTRY_CODE.match(match[0], 2):
            yield Span(match.start(), match.end(), "phone")
    for match in _NATIONAL.finditer(text, first, stop):
        if not (match[2] and _is_sequence(match[0].split(match[2]))):
            yield Span(match.start(), match.end(), "phone")
    yield from _after_cue(text, start, stop)


def _after_cue(text: str, start: int, stop: int) -> Iterator[Span]:
    cue = _PHONE_CUE.search(text, max(0, start - 32), start)
    match = _AFTER_CUE.match(text, start, stop) if cue else None
    if match is None or _DATE.match(match[0]) or _IPV4.match(match[0]):
        return
    digits = _digits(match[0])
    grouped = re.search("[0-9]{3}", match[0])  # pairs alone are a list of numbers
    if grouped and 7 <= len(digits) <= 15 and (len(digits) >= 9 or match[0] != digits):
        opened = start - (text[start - 1] in "+(")
        written = text[opened : match.end()]
        yield Span(opened, match.end() - (written.count(")") > written.count("(")), "phone")


def _digits(written: str) -> str:
    return "".join(filter(str.isdigit, written))


def _is_sequence(numbers: list[str]) -> bool:
    """Whether they count up or down evenly, as the head of a table does."""
    steps = {int(b) - int(a) for a, b in itertools.pairwise(numbers)}
    return len(steps) == 1


def ipv4(text: str, start: int, end: int, allowed: tuple[str, ...]) -> Iterator[Span]:
    """Public addresses of version 4 within a run of digits and dots."""
    for match in _IPV4.finditer(text, start, min(len(text), end + 2)):
        if not _is_public(match[0], allowed):
            continue
        at = match.start()
        if _VERSION.search(text, max(0, at - 24), at):
            continue
        port = text[match.end() : match.end() + 2]
        sure = len(match[0]) >= _SHORT or (port[:1] in (":", "/") and port[1:].isdigit())
        if sure or _HOST_CUE.search(text, max(0, at - 40), at):
            yield Span(at, match.end(), "ip")


def ipv6(text: str, allowed: tuple[str, ...]) -> Iterator[Span]:
    """Public addresses of version 6."""
    for match in _IPV6.finditer(text):
        at, address = match.start(), match[0]
        if not address.endswith("::"):
            address = address.rstrip(":")
        end = at + len(address)
        apart = not (text[at - 1 : at].isalnum() or text[at - 1 : at] in ("_", ":", ".") if at else False)
        if apart and not (text[end : end + 1].isalnum() or text.startswith(":", end)) and _is_public(address, allowed):
            yield Span(at, end, "ip")


def _is_public(address: str, allowed: tuple[str, ...]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return found.is_global and not found.is_multicast and not any(found in network for network in _networks(allowed))


@functools.cache
def _networks(allowed: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(map(ipaddress.ip_network, allowed))
