"""Read the reply of an endpoint with OpenAI's chat API: a completion, a stream of events, an error, or something else.

Usage is read first and is reported even if the rest cannot be used, so that every paid call counts.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from components.endpoint.request import Fault, Reply
from components.errors import short, shortened

MOST_TOKENS = 1 << 24  # in one reply: beyond any model's context, so a larger count is an error of the endpoint
DEEPEST = 4  # levels of JSON that are searched for usage
USAGE = (  # names of the counts of prompt and answer: OpenAI, Anthropic, Gemini, Ollama, llama.cpp
    ("prompt_tokens", "completion_tokens"),
    ("input_tokens", "output_tokens"),
    ("promptTokenCount", "candidatesTokenCount"),
    ("prompt_eval_count", "eval_count"),
    ("prompt_n", "predicted_n"),
)
TOTAL = ("total_tokens", "totalTokenCount")
SURROGATE = re.compile("[\ud800-\udfff]")
_COUNT = re.compile(r'"(prompt_tokens|completion_tokens|input_tokens|output_tokens)"\s*:\s*"?(\d{1,8})\b')
_SAYS = (  # the status that an error's code or type stands for, if it is not a status itself
    (402, re.compile("insufficient|credit|billing|payment")),
    (429, re.compile("rate.?limit|too.?many|quota|resource.?exhausted|throttl")),
    (401, re.compile("api.?key|unauthori[sz]ed|authenticat")),
    (403, re.compile("permission|forbidden")),
    (404, re.compile("not.?found")),
    (400, re.compile("content|safety|moderation|context|invalid|bad.?request|unsupported|badrequest")),
)


class ErrorReply(Exception):
    """An error that the endpoint sent as if it were an answer, with the status that it should have had."""

    def __init__(self, status: int, message: str, reply: Reply | None) -> None:
        super().__init__(message)
        self.status, self.message, self.reply = status, message, reply


def read_completion(raw: bytes, charset: str | None = None) -> Reply:
    """Read the body of a successful response.

    Raises:
        Fault: the body contains no answer, or one that cannot be kept.
        ErrorReply: the body is an error.
    """
    text = decode(raw, charset)
    values = _parse(text)
    if values is None:
        values = _joined_events(text)
    if values is None:
        page = re.search(r"<!doctype html|<html", text[:1_000], re.I)
        what = "a web page" if page else "text that is not JSON" if text.strip() else "an empty body"
        raise Fault("foreign", f"the reply is {what}, not a completion: {shortened(text)}", reply=usage_alone(raw))
    bare, absurd = _usage_reply(values)
    if (error := error_of(values)) is not None:
        raise ErrorReply(_status(error), message_of(values), usage_alone(raw))
    choices = values.get("choices")
    if "choices" not in values:
        raise Fault("foreign", f"the reply is JSON, but not a completion: {shortened(text)}", reply=usage_alone(raw))
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise Fault("empty", f"a completion without choices: {shortened(text)}", reply=bare)
    content = _content(choice, bare, text)
    if content:  # a text always takes tokens, so a count of 0 means that the endpoint does not count
        bare = replace(bare, prompt_tokens=bare.prompt_tokens or None, completion_tokens=bare.completion_tokens or None)
    reply = replace(bare, text=content, finish_reason=_finish_reason(choice))
    if SURROGATE.search(content):
        raise Fault("format", f"half of a surrogate pair in the text: {shortened(content)!a}", reply=bare)
    if absurd:
        raise Fault("format", f"impossible usage counts: {absurd}", reply=bare)
    return reply


def decode(raw: bytes, charset: str | None = None) -> str:
    """The text of a body. Bytes that are invalid in its encoding become U+FFFD; an answer that contains one is not kept."""
    encoding: str = json.detect_encoding(raw)
    if encoding == "utf-8" and charset and not charset.lower().startswith("utf"):
        encoding = charset
    try:
        return raw.decode(encoding, "replace")
    except (LookupError, ValueError):  # not an encoding of text, or one that decodes nothing
        return raw.decode("utf-8", "replace")


def usage_alone(raw: bytes) -> Reply | None:
    """The usage in a body that is otherwise unusable; None if the body has none."""
    text = decode(raw)
    values = _parse(text)
    if values is not None:
        reply, _ = _usage_reply(values)
        return reply if reply.prompt_tokens is not None or reply.completion_tokens is not None else None
    found = {name.startswith(("prompt", "input")): int(count) for name, count in _COUNT.findall(text)}
    return Reply("", "", "", found.get(True), found.get(False)) if found else None


def message_of(values: Any) -> str:
    """The message of an error in one line; empty if it has none that can be read."""
    error = error_of(values) if isinstance(values, dict) else None
    if isinstance(error, dict):
        parts = (error.get(name) for name in ("message", "detail", "code", "type"))
        return " ".join(part if isinstance(part, str) else short(part) for part in parts if part)
    return error if isinstance(error, str) else short(error) if error is not None else ""


def read_error(raw: bytes) -> str:
    """The message in the body of a failed response, in one line."""
    text = decode(raw[:20_000])
    return " ".join((message_of(_parse(text)) or text).split())


def error_of(values: dict[str, Any]) -> Any:
    """The error in a body, wherever servers put it, or None."""
    choices = values.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    for holder in (values, choice):
        for name in ("error", "errors", "detail"):
            if (found := holder.get(name)) and (name == "error" or "choices" not in values):
                found = found[0] if isinstance(found, list) else found
                if isinstance(found, dict) and "choices" in values and not any(found.values()):
                    continue  # an error with empty fields, next to an answer
                return values if found is True else found
    said = values.get("object") == "error" or isinstance(values.get("message"), str)
    return values if said and "choices" not in values else None


def _status(error: Any) -> int:
    """The HTTP status that an error names, or the one that matches its code or type; 500 if neither is known."""
    named = [error.get(name) for name in ("code", "status", "type")] if isinstance(error, dict) else [error]
    said = [(value if isinstance(value, str) else short(value))[:200].lower() for value in named if value is not None]
    for value in said:
        if re.fullmatch("[45][0-9][0-9]", value):
            return int(value)
    words = " ".join(said)
    return next((status for status, pattern in _SAYS if pattern.search(words)), 500)


def _parse(text: str) -> dict[str, Any] | None:
    """A JSON object, or the only object in a list; None if the text is neither."""
    try:
        values = json.loads(text, strict=False, parse_int=_whole)
    except (ValueError, RecursionError):
        return None
    if isinstance(values, list) and len(values) == 1:
        values = values[0]
    return values if isinstance(values, dict) else None


def _whole(digits: str) -> float:
    return int(digits) if len(digits) < 40 else math.inf


def _joined_events(text: str) -> dict[str, Any] | None:
    """A stream of events (SSE, or one JSON object per line) as one completion; None if the text is not a stream."""
    lines = (line.removeprefix("data:").strip() for line in text.lstrip().split("\n"))
    events = [values for line in lines if line.startswith("{") and (values := _parse(line)) is not None]
    choices = [
        choice
        for event in events
        if isinstance(given := event.get("choices"), list)
        for choice in given[:1]
        if isinstance(choice, dict)
    ]
    if not choices:
        return next((event for event in events if error_of(event) is not None), None)
    wholes = [
        message for choice in choices if isinstance(message := choice.get("message"), dict) and message.get("content")
    ]
    deltas = [delta for choice in choices if isinstance(delta := choice.get("delta") or choice.get("message"), dict)]
    messages = wholes[-1:] or deltas  # some repeat the whole text at the end
    told = {
        name: "".join(_text(message.get(name)) for message in messages)
        for name in ("content", "refusal", "reasoning_content")
    }
    reasons = [reason for choice in choices if (reason := choice.get("finish_reason"))]
    done = "stop" if re.search(r"^data:\s*\[DONE\]", text, re.M) else None
    whole = {"message": told, "finish_reason": reasons[-1] if reasons else done}
    rest = {name: value for event in events for name, value in event.items() if value is not None}
    return rest | {"choices": [whole]}


def _content(choice: dict[str, Any], bare: Reply, text: str) -> str:
    """The text of the answer, or an empty string if there is none and the finish reason says why.

    Raises:
        Fault: the answer is empty without a known reason; the detail quotes the reply.
    """
    message = choice.get("message") or choice.get("delta")
    message = message if isinstance(message, dict) else {}
    content = _text(message.get("content")) or _text(choice.get("text"))
    thoughts = _text(message.get("reasoning_content")) or _text(message.get("reasoning"))
    if not content.strip() and "</think>" in thoughts:
        content = thoughts  # the server's reasoning parser mistook the answer for thoughts
    if content.strip():
        return content
    if refusal := _text(message.get("refusal")) or _refusal(message.get("content")):
        raise Fault("filtered", f"the model refused: {shortened(refusal)}", reply=bare)
    reason = _name(choice.get("finish_reason"))
    if reason and finish(reason) != "stop" and not message.get("tool_calls"):
        return ""
    if calls := message.get("tool_calls") or message.get("function_call"):
        raise Fault("empty", f"the model called a tool instead of answering: {short(calls, 200)}", reply=bare)
    if thoughts.strip():
        raise Fault("empty", f"the model returned its reasoning and no answer: {shortened(thoughts)}", reply=bare)
    raise Fault("empty", f"nothing was returned (finish reason {reason!r}): {shortened(text)}", reply=bare)


def _text(value: Any) -> str:
    """A message's content: text, or the text parts of a list; any other JSON value is written as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list):
        return "".join(_text(part) for part in value if isinstance(part, str) or _is_text(part))
    if isinstance(value, dict):
        for name in ("text", "value", "content"):
            if name in value:
                return _text(value[name])
    return json.dumps(value, ensure_ascii=False)


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in (None, "text", "output_text")


def _refusal(content: Any) -> str:
    parts = content if isinstance(content, list) else []
    return next((_text(part.get("refusal")) for part in parts if isinstance(part, dict) and part.get("refusal")), "")


def _usage_reply(values: dict[str, Any]) -> tuple[Reply, str]:
    """A reply without text that has the usage and the model, and a description of impossible token counts."""
    prompt, completion, absurd = _usage(values)
    return Reply("", _name(values.get("model")), "", prompt, completion), absurd


def _usage(values: dict[str, Any]) -> tuple[int | None, int | None, str]:
    """Tokens of the prompt and of the answer, None where unknown, and a description of impossible counts."""
    holders = list(_objects(values))
    for names in USAGE:
        for holder in holders:
            if not any(holder.get(name) is not None for name in names):
                continue
            given = [holder.get(name) for name in (*names, *TOTAL)]
            prompt, completion, *totals = (_count(value) for value in given)
            absurd = [value for value in given if _is_number(value) and _count(value) is None]
            total = next((count for count in totals if count is not None), None)
            if prompt is not None and total is not None and total > prompt + (completion or 0):
                completion = total - prompt  # some servers leave out the thoughts, which are charged
            return prompt, completion, short(holder) if absurd else ""
    return None, None, ""


def _objects(values: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """All objects of a body, outer ones first."""
    inner = list(values.values()) if isinstance(values, dict) else values if isinstance(values, list) else []
    if isinstance(values, dict):
        yield values
    if depth < DEEPEST:
        for value in inner:
            if isinstance(value, dict | list):
                yield from _objects(value, depth + 1)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and bool(re.fullmatch(r"-?[\d.]+", value[:80])))


def _count(value: Any) -> int | None:
    """A count of tokens, even if it is written as a float or a string; None if it is impossible."""
    if isinstance(value, bool) or not _is_number(value):
        return None
    try:
        number = math.ceil(float(value))
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number <= MOST_TOKENS else None


def _name(value: Any) -> str:
    """A name from the endpoint, in one line; empty if there is none."""
    return SURROGATE.sub("\ufffd", shortened(value)) if isinstance(value, str) else ""


def _finish_reason(choice: dict[str, Any]) -> str:
    """The finish reason of an answer. A gateway (OpenRouter) may report `stop` for an answer that was cut or filtered; then the
    reason of the model's own server is returned."""
    reason, native = _name(choice.get("finish_reason")), _name(choice.get("native_finish_reason"))
    return native if finish(reason) == "stop" and finish(native) in ("truncated", "filtered") else reason


# The finish reasons of servers, in lower case: OpenAI, vLLM, TGI, Anthropic, Gemini, Mistral, Cohere, Bedrock.
_FINISHES = {
    "stop": "stop eos eos_token end_turn stop_sequence complete completed end finished done",
    "truncated": "length max_tokens max_length model_length max_output_tokens max_completion_tokens incomplete "
    "token_limit context_length model_context_window_exceeded",
    "filtered": "content_filter content_filtered safety recitation blocklist prohibited_content spii refusal sensitive "
    "guardrail_intervened error_toxic",
    "unfinished": "error tool_calls tool_call tool_use function_call abort aborted cancelled canceled timeout network_error "
    "insufficient_system_resource malformed_function_call pause_turn load unload other",
}
FINISHES = {name: kind for kind, names in _FINISHES.items() for name in names.split()}


def finish(reason: str) -> str:
    """How an answer ended: whole (`stop`), `truncated`, `filtered`, `unfinished`, or in an `unknown` way."""
    return FINISHES.get(re.sub("^finish_?reason[_.]", "", reason.lower()), "unknown")
