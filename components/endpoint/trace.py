"""Traces a sample of a plan's calls: prompt, answer, latency, tokens, cost and verdict, without secrets.

One trace costs MLflow as much CPU as a dozen calls cost this process. So only a sample is traced, after all calls have
been made.
"""

import os
import random
from collections.abc import Callable, Iterator
from itertools import chain

from components.endpoint.dispatch import Call
from components.endpoint.store import Store
from components.foreign.addresses import HIDDEN, all_without_secrets
from components.params.endpoint import EndpointParams
from components.tracking import Trace, Tracker

MOST_CHARS = 20_000  # maximum characters of a prompt or an answer
SHOWN = ("model", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "structured")


class CallSample:
    """A sample of answered and of failed calls, at most `most` of each; all calls have the same chance (reservoir)."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._calls: dict[bool, list[Call]] = {True: [], False: []}
        self._seen = {True: 0, False: 0}
        self._random = random.Random(0)

    def add(self, call: Call) -> None:
        answered = call.outcome == "answered"
        calls = self._calls[answered]
        self._seen[answered] += 1
        if len(calls) < self.most:
            calls.append(call)
        elif (place := self._random.randrange(self._seen[answered])) < self.most:
            calls[place] = call

    def __iter__(self) -> Iterator[Call]:
        return iter(sorted(chain.from_iterable(self._calls.values()), key=lambda call: call.start_ns))


def trace_calls(
    tracker: Tracker, calls: CallSample, params: EndpointParams, store: Store, verdict: Callable[[Call], str]
) -> None:
    """Write a sample of calls to MLflow.

    Args:
        verdict: the outcome of an answered call: kept, or why it was not.
    """
    key = os.environ.get(params.api_key_env, "").strip()
    for call in calls:
        tracker.trace(_trace(call, key, store, verdict(call) if call.outcome == "answered" else call.outcome))


def _trace(call: Call, key: str, store: Store, verdict: str) -> Trace:
    request, reply = call.request, call.reply

    def public(text: str) -> str:
        text = text.replace(key, HIDDEN) if key else text
        return text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS]} [{len(text) - MOST_CHARS} characters more]"

    attributes = {name: request.parameters[name] for name in SHOWN if name in request.parameters}
    if reply:
        attributes |= {"returned_model": reply.model, "finish_reason": reply.finish_reason}
    trace = Trace(
        name="model call",
        inputs={"messages": [{"role": role, "content": public(content)} for role, content in request.messages]},
        outputs={"content": public(reply.text)} if reply else {},
        start_ns=call.start_ns,
        end_ns=call.end_ns,
        failed=call.outcome != "answered",
        attributes=attributes,
        tags={"verdict": verdict, "job": request.job},
        prompt_tokens=reply.prompt_tokens if reply else None,
        completion_tokens=reply.completion_tokens if reply else None,
        cost=store.cost(reply.prompt_tokens, reply.completion_tokens) if reply else None,
    )
    return trace.with_values(all_without_secrets)
