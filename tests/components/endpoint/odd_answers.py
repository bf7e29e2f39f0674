"""Odd answers of endpoints of OpenAI's chat API, as seen in bug reports: what came, what becomes of it, what is counted.

Each case turns a good text into the bytes of a whole HTTP response. `outcome` is `answered` or the kind of the fault;
`tokens` are those counted of the odd response: a number, None where a call is counted whose usage is unknown, and 0 where
the endpoint did not answer.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

USAGE = {"prompt_tokens": 100, "completion_tokens": 200, "total_tokens": 300}
Make = Callable[[str], bytes]


class Odd(NamedTuple):
    make: Make
    outcome: str
    tokens: int | None = 300
    said: str = ""  # words of the fault's detail


def http(body: bytes | str | object, status: int = 200, headers: str = "", kind: str = "application/json") -> bytes:
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{headers}"
    length = "" if "Content-Length" in headers else f"Content-Length: {len(body)}\r\n"
    return f"{head}{length}\r\n".encode() + body


def completion(content: object, reason: object = "stop", usage: object = USAGE, **message: object) -> dict:
    choice = {"index": 0, "message": {"role": "assistant", "content": content} | message, "finish_reason": reason}
    return {"id": "x", "model": "m", "choices": [choice]} | ({} if usage is None else {"usage": usage})


def half(text: str) -> str:
    return text[: int(len(text) * 0.6)].rstrip(" .\n")


def ended(reason: object) -> Make:
    return lambda good: http(completion(half(good), reason))


def whole(reason: object) -> Make:
    return lambda good: http(completion(good, reason))


def wrapped(form: str) -> Make:
    return lambda good: http(completion(form.replace("GOOD", good)))


def used(usage: object, **rest: object) -> Make:
    return lambda good: http(completion(good, usage=usage) | rest)


def message(content: object, reason: str = "stop", **fields: object) -> Make:
    return lambda good: http(completion(_filled(content, good), reason, **_filled(fields, good)))


def _filled(value: object, good: str) -> object:
    """`GOOD` anywhere in a value, replaced."""
    if isinstance(value, str):
        return value.replace("GOOD", good)
    if isinstance(value, list):
        return [_filled(one, good) for one in value]
    return {name: _filled(one, good) for name, one in value.items()} if isinstance(value, dict) else value


def body(value: object, status: int = 200, headers: str = "", kind: str = "application/json") -> Make:
    return lambda good: http(value, status, headers, kind)


def error(status: int, said: object = "no", usage: object = None, headers: str = "") -> Make:
    return body({"error": {"message": said}} | ({"usage": usage} if usage else {}), status, headers)


def events(*chunks: dict, done: bool = True) -> Make:
    def make(good: str) -> bytes:
        lines = [f"data: {json.dumps(_filled(chunk, good))}\n\n" for chunk in chunks]
        return http(": comment\n\n" + "".join(lines) + "data: [DONE]\n\n" * done, kind="text/event-stream")

    return make


def piece(text: object, reason: str | None = None) -> dict:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]}


def text_of(good: str, replaced: Callable[[str], str] = str, **options: object) -> bytes:
    """A completion written by hand: its JSON text changed."""
    return http(replaced(json.dumps(completion(good))), **options)


LOGIN = "<!DOCTYPE html><html><title>Login</title>Please sign in</html>"
TOOL = [{"id": "a", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}]
THOUGHT = "Okay, the user wants a text. I should plan it."
USAGE_FIRST = '{"usage": {"prompt_tokens": 100, "completion_tokens": 200}, "choices": [{"message": {"content": "# A te'

ODD: dict[str, Odd] = {
    # How it ended.
    "length": Odd(ended("length"), "truncated", said="cut at 200 tokens"),
    "MAX_TOKENS": Odd(ended("MAX_TOKENS"), "truncated"),
    "max_tokens": Odd(ended("max_tokens"), "truncated"),
    "model_length": Odd(ended("model_length"), "truncated"),
    "max_output_tokens": Odd(ended("max_output_tokens"), "truncated"),
    "finish_reason_max_tokens": Odd(ended("FINISH_REASON_MAX_TOKENS"), "truncated"),
    "finish_error": Odd(ended("error"), "unfinished", said="finish reason 'error'"),
    "finish_tool": Odd(ended("tool_calls"), "unfinished"),
    "finish_function": Odd(ended("function_call"), "unfinished"),
    "finish_abort": Odd(ended("abort"), "unfinished"),
    "finish_resource": Odd(ended("insufficient_system_resource"), "unfinished"),
    "finish_unknown": Odd(ended("ran_out_of_luck"), "unfinished", said="unknown finish reason 'ran_out_of_luck'"),
    "finish_null": Odd(ended(None), "unfinished", said="ends in mid-sentence"),
    "finish_blank": Odd(ended(""), "unfinished"),
    "finish_number": Odd(ended(3), "unfinished"),
    "content_filter": Odd(ended("content_filter"), "filtered"),
    "SAFETY": Odd(ended("SAFETY"), "filtered"),
    "RECITATION": Odd(ended("RECITATION"), "filtered"),
    "STOP": Odd(whole("STOP"), "answered"),
    "eos_token": Odd(whole("eos_token"), "answered"),
    "end_turn": Odd(whole("end_turn"), "answered"),
    "stop_sequence": Odd(whole("stop_sequence"), "answered"),
    "COMPLETE": Odd(whole("COMPLETE"), "answered"),
    "finish_missing": Odd(whole(None), "answered"),
    "FinishReason.STOP": Odd(whole("FinishReason.STOP"), "answered"),
    "finish_native": Odd(
        lambda good: http(
            {
                "choices": [
                    {"message": {"content": half(good)}, "finish_reason": "stop", "native_finish_reason": "MAX_TOKENS"}
                ],
                "usage": USAGE,
            }
        ),
        "truncated",
    ),
    "stop_in_mid_sentence": Odd(
        ended("stop"), "unfinished", said="ends in mid-sentence, with the finish reason 'stop'"
    ),
    "stop_at_the_limit": Odd(
        lambda good: http(
            completion(half(good), usage={"prompt_tokens": 100, "completion_tokens": 600, "total_tokens": 700})
        ),
        "truncated",
        700,
    ),
    # Marks of a chat template, thoughts, control characters.
    "think": Odd(wrapped(f"<think>\n{THOUGHT}\n</think>\n\nGOOD"), "answered"),
    "endthink": Odd(wrapped(f"{THOUGHT}\n</think>\n\nGOOD"), "answered"),
    "think_late": Odd(wrapped(f"GOOD\n\n<think>\n{THOUGHT}\n</think>\n"), "answered"),
    "think_open_late": Odd(wrapped(f"GOOD\n\n<think>\n{THOUGHT}"), "answered"),
    "think_alone": Odd(wrapped(f"<think>\n{THOUGHT}\n</think>\n"), "empty", said="only reasoning"),
    "think_unclosed": Odd(wrapped(f"<think>\n{THOUGHT}"), "empty", said="only reasoning"),
    "thinking_tag": Odd(wrapped(f"<Thinking>{THOUGHT}</Thinking>GOOD"), "answered"),
    "think_magistral": Odd(wrapped(f"[THINK]{THOUGHT}[/THINK]GOOD"), "answered"),
    "think_kimi": Odd(wrapped(f"◁think▷{THOUGHT}◁/think▷GOOD"), "answered"),
    "think_sky": Odd(wrapped(f"<|begin_of_thought|>{THOUGHT}<|end_of_thought|>GOOD"), "answered"),
    "harmony": Odd(
        wrapped(
            f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>GOOD<|return|>"
        ),
        "answered",
    ),
    "harmony_bare": Odd(wrapped(f"analysis{THOUGHT}assistantfinalGOOD"), "answered"),
    "harmony_analysis": Odd(wrapped(f"<|channel|>analysis<|message|>{THOUGHT}"), "empty"),
    "im_end": Odd(wrapped("GOOD<|im_end|>"), "answered"),
    "eos": Odd(wrapped("GOOD</s>"), "answered"),
    "bos": Odd(wrapped("<s> GOOD"), "answered"),
    "eot_id": Odd(wrapped("GOOD<|eot_id|>\n"), "answered"),
    "eot_twice": Odd(wrapped("GOOD<|eot_id|><|eot_id|>"), "answered"),
    "end_of_turn": Odd(wrapped("GOOD\n<end_of_turn>"), "answered"),
    "deepseek_eos": Odd(wrapped("GOOD<\uff5cend\u2581of\u2581sentence\uff5c>"), "answered"),
    "run_on": Odd(wrapped("GOOD<|im_end|>\n<|im_start|>user\nWrite another one."), "answered"),
    "pad": Odd(wrapped("GOOD<pad><pad>"), "answered"),
    "glm": Odd(wrapped("[gMASK]<sop>GOOD"), "answered"),
    "gemma_channel": Odd(wrapped(f"<|channel>thought\n{THOUGHT}<channel|>GOOD<turn|>"), "answered"),
    "ascii_eos": Odd(wrapped("GOOD<|end\u2581of\u2581sentence|>"), "answered"),
    "half_a_token": Odd(wrapped("GOOD<|im_end"), "markup", said="<|im_end"),
    "byte_token": Odd(wrapped("GOOD<0x0A>"), "markup", said="<0x0A>"),
    "tool_in_text": Odd(wrapped('GOOD\n<tool_call>\n{"name": "f"}\n</tool_call>'), "markup", said="tool_call"),
    "turns": Odd(wrapped("GOOD\n\nUSER: Write another.\nASSISTANT: Here it is."), "markup", said="USER: "),
    "turns_alpaca": Odd(wrapped("GOOD\n\n### Instruction:\nWrite another."), "markup", said="### Instruction:"),
    "header": Odd(wrapped("<|start_header_id|>assistant<|end_header_id|>\n\nGOOD"), "answered"),
    "role": Odd(wrapped("assistant\n\nGOOD"), "answered"),
    "token_within": Odd(
        lambda good: http(completion(good.replace(" ", " <|reserved_7|> ", 1))), "markup", said="reserved_7"
    ),
    "nul": Odd(lambda good: http(completion(good.replace(" ", " \x00", 1))), "answered"),
    "escape": Odd(lambda good: http(completion(good.replace(" ", " \x1b[0m", 1))), "answered"),
    "bidi": Odd(lambda good: http(completion(good.replace(" ", " \u202e\u200b", 1))), "answered"),
    "replacement": Odd(lambda good: http(completion(good.replace("e", "\ufffd", 3))), "markup", said=r"\ufffd"),
    "c1": Odd(lambda good: http(completion(good.replace(" ", " \x93", 1))), "markup"),
    "private": Odd(lambda good: http(completion(good.replace(" ", " \ue000", 1))), "markup"),
    # What stands in the message.
    "parts": Odd(message([{"type": "text", "text": "GOOD"}]), "answered"),
    "parts_thinking": Odd(
        message([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "GOOD"}]),
        "answered",
    ),
    "parts_output": Odd(
        message([{"type": "output_text", "text": "GOOD"}, {"type": "image_url", "text": "no"}]), "answered"
    ),
    "parts_strings": Odd(message(["GOOD", ""]), "answered"),
    "parts_value": Odd(message([{"type": "text", "text": {"value": "GOOD"}}]), "answered"),
    "part_alone": Odd(message({"type": "text", "text": "GOOD"}), "answered"),
    "part_refusal": Odd(message([{"type": "refusal", "refusal": "I will not."}]), "filtered", said="I will not."),
    "refusal": Odd(message(None, refusal="I will not write on this."), "filtered", said="I will not write on this."),
    "refusal_surrogate": Odd(message(None, refusal="No \ud83d\x1b[2J!"), "filtered", said="No \ufffd\ufffd[2J!"),
    "tool": Odd(message(None, "tool_calls", tool_calls=TOOL), "empty", said="look_up"),
    "tool_stop": Odd(message(None, tool_calls=TOOL), "empty", said="the model called a tool"),
    "reasoning": Odd(message("GOOD", reasoning_content=THOUGHT), "answered"),
    "reasoning_alone": Odd(
        message(None, reasoning_content=THOUGHT), "empty", said="the model returned its reasoning and no answer: Okay"
    ),
    "reasoning_cut": Odd(message(None, "length", reasoning_content=THOUGHT), "truncated"),
    "reasoning_all": Odd(message(None, reasoning_content=f"{THOUGHT}\n</think>\nGOOD"), "answered"),
    "empty": Odd(message(""), "empty", said="nothing was returned"),
    "blank": Odd(message(" \n "), "empty"),
    "number": Odd(message(7), "format"),
    "deep_parts": Odd(
        lambda good: text_of("DEEP", lambda text: text.replace('"DEEP"', '[{"text":' * 300 + '"x"' + "}]" * 300)),
        "foreign",
        said="nested too deeply",
    ),
    "surrogate": Odd(lambda good: http(completion(good + " \ud83d")), "format", said="surrogate"),
    "surrogate_name": Odd(lambda good: http(completion(good) | {"model": "m\ud83d"}), "answered"),
    "delta": Odd(
        lambda good: http({"choices": [{"delta": {"content": good}, "finish_reason": "stop"}], "usage": USAGE}),
        "answered",
    ),
    "legacy_text": Odd(
        lambda good: http({"choices": [{"text": good, "finish_reason": "stop"}], "usage": USAGE}), "answered"
    ),
    # No choice.
    "choices_empty": Odd(body({"choices": [], "usage": USAGE}), "empty", said="without choices"),
    "choices_null": Odd(body({"choices": None, "usage": USAGE}), "empty"),
    "choices_of_null": Odd(body({"choices": [None], "usage": USAGE}), "empty"),
    "choices_missing": Odd(body({"id": "x", "usage": USAGE}), "foreign", said="not a completion"),
    "message_missing": Odd(body({"choices": [{"finish_reason": "stop"}], "usage": USAGE}), "empty"),
    "anthropic": Odd(
        body({"content": [{"text": "x"}], "usage": {"input_tokens": 100, "output_tokens": 200}}),
        "foreign",
        said="content",
    ),
    "ollama": Odd(body({"done": True, "prompt_eval_count": 100, "eval_count": 200}), "foreign"),
    # Usage.
    "usage_str": Odd(used({"prompt_tokens": "100", "completion_tokens": "200"}), "answered"),
    "usage_float": Odd(used({"prompt_tokens": 100.0, "completion_tokens": 200.0}), "answered"),
    "usage_thoughts": Odd(used({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 300}), "answered"),
    "usage_total": Odd(used({"prompt_tokens": 100, "total_tokens": 300}), "answered"),
    "usage_names": Odd(used({"input_tokens": 100, "output_tokens": 200}), "answered"),
    "usage_elsewhere": Odd(used(None, x_groq={"usage": {"prompt_tokens": 100, "completion_tokens": 200}}), "answered"),
    "usage_timings": Odd(used(None, timings={"prompt_n": 100, "predicted_n": 200}), "answered"),
    "usage_missing": Odd(used(None), "answered", None),
    "usage_zero": Odd(used({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}), "answered", None),
    "usage_null": Odd(used({"prompt_tokens": None, "completion_tokens": None}), "answered", None),
    "usage_words": Odd(used("unknown"), "answered", None),
    "usage_huge": Odd(
        used({"prompt_tokens": True, "completion_tokens": 10**30}), "format", None, "impossible usage counts"
    ),
    "usage_digits": Odd(
        lambda good: text_of(good, lambda text: text.replace("200", "2" * 5_000)),
        "format",
        300,
        "impossible usage counts",
    ),
    "usage_negative": Odd(used({"prompt_tokens": 100, "completion_tokens": -1}), "format", None),
    "usage_infinite": Odd(used({"prompt_tokens": float("inf"), "completion_tokens": float("nan")}), "format", None),
    # The body.
    "bom": Odd(lambda good: text_of(good, lambda text: "\ufeff" + text), "answered"),
    "utf16": Odd(lambda good: http(json.dumps(completion(good)).encode("utf-16")), "answered"),
    "latin1": Odd(
        lambda good: http(json.dumps(completion(good.replace("e", "é", 2)), ensure_ascii=False).encode("latin-1")),
        "markup",
    ),
    "latin1_named": Odd(
        lambda good: http(
            json.dumps(completion(good.replace(" ", "\xa0", 1)), ensure_ascii=False).encode("latin-1"),
            kind="application/json; charset=iso-8859-1",
        ),
        "answered",
    ),
    "charset_unknown": Odd(lambda good: text_of(good, kind="application/json; charset=nonsense"), "answered"),
    "charset_undefined": Odd(lambda good: text_of(good, kind="application/json; charset=undefined"), "answered"),
    "error_of_nulls": Odd(used(USAGE, error={"code": None, "message": None}), "answered"),
    "dupkeys": Odd(
        lambda good: text_of(good, lambda text: text.replace('"content": ', '"content": null, "content": ', 1)),
        "answered",
    ),
    "blanks_before": Odd(lambda good: text_of(good, lambda text: "\n\n \n" + text), "answered"),
    "raw_control": Odd(
        lambda good: text_of(good, lambda text: text.replace("\\n", "\n").replace(" ", "  ", 1)), "answered"
    ),
    "in_a_list": Odd(lambda good: text_of(good, lambda text: f"[{text}]"), "answered"),
    "created": Odd(lambda good: http(completion(good), status=201), "answered"),
    "text_plain": Odd(lambda good: text_of(good, kind="text/plain"), "answered"),
    "sse": Odd(events(piece("GOOD"), piece("", "stop"), {"choices": [], "usage": USAGE}), "answered"),
    "sse_whole_again": Odd(
        events(piece("GOOD"), {"choices": [{"message": {"content": "GOOD"}, "finish_reason": "stop"}], "usage": USAGE}),
        "answered",
    ),
    "sse_parts": Odd(
        events(piece(""), piece([{"type": "text", "text": "GOOD"}], "stop"), {"choices": [], "usage": USAGE}),
        "answered",
    ),
    "sse_deep": Odd(
        lambda good: http(
            f'data: {{"usage": {json.dumps(USAGE)}, "choices": [{{"delta": {{"content": '
            + '[{"text":' * 300
            + '"x"'
            + "}]" * 300
            + "}}]}\n\n"
        ),
        "foreign",
        said="nested too deeply",
    ),
    "sse_no_end": Odd(events(piece("GOOD")), "answered", None),
    "sse_cut": Odd(
        lambda good: events(piece(half(good)), {"usage": USAGE}, done=False)(good), "unfinished", said="mid-sentence"
    ),
    "sse_error": Odd(
        events(piece("GOOD"), {"error": {"message": "overloaded", "code": 503}, "usage": USAGE}),
        "server_error",
        said="overloaded",
    ),
    "html": Odd(
        body(LOGIN, kind="text/html"), "foreign", 0, "the reply is a web page, not a completion: <!DOCTYPE html>"
    ),
    "ok": Odd(body("OK"), "foreign", 0, "text that is not JSON, not a completion: OK"),
    "nothing": Odd(body(""), "foreign", 0, "an empty body"),
    "json_text": Odd(body('"hello"'), "foreign", 0, "hello"),
    "json_cut": Odd(body(USAGE_FIRST), "foreign", said="usage"),
    "deep": Odd(body("[" * 100_000), "foreign", 0),
    # Errors in a response of status 200.
    "error200_429": Odd(body({"error": {"message": "slow down", "code": 429}}), "throttled", 0, "slow down"),
    "error200_word": Odd(body({"error": {"message": "slow", "type": "rate_limit_exceeded"}}), "throttled", 0),
    "error200_text": Odd(body({"error": "something broke"}), "server_error", 0, "something broke"),
    "error200_402": Odd(
        body({"error": {"message": "credits exhausted", "code": 402}}), "refused", 0, "credits exhausted"
    ),
    "error200_usage": Odd(body({"error": {"message": "no", "code": "500"}, "usage": USAGE}), "server_error"),
    "error200_vllm": Odd(body({"object": "error", "message": "too long", "code": 400}), "refused", 0, "too long"),
    "error200_list": Odd(body([{"error": {"message": "x", "status": "INVALID_ARGUMENT"}}]), "refused", 0),
    "error200_detail": Odd(
        body({"detail": [{"message": "field required", "type": "invalid"}]}), "refused", 0, "required"
    ),
    "error200_message": Odd(body({"message": "no such thing", "type": "not_found"}), "refused", 0, "no such thing"),
    "error200_choice": Odd(
        lambda good: http(
            {
                "choices": [{"message": {"content": half(good)}, "error": {"code": 502, "message": "gone"}}],
                "usage": USAGE,
            }
        ),
        "server_error",
        said="gone",
    ),
    # Statuses.
    "moderated": Odd(error(403, "Input flagged by moderation"), "refused", 0, "status 403: Input flagged"),
    "moderated_paid": Odd(error(403, "Input flagged by moderation", USAGE), "refused"),
    "not_found": Odd(error(404, "No endpoints found"), "refused", 0, "status 404"),
    "filtered": Odd(error(400, "content management policy", USAGE), "refused", said="content management policy"),
    "unauthorized": Odd(error(401, "upstream key"), "refused", 0, "upstream key"),
    "no_credit": Odd(error(402, "needs more credits"), "refused", 0),
    "too_long": Odd(error(413), "refused", 0),
    "unprocessable": Odd(body({"detail": "bad field"}, 422), "refused", 0, "bad field"),
    "redirected": Odd(
        error(302, headers="Location: https://elsewhere.example/\r\n"), "refused", 0, "elsewhere.example"
    ),
    "throttled": Odd(error(429), "throttled", 0),
    "throttled_nan": Odd(error(429, headers="Retry-After: nan\r\n"), "throttled", 0),
    "throttled_ms_nan": Odd(error(429, headers="retry-after-ms: nan\r\n"), "throttled", 0),
    "throttled_ms": Odd(error(429, headers="retry-after-ms: 20\r\n"), "throttled", 0),
    "throttled_past": Odd(error(429, headers="Retry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\n"), "throttled", 0),
    "timeout_408": Odd(error(408), "server_error", 0),
    "broken": Odd(error(500, "internal error"), "server_error", 0, "status 500: internal error"),
    "broken_paid": Odd(error(500, "internal error", USAGE), "server_error"),
    "bad_gateway": Odd(body(LOGIN, 502, kind="text/html"), "server_error", 0, "status 502: <!DOCTYPE html>"),
    "overloaded": Odd(error(529, "overloaded", headers="Retry-After: 0\r\n"), "server_error", 0),
    # The connection.
    "torn": Odd(body('{"id": 1', headers="Content-Length: 500\r\n"), "malformed", 0),
    "torn_paid": Odd(body(USAGE_FIRST, headers="Content-Length: 5000\r\n"), "malformed"),
    "gzip": Odd(lambda good: text_of(good, headers="Content-Encoding: gzip\r\n"), "malformed", 0),
    "no_http": Odd(lambda good: b"hello\r\n\r\n", "malformed", 0),
    "silence": Odd(lambda good: b"", "malformed", 0),
}
