"""Checks that the program of an exercise computes its answer from the question, and does not only repeat it.

A program that returns a literal agrees with any answer. So the values of the question are changed inside the program,
each the same way at every occurrence, and the result must change with them. `4871 * 17497` passes; programs that only
write the product down do not: `int("85226339")`, `x + 0`, text in pieces or reversed, a table, a condition.
"""

import ast
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from components.synthesis import facts
from components.synthesis.execution import Value

Literal = float | str
ALL = "all"  # all values at once
Mutation = tuple[str, str, str]  # the changed value; the changed program; the changed expression
MOST_MUTATIONS = 48  # maximum tried per exercise, one at a time until the result changes
NO_DEPENDENCE = "the check's result does not depend on the values of the question"
LONG = 3  # significant digits of a number that a check is unlikely to contain by chance
_PHRASE = r"(?:\b(?i:answer|result|solution|hint)(?: is|:| =)|=) *{answer}(?![\w.,]*\w)"
_ALONE = r"(?<![\w.:/]){answer}(?!\w|[.,:/]\d)"
_CONSTANTS = (math.pi, math.e)


@dataclass(frozen=True)
class Check:
    """A question, its answer, and the program (code and expression) that should compute it."""

    question: str
    answer: str
    code: str
    expression: str

    @cached_property
    def trees(self) -> tuple[ast.AST, ast.AST]:
        return ast.parse(self.code), ast.parse(self.expression, mode="eval")

    @cached_property
    def given(self) -> "_Given":
        return _Given(self.question)

    @cached_property
    def number(self) -> float | None:
        """The value of the answer; None if it is not a number."""
        return _number(self.answer)

    @cached_property
    def literals(self) -> list[Literal]:
        """The program's numbers and texts, each once."""
        found = (_literal(node) for node in chain(*map(_constants, self.trees)))
        return list(dict.fromkeys(value for value in found if value is not None))


def static_fault(check: Check) -> str:
    """Evidence, found without running it, that a check or its question contains the answer; empty if there is none."""
    given, answer = check.given, check.number
    if (given_away := _given_away(check)) and not any(_holds(v, check.answer, answer) for v in check.literals):
        return f"the question holds the answer ({given_away!r})"
    own = [value for value in check.literals if not given.exactly(value)]
    if answer is not None and _digits(answer) >= LONG and any(_equals(value, check.answer, answer) for value in own):
        return "the check holds the answer as a literal"
    if answer is None:
        pieces = [v for v in own if isinstance(v, str) and v.strip() and v in check.answer and v != check.answer]
        if 2 * sum(map(len, pieces)) >= max(4, len(check.answer)):
            return "the check holds the answer in pieces"
    return ""


def independence_faults(
    checks: Sequence[Check], values: Sequence[str], evaluate: Callable[[Sequence[tuple[str, str]]], Sequence[Value]]
) -> list[str]:
    """For each check whose program returned its answer: the reason why that proves nothing, or an empty string.

    Args:
        values: the values that the programs returned.
        evaluate: runs (program, expression) pairs; gives (True, repr of the value) or (False, the error) for each.
    """
    pending = {place: _mutations(check) for place, check in enumerate(checks) if not _is_asked_for(check)}
    moved: dict[int, set[str]] = {place: set() for place in pending}
    for _ in range(MOST_MUTATIONS):
        tried = {place: found for place, mutations in pending.items() if (found := next(mutations, None))}
        if not tried:
            break
        changed = evaluate([(code, expression) for _, code, expression in tried.values()])
        for (place, (name, *_)), (fine, value) in zip(tried.items(), changed, strict=True):
            if fine and not _same(value, values[place]):
                moved[place].add(name)
                if len(moved[place]) >= _needed(checks[place]) or name == ALL:
                    del pending[place]
    return [NO_DEPENDENCE if place in pending else "" for place in range(len(checks))]


def _same(value: str, other: str) -> bool:
    try:
        return float(value) == float(other)
    except ValueError:
        return value == other


class _Given:
    """The numbers in a question, and those that follow from them in one step (a range's end, an index, a percentage)."""

    def __init__(self, question: str) -> None:
        self.text = question.lower()
        self.words = set(re.findall(r"\w+", self.text))
        self.digits = facts.in_digits(question)
        self.numbers = self.digits | facts.in_words(question)
        self._near = {_key(found) for n in self.numbers for found in (n + 1, n - 1, n / 100, 1 + n / 100, 1 - n / 100)}
        self._exact = {_key(n) for n in self.numbers}

    def exactly(self, value: Literal) -> bool:
        if isinstance(value, str):
            words = re.findall(r"\w+", value.lower())
            written = value.lower() in self.text and not value.isascii()  # in languages without blanks between words
            return bool(words) and (self.words.issuperset(words) or written)
        return _key(abs(value)) in self._exact

    def gives(self, value: Literal) -> bool:
        return self.exactly(value) or (not isinstance(value, str) and _key(abs(value)) in self._near)


def _key(value: float) -> float:
    return float(f"{value:.12g}")


def _mutations(check: Check) -> Iterator[Mutation]:
    """The program with values of the question changed. The answer itself is not changed, since a changed result would then
    show nothing. If the program contains the answer, 0 and 1 are changed only if the question names them."""
    given, answer = check.given, check.number
    holds = any(_equals(value, check.answer, answer) for value in check.literals)
    values = [
        value
        for value in check.literals
        if given.gives(value)
        and not _equals(value, check.answer, answer)
        and not (holds and value in (0.0, 1.0) and not given.exactly(value))
    ]
    if _needed(check) == 1 and values:
        changes = {value: _changed(value, 2**place)[0] for place, value in enumerate(values)}
        yield (ALL, *_rewritten(check, changes))
    for place, value in enumerate(values):
        for other in _changed(value, place + 1):
            yield (repr(value), *_rewritten(check, {value: other}))
    for number in range(sum(_is_data(node, given) for tree in check.trees for node in ast.walk(tree))):
        for end in (0, -1):
            yield (f"items {number}", *_shortened(check, number, end))


def _needed(check: Check) -> int:
    """The number of values of the question that the result must depend on: two if the question has several numbers and the
    program has a long number of its own, which could disguise the answer with one value; otherwise one."""
    given = check.given
    own = [v for v in check.literals if not isinstance(v, str) and not given.gives(v) and _digits(v) > LONG]
    padded = any(not any(math.isclose(abs(v), c, rel_tol=1e-3) for c in _CONSTANTS) for v in own)
    return 2 if padded and len(given.digits) > 1 else 1


def _is_asked_for(check: Check) -> bool:
    """Whether the question itself contains the program, as in: what does `int("42")` return?"""

    def bare(text: str) -> str:
        return re.sub(r"[\s`]+", "", text).replace('"', "'")

    asked = bare(check.question)
    return bare(check.expression) in asked and (not check.code.strip() or bare(check.code) in asked)


def _given_away(check: Check) -> str:
    """The place where the question names the answer: in a phrase, or anywhere if the answer is unlikely to occur by chance."""
    if check.answer in ("True", "False", "None") or check.answer.lower() in ("yes", "no"):
        return ""
    answer, spelled = check.number, {re.escape(check.answer)}
    if answer is not None and answer.is_integer():
        spelled |= {re.escape(f"{int(answer)}"), re.escape(f"{int(answer):,}")}
    said = f"(?:{'|'.join(sorted(spelled))})"
    by_chance = abs(answer) < 10 if answer is not None else len(check.answer) < 4
    for pattern in (_PHRASE, *([] if by_chance else [_ALONE])):
        if found := re.search(pattern.format(answer=said), check.question):
            return found.group()
    if answer is not None and not by_chance and answer in facts.in_words(check.question, parts=False):
        return f"{answer:g} in words"
    return ""


def _number(text: str) -> float | None:
    """The value of an answer that is a number, with or without a unit; None if it is not a number."""
    found = re.fullmatch(r"\s*[^\w\s-]?(-?[\d,_]*\d(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*[^\d]{0,20}", text)
    try:
        return facts.number(found[1]) if found else None
    except ValueError:
        return None


def _digits(value: float) -> int:
    """The number of significant digits: 86400 has three."""
    return len(f"{abs(value):.12g}".partition("e")[0].replace(".", "").strip("0"))


def _equals(value: Literal, answer: str, number: float | None) -> bool:
    if isinstance(value, str):
        return value.strip() == answer.strip("'\"") or (number is not None and _number(value) == number)
    return number is not None and value == number


def _holds(value: Literal, answer: str, number: float | None) -> bool:
    """Whether a literal is the answer or contains it as a word, as an operand may."""
    if isinstance(value, str):
        return answer in value or answer.strip("'\"") in value
    near = (number, number + 1) if number is not None and number >= 10 else (number,)  # or the end of a range
    return abs(value) in near


def _constants(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of literals; a minus sign is part of its number."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if _literal(node) is not None:
            yield node
        else:
            waiting += reversed(list(ast.iter_child_nodes(node)))


def _literal(node: ast.AST) -> Literal | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _literal(node.operand)
        return -value if isinstance(value, float) else None
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool):
        return None
    if isinstance(node.value, int | float):
        return float(node.value)
    return node.value if isinstance(node.value, str) and node.value else None


def _changed(value: Literal, step: int) -> list[int | float | str]:
    """Other values to replace one by."""
    if isinstance(value, str):
        if any(c.isdigit() for c in value):
            return [re.sub(r"\d+", lambda found: str(int(found[0]) + step), value)]
        return [value[::-1], f"q{value}", value[1:], value * 2, value.swapcase()]
    number = int(value) if value == int(value) else value
    return [number + step, 10 * number + step, -number, number - step, number + 0.5]


class _Replace(ast.NodeTransformer):
    def __init__(self, changes: dict[Literal, int | float | str]) -> None:
        self.changes = changes

    def visit(self, node: ast.AST) -> ast.AST:
        value = _literal(node)
        if value is None:
            return self.generic_visit(node)
        return ast.Constant(self.changes[value]) if value in self.changes else node


def _rewritten(check: Check, changes: dict[Literal, int | float | str]) -> tuple[str, str]:
    """The program with some literals replaced."""
    return tuple(ast.unparse(_Replace(changes).visit(_copy(tree))) for tree in check.trees)  # type: ignore[return-value]


def _copy(tree: ast.AST) -> ast.AST:
    return ast.parse(ast.unparse(tree), mode="eval" if isinstance(tree, ast.Expression) else "exec")


def _is_data(node: ast.AST, given: _Given) -> bool:
    """Whether a node lists values of the question."""
    if not isinstance(node, ast.List | ast.Tuple | ast.Set) or len(node.elts) < 2:
        return False
    values = [_literal(element) for element in node.elts]
    return all(value is not None and given.exactly(value) for value in values)


def _shortened(check: Check, number: int, end: int) -> tuple[str, str]:
    """The program with one element fewer in its list of values number `number`."""
    trees = [_copy(tree) for tree in check.trees]
    nodes = [node for tree in trees for node in ast.walk(tree) if _is_data(node, check.given)]
    del nodes[number].elts[end]  # type: ignore[attr-defined]
    return ast.unparse(trees[0]), ast.unparse(trees[1])
