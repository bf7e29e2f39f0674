"""Addresses of the internet protocol. Only public ones count, and none that looks like a version."""

import functools
import ipaddress
import re
from collections.abc import Iterator

from components.curation.privacy.spans import Span

_IPV4 = re.compile(r"(?<![\w.\-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\w|\.[0-9]|-[0-9])")
_IPV6 = re.compile(r":(?<=[23][0-9a-fA-F]{3}:)[0-9a-fA-F:]{2,35}")  # public addresses begin so (RFC 4291, 2000::/3)
_VERSION = re.compile(
    r"(?i)(?:\b(?:v|ver|versions?|releases?|released|build|firmware|driver|patch|sections?|clause|chapter|figure|oid|"
    r"(?:(?:up|down)grade[ds]?|update[ds]?|patch(?:ed)?|bump(?:ed|s)?)(?: (?!ip|dns|host|server|address|gateway)\w+)? to|"
    r"from version)|§|==|>=|<=|~=)[ .:=\"'(]{0,3}(?:is |was |number |no\. )?$"
)
_HOST_CUE = re.compile(
    r"(?i)(?:\bip(?:v4)?\b|address|\baddr|\bhost|server|\bping|client|\bdns\b|gateway|router|proxy|\bssh\b|\bpeer|://|@)[^0-9\n<>]{0,24}$"
)
_SHORT = 10  # characters; a shorter address may be a version and needs a word that identifies it


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
        at = match.start() - 4
        address = text[at : match.end()]
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
