"""What a plan will cost: a guess before the first answer, a measurement from the twentieth on."""

import random
import re
from pathlib import Path

import pytest

from components.endpoint.budget import Budget
from components.endpoint.dispatch import Call
from components.endpoint.forecast import Forecast
from components.endpoint.request import Reply, Request
from components.endpoint.store import Store
from components.errors import StepError
from components.params.endpoint import EndpointParams

PRICES = {"price_input": 1.0, "price_output": 4.0, "price_source": "EUR"}


def requests(count: int) -> list[Request]:
    return [Request(str(n), (("user", "x" * 400),), {"max_tokens": 1000}) for n in range(count)]


def call(request: Request, prompt: int | None, answer: int | None, outcome: str = "answered") -> Call:
    return Call(request, outcome, Reply("text", "m", "stop", prompt, answer), 0, 1)


def forecast(store: Store, asked: list[Request], said: list[str], **params: object) -> Forecast:
    settings = EndpointParams(**{"max_tokens": 1000} | PRICES | params)
    budget = Budget.of(store, "plan", settings.budget_tokens, settings.budget_money)
    return Forecast(asked, budget, settings, "ask for less", said.append)


@pytest.fixture
def store(tmp_path: Path):
    with Store(tmp_path / "s.sqlite", (1.0, 4.0)) as store:
        yield store


def test_before_the_first_call_the_range_holds_any_answer(store: Store) -> None:
    said: list[str] = []
    forecast(store, requests(100), said)
    assert said == [
        "synthesis.teacher: 100 calls are left; in total they are expected to take 40,000 (11,667 to 120,000) tokens, "
        "0.13 (0.0267 to 0.42) EUR, guessed from the prompts and max_tokens"
    ]


def test_the_interval_of_twenty_answers_holds_the_true_cost(store: Store) -> None:
    """Nearly always; a fifth of the calls here returns nothing usable and is paid nevertheless."""
    hits = 0
    for seed in range(40):
        rng, said, asked = random.Random(seed), [], requests(400)
        seen, later = forecast(store, asked, said), 0
        for number, request in enumerate(asked):
            for outcome in [*(["format"] * (rng.random() < 0.2)), "answered"]:
                answer = rng.randrange(200, 600)
                later += (100 + answer) * (number >= 20)
                seen.watch(call(request, 100, answer, outcome))
        found = [
            re.search(r"take [\d,]+ \(([\d,]+) to ([\d,]+)\) tokens, .* measured on (\d+)", line) for line in said[1:]
        ]
        assert [int(match[3]) for match in found] == [20, 40, 80, 160, 320]
        low, high = (int(found[0][group].replace(",", "")) for group in (1, 2))
        hits += low <= later <= high
        assert high - low < 0.7 * later
    assert hits >= 0.9 * 40


def test_a_plan_stops_at_its_expected_cost_unless_it_shall_spend(store: Store) -> None:
    said, asked = [], requests(100)
    with pytest.raises(StepError, match=r"budget_tokens 10000\. .*raise synthesis.teacher.budget_tokens, ask for less"):
        forecast(store, asked, said, budget_tokens=10_000)
    forecast(store, asked, said, budget_tokens=10_000, over_budget="spend")
    seen = forecast(store, asked, said, budget_money=0.05)  # the least guess fits into it
    for request in asked[:20]:
        assert seen.budget.reserve(request)
        seen.budget.settle(request, None)
        seen.watch(call(request, 100, 300))
    assert "budget_money 0.05" in seen.budget.stop
    assert not seen.budget.reserve(asked[20])


def test_an_endpoint_that_reports_no_usage_is_not_measured(store: Store) -> None:
    said, asked = [], requests(60)
    seen = forecast(store, asked, said)
    for request in asked:
        seen.watch(call(request, None, None))
    assert len(said) == 1


def test_a_resumed_plan_knows_what_its_answers_used(store: Store) -> None:
    asked, said = requests(60), []
    store.keep("plan", [(request, Reply("t", "m", "stop", 100, 300), 1.0) for request in asked[:30]])
    forecast(store, asked[30:], said)
    assert said == [
        "synthesis.teacher: 30 calls are left; in total they are expected to take 24,000 (24,000 to 24,000) tokens, "
        "0.078 (0.078 to 0.078) EUR, measured on 30 answers"
    ]
