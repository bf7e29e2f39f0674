"""Forecast the cost of a plan's calls: printed before the first call, and updated from what the answers used.

Before any answer the forecast is a guess from the prompts' lengths and the answers' limit, so the plan stops then only
if even the lowest guess exceeds the budget. From FIRST answers on it is a measurement, and the plan stops if its expected
cost exceeds the budget: no further request starts, and those in flight are kept. The forecast is updated each time the
number of answers has doubled, since the first answers to arrive are the shortest.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from components.endpoint.budget import Budget
from components.endpoint.dispatch import Call
from components.endpoint.request import Request
from components.errors import StepError
from components.params.endpoint import EndpointParams
from components.results import statistics

FIRST = 20  # answers before the forecast is a measurement
LATEST = 10_000  # the most recent answers that are measured
BYTES_PER_TOKEN = (6.0, 4.0, 2.0)  # of a prompt, for the lowest, expected and highest guess
ANSWERED = (0.05, 0.3, 1.0)  # share of `max_tokens` that an answer uses


@dataclass(frozen=True)
class Range:
    """An expected value between two bounds, which are a 95% interval if the value is measured."""

    low: float
    expected: float
    high: float

    def plus(self, spent: float) -> "Range":
        return Range(self.low + spent, self.expected + spent, self.high + spent)

    def words(self, form: str) -> str:
        return f"{self.expected:{form}} ({self.low:{form}} to {self.high:{form}})"


class Forecast:
    """Prints the expected cost of `requests`, and stops their plan if it exceeds the budget.

    Args:
        requests: the requests without an answer.
        fewer: how to plan fewer calls, for the message.
        say: prints a line.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        budget: Budget,
        params: EndpointParams,
        fewer: str,
        say: Callable[[str], None] = print,
    ) -> None:
        self.budget, self.params, self.fewer, self.say = budget, params, fewer, say
        self.left = len(requests)
        # (prompt, answer) tokens per answer, including the unusable replies before it
        self._used: deque[tuple[int, int]] = deque(maxlen=LATEST)
        self._answers = 0
        self._before = (0, 0)  # the same of the unusable replies since the last answer
        for answered, prompt, answer in budget.store.usage(budget.plan):
            self._count(answered, prompt, answer)
        self._next = max(FIRST, 2 * self._answers)
        if self._answers >= FIRST:
            self._measure()
        else:
            guesses = [self._guess(requests, *shares) for shares in zip(BYTES_PER_TOKEN, ANSWERED, strict=True)]
            tokens, money = (Range(*values) for values in zip(*guesses, strict=True))
            self._judge(tokens, money, "guessed from the prompts and max_tokens", lambda found: found.low)
        if budget.stop:
            raise StepError(budget.stop)

    def watch(self, call: Call) -> None:
        """Take the usage of a finished call into account."""
        answered = call.outcome == "answered"
        self.left -= answered
        if call.reply:
            self._count(answered, call.reply.prompt_tokens, call.reply.completion_tokens)
        if self.left > 0 and self._answers >= self._next:
            self._next = 2 * self._answers
            self._measure()

    def _count(self, answered: bool, prompt: int | None, answer: int | None) -> None:
        if prompt is None or answer is None:
            return
        used = (self._before[0] + prompt, self._before[1] + answer)
        self._before = (0, 0) if answered else used
        if answered:
            self._used.append(used)
            self._answers += 1

    def _guess(self, requests: Sequence[Request], bytes_per_token: float, share: float) -> tuple[float, float]:
        prompts = sum(request.prompt_bytes for request in requests) / bytes_per_token
        answers = share * self.params.max_tokens * len(requests)
        return prompts + answers, self.budget.store.cost(math.ceil(prompts), math.ceil(answers)) or 0.0

    def _measure(self) -> None:
        tokens = self._to_come([prompt + answer for prompt, answer in self._used])
        money = self._to_come([self.budget.store.cost(*used) or 0.0 for used in self._used])
        self._judge(tokens, money, f"measured on {self._answers} answers", lambda found: found.expected)

    def _to_come(self, values: Sequence[float]) -> Range:
        """The sum over the answers that are left, estimated from those received: mean and 95% prediction interval."""
        mean = statistics.mean(values)
        low, _ = statistics.interval(mean)
        half = (mean.value - low) * math.sqrt(1 + len(values) / self.left) if low is not None else 0.0
        return Range(*(self.left * max(0.0, value) for value in (mean.value - half, mean.value, mean.value + half)))

    def _judge(self, tokens: Range, money: Range, how: str, of: Callable[[Range], float]) -> None:
        """Print the estimate, and stop the budget if the estimate exceeds it."""
        params, budget = self.params, self.budget
        tokens, money = tokens.plus(budget.spent_tokens), money.plus(budget.spent_money)
        said = f"{tokens.words(',.0f')} tokens"
        if params.prices is not None:
            said += f", {money.words('.3g')} {params.price_source}".rstrip()
        total = f"{self.left:,} calls are left; in all they are expected to take {said}, {how}"
        self.say(f"{budget.section}: {total}")
        limits = (("budget_tokens", budget.tokens, tokens), ("budget_money", budget.money, money))
        exceeded = {name: limit for name, limit, found in limits if limit and of(found) > limit}
        if exceeded and params.over_budget == "stop":
            names = " and ".join(f"{budget.section}.{name}" for name in exceeded)
            given = " and ".join(f"{name} {limit:g}" for name, limit in exceeded.items())
            budget.stop = (
                f"{budget.section}: {total}; the budget is {given}. Answers that came are kept: raise "
                f"{names}, {self.fewer}, or set {budget.section}.over_budget=spend to spend the budget and resume later"
            )
