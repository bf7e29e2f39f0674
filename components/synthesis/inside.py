"""Code before a model's program in the sandbox: runs it three times, and prints its value if all runs agree.

This file is the beginning of a program's source, never imported: it may use nothing but the standard library.

The runs differ in one thing: sets whose order is an accident of hashing are reversed in the second, and in the third each
element has moved on by one place. A value that depends on such an order is not an answer. (Two processes that hash
differently would agree by chance, half of the time on a set of two texts.)
"""

import builtins
import json
import sys
from collections.abc import Iterator

LONGEST = 10_000  # characters of a value
_reversed = False


def _accidental(value: object) -> bool:
    """Whether the hash of a value depends on more than the value: on the process' own salt, or on an address."""
    if isinstance(value, tuple | frozenset):
        return any(map(_accidental, value))
    return not isinstance(value, int | float) or value != value


def _turned(values: list[object]) -> list[object]:
    if not any(map(_accidental, values)):
        return values
    return values[::-1] if _reversed else values[1:] + values[:1]


def _shown(values: list[object], name: str) -> str:
    inner = ", ".join(map(repr, values))
    if name == "set":
        return f"{{{inner}}}" if values else "set()"
    return f"frozenset({{{inner}}})" if values else "frozenset()"


class _Set(set[object]):
    def __iter__(self) -> Iterator[object]:
        return iter(_turned(list(set.__iter__(self))))

    def __repr__(self) -> str:
        return _shown(list(self), "set")

    def pop(self) -> object:
        for value in self:
            self.remove(value)
            return value
        return set().pop()  # raises as a set does


class _FrozenSet(frozenset[object]):
    __hash__ = frozenset.__hash__

    def __iter__(self) -> Iterator[object]:
        return iter(_turned(list(frozenset.__iter__(self))))

    def __repr__(self) -> str:
        return _shown(list(self), "frozenset")


def _turn(value: object) -> object:
    """The set that `value` is, in its other order; anything else as it is."""
    return _Set(value) if type(value) is set else _FrozenSet(value) if type(value) is frozenset else value


def _value(program: str, expression: str, names: list[str]) -> list[object]:
    """[True, repr of the value] or [False, what went wrong]."""
    allowed = {name: getattr(builtins, name) for name in names}
    allowed["print"] = lambda *values, **options: None
    scope = {"__builtins__": allowed, "__turn__": _turn}
    try:
        exec(program, scope)
        value = repr(eval(expression, scope))  # noqa: S307 - this stands in the sandbox
    except Exception as error:  # noqa: BLE001 - whatever a program raises is its result
        return [False, type(error).__name__]
    if len(value) > LONGEST:
        return [False, f"a value of over {LONGEST:,} characters"]
    if " at 0x" in value:
        return [False, "a value that names its address"]
    return [True, value]


def main(plain: tuple[str, str], turned: tuple[str, str], names: list[str]) -> None:
    """Run the (program, expression) pair `plain`, and `turned`, the same with sets in other orders; print the result."""
    global _reversed
    answer = _value(*plain, names)
    for _reversed in (True, False):
        if _value(*turned, names) != answer:
            answer = [False, "a value that depends on the order of a set"]
            break
    sys.stdout.write(json.dumps(answer))
