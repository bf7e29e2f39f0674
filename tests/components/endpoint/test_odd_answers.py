"""Every odd answer, among good ones: none ends the run, all are counted as paid, and none enters a text or a label."""

import json
import random
import re
from collections import Counter

import pytest

from bench.faulty_endpoint import write
from components.curation.education import annotate
from components.endpoint import dispatch
from components.endpoint.budget import Budget
from components.endpoint.dispatch import Dispatcher, Policy
from components.endpoint.openai import OpenAIEndpoint, Server
from components.endpoint.request import Reply, Request
from components.endpoint.store import Store
from components.params.education import EducationParams
from components.synthesis.prose import clean, prose_fault
from components.synthesis.teachers.model import _form_fault
from tests.components.endpoint.odd_answers import ODD, Odd, completion, http

JOBS, ODD_JOB = 6, 2
GOOD_USAGE = {"prompt_tokens": 10, "completion_tokens": 20}
SECTION = "synthesis.teacher"
SENTENCE = "The bridge that we see here holds its own weight, and each of its parts leans on the next one. "
CHAPTER = "# A bridge of stone\n\n" + "\n\n".join(SENTENCE * 3 for _ in range(4)).strip()
LABEL = json.dumps({"value": 4, "reason": "It explains each step that the reader needs."})


@pytest.fixture(scope="module")
def served(serve_for_module):
    return serve_for_module()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(dispatch, "BACKOFF", 0.01)


def answer_oddly(served, odd, good: str, times: int = 1) -> None:
    """The job ODD_JOB is answered oddly the first `times` times."""
    left = [times]

    async def answer(asked, writer):
        if f"number {ODD_JOB}." not in asked["messages"][-1]["content"] or not left[0]:
            writer.write(http(completion(good, usage=GOOD_USAGE)))
            await writer.drain()
            return True
        left[0] -= 1
        raw = odd.make(good)
        writer.write(raw)
        await writer.drain()
        return not (raw == b"" or b"Content-Length: 5000\r\n" in raw or b"Content-Length: 500\r\n" in raw)

    served.endpoint._complete = answer


def is_tutorial(request: Request, reply: Reply) -> str:
    return _form_fault("tutorial", reply.text)


def requests() -> list[Request]:
    asked = [f"Write a tutorial, number {number}." for number in range(JOBS)]
    return [Request(text, (("user", text),), {"model": "m", "max_tokens": 600}) for text in asked]


WITHOUT_USAGE = {name for name, odd in ODD.items() if odd.outcome == "answered" and odd.tokens is None}
TRIED_AGAIN = ("answered", "refused", "throttled", "server_error", "malformed")  # until the patience ends


@pytest.mark.parametrize(
    ("name", "budget"), [*((name, 0) for name in ODD), *((name, 100_000) for name in ODD if name not in WITHOUT_USAGE)]
)
def test_a_teacher_survives(name, budget, served, tmp_path):
    odd = ODD[name]
    answer_oddly(served, odd, CHAPTER)
    with Store(tmp_path / "s.sqlite", prices=(1.0, 1.0)) as store:
        endpoint, policy = OpenAIEndpoint(Server(served.url, "m", "NO_KEY", SECTION)), Policy(4, 4, 20.0, 5.0, SECTION)
        counted = Budget.of(store, "plan", budget, 0.0)
        tally = Dispatcher(endpoint, store, "plan", counted, policy, is_tutorial).run(requests())
        spent = store.spent("plan")
        texts = [clean(reply.text) for request in requests() if (reply := store.get(request.key))]
    given_up = odd.outcome == "refused"
    assert tally.answered == len(texts) == JOBS - given_up
    assert [one.job for one in tally.given_up] == [requests()[ODD_JOB].job] * given_up
    assert dict(tally.faults) == ({} if odd.outcome == "answered" else {odd.outcome: 1})
    assert spent.tokens == 30 * (JOBS - 1) + (odd.tokens or 0) + 30 * (odd.outcome not in ("answered", "refused")) + (
        100 * (name == "usage_negative")  # the figure that is possible
    )
    assert spent.unknown == (odd.tokens is None)
    assert not budget or counted.spent_tokens >= spent.tokens
    assert counted.reserved_tokens == 0
    for text in texts:
        assert prose_fault(text, "") is None
        assert re.sub(r"\W+", " ", text) == re.sub(r"\W+", " ", CHAPTER + "\n")
    assert all(odd.said in one.detail for one in tally.given_up)


@pytest.mark.parametrize("name", ODD)
def test_an_annotator_survives(name, served, tmp_path):
    odd = ODD[name]
    answer_oddly(served, odd, LABEL)
    texts = [f"Lesson number {number}. It shows a loop." for number in range(JOBS)]
    endpoint = {
        "base_url": served.url,
        "model": "m",
        "second_pass": 0,
        "max_failed": 0.5,
        "patience_s": 20.0,
        "timeout_s": 5.0,
    }
    params = EducationParams(annotator="openai", endpoint=endpoint)
    labels = annotate.annotate(texts, [f"{n:032x}" for n in range(JOBS)], ["prose"] * JOBS, params, tmp_path)
    given_up = odd.outcome == "refused"
    good = [value for place, value in enumerate(labels.values) if not (given_up and place == ODD_JOB)]
    assert good == [4.0] * len(good)
    assert {reason for reason in labels.reasons if reason} == {"It explains each step that the reader needs."}
    assert labels.provenance["failed"] == ({"refused": 1} if given_up else {})
    counted = labels.provenance["prompt_tokens"] + labels.provenance["completion_tokens"]
    assert counted == 30 * (JOBS - 1) + (odd.tokens or 0) + 30 * (odd.outcome not in ("answered", "refused")) + (
        100 * (name == "usage_negative")
    )


@pytest.mark.parametrize("name", [name for name, odd in ODD.items() if odd.outcome not in TRIED_AGAIN])
def test_what_came_is_said(name, served, tmp_path):
    """An answer that stays odd is given up with the first characters of it, or the run's message has them."""
    odd = ODD[name]
    answer_oddly(served, odd, CHAPTER, times=9)
    with Store(tmp_path / "s.sqlite") as store:
        endpoint, policy = OpenAIEndpoint(Server(served.url, "m", "NO_KEY", SECTION)), Policy(4, 2, 20.0, 5.0, SECTION)
        budget = Budget.of(store, "plan", 0, 0)
        tally = Dispatcher(endpoint, store, "plan", budget, policy, is_tutorial).run(requests())
        assert store.spent("plan").tokens >= 30 * (JOBS - 1) + 2 * (odd.tokens or 0)
    (given_up,) = tally.given_up
    assert given_up.kind == odd.outcome
    assert odd.said in given_up.detail
    assert len(given_up.detail) < 400


def test_there_are_enough_kinds():
    assert len(ODD) >= 80


@pytest.mark.slow
def test_all_of_them_at_once_change_nothing(served, tmp_path):
    """2,000 requests, of which every other call is answered oddly: the texts are those of a good endpoint, each is answered
    once, and the tokens counted are those that were sent."""
    draw, names = random.Random(1), list(ODD)
    prompts = [f"Write a tutorial\nTopic: number {number}" for number in range(2_000)]
    asked = [Request(prompt, (("user", prompt),), {"model": "m", "max_tokens": 600}) for prompt in prompts]
    sent: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    refused: set[str] = set()

    async def answer(of, writer):
        prompt = of["messages"][-1]["content"]
        good = write(prompt)
        name = draw.choice(names) if draw.random() < 0.5 else ""
        odd = ODD[name] if name else Odd(lambda good: http(completion(good)), "answered")
        raw = odd.make(good)
        sent["tokens"] += odd.tokens or 100 * (name == "usage_negative")
        sent["unknown"] += odd.tokens is None
        answered[prompt] += odd.outcome == "answered"
        if odd.outcome == "refused":
            refused.add(prompt)
        writer.write(raw)
        await writer.drain()
        return not (raw == b"" or b"Content-Length: 5000\r\n" in raw or b"Content-Length: 500\r\n" in raw)

    served.endpoint._complete = answer
    with Store(tmp_path / "s.sqlite") as store:
        policy, budget = Policy(32, 100, 60.0, 20.0, SECTION), Budget.of(store, "plan", 0, 0)
        endpoint = OpenAIEndpoint(Server(served.url, "m", "NO_KEY", SECTION))
        tally = Dispatcher(endpoint, store, "plan", budget, policy, is_tutorial).run(asked)
        replies = {request.job: store.get(request.key) for request in asked}
        spent = store.spent("plan")
    assert {one.job for one in tally.given_up} == refused == {job for job, reply in replies.items() if reply is None}
    assert len(refused) < 600
    assert {job: clean(reply.text) for job, reply in replies.items() if reply} == {
        prompt: clean(write(prompt)) for prompt in prompts if prompt not in refused
    }
    assert set(answered.values()) <= {0, 1}
    assert sum(answered.values()) == tally.answered == 2_000 - len(refused)
    assert (spent.tokens, spent.unknown) == (sent["tokens"], sent["unknown"])
