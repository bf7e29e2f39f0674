"""A limit on the cost of a plan, checked before each request.

A request in flight counts at its maximum cost: the answer's limit, plus half the prompt's bytes as tokens, which is
twice what English takes. So the limit is never exceeded, and a little of it may stay unused.
"""

from dataclasses import dataclass

from components.endpoint.request import Reply, Request, most_tokens
from components.endpoint.store import Spent, Store
from components.errors import StepError


@dataclass(slots=True)
class Budget:
    """The limits and the cost so far of a plan; `tokens` and `money` are 0 without a limit."""

    tokens: int
    money: float
    store: Store
    spent_tokens: int = 0
    spent_money: float = 0.0
    reserved_tokens: int = 0
    reserved_money: float = 0.0
    section: str = "synthesis.teacher"  # the section of the parameters, for messages
    plan: str = ""
    stop: str = ""  # why no further request may start, even if budget is left; empty if one may

    @classmethod
    def of(cls, store: Store, plan: str, tokens: int, money: float, section: str = "synthesis.teacher") -> "Budget":
        spent: Spent = store.spent(plan)
        return cls(tokens, money, store, spent.tokens, spent.cost or 0.0, section=section, plan=plan)

    def reserve(self, request: Request) -> bool:
        """Reserve the maximum cost of a request; False if that would exceed a limit."""
        if self.stop:
            return False
        tokens, money = self._most(request)
        if self.tokens and self.spent_tokens + self.reserved_tokens + tokens > self.tokens:
            return False
        if self.money and self.spent_money + self.reserved_money + money > self.money:
            return False
        self.reserved_tokens += tokens
        self.reserved_money += money
        return True

    def settle(self, request: Request, reply: Reply | None, usable: bool = True) -> None:
        """Replace the reserved cost by the actual one, 0 for a call without a reply. A reply that reports no usage counts at
        its maximum cost.

        Raises:
            StepError: a limit is set and the endpoint has not reported usage for any answer.
        """
        tokens, money = self._most(request)
        self.reserved_tokens -= tokens
        self.reserved_money -= money
        if reply is None:
            return
        if reply.tokens is None:
            if (self.tokens or self.money) and usable and not self.spent_tokens:
                raise StepError(
                    f"the endpoint reports no usage for model {reply.model!r}, so {self.section}.budget_tokens and "
                    f"{self.section}.budget_money cannot be enforced; set both to 0, or use an endpoint that reports usage"
                )
            self.spent_tokens += tokens
            self.spent_money += money
            return
        self.spent_tokens += reply.tokens
        self.spent_money += self.store.cost(reply.prompt_tokens, reply.completion_tokens) or 0.0

    def _most(self, request: Request) -> tuple[int, float]:
        prompt = request.prompt_bytes // 2 + 16 * len(request.messages)
        answer = most_tokens(request)
        return prompt + answer, self.store.cost(prompt, answer) or 0.0

    def says(self) -> str:
        """The spending and the limit in words."""
        parts = []
        if self.tokens:
            parts.append(f"{self.spent_tokens:,} of {self.tokens:,} tokens")
        if self.money:
            parts.append(f"{self.spent_money:.4g} of {self.money:g} in money")
        return " and ".join(parts)
