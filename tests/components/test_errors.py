"""What keeps messages readable, however much a stranger's value or text holds."""

import ast
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import MESSAGE, StepError, clipped, short, shortened

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner), st.tuples(inner)),
)


def nested(width: int, depth: int) -> list:
    value: list = ["lol"] * width
    for _ in range(depth):
        value = [value] * width
    return value


@given(values)
def test_a_value_in_a_message_is_short_and_in_one_line(value: object) -> None:
    written = short(value)
    assert len(written) <= 100
    assert "\n" not in written


@pytest.mark.parametrize("value", [3, -1.5, True, None, "abc", [1, 2], {"a": 1}, b"x"])
def test_a_small_value_is_written_as_python_writes_it(value: object) -> None:
    assert short(value) == repr(value)


HUGE = {
    "number": 10**1_000_000,
    "nested lists": nested(9, 30),
    "string": "x" * 10**7,
    "key": {"k" * 10**7: 1},
    "list": [0] * 10**6,
}


@pytest.mark.parametrize("name", HUGE)
def test_a_huge_value_costs_nothing(name: str) -> None:
    started = time.process_time()
    assert len(short(HUGE[name])) <= 100
    assert time.process_time() - started < 0.5


@given(st.text(), st.integers(16, 60))
def test_a_clipped_text_has_the_beginning_and_the_end(text: str, most: int) -> None:
    kept = clipped(text, most)
    assert len(kept) <= most
    assert kept == text if len(text) <= most else kept[:3] == text[:3] and kept[-1] == text[-1]


def test_a_message_keeps_the_fault_and_the_remedy() -> None:
    said = str(StepError("params.yaml: " + "x" * 10**6 + "; correct it"))
    assert len(said) == MESSAGE
    assert said.startswith("params.yaml: ")
    assert said.endswith("; correct it")


def test_a_text_from_outside_becomes_one_short_line() -> None:
    assert shortened("a\n  b") == "a b"
    assert len(shortened("a b " * 10**6)) == 200


def _literal(node: ast.expr) -> str:
    """The words of a message as in the source, with {} for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if isinstance(node, ast.BinOp):
        return _literal(node.left) + _literal(node.right)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "{}"


@pytest.mark.parametrize("package", ["benchmarking", "endpoint", "transfer"])
def test_every_refusal_of_a_package_says_what_to_do(package: str, root: Path) -> None:
    """After a semicolon; or in a text that another function has made, which ends the message."""
    silent = []
    for path in sorted((root / "components" / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "StepError":
                said = _literal(node.args[0])
                if not ("; " in said or "expected" in said or re.search(r": \{\}$|^\{\}$|--[a-z-]+|: set ", said)):
                    silent.append(f"{path.name}:{node.lineno}: {said}")
    assert silent == []
