"""Requests against a faulty endpoint: all answered, none twice, tried again where it helps, stopped where it does not."""

import time
from dataclasses import replace

import pytest

from components.endpoint.budget import Budget
from components.endpoint.dispatch import Call, Dispatcher, Policy
from components.endpoint.openai import OpenAIEndpoint, Server, retry_after
from components.endpoint.request import Reply, Request
from components.endpoint.store import Store
from components.errors import StepError
from tests.components.endpoint.odd_answers import http

SECTION = "synthesis.teacher"
POLICY = Policy(concurrency=32, attempts=4, patience=60.0, timeout=3.0, section=SECTION)


def requests(count: int) -> list[Request]:
    parameters = {"model": "fake", "max_tokens": 600}
    return [Request(str(n), (("user", f"Write a tutorial {n}"),), parameters | {"seed": n}) for n in range(count)]


def accept(request, reply) -> str:
    return "" if reply.text.startswith("# ") else "no heading"


def dispatch(url, path, asked, policy=POLICY, tokens=0, watch=None, prices=None):
    server = Server(url, "fake", "PHIFORGE_TEST_KEY", SECTION)
    with Store(path / "s.sqlite", prices) as store:
        budget = Budget.of(store, "plan", tokens, 0)
        dispatcher = Dispatcher(OpenAIEndpoint(server), store, "plan", budget, policy, accept, watch)
        try:
            return dispatcher.run(asked), store.spent("plan")
        finally:
            assert budget.reserved_tokens == 0
            assert not dispatcher._limiter._started or policy.patience < 1


def test_every_request_is_answered_once_through_all_faults(serve, tmp_path):
    served = serve(latency=0.01, faults=0.2, seed=5)
    asked, calls = requests(150), []
    tally, spent = dispatch(served.url, tmp_path, asked, watch=calls.append)
    assert tally.answered == 150
    assert tally.given_up == []
    assert set(tally.faults) == {"throttled", "server_error", "timeout", "malformed", "format"}
    assert set(served.endpoint.answered.values()) == {1}
    assert spent.calls == 150 + tally.faults["format"]
    assert spent.unusable == tally.faults["format"]
    assert sum(call.outcome == "answered" for call in calls) == 150
    assert all(isinstance(call, Call) and call.end_ns >= call.start_ns for call in calls)
    with Store(tmp_path / "s.sqlite") as store:
        assert all(store.get(request.key).text.startswith("# ") for request in asked)


def test_what_is_answered_is_never_asked_again(serve, tmp_path):
    served = serve()
    dispatch(served.url, tmp_path, requests(20))
    tally, spent = dispatch(served.url, tmp_path, requests(30))
    assert tally.answered == 10
    assert served.endpoint.counts["calls"] == spent.calls == 30


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("silent", ["none of the first 32 replies", "32 times empty", "returned nothing"]),
        ("truncated", ["32 times truncated", "raise synthesis.teacher.max_tokens"]),
        ("refusing", ["8 times refused", "unknown field 'seed'"]),
    ],
)
def test_a_hopeless_model_is_given_up_soon(serve, tmp_path, mode, words):
    served = serve(mode=mode)
    with pytest.raises(StepError) as error:
        dispatch(served.url, tmp_path, requests(500))
    for word in words:
        assert word in str(error.value)
    assert served.endpoint.counts["calls"] < 70  # those in flight when the 32nd came back are sent already
    with Store(tmp_path / "s.sqlite") as store:
        assert list(store.missing(requests(500))) == requests(500)  # failures are never kept


def test_a_wrong_key_stops_at_once(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("PHIFORGE_TEST_KEY", "sk-secret")
    served = serve(mode="unauthorized")
    with pytest.raises(StepError, match=r"status 401 .*the key in PHIFORGE_TEST_KEY was refused") as error:
        dispatch(served.url, tmp_path, requests(50))
    assert "sk-secret" not in str(error.value)
    assert served.endpoint.counts["calls"] == 0
    monkeypatch.delenv("PHIFORGE_TEST_KEY")
    with pytest.raises(StepError, match="PHIFORGE_TEST_KEY is not set"):
        dispatch(served.url, tmp_path, requests(50))


def test_a_key_that_is_refused_later_stops_at_once(serve, tmp_path):
    served = serve(latency=0.05)

    def revoke(call: Call) -> None:
        served.endpoint.mode = "unauthorized"

    with pytest.raises(StepError, match="status 401"):
        dispatch(served.url, tmp_path, requests(500), watch=revoke)
    assert served.endpoint.counts["calls"] < 200


def test_an_endpoint_that_is_not_there_is_said_soon(tmp_path):
    started = time.monotonic()
    with pytest.raises(StepError, match=r"nothing answers at http://127\.0\.0\.1:9/v1 .*start the server"):
        dispatch("http://127.0.0.1:9/v1", tmp_path, requests(3))
    assert time.monotonic() - started < 60


def test_an_endpoint_that_goes_away_ends_the_run_and_keeps_its_answers(serve, tmp_path):
    served = serve(latency=0.01)

    def away(call: Call) -> None:
        served.endpoint.mode, served.endpoint.faults = "throttling", 1.0

    policy = Policy(concurrency=8, attempts=4, patience=0.6, timeout=0.5, section=SECTION)
    with pytest.raises(StepError, match=r"answered nothing for 0\.6 s .*answers of this run are kept"):
        dispatch(served.url, tmp_path, requests(100), policy, watch=away)
    with Store(tmp_path / "s.sqlite") as store:
        kept = 100 - len(list(store.missing(requests(100))))
    assert kept > 0
    served.endpoint.mode, served.endpoint.faults = "", 0.0
    tally, _ = dispatch(served.url, tmp_path, requests(100))
    assert tally.answered == 100 - kept


def test_concurrency_adapts_to_what_is_borne(serve, tmp_path):
    served = serve(latency=0.02, mode="throttling")  # bears sixteen at once
    tally, _ = dispatch(served.url, tmp_path, requests(200), Policy(200, 4, 60.0, 10.0, SECTION))
    assert tally.answered == 200
    assert served.endpoint.most < 100


def test_a_budget_stops_cleanly_and_goes_on_when_raised(serve, tmp_path):
    served = serve()
    with pytest.raises(StepError, match=r"the budget of this plan is spent \([\d,]+ of 10,000 tokens"):
        dispatch(served.url, tmp_path, requests(40), tokens=10_000)
    with Store(tmp_path / "s.sqlite") as store:
        first = store.spent("plan")
    assert 5_000 < first.tokens <= 10_000
    with pytest.raises(StepError, match="0 answers of this run"):
        dispatch(served.url, tmp_path, requests(40), tokens=10_000)  # the budget is the plan's, not the run's
    tally, spent = dispatch(served.url, tmp_path, requests(40), tokens=1_000_000)
    assert tally.answered == 40 - first.calls
    assert spent.calls == served.endpoint.counts["calls"] == 40


def test_without_usage_nothing_is_guessed(serve, tmp_path):
    served = serve(mode="no_usage")
    _, spent = dispatch(served.url, tmp_path, requests(5), prices=(1.0, 1.0))
    assert (spent.calls, spent.unknown, spent.tokens, spent.cost) == (5, 5, 0, None)
    with pytest.raises(StepError, match="reports no usage"):
        dispatch(served.url, tmp_path, requests(10), tokens=10_000)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("", None),
        (None, None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("86400", 86400.0),
        ("20s", 20.0),
        ("Infinity", float("inf")),
        ("1e300", 1e300),
        ("nan", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253402300789.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(header, seconds):
    assert retry_after(header, now=10.0) == seconds


ANSWER = '{"choices": [{"message": {"content": "# %s"}, "finish_reason": "stop"}], "model": "%s", "usage": %s}'


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (200, "[" * 200_000, "foreign"),
        (500, "[" * 200_000, "server_error"),
        (200, ANSWER % (r"\ud800", "m", "{}"), "format"),
        (200, ANSWER % ("text", r"\ud800", "{}"), ""),
        (200, ANSWER % ("text", "m", '{"prompt_tokens": 1e30, "completion_tokens": 1}'), "format"),
        (200, ANSWER % ("text", "m", f'{{"prompt_tokens": {10**30}, "completion_tokens": {9 * 10**18}}}'), "format"),
        (200, ANSWER % ("text", "m" * 100_000, "{}"), ""),
    ],
)
def test_a_hostile_answer_ends_no_run(serve, tmp_path, monkeypatch, status, body, fault):
    served = serve()
    complete, hostile = served.endpoint._complete, iter([body] * 2)

    async def answer(asked, writer):
        if (raw := next(hostile, None)) is None:
            return await complete(asked, writer)
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(raw)}\r\n\r\n{raw}".encode())
        await writer.drain()
        return True

    monkeypatch.setattr(served.endpoint, "_complete", answer)
    asked = requests(5)
    tally, spent = dispatch(served.url, tmp_path, asked, prices=(1.0, 1.0))
    assert tally.answered == 5
    assert dict(tally.faults) == ({fault: 2} if fault else {})
    assert spent.unknown == (0 if fault in ("foreign", "server_error") else 2)
    with Store(tmp_path / "s.sqlite") as store:
        assert all(len(store.get(request.key).model) < 1_000 for request in asked)


@pytest.mark.parametrize("body", ["[" * 200_000, "a" * (33 << 20)])
def test_a_hostile_list_of_models_is_one_sentence(serve, tmp_path, monkeypatch, body):
    served = serve()

    async def answer(head, _, writer):
        writer.write(f"HTTP/1.1 401 X\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
        return True

    monkeypatch.setattr(served.endpoint, "_handle", answer)
    monkeypatch.setattr("components.endpoint.openai.PROBES", (0.0,))
    with pytest.raises(StepError, match=r"answers status 401|a reply of over 32 MB"):
        dispatch(served.url, tmp_path, requests(1))


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (429, "slow down", "throttled"),
        (503, "overloaded", "server_error"),
        (408, "", "server_error"),
        (400, "context too long", "refused"),
        (422, "", "refused"),
        (401, "", "refused: set PHIFORGE_TEST_KEY"),
        (402, "", "refused: top it up"),
        (403, "flagged by moderation", "refused: set PHIFORGE_TEST_KEY"),
        (404, "no such model", "refused: correct synthesis.teacher.model"),
        (302, "", "refused: correct synthesis.teacher.base_url"),
        (400, "API key not valid", "refused: set PHIFORGE_TEST_KEY"),
        (429, "You exceeded your quota insufficient_quota", "refused: top it up"),
    ],
)
def test_what_a_status_means(status, message, kind):
    endpoint = OpenAIEndpoint(Server("http://x/v1", "m", "PHIFORGE_TEST_KEY", SECTION))
    failure = endpoint._failure(status, {}, message)
    kind, _, remedy = kind.partition(": ")
    assert failure.kind == kind
    assert f"status {status}: {message}" in str(failure) if status != 302 else "redirected" in str(failure)
    assert remedy in failure.stop
    assert bool(remedy) == bool(failure.stop)


def answering(served, respond):
    """Let a function of the call's number and prompt answer; None leaves the call to the good endpoint."""
    complete, calls = served.endpoint._complete, []

    async def answer(asked, writer):
        calls.append(asked["messages"][-1]["content"])
        if (raw := respond(len(calls), calls[-1])) is None:
            return await complete(asked, writer)
        writer.write(raw)
        await writer.drain()
        return True

    served.endpoint._complete = answer
    return calls


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (
            "86400",
            r"asks to wait 86,?400 s, .*patience_s \(60 s; last: .*daily quota.*\d answers .* run again after 20\d\d-",
        ),
        ("Infinity", "asks to wait inf s.*run again later"),
        ("1e300", "run again later"),
    ],
)
@pytest.mark.parametrize("good", [0, 20])
def test_a_wait_beyond_the_patience_stops_at_once(serve, tmp_path, header, words, good):
    served = serve()
    far = http({"error": {"message": "daily quota"}}, 429, f"Retry-After: {header}\r\n")
    calls = answering(served, lambda number, _: far if number > good else None)
    started = time.monotonic()
    with pytest.raises(StepError, match=words):
        dispatch(served.url, tmp_path, requests(100))
    assert time.monotonic() - started < 20
    assert len(calls) < good + 60


@pytest.mark.parametrize("remaining", ["0", "7"])
def test_a_spent_limit_that_the_body_names_stops_as_retry_after_does(serve, tmp_path, monkeypatch, remaining):
    """As OpenRouter sends it for free models, with a time in milliseconds."""
    monkeypatch.setattr("components.endpoint.dispatch.LONGEST_PAUSE", 0.1)
    served = serve()
    reset = f"{(time.time() + 40_000) * 1000:.0f}"
    limits = {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": reset}
    far = http({"error": {"message": "free-models-per-day", "code": 429, "metadata": {"headers": limits}}}, 429)
    calls = answering(served, lambda number, _: far if number <= 60 else None)
    if remaining == "0":
        with pytest.raises(
            StepError, match=r"asks to wait (39,999|40,?000).* s, .*free-models-per-day.*run again after 20"
        ):
            dispatch(served.url, tmp_path, requests(10))
        assert len(calls) < 60
    else:
        tally, _ = dispatch(served.url, tmp_path, requests(10))
        assert tally.answered == 10


def test_one_request_that_is_sent_away_for_a_day_holds_up_no_other(serve, tmp_path):
    served = serve()
    far = http({"error": {"message": "daily quota"}}, 429, "Retry-After: 86400\r\n")
    answering(served, lambda _, prompt: far if prompt.endswith(" 7") else None)
    with pytest.raises(StepError, match="29 answers of this run are kept; run again after"):
        dispatch(served.url, tmp_path, requests(30))


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
def test_a_refused_prompt_is_given_up_alone(serve, tmp_path, status):
    """Every tenth call and the very first one: this run continues, and so does the next one, which requests them again."""
    served = serve()
    refusal = http({"error": {"message": "Input flagged by moderation"}}, status)
    answering(served, lambda _, prompt: refusal if prompt.endswith("0") else None)
    tally, _ = dispatch(served.url, tmp_path, requests(120))
    assert (tally.answered, len(tally.given_up)) == (108, 12)
    assert all("Input flagged by moderation" in one.detail for one in tally.given_up)
    again, _ = dispatch(served.url, tmp_path, requests(120))
    assert (again.answered, len(again.given_up)) == (0, 12)


@pytest.mark.parametrize(
    ("status", "words"),
    [(403, "set PHIFORGE_TEST_KEY"), (404, r"correct synthesis\.teacher\.model"), (402, "top it up")],
)
@pytest.mark.parametrize(("good", "asked"), [(0, 3), (0, 200), (40, 200)])
def test_an_endpoint_that_refuses_all_is_said_soon(serve, tmp_path, status, words, good, asked):
    served = serve()
    refusal = http({"error": {"message": "no"}}, status)
    calls = answering(served, lambda number, _: refusal if number > good else None)
    with pytest.raises(StepError, match=words):
        dispatch(served.url, tmp_path, requests(asked))
    assert len(calls) < good + 80


@pytest.mark.parametrize("place", [7, 299])
def test_a_prompt_that_breaks_the_server_is_given_up_alone(serve, tmp_path, monkeypatch, place):
    monkeypatch.setattr("components.endpoint.dispatch.BACKOFF", 0.01)
    served = serve(latency=0.01)
    broken = http({"error": {"message": "index out of range"}}, 500)
    answering(served, lambda _, prompt: broken if prompt.endswith(f" {place}") else None)
    policy = Policy(concurrency=32, attempts=4, patience=2.0, timeout=3.0, section=SECTION)
    tally, _ = dispatch(served.url, tmp_path, requests(300), policy)
    assert tally.answered == 299
    assert tally.given_up[0].detail == "status 500: index out of range"
    again, _ = dispatch(served.url, tmp_path, requests(300), policy)
    assert (again.answered, len(again.given_up)) == (0, 1)


def test_a_login_page_is_said_with_its_remedy(serve, tmp_path):
    served = serve()
    page = http("<html><title>Login</title>Please sign in</html>", kind="text/html")
    answering(served, lambda *_: page)
    with pytest.raises(
        StepError, match=r"the reply is a web page.*Please sign in.*correct synthesis\.teacher\.base_url"
    ):
        dispatch(served.url, tmp_path, requests(200))


def test_a_stored_answer_that_is_none_is_asked_for_again(tmp_path):
    asked = requests(6)
    bad = ["# cut in mid", "# \ufffd", "<think>only", "no heading", '{"a": "\\ud83d"}']
    with Store(tmp_path / "s.sqlite") as store:
        good = Reply("# Fine", "m", "stop", 1, 2)
        replies = [Reply(bad[0], "m", "MAX_TOKENS", 1, 2), *(replace(good, text=text) for text in bad[1:]), good]
        store.keep("plan", [(request, reply, 0.1) for request, reply in zip(asked, replies, strict=True)])
        store._db.execute("UPDATE answers SET text = CAST(x'23ff' AS TEXT) WHERE key = ?", (asked[1].key,))
        assert store.forget_unusable(asked, accept) == 5
        assert list(store.missing(asked)) == asked[:5]
        assert store.spent("plan").tokens == 18  # paid all the same
