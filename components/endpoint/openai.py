"""Calls any endpoint with OpenAI's chat API: vLLM, Ollama, llama.cpp's server, `transformers serve`, OpenAI itself.

The key is read from the environment when the run starts and is never written anywhere. Requests go only to the host of
the address: redirects are not followed.
"""

import asyncio
import json
import math
import os
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from components.endpoint.completion import ErrorReply, decode, read_completion, read_error, usage_alone
from components.endpoint.request import Fault, Reply, Request
from components.errors import SAID, StepError, shortened
from components.foreign.addresses import HIDDEN, without_secrets

if TYPE_CHECKING:
    from components.params.endpoint import EndpointParams

PROBES = (0.0, 0.5, 1.5, 3.0)  # seconds before each check whether the endpoint answers
CONNECT = 10.0  # maximum seconds to connect
LARGEST = 32 << 20  # maximum bytes of one reply
SECRET = 16  # a key of at least this many characters is also removed from answers
NOT_IN_BODY = ("endpoint", "teacher", "structured")  # parameters of a request that are not fields of its body
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")
_RESET = re.compile(  # a spent limit, and the time of its renewal in milliseconds since 1970
    rb'"X-RateLimit-Remaining":\s*"?0\b.{0,80}?"X-RateLimit-Reset":\s*"?(\d{13})\b', re.S | re.I
)
LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Server:
    """The address of a model.

    Attributes:
        base_url: address of the API, which usually ends in /v1.
        model: name of the model there.
        api_key_env: environment variable with the key, or with a whole Authorization header (`Basic ...`).
        section: section of the parameters that these come from, for messages, such as `synthesis.teacher`.
    """

    base_url: str
    model: str
    api_key_env: str
    section: str

    @classmethod
    def of(cls, params: "EndpointParams", section: str) -> "Server":
        return cls(params.base_url, params.model, params.api_key_env, section)


class OpenAIEndpoint:
    """Calls one endpoint. Use it as an asynchronous context manager: it first checks whether the endpoint answers."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.base = server.base_url.rstrip("/")
        key = os.environ.get(server.api_key_env, "").strip()
        self._headers = {"Authorization": key if " " in key else f"Bearer {key}"} if key else {}
        self._key = key.rpartition(" ")[2]
        self._proxy = proxy_of(self.base)
        self._streams = False  # whether the endpoint streams although it was not asked to; reported once

    async def __aenter__(self) -> "OpenAIEndpoint":
        secure = (
            _certificates() if "https" in (urlsplit(self.base).scheme, urlsplit(self._proxy or "").scheme) else True
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=secure),  # the limiter bounds the number of connections
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),  # the dispatcher bounds the whole call
            proxy=self._proxy,  # read once: trust_env reads the environment and .netrc again for every call
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        try:
            await self._probe()
        except BaseException:
            await self._session.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(self, request: Request, attempt: int) -> Reply:
        """Send one request.

        Args:
            attempt: how many answers to it were unusable; each attempt gets another seed.

        Raises:
            Fault: the call gave no answer.
        """
        body = self._body(request, attempt)
        url = f"{self.base}/chat/completions"
        raw = bytearray()
        try:
            async with self._session.post(url, data=body, headers=_JSON, allow_redirects=False) as got:
                await _read(got, raw)
        except aiohttp.ServerTimeoutError as error:
            raise Fault("timeout", type(error).__name__) from error
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, aiohttp.ClientResponseError) as error:
            raise Fault("malformed", self._without_key(_said(error)), reply=usage_alone(bytes(raw))) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Fault("connection", _said(error)) from error
        except Fault as fault:
            fault.reply = usage_alone(bytes(raw))
            raise
        try:
            return self._reply(got, bytes(raw))
        except Fault as fault:
            if fault.kind == "throttled" and fault.retry_after is None:
                fault.retry_after = _until_reset(raw)
            raise

    def _reply(self, got: aiohttp.ClientResponse, raw: bytes) -> Reply:
        """The reply in a response.

        Raises:
            Fault: there is none; its detail describes the response, and its reply has the usage, if it is known.
        """
        if len(self._key) >= SECRET:  # a shorter one is a word such as EMPTY, for a server without keys
            raw = raw.replace(self._key.encode(), HIDDEN.encode())  # in whatever a server quotes of its request
        if not 200 <= got.status < 300:
            raise self._failure(got.status, got.headers, self._message(raw), usage_alone(raw))
        try:
            reply = read_completion(raw, got.charset)
        except ErrorReply as error:
            message = self._without_key(error.message)
            raise self._failure(
                error.status, got.headers, f"in a response of status 200: {message}", error.reply
            ) from None
        except RecursionError:
            said = f"the reply is JSON that is nested too deeply: {shortened(decode(raw))}"
            raise Fault("foreign", said, reply=usage_alone(raw)) from None
        except Fault as fault:
            fault.detail = self._without_key(fault.detail)
            if fault.kind == "foreign":
                fault.stop = (
                    f"{self.base}: {fault.detail}; correct {self.server.section}.base_url, which usually ends in /v1"
                )
            raise
        if not self._streams and raw.lstrip().startswith((b"data:", b"event:", b":")):
            self._streams = True
            print(
                f"{self.base} sends a stream of events although none was requested; it is read anyway "
                f"({self.server.section}.request: {{stream: false}} may turn it off)",
                flush=True,
            )
        return reply

    def _body(self, request: Request, attempt: int) -> bytes:
        fields = {k: v for k, v in request.parameters.items() if k not in NOT_IN_BODY and v is not None}
        fields["messages"] = [{"role": role, "content": content} for role, content in request.messages]
        for seed in ("seed", "random_seed"):  # Mistral's name
            if isinstance(fields.get(seed), int):
                fields[seed] += attempt
        if request.schema is not None and request.parameters["structured"] == "json_schema":
            schema = {"name": "answer", "strict": True, "schema": request.schema}
            fields["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif request.schema is not None and request.parameters["structured"] == "json_object":
            fields["response_format"] = {"type": "json_object"}
        return json.dumps(fields, ensure_ascii=False).encode()

    async def _probe(self) -> None:
        """Check, before anything is paid, that the endpoint answers and accepts the key.

        Not every server can list its models, so any status passes except a refusal of the key.
        """
        last: Exception | None = None
        for pause in PROBES:
            await asyncio.sleep(pause)
            try:
                timeout = aiohttp.ClientTimeout(total=CONNECT)
                raw = bytearray()
                async with self._session.get(f"{self.base}/models", timeout=timeout, allow_redirects=False) as got:
                    await _read(got, raw)
            except (Fault, aiohttp.ClientError, aiohttp.InvalidURL, TimeoutError, OSError) as error:
                last = error
                continue
            if got.status == 401:
                raise StepError(self._key_refused(got.status, self._message(bytes(raw))))
            return
        raise StepError(
            f"nothing answers at {self.base} ({type(last).__name__}: {last}); start the server, or correct "
            f"{self.server.section}.base_url"
        )

    def _message(self, raw: bytes) -> str:
        """The message in an error's body, shortened."""
        return self._without_key(read_error(raw))

    def _without_key(self, said: str) -> str:
        """A server's message without the key, which some servers quote, and without control characters."""
        said = _UNPRINTABLE.sub("\ufffd", said)
        return shortened(without_secrets(said.replace(self._key, HIDDEN) if self._key else said), SAID)

    def _failure(self, status: int, headers: Mapping[str, str], message: str, reply: Reply | None = None) -> Fault:
        """The fault for a status. A status that usually concerns all requests, such as that of a wrong key, may concern only
        this one: moderation refuses a prompt with the same status. So it stops the run only if nothing is answered."""
        detail, section = f"status {status}: {message}", self.server.section
        stop = ""
        if status == 402 or "insufficient_quota" in message:
            stop = f"the account at {self.base} has no credit left ({detail}); top it up and run again"
        elif status in (401, 403) or (status == 400 and re.search("api.?key", message, re.I)):
            stop = self._key_refused(status, message)
        elif status in (404, 405):
            stop = (
                f"{self.base} has no model {self.server.model!r} ({detail}); correct {section}.model, or "
                f"{section}.base_url, which usually ends in /v1"
            )
        elif 300 <= status < 400:
            detail = f"status {status}: redirected to {self._without_key(headers.get('location', 'nowhere'))}"
            stop = f"{self.base}: {detail}, and the key goes to no other address; correct {section}.base_url"
        elif status in (408, 409, 425, 429) or status >= 500:
            return Fault("throttled" if status == 429 else "server_error", detail, _wait(headers), reply)
        return Fault("refused", detail, reply=reply, stop=stop)

    def _key_refused(self, status: int, message: str) -> str:
        name = self.server.api_key_env
        state = f"the key in {name} was refused" if self._key else f"{name} is not set in the environment"
        return f"{self.base} answers status {status} ({message}): {state}; set {name} to a valid key and run again"


_JSON = {"Content-Type": "application/json"}


def proxy_of(base: str) -> str | None:
    """The proxy that the environment names for an address (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY), or None.
    Addresses on this machine never use a proxy.

    Raises:
        StepError: the environment names a proxy that cannot be used. Calls never bypass it.
    """
    where = urlsplit(base)
    if where.hostname in LOCAL or not where.hostname or proxy_bypass(where.netloc.rpartition("@")[2]):
        return None
    named = getproxies()
    proxy = named.get(where.scheme) or named.get("all")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if (scheme := urlsplit(proxy).scheme) not in ("http", "https"):
        raise StepError(
            f"the environment names a {scheme} proxy for {where.hostname}; only http and https proxies can be used: set "
            f"{where.scheme.upper()}_PROXY to one, or put {where.hostname} into NO_PROXY"
        )
    return proxy


def _certificates() -> ssl.SSLContext:
    """Trusted certificate authorities: the system's, those of SSL_CERT_FILE, and Mozilla's from certifi."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


async def _read(response: aiohttp.ClientResponse, raw: bytearray) -> None:
    """Read a body into `raw`, which keeps what has arrived even if the rest does not arrive."""
    async for part in response.content.iter_any():
        raw += part
        if len(raw) > LARGEST:
            raise Fault("malformed", f"a reply of over {LARGEST >> 20} MB")


def _said(error: Exception) -> str:
    """An error with its kind, without secrets: its address may contain the password of a proxy."""
    return without_secrets(f"{type(error).__name__}: {error}")


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that a reply asks to wait, or None."""
    milliseconds = retry_after(headers.get("retry-after-ms"), time.time())
    return retry_after(headers.get("retry-after"), time.time()) if milliseconds is None else milliseconds / 1000


def _until_reset(raw: bytearray) -> float | None:
    """Seconds until a spent limit is renewed, which OpenRouter names in the body of an error; None if it is not there."""
    found = _RESET.search(raw)
    return max(0.0, int(found[1]) / 1000 - time.time()) if found else None


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header (a number or a date) asks to wait, possibly infinite; None if it cannot be read."""
    if not value:
        return None
    try:
        seconds = float(value.strip().removesuffix("s"))
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (TypeError, ValueError, OverflowError):
            return None
    return None if math.isnan(seconds) else max(0.0, seconds)
