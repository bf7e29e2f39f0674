"""A request to a model, its reply, and possible faults."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Request:
    """What one job asks.

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
        """Hex SHA-256 of the canonical request: equal requests have equal keys, whatever their job."""
        return _digest([self.messages, dict(self.parameters), self.schema])

    @property
    def prompt_bytes(self) -> int:
        return sum(len(content.encode()) for _, content in self.messages)


def most_tokens(request: Request) -> int:
    """The limit of an answer, 0 where the request names none."""
    return int(request.parameters.get("max_tokens") or request.parameters.get("max_completion_tokens") or 0)


_canonical = json.JSONEncoder(
    sort_keys=True, ensure_ascii=False, separators=(",", ":")
).encode  # json.dumps makes one a call


def _digest(value: Any) -> str:
    return hashlib.sha256(_canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model returned. Token counts are the endpoint's own, or None if it names none."""

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
        kind: one of CONTENT; `refused`, which is never tried again; or the endpoint's own trouble, such as `throttled` or
            `timeout`, which says nothing against the request and is tried again until the patience ends.
        detail: what the endpoint said, shortened.
        retry_after: seconds that the endpoint asks to wait, if it does; may be infinite.
        reply: a reply that came all the same and may have to be paid.
        stop: the message to end the run with if nothing is ever answered, with the remedy; empty where the kind says it.
    """

    kind: str
    detail: str
    retry_after: float | None = None
    reply: Reply | None = field(default=None)
    stop: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


# The answer's trouble: tried again with another seed, a few times.
CONTENT = ("truncated", "unfinished", "empty", "filtered", "markup", "format", "foreign")
