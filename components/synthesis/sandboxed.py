"""Runs a model's programs, only in components.sandbox.

Two barriers protect the machine from each program. `restricted` checks its syntax tree. A program that passes still runs
confined, in a process of its own without files or network and with limits on time and memory. If the machine cannot
confine programs, nothing runs, and the step stops before it calls a teacher. A program has no separate tests here, so it
can print anything. It gains nothing by that, since its author also wrote the answer that the output must equal.
"""

import ast
import json
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from components.errors import StepError
from components.sandbox import Job, Limits, Outcome, Sandbox, Verdict
from components.synthesis.execution import Value
from components.synthesis.restricted import BUILTINS

LIMITS = Limits(cpu_seconds=2.0, wall_seconds=30.0, memory_bytes=256 << 20, threads=1)
MOST_AT_ONCE = 8
_INSIDE = Path(__file__).with_name("inside.py")


class Programs:
    """Runs a model's programs in one sandbox; use it as a context manager.

    Raises:
        StepError: this machine cannot confine programs.
    """

    def __init__(self) -> None:
        try:
            self._sandbox = Sandbox(LIMITS)
        except StepError as error:
            reason = str(error).removesuffix("; allow_unisolated_execution runs it anyway")  # which does not apply here
            raise StepError(
                f"a model's exercises are verified by running its code, and {reason}; the teacher procedural "
                "(synthesis.teacher.kind) writes none and needs no sandbox"
            ) from error
        self._workers = min(MOST_AT_ONCE, len(os.sched_getaffinity(0)))

    def evaluate(self, programs: Sequence[tuple[str, str]]) -> list[Value]:
        """Run (program, expression) pairs that `restricted.fault` has let through.

        Returns:
            For each, (True, repr of the expression's value) or (False, the reason: the name of an exception, a limit, or
            that the value depends on the accidental order of a set).
        """
        jobs = [Job(_source(program, expression)) for program, expression in programs]
        verdicts = self._sandbox.run_many(jobs, workers=max(1, min(self._workers, len(jobs))))
        return [_value(verdict) for verdict in verdicts]

    def __enter__(self) -> "Programs":
        return self

    def __exit__(self, *_: object) -> None:
        self._sandbox.close()


def _value(verdict: Verdict) -> Value:
    if verdict.outcome is not Outcome.PASSED:
        return False, f"{verdict.outcome} ({verdict.error})"
    try:
        fine, value = json.loads(verdict.stdout)
    except (ValueError, TypeError):
        return False, "the program overwrote its own result"
    return fine is True, str(value)


@cache
def _inside() -> str:
    return _INSIDE.read_text(encoding="utf-8")


def _source(program: str, expression: str) -> str:
    others = (turned(program, "exec"), turned(expression, "eval"))
    return f"{_inside()}\nmain({(program, expression)!r}, {others!r}, {BUILTINS!r})\n"


def turned(source: str, mode: str) -> str:
    """The same Python with each expression that can make a set wrapped in a call of `__turn__`; see `inside`."""
    return ast.unparse(_Turner().visit(ast.parse(source, mode=mode)))


class _Turner(ast.NodeTransformer):
    def _wrap(self, node: ast.expr) -> ast.expr:
        self.generic_visit(node)
        return ast.Call(ast.Name("__turn__", ast.Load()), [node], [])

    visit_Set = visit_SetComp = visit_Call = visit_BinOp = _wrap


__all__ = ["LIMITS", "Programs", "turned"]
