"""The store: answers by canonical request, usage by plan, both or neither; the budget that reads it."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.endpoint.budget import Budget
from components.endpoint.request import Reply, Request
from components.endpoint.store import Store
from components.errors import StepError


def request(number: int = 0, **parameters: object) -> Request:
    return Request(str(number), (("user", f"ask {number}"),), {"model": "m", "max_tokens": 100} | parameters)


def reply(prompt: int | None = 10, completion: int | None = 20) -> Reply:
    return Reply("an answer", "m-1", "stop", prompt, completion)


@pytest.mark.parametrize("small", [0, 1 << 30])
def test_an_answer_is_found_by_an_equal_request_and_no_other(tmp_path, monkeypatch, small):
    monkeypatch.setattr("components.endpoint.store.SMALL", small)
    with Store(tmp_path / "s.sqlite") as store:
        store.keep("plan", [(request(), reply(), 0.1)])
    with Store(tmp_path / "s.sqlite") as store:
        assert store.get(request().key) == reply()
        assert store.get(Request("other job", *(request().messages,), request().parameters).key) == reply()
        for other in (request(1), request(temperature=0.5), request(model="n")):
            assert store.get(other.key) is None
        assert [r.job for r in store.missing([request(), request(1), request(1), request(2)])] == ["1", "2"]


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none(), min_size=1))
def test_the_key_does_not_depend_on_the_order_of_parameters(parameters):
    turned = dict(reversed(list(parameters.items())))
    assert Request("a", (), parameters).key == Request("b", (), turned).key
    assert Request("a", (), parameters).key != Request("a", (), parameters | {"": object.__name__ + "x"}).key


def test_usage_adds_up_over_resumes_and_nothing_counts_twice(tmp_path):
    for turn in range(3):
        with Store(tmp_path / "s.sqlite", prices=(1.0, 2.0)) as store:
            store.keep("plan", [(request(turn), reply(), 0.1)])
            store.count_unusable("plan", request(turn), reply(10, None), "truncated", 0.1)
            store.keep("another", [(request(10 + turn), reply(), 0.1)])
            spent = store.spent("plan")
    assert (spent.calls, spent.unusable, spent.unknown) == (6, 3, 3)
    assert (spent.prompt_tokens, spent.completion_tokens) == (60, 60)
    assert spent.cost == pytest.approx(3 * (10 * 1.0 + 20 * 2.0) / 1e6)


def test_without_prices_the_cost_is_unknown(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        assert store.spent("plan").cost is None
        store.keep("plan", [(request(), reply(), 0.1)])
        assert store.spent("plan").cost is None


def test_a_batch_is_kept_whole_or_not_at_all(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        with pytest.raises(AttributeError):
            store.keep("plan", [(request(1), reply(), 0.1), (request(2), None, 0.1)])
        assert store.get(request(1).key) is None
        assert store.spent("plan").calls == 0


def test_what_is_not_a_store_is_refused(tmp_path):
    (tmp_path / "text.sqlite").write_text("this is not a database, whatever its name says; " * 20)
    with pytest.raises(StepError, match=r"text\.sqlite cannot be opened"):
        Store(tmp_path / "text.sqlite")
    with sqlite3.connect(tmp_path / "newer.sqlite") as db:
        db.execute("PRAGMA user_version=9")
    with pytest.raises(StepError, match="format version 9; this code reads 1"):
        Store(tmp_path / "newer.sqlite")


def test_a_budget_is_held_before_it_is_spent(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        budget = Budget.of(store, "plan", tokens=300, money=0)
        assert budget.reserve(request(1))
        assert budget.reserve(request(2))
        assert not budget.reserve(request(3))  # two could cost more than 200 together
        budget.settle(request(1), reply())
        assert budget.spent_tokens == 30
        assert budget.reserve(request(3))


def test_a_budget_goes_on_where_the_last_run_left_it(tmp_path):
    with Store(tmp_path / "s.sqlite", prices=(0.0, 1e6)) as store:
        store.keep("plan", [(request(), reply(10, 20), 0.1)])
        budget = Budget.of(store, "plan", tokens=0, money=100.0)
        assert budget.spent_money == 20.0
        assert not budget.reserve(request(1))  # 100 answer tokens could cost 100
        assert Budget.of(store, "another", tokens=0, money=100.0).reserve(request(1))


def test_a_stray_reply_without_usage_is_charged_the_most_that_it_can_cost(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        budget = Budget.of(store, "plan", tokens=1000, money=0)
        for number, came in enumerate([reply(), reply(None, None)]):
            assert budget.reserve(request(number))
            budget.settle(request(number), came)
        assert budget.spent_tokens == 30 + 100 + 16 + len("ask 1") // 2
        assert budget.reserved_tokens == 0


def test_a_budget_needs_usage(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        budget = Budget.of(store, "plan", tokens=1000, money=0)
        budget.reserve(request())
        with pytest.raises(StepError, match="reports no usage for model 'm-1'"):
            budget.settle(request(), reply(None, None))
