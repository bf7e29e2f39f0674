"""Which functions are one program: what changes no tree's identity, and what does."""

import ast
import inspect
import json.decoder

import pytest

from components.curation.code_identity import functions, identity

PLAIN = "def f(a, b):\n    c = [x for x in a if x > b]\n    return len(c)\n"


def digest(code: str) -> str:
    return identity(next(functions(code, "code")))[0]


@pytest.mark.parametrize(
    "same",
    [
        "def other(p, q):\n    r = [y for y in p if y > q]\n    return len(r)\n",
        'def f(a, b):\n    """Says what."""\n    c = [x for x in a if x > b]  # note\n    return (len(c))\n',
        "def f(a: list, b: int) -> int:\n    c: list = [x for x in a if x > b]\n\n    return len(c)\n",
        "@cache\ndef f(a, b):\n  c = [x for x in a if x > b]\n  return len(c)\n",
    ],
)
def test_names_notes_and_annotations_do_not_count(same: str) -> None:
    assert digest(same) == digest(PLAIN)


@pytest.mark.parametrize(
    "other",
    [
        PLAIN.replace(">", "<"),
        PLAIN.replace("len", "sum"),
        PLAIN.replace("x > b", "x > a"),
        PLAIN.replace("a, b", "b, a"),
        PLAIN.replace("a, b", "a, *b"),
        PLAIN.replace("a, b", "a, b=1"),
        "async " + PLAIN,
    ],
)
def test_all_else_counts(other: str) -> None:
    assert digest(other) != digest(PLAIN)


def test_recursion_goes_by_the_functions_own_name() -> None:
    assert digest("def f(n):\n    return n * f(n - 1)\n") == digest("def g(m):\n    return m * g(m - 1)\n")
    assert digest("def f(n):\n    return n * f(n - 1)\n") != digest("def g(m):\n    return m * f(m - 1)\n")


def test_scopes_inside_are_renamed_too() -> None:
    one = "def f(a):\n    def g(b):\n        try:\n            return b\n        except ValueError as e:\n            raise e\n    return map(lambda k: g(k), a)\n"
    two = "def h(q):\n    def i(r):\n        try:\n            return r\n        except ValueError as s:\n            raise s\n    return map(lambda t: i(t), q)\n"
    assert digest(one) == digest(two)
    assert digest(one) != digest(two.replace("ValueError", "KeyError"))


def test_the_tree_that_was_given_is_not_changed() -> None:
    for function in functions(inspect.getsource(json.decoder), "code"):
        before = ast.dump(function.node)
        first = identity(function)
        assert ast.dump(function.node) == before
        assert identity(function) == first


def test_methods_and_fenced_blocks() -> None:
    assert [f.name for f in functions("class A:\n    def m(self): pass\n\ndef f(): pass\n", "code")] == ["f", "m"]
    assert [f.name for f in functions("Text\n\n```python\ndef f(): pass\n```\n\n```\ndef g(: \n```\n", "web")] == ["f"]
    assert list(functions("def f(:\n", "code")) == []
    assert list(functions("def f(): pass\0", "code")) == []
    assert list(functions("def f():\n " + "(" * 100_000, "code")) == []
