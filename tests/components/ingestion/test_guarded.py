"""Requests of sources go nowhere but to the public internet and to the host that a parameter names."""

import asyncio
import ipaddress
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from components.ingestion.guarded import REDIRECTS, Reach, Refused, _refuse_downgrade, guarded_session
from components.ingestion.inventory import list_files
from components.ingestion.readers import Limits, read_file
from components.params import Source

PUBLIC = "93.184.216.34"
REFUSED = r"cannot be listed .*(is not on the public internet|in its usual spelling|is not a canonical IPv4 address)"


class Redirecting(BaseHTTPRequestHandler):
    """Sends every request to the address that its path has after `/to/`, and gives a text for any other."""

    seen: list[dict[str, str]]

    def do_GET(self) -> None:
        self.seen.append(dict(self.headers.items()))
        target = re.match(r"/to/(.*)", unquote(self.path))
        self.send_response(302 if target else 200)
        if target:
            self.send_header("Location", target[1])
            self.send_header("Set-Cookie", "session=cookie")
        self.send_header("Content-Length", "0" if target else "6")
        self.end_headers()
        if self.command == "GET" and not target:
            self.wfile.write(b"inside")

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Any]:
    handler = type("Own", (Redirecting,), {"seen": []})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    fsspec.get_filesystem_class("http").clear_instance_cache()
    yield SimpleNamespace(
        port=running.server_port, address=f"http://127.0.0.1:{running.server_port}", seen=handler.seen
    )
    running.shutdown()
    running.server_close()


def read(url: str, **fields: str) -> list[Any]:
    return [item for file in list_files(Source(path=url, **fields))[0] for item in read_file(file, Limits(1_000))]


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2:{port}/a.txt",
        "http://2130706434:{port}/a.txt",
        "http://0x7f000002:{port}/a.txt",
        "http://017700000002:{port}/a.txt",
        "http://127.2:{port}/a.txt",
        "http://[::1]:{port}/a.txt",
        "http://[::ffff:127.0.0.1]:{port}/a.txt",
        "http://[64:ff9b::7f00:1]:{port}/a.txt",
        "http://0.0.0.0:{port}/a.txt",
        "http://[::]:{port}/a.txt",
        "http://169.254.169.254/latest/meta-data",
        "http://10.1.2.3/a.txt",
        "http://192.168.0.1/a.txt",
        "http://100.64.0.1/a.txt",
        "http://[fd00::1]/a.txt",
        "http://[fe80::1]/a.txt",
        "http://224.0.0.1/a.txt",
        "http://240.0.0.1/a.txt",
    ],
)
def test_a_redirect_to_what_only_this_network_reaches_is_refused(server: Any, target: str) -> None:
    with pytest.raises(StepError, match=REFUSED):
        read(f"{server.address}/to/{target.format(port=server.port)}")


def test_a_name_that_leads_inside_is_refused_when_it_is_connected_to(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the name led to before: the address that is connected to is the one that is checked."""
    asked: list[str] = []
    resolve = socket.getaddrinfo

    def rebound(host: Any, *arguments: Any, **more: Any) -> Any:
        if host not in ("evil.test", "inside.test"):
            return resolve(host, *arguments, **more)
        asked.append(host)
        first = host == "evil.test" and asked.count(host) == 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC if first else "127.0.0.1", server.port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    with pytest.raises(StepError, match=r"127\.0\.0\.1 is not on the public internet"):
        read(f"http://evil.test:{server.port}/a.txt")
    with pytest.raises(StepError, match=r"127\.0\.0\.1 is not on the public internet"):
        read(f"http://inside.test:{server.port}/a.txt")
    assert not server.seen


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_host_that_the_parameter_names_is_read(server: Any, host: str) -> None:
    (document,) = read(f"http://{host}:{server.port}/a.txt")
    assert document.text.strip() == "inside"
    (document,) = read(f"http://{host}:{server.port}/to/http://{host}:{server.port}/b.txt")
    assert document.text.strip() == "inside"


def test_redirects_end(server: Any) -> None:
    address = f"{server.address}/to/" + f"{server.address}/to/" * REDIRECTS + f"{server.address}/a.txt"
    with pytest.raises(StepError, match=r"cannot be listed \(TooManyRedirects"):
        read(address)


def test_another_host_gets_neither_password_nor_cookie(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"http://localhost:{server.port}/to/{server.address}/a.txt"
    monkeypatch.setattr(Reach, "refusal", lambda *_: "")
    monkeypatch.setenv("SIGNED_URL", path.replace("localhost", "me:word@localhost", 1))
    read(path, url_env="SIGNED_URL")
    named = [seen for seen in server.seen if seen["Host"].startswith("localhost")]
    others = [seen for seen in server.seen if not seen["Host"].startswith("localhost")]
    assert all("Authorization" in seen for seen in named)
    assert others
    assert not any({"Authorization", "Cookie"} & seen.keys() for seen in server.seen if seen in others)


@pytest.mark.parametrize(
    ("scheme", "target", "refused"),
    [
        ("https", "http://other.example/a", True),
        ("https", "/a", False),
        ("https", "https://other.example/a", False),
        ("http", "http://other.example/a", False),
    ],
)
def test_a_redirect_from_https_to_http_is_refused(scheme: str, target: str, refused: bool) -> None:
    import yarl

    closed: list[bool] = []
    response = SimpleNamespace(headers={"Location": target}, close=lambda: closed.append(True))
    redirect = SimpleNamespace(url=yarl.URL(f"{scheme}://host.example/b"), response=response)
    check = _refuse_downgrade(None, None, redirect)
    if refused:
        with pytest.raises(Refused, match="from https to http"):
            asyncio.run(check)
    else:
        asyncio.run(check)
    assert bool(closed) is refused


def test_a_session_checks_each_redirect() -> None:
    async def hooks() -> int:
        async with await guarded_session("localhost") as session:
            return sum(_refuse_downgrade in list(trace.on_request_redirect) for trace in session.trace_configs)

    assert asyncio.run(hooks()) == 1


@given(st.ip_addresses())
def test_what_is_reached_by_a_public_name_is_public(address: Any) -> None:
    reach = Reach("host.example", frozenset({ipaddress.ip_address(PUBLIC), address}))
    if not reach.refusal(str(address)):
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_every_version(address: Any) -> None:
    reach = Reach("host.example", frozenset())
    for spelled in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert bool(reach.refusal(spelled)) == bool(reach.refusal(str(address)))


def test_a_name_of_a_private_network_is_reached_if_it_leads_nowhere_else() -> None:
    private = ipaddress.ip_address("10.0.0.5")
    assert not Reach("data.corp.example", frozenset({private})).refusal("10.0.0.5")
    assert Reach("data.corp.example", frozenset({private})).refusal("10.0.0.6")
    assert Reach("data.corp.example", frozenset({private, ipaddress.ip_address(PUBLIC)})).refusal("10.0.0.5")
    loopback = ipaddress.ip_address("127.0.0.1")
    assert Reach("data.corp.example", frozenset({loopback})).refusal("127.0.0.1")
