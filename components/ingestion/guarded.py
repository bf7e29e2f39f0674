"""Web requests that reach only the public internet and the host that a parameter names.

A server may redirect a request to an address that only this machine or its network can reach. So every connection is
checked when it is made, by its actual address, whatever name, spelling or redirect led there. Addresses outside the public
internet are refused unless the parameter itself names them: by address, as `localhost`, or, in a private network, by a name
that led nowhere else when the session began. There are at most REDIRECTS redirects, none from https to http; aiohttp does
not forward Authorization headers to another host, and cookies are not kept.
"""

import asyncio
import errno
import ipaddress
import socket
from dataclasses import dataclass
from typing import Any

import aiohttp
import yarl

REDIRECTS = 5
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # the last 32 bits are an IPv4 address


class Refused(OSError):
    """A connection or a redirect that was not made."""


@dataclass(frozen=True)
class Reach:
    """Where the requests of a session may go besides the public internet: the host that a parameter names.

    Attributes:
        host: as written in the parameter, without brackets.
        addresses: of the host when the session began.
    """

    host: str
    addresses: frozenset[Address]

    def refusal(self, address: str) -> str:
        """Why a connection to an address is refused, or an empty string."""
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return f"{address!r} is not an IP address in its usual spelling"
        inner = _embedded(found)
        if _is_public(inner) or found == _literal(self.host) or (self.host == "localhost" and inner.is_loopback):
            return ""
        if _is_private(inner) and found in self.addresses and not any(_is_public(one) for one in self.addresses):
            return ""
        return f"{address} is not on the public internet and not named in ingestion.sources; name it there to allow it"

    def socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for the address of a new connection.

        Raises:
            Refused: the address is not allowed.
        """
        family, kind, protocol, _, address = info
        if reason := self.refusal(str(address[0])):
            raise Refused(errno.EACCES, reason)
        return socket.socket(family, kind, protocol)


async def guarded_session(host: str, **options: Any) -> aiohttp.ClientSession:
    """A session for the files of one host, for use as fsspec's `get_client`.

    Args:
        host: the host in the parameter.
        options: of aiohttp.ClientSession.
    """
    reach = Reach(host, await _addresses(host))
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse_downgrade)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(socket_factory=reach.socket),
        trace_configs=[trace],
        cookie_jar=aiohttp.DummyCookieJar(),
        **options,
    )


async def _refuse_downgrade(_session: Any, _context: Any, redirect: aiohttp.TraceRequestRedirectParams) -> None:
    target = redirect.response.headers.get("Location") or redirect.response.headers.get("URI") or ""
    if redirect.url.scheme == "https" and redirect.url.join(yarl.URL(target)).scheme == "http":
        redirect.response.close()
        reason = f"{redirect.url.host} redirects from https to http, which anyone on the way can read or change"
        raise Refused(errno.EACCES, reason)


async def _addresses(host: str) -> frozenset[Address]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return frozenset()  # the request will report the unknown host
    return frozenset(ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in found)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _embedded(address: Address) -> Address:
    """The IPv4 address embedded in an IPv6 address, or the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _is_public(address: Address) -> bool:
    return address.is_global and not address.is_multicast


def _is_private(address: Address) -> bool:
    """Whether an address belongs to a private network, not to this machine or to nobody."""
    special = address.is_loopback or address.is_link_local or address.is_unspecified
    return not (special or address.is_multicast or address.is_reserved)
