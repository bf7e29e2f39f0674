"""E-mail addresses, plainly written and hidden.

A local part is what RFC 5321 and 6531 allow, except characters that end a word of a URL or a query. A domain ends in a
public suffix (https://publicsuffix.org, as in the package `tld`): `a@b.transpose` is a product of matrices, `logo@2x.png`
a file. Addresses are also found if their signs are hidden: as entities (`&#64;`), in brackets (`[at]`,
`(dot)`), in words of several languages (`ann at host dot org`, `ann arroba host punto es`), and with blanks around them.
"""

import functools
import re
from collections.abc import Iterator

from components.curation.privacy.spans import Span
from components.text.characters import Plain, substituted

_LABEL = r"[^\W_][\w\-]{0,62}"
_DOMAIN = re.compile(rf"@({_LABEL}(?:\.{_LABEL}){{1,8}})")
# Without Japanese and similar scripts, which have no blanks.
_LOCAL_BACKWARDS = re.compile(r"(?:[^\W\u3040-\u9fff\uac00-\ud7af]|[.%+\-!'\u2019/=]){1,65}")
# An apostrophe and an exclamation mark occur within a word; a slash only before the attributes of a gateway's address.
_PART = "(?:[\\w.%+\\-]|(?<=\\w)['\u2019!](?=\\w))+"
_LOCAL = re.compile(rf"{_PART}(?:/\w{{1,9}}={_PART})*$")
_QUOTED = re.compile(r'(?:^|[\s<(:,;])("[^"\n@]{1,64}")$')
_LATIN = re.compile(r"[A-Za-z]{2,}(?=[^\x00-\x7f])")  # before Japanese
_PICTURE = re.compile(r"[1-9]x\.\w+|v?[0-9]+(?:\.[0-9]+)+\.\w+")  # icon@2x.zip, package@1.0.dev

_AT = (
    "at|ät|æt|arroba|arobase|arrobase|chiocciola|małpa|malpa|snabel-?a|apenstaartje|klammeraffe|zavináč|zavinac|kukac|"
    "miukumauku|arond|собака|アットマーク|アット|あっと"
)
_DOT = "dot|punkt|point|punto|ponto|punt|kropka|prick|punktum|tečka|tecka|pont|piste|punct|nokta|точка|ドット"
# One class of characters at the start, which `re` finds quickest. The groups are signs, everything else is a dot.
_SIGN = re.compile(
    rf"[&%\[({{<★☆](?:(?<=[\[({{<])(?: ?(?:(@|{_AT})|\.|{_DOT}) ?[\])}}>] ?(?=\w)|(?<=\w\()(a)\)(?=\w))"
    r"|(?<=&)(?:(#0*64|#x0*40|commat)|#0*46|#x0*2e|period);|(?<=%)(40)|(?<=\w[★☆])(?=\w)())"
)
# Words for the sign that occur without brackets; others are rare in this form.
_FOREIGN = [" arroba ", " arobase ", " chiocciola "]
_SPELT_GAP = rf"(?: \. |\.| (?:{_DOT}) )"
_SPELT_DOT = re.compile(rf"(?i)(?<=\w){_SPELT_GAP}(?=\w)")
_SPELT_DOMAIN = re.compile(rf"(?i){_LABEL}(?:{_SPELT_GAP}{_LABEL}){{1,4}}")
_SPELT_LOCAL = re.compile(rf"(?i)[\w+\-.']{{1,40}}(?: (?:{_DOT}) [\w+\-']{{1,40}}){{0,3}}$")
_CUE = re.compile(r"(?i)(?:mail|courriel|correo|address|adresse|contact|kontakt|write to)[^\w\n]{0,3}(?:is |to |me )?$")
# Words before "at" and a domain that are not names of people.
_NOBODY = frozenset((
    "a", "an", "and", "are", "be", "by", "for", "found", "her", "him", "home", "in", "is", "it", "live", "look", "me", "now", "online",
    "or", "page", "read", "see", "shop", "site", "store", "that", "the", "them", "this", "today", "us", "visit", "was", "you",
))  # fmt: skip


def emails(text: str, lowered: str, allowed: tuple[str, ...]) -> Iterator[Span]:
    """E-mail addresses outside the allowed domains with a plain sign or a word for it.

    Args:
        lowered: the text in lower case.
    """
    signs = [" at "] if " dot " in lowered else []
    if "@" in text:
        yield from _plain(text, allowed)
        signs += [" @ "]
    if " the " not in lowered:  # each search takes time, and most texts are English
        signs += _FOREIGN
    for sign in signs:
        yield from _spelt(text, lowered, sign, allowed)


def revealed(text: str, lowered: str) -> Plain | None:
    """The text with signs of addresses in place of entities and words in brackets; None if it has neither."""
    signs = [_sign(text, match) for match in _SIGN.finditer(lowered)]
    return substituted(text, signs) if signs else None


def _sign(text: str, match: re.Match[str]) -> tuple[int, int, str]:
    start, end = match.span()
    return start - (text[start] in "[({<" and text[start - 1 : start] == " "), end, "@" if match.lastindex else "."


def _plain(text: str, allowed: tuple[str, ...]) -> Iterator[Span]:
    for match in _DOMAIN.finditer(text):
        domain = _registered(match[1])
        if not domain or _is_allowed(domain, allowed):
            continue
        at = match.start()
        end = match.start(1) + len(domain)
        local = _local(text, at)
        if not local or len(local) > 64 or local.endswith("."):
            continue
        start = at - len(local)
        if text.endswith("://", 0, start) or (local == "git" and text[end : end + 1] in (":", "/")):
            continue  # a place, not a mailbox
        yield Span(start, end, "email")


def _local(text: str, at: int) -> str:
    """The part of the address before the sign."""
    if text[at - 1 : at] == '"' and (quoted := _QUOTED.search(text, max(0, at - 68), at)):
        return quoted[1]
    before = _LOCAL_BACKWARDS.match(text[max(0, at - 65) : at][::-1])
    local = _LOCAL.search(before[0][::-1]) if before else None
    return local[0].lstrip(".%+-'!") if local else ""


def _is_allowed(domain: str, allowed: tuple[str, ...]) -> bool:
    domain = domain.lower()
    return any(domain == one or domain.endswith("." + one) for one in allowed)


@functools.lru_cache(maxsize=4_096)
def _registered(domain: str) -> str:
    """The longest part from the start that ends in a public suffix, since `ann@host.org.Then` lacks a blank; or empty."""
    from tld import get_tld

    while "." in domain:
        if not _PICTURE.fullmatch(domain) and get_tld(f"http://{domain.lower()}", fail_silently=True):
            return domain
        rest, _, last = domain.rpartition(".")
        latin = _LATIN.match(last)
        domain = f"{rest}.{latin[0]}" if latin and latin[0] != last else rest
    return ""


def _spelt(text: str, lowered: str, sign: str, allowed: tuple[str, ...]) -> Iterator[Span]:
    at = lowered.find(sign)
    while at >= 0:
        start, end = at, at + len(sign)
        at = lowered.find(sign, end - 1)
        host = _SPELT_DOMAIN.match(text, end, end + 160)
        name = _SPELT_LOCAL.search(text, max(0, start - 80), start) if host else None
        if not host or not name:
            continue
        domain = _registered(_SPELT_DOT.sub(".", host[0]))
        if not domain or domain.partition(".")[0].lower() in _NOBODY or _is_allowed(domain, allowed):
            continue
        stop = end + _length(host[0], domain.count(".") + 1)
        begin = name.end() - len(name[0].lstrip(".%+-'"))
        if begin < start and _is_meant(text, begin, start, sign[1:-1], text[end:stop] != domain):
            yield Span(begin, stop, "email")


def _length(host: str, labels: int) -> int:
    """The position at which the first labels of a host that is written in words end."""
    ends = [match.start() for match in _SPELT_DOT.finditer(host)]
    return [*ends, len(host)][labels - 1]


def _is_meant(text: str, start: int, end: int, sign: str, spelt: bool) -> bool:
    """Whether a name, a sign or a word for it, and a domain form an address; sentences contain `at` and `@`, too."""
    name = text[start:end].lower()
    if name in _NOBODY or (sign == "at" and not spelt):
        return False
    return spelt or sign != "@" or bool(re.search("[._0-9]", name) or _CUE.search(text, max(0, start - 30), start))
