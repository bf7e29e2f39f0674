"""Any endpoint of OpenAI's chat API: vLLM, Ollama, llama.cpp's server, `transformers serve`, OpenAI itself.

The key is read from the environment when the run starts and is written nowhere.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from components.errors import StepError
from components.params import TeacherParams
from components.synthesis.calls.request import Fault, Halt, Reply, Request

PROBES = (0.0, 0.5, 1.5, 3.0)  # seconds before each look whether the endpoint is there
CONNECT = 10.0  # seconds
LARGEST = 32 << 20  # bytes of one reply
NOT_IN_BODY = ("endpoint", "teacher", "structured")  # parameters of a request that are not fields of its body


class OpenAIEndpoint:
    """Asks one endpoint. Use as an asynchronous context manager: it looks first whether the endpoint is there."""

    def __init__(self, params: TeacherParams) -> None:
        self.params = params
        self.base = params.endpoint.rstrip("/")
        local = urlsplit(self.base).hostname in ("127.0.0.1", "localhost", "::1")
        key = os.environ.get(params.api_key_env, "")
        self._options: dict[str, Any] = {
            "headers": {"Authorization": f"Bearer {key}"} if key else {},
            "timeout": httpx.Timeout(None, connect=CONNECT),  # the dispatcher bounds the whole call
            "verify": httpx.create_ssl_context(trust_env=not local),
            "trust_env": not local,  # a proxy leads away from this machine
        }
        self._clients: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []
        self._has_key = bool(key)

    async def __aenter__(self) -> "OpenAIEndpoint":
        await self._probe()
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            await client.aclose()

    @contextmanager
    def _client(self) -> Iterator[httpx.AsyncClient]:
        """A client of its own for each call at a time: the pool of one looks through all its connections each time it
        is asked for one, which takes milliseconds when there are many."""
        if self._idle:
            client = self._idle.pop()
        else:
            client = httpx.AsyncClient(**self._options)
            self._clients.append(client)
        try:
            yield client
        finally:
            self._idle.append(client)

    async def ask(self, request: Request, attempt: int) -> Reply:
        """Send one request.

        Args:
            attempt: how many answers to it were unusable; each gets another seed.

        Raises:
            Fault: no answer this time.
            Halt: the key is wrong, the model unknown or the account empty; nothing tried later can succeed.
        """
        body = self._body(request, attempt)
        try:
            with self._client() as client:
                async with client.stream("POST", f"{self.base}/chat/completions", content=body, headers=_JSON) as got:
                    raw = await _read(got)
        except httpx.TimeoutException as error:
            raise Fault("timeout", type(error).__name__) from error
        except httpx.RemoteProtocolError as error:
            raise Fault("malformed", str(error)) from error
        except httpx.TransportError as error:
            raise Fault("connection", f"{type(error).__name__}: {error}") from error
        if got.status_code != 200:
            raise self._failure(got.status_code, got.headers, _message(raw))
        return _reply(raw)

    def _body(self, request: Request, attempt: int) -> bytes:
        fields = {k: v for k, v in request.parameters.items() if k not in NOT_IN_BODY and v is not None}
        fields["messages"] = [{"role": role, "content": content} for role, content in request.messages]
        if isinstance(fields.get("seed"), int):
            fields["seed"] += attempt
        if request.schema is not None and request.parameters["structured"] == "json_schema":
            schema = {"name": "answer", "strict": True, "schema": request.schema}
            fields["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif request.schema is not None and request.parameters["structured"] == "json_object":
            fields["response_format"] = {"type": "json_object"}
        return json.dumps(fields, ensure_ascii=False).encode()

    async def _probe(self) -> None:
        """Find out soon, and before anything is paid, that nobody is there or that the key is wrong.

        The list of models is no part of the API that every server has: any status but a refusal of the key will do.
        """
        last: Exception | None = None
        for pause in PROBES:
            await asyncio.sleep(pause)
            try:
                with self._client() as client:
                    got = await client.get(f"{self.base}/models", timeout=CONNECT)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                last = error
                continue
            if got.status_code in (401, 403):
                raise StepError(self._key_refused(got.status_code, _message(got.content)))
            return
        raise StepError(
            f"nobody answers at {self.base} ({type(last).__name__}: {last}); start the server, or correct "
            "synthesis.teacher.endpoint"
        )

    def _failure(self, status: int, headers: httpx.Headers, message: str) -> Exception:
        """The fault or halt that a status means."""
        if status in (401, 403):
            return Halt(self._key_refused(status, message))
        if status == 402 or "insufficient_quota" in message:
            return Halt(f"the account at {self.base} is empty (status {status}: {message}); fill it and run again")
        if status == 404:
            return Halt(
                f"{self.base} knows no model {self.params.model!r} (status 404: {message}); correct "
                "synthesis.teacher.model or endpoint, which usually ends in /v1"
            )
        detail = f"status {status}: {message}"
        if status == 429:
            return Fault("throttled", detail, retry_after(headers.get("retry-after"), time.time()))
        if status in (408, 409, 425) or status >= 500:
            return Fault("server_error", detail, retry_after(headers.get("retry-after"), time.time()))
        return Fault("refused", detail)

    def _key_refused(self, status: int, message: str) -> str:
        name = self.params.api_key_env
        state = f"the key in {name} was refused" if self._has_key else f"{name} is not set in the environment"
        return f"{self.base} answers status {status} ({message}): {state}; set {name} to a valid key and run again"


_JSON = {"Content-Type": "application/json"}


async def _read(response: httpx.Response) -> bytes:
    parts, size = [], 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > LARGEST:
            raise Fault("malformed", f"a reply of over {LARGEST >> 20} MB")
    return b"".join(parts)


def _message(raw: bytes) -> str:
    """What an error's body says, shortened to one line."""
    text = raw[:2_000].decode("utf-8", "replace")
    try:
        error = json.loads(raw)["error"]
        text = f"{error.get('message', '')} {error.get('code') or ''}" if isinstance(error, dict) else str(error)
    except (ValueError, KeyError, TypeError):
        pass
    return " ".join(text.split())[:200]


def _reply(raw: bytes) -> Reply:
    """Read a completion.

    Raises:
        Fault: it is cut off or not of the API's form.
    """
    try:
        values = json.loads(raw)
        choice = values["choices"][0]
        text = choice["message"].get("content") or ""
        usage = values.get("usage") or {}
        if not isinstance(text, str):
            raise TypeError("content is no text")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise Fault("malformed", f"the reply is no completion ({type(error).__name__}: {error})") from error
    return Reply(
        text=text,
        model=str(values.get("model") or ""),
        finish_reason=str(choice.get("finish_reason") or "stop"),
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
    )


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value >= 0 else None


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks to wait: a number, or a date; None if it says nothing readable."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError):
        return None
