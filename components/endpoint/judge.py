"""Decides whether a reply is an answer: it ended normally, it contains text and nothing else, and the caller accepts it.

The same rules apply to new replies and to those that an earlier version stored.
"""

import re
from dataclasses import replace

from components.endpoint.completion import finish
from components.endpoint.request import Accept, Fault, Reply, Request, most_tokens
from components.errors import shortened
from components.text.markup import strip_markup, unclean

_CUT = re.compile(r"[^\n]{100}[a-z,]\s*\Z")  # a long line, which is not a heading, a list's item or a result
_WHOLE = re.compile(r"[.!?:;\u2026\u3002\uff01\uff1f\"'\u201d\u2019`)\]}|*>-]\s*\Z")


def fault_of(request: Request, reply: Reply, accept: Accept) -> Fault | None:
    """The reason why a reply is not an answer to its request, or None if it is one."""
    kind = finish(reply.finish_reason) if reply.finish_reason else "stop"
    if kind == "truncated":
        return Fault(kind, f"cut at {reply.completion_tokens or 'max'} tokens", reply=reply)
    if kind == "filtered":
        return Fault(kind, f"blocked by the endpoint (finish reason {reply.finish_reason!r})", reply=reply)
    if kind != "stop":
        known = "" if kind == "unfinished" else "unknown "
        return Fault("unfinished", f"ended with the {known}finish reason {reply.finish_reason!r}", reply=reply)
    text = strip_markup(reply.text).text
    if not text.strip():
        came = (
            f"only reasoning or markup was returned: {reply.text[:200]!r}"
            if reply.text.strip()
            else "nothing was returned"
        )
        return Fault("empty", f"{came} (finish reason {reply.finish_reason!r})", reply=reply)
    if found := unclean(text):
        return Fault("markup", found, reply=reply)
    if not reply.finish_reason and not _WHOLE.search(text[-200:]):
        return Fault("unfinished", f"no finish reason, and it ends in mid-sentence: {text[-80:]!r}", reply=reply)
    if _CUT.search(text[-400:]):
        said = f"it ends in mid-sentence, with the finish reason {reply.finish_reason!r}: {text[-80:]!r}"
        at_limit = 0 < most_tokens(request) <= (reply.completion_tokens or 0)
        return Fault("truncated" if at_limit else "unfinished", said, reply=reply)
    try:
        wrong = accept(request, replace(reply, text=text))
    except (ValueError, OverflowError, RecursionError) as error:  # `accept` may fail on unexpected text
        wrong = f"cannot be read ({type(error).__name__}: {shortened(str(error))}): {text[:200]!a}"
    return Fault("format", wrong, reply=reply) if wrong else None
