"""The way to an endpoint: proxies and credentials of the environment, as they are named and no others."""

import base64

import pytest

from components.endpoint import openai
from components.endpoint.budget import Budget
from components.endpoint.dispatch import Dispatcher, Policy
from components.endpoint.openai import OpenAIEndpoint, Server, proxy_of
from components.endpoint.request import Request
from components.endpoint.store import Store
from components.errors import StepError
from tests.components.endpoint.odd_answers import completion, http

KEY = "PHIFORGE_TEST_KEY"


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """No proxy but those of the test, an empty .netrc, and a key."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    netrc = tmp_path / "netrc"
    netrc.touch()
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv(KEY, "k1")
    return netrc


def heads_of(served, base, tmp_path) -> list[str]:
    """Have five requests answered by way of `base`; the heads of all that came to `served`."""
    heads, handle = [], served.endpoint._handle

    async def listening(head, body, writer):
        heads.append(head)
        return await handle(head, body, writer)

    served.endpoint._handle = listening
    asked = [Request(str(n), (("user", str(n)),), {"model": "m", "seed": n, "max_tokens": 10}) for n in range(5)]
    with Store(tmp_path / "s.sqlite") as store:
        endpoint = OpenAIEndpoint(Server(base, "m", KEY, "synthesis.teacher"))
        policy, budget = Policy(4, 2, 2.0, 5.0, "synthesis.teacher"), Budget.of(store, "plan", 0, 0)
        tally = Dispatcher(endpoint, store, "plan", budget, policy, lambda *_: "").run(asked)
    assert tally.answered == 5
    return heads


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_used(name, serve, tmp_path, monkeypatch):
    served = serve()  # it answers as a proxy would: a proxy is sent the whole address
    monkeypatch.setenv(name, served.url.removesuffix("/v1"))
    heads = heads_of(served, "http://model.invalid/v1", tmp_path)
    assert len(heads) == 6  # the look whether it is there, and five calls
    assert all(head.split(" ")[1].startswith("http://model.invalid/v1/") for head in heads)


def test_this_machine_is_reached_without_a_proxy(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    served = serve()
    assert len(heads_of(served, served.url, tmp_path)) == 6


@pytest.mark.parametrize(
    ("base", "environment_", "proxy"),
    [
        ("https://a.example/v1", {"https_proxy": "http://p:1"}, "http://p:1"),
        ("https://a.example/v1", {"https_proxy": "https://p:1"}, "https://p:1"),
        ("https://a.example/v1", {"https_proxy": "p:1"}, "http://p:1"),
        ("https://a.example/v1", {"http_proxy": "http://p:1"}, None),
        ("https://a.example/v1", {"https_proxy": "http://p:1", "all_proxy": "http://q:1"}, "http://p:1"),
        ("https://a.example/v1", {"all_proxy": "http://p:1", "no_proxy": "b.example,a.example"}, None),
        ("https://a.example:8/v1", {"all_proxy": "http://p:1", "no_proxy": "a.example:8"}, None),
        ("https://a.example/v1", {"all_proxy": "http://p:1", "no_proxy": "b.example"}, "http://p:1"),
        ("https://a.example/v1", {"all_proxy": "http://p:1", "no_proxy": "*"}, None),
        ("http://localhost:8000/v1", {"all_proxy": "http://p:1"}, None),
        ("http://[::1]:8000/v1", {"all_proxy": "http://p:1"}, None),
        ("https://a.example/v1", {}, None),
    ],
)
def test_which_proxy(base, environment_, proxy, monkeypatch):
    for name, value in environment_.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(base) == proxy


def test_a_proxy_that_cannot_be_used_is_never_gone_past(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://p:1")
    with pytest.raises(StepError, match=r"names a socks5 proxy for a\.example.*HTTPS_PROXY.*NO_PROXY"):
        proxy_of("https://a.example/v1")


def test_the_key_alone_is_sent_whatever_netrc_says(serve, tmp_path, monkeypatch, environment):
    monkeypatch.setattr(openai, "LOCAL", ())  # as a machine elsewhere
    environment.write_text("machine 127.0.0.1 login someone password else\n")
    served = serve()
    heads = heads_of(served, served.url, tmp_path)
    assert all("Authorization: Bearer k1\r\n" in head for head in heads)


def test_a_whole_authorization_header_is_sent_as_it_is(serve, tmp_path, monkeypatch):
    basic = f"Basic {base64.b64encode(b'me:secret').decode()}"
    monkeypatch.setenv(KEY, basic)
    served = serve()
    heads = heads_of(served, served.url, tmp_path)
    assert all(f"Authorization: {basic}\r\n" in head for head in heads)


def test_a_key_that_the_endpoint_quotes_is_not_shown(monkeypatch):
    monkeypatch.setenv(KEY, "my-own-key-of-no-form")
    endpoint = OpenAIEndpoint(Server("http://a.example/v1", "m", KEY, "synthesis.teacher"))
    raw = b'{"error": {"message": "Incorrect key my-own-key-of-no-form, see https://me:word@a.example"}}'
    assert endpoint._message(raw) == "Incorrect key …, see https://a.example"


def test_a_key_that_the_endpoint_quotes_in_an_answer_is_not_kept(serve, tmp_path, monkeypatch):
    key = "my-own-key-of-no-form"
    monkeypatch.setenv(KEY, key)
    served = serve()
    answers = iter(
        [
            b"HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: http://b.example/?k=%b\r\n\r\n" % key.encode(),
            b"HTTP/1.1 200 OK\r\nX-\x01: %b\r\n\r\n" % key.encode(),
            http(completion("# A\n\nText.", f"bad {key}")),
            http(completion(f"# A\n\nYou sent {key}.") | {"model": f"m-{key}"}),
        ]
    )

    async def answer(asked, writer):
        raw = next(answers)
        writer.write(raw)
        await writer.drain()
        return b"\x01" not in raw

    served.endpoint._complete = answer
    said = []
    asked = [Request(str(n), (("user", str(n)),), {"model": "m", "max_tokens": 10}) for n in range(2)]
    with Store(tmp_path / "s.sqlite") as store:
        endpoint, policy = OpenAIEndpoint(Server(served.url, "m", KEY, "s")), Policy(1, 4, 2.0, 5.0, "s")
        dispatcher = Dispatcher(endpoint, store, "plan", Budget.of(store, "plan", 0, 0), policy, lambda *_: "")
        monkeypatch.setattr(dispatcher, "_say_once", lambda fault: said.append(str(fault)))
        tally = dispatcher.run(asked)
    assert tally.answered == 1
    assert dict(tally.faults) == {"refused": 1, "malformed": 1, "unfinished": 1}
    shown = str([*tally.given_up, said])
    assert "b.example/?k=…" in shown
    assert "bad …" in shown
    assert key not in shown
    assert all(key.encode() not in path.read_bytes() for path in tmp_path.glob("s.sqlite*"))
