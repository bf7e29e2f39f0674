"""A request to a model, its reply, and possible faults."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Request:
    """The request of one job.

    Attributes:
        job: id of the job.
        messages: (role, content) pairs.
        parameters: everything that determines the answer besides the messages: endpoint, model, temperature, seed and
            so on.
        schema: JSON schema of the answer, or None for free text.
    """

    job: str
    messages: tuple[tuple[str, str], ...]
    parameters: Mapping[str, Any]
    schema: Mapping[str, Any] | None = None

    @property
    def prompt_sha256(self) -> str:
        """Hex SHA-256 of the messages."""
        return _digest(self.messages)

    @cached_property
    def key(self) -> str:
        """Hex SHA-256 of the canonical request. Equal requests have equal keys, even from different jobs."""
        return _digest([self.messages, dict(self.parameters), self.schema])

    @property
    def prompt_bytes(self) -> int:
        return sum(len(content.encode()) for _, content in self.messages)


def most_tokens(request: Request) -> int:
    """The maximum tokens of an answer; 0 if the request does not limit them."""
    return int(request.parameters.get("max_tokens") or request.parameters.get("max_completion_tokens") or 0)


# Made once, since json.dumps makes a new encoder per call.
_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def _digest(value: Any) -> str:
    return hashlib.sha256(_canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's reply. Token counts are those that the endpoint reports, or None if it reports none."""

    text: str
    model: str
    finish_reason: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def tokens(self) -> int | None:
        """Prompt and answer together, or None where either is unknown."""
        if self.prompt_tokens is None or self.completion_tokens is None:
            return None
        return self.prompt_tokens + self.completion_tokens


Accept = Callable[[Request, Reply], str]  # why a reply is not an answer to its request, or an empty string


@dataclass(slots=True)
class Fault(Exception):
    """A call that gave no answer.

    Attributes:
        kind: one of CONTENT; `refused`, which is never retried; or a fault of the endpoint, such as `throttled` or
            `timeout`, which is not the request's fault and is retried until the patience ends.
        detail: the endpoint's message, shortened.
        retry_after: seconds that the endpoint asks to wait, possibly infinite; None if it does not ask.
        reply: a reply that arrived anyway and may have to be paid for; None if there is none.
        stop: the message, with the remedy, that ends the run if nothing is ever answered; empty if the kind has its own.
    """

    kind: str
    detail: str
    retry_after: float | None = None
    reply: Reply | None = field(default=None)
    stop: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


# Faults of the answer: the request is retried a few times, each time with another seed.
CONTENT = ("truncated", "unfinished", "empty", "filtered", "markup", "format", "foreign")
