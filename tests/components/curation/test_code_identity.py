"""Which functions are one program: what changes no tree's identity, and what does."""

import ast
import inspect
import json.decoder
import textwrap

import pytest

from components.curation.code_identity import functions, identity, keywords
from tests.components.curation.linear import assert_linear

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
        "def f(a, b, /):\n    c = [x for x in a if x > b]\n    return len(c)\n",
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


FORMS = [
    PLAIN,
    "def f(a):\n    if a:\n        return 1\n    elif not a:\n        return 2\n    else:\n        pass\n    return 'if for'  # while\n",
    "def f(a):\n    def g(b):\n        return b\n    for x in a:\n        yield g(x)\n",
    "def f(a):\n    return a\n",
    "def f(a):\n    a = a + 1\n",
    "def f(a,\nb):\n    with a as c:\n        assert b in c\n",
]
AROUND = [
    "{}",
    "import a\n\n\n{}\n\nfor x in y:\n    f(x)\n",
    "if a:\n    pass\n{}x = [b for b in c if not b]\n",
    "def other(a):\n    return a or None\n\n\n{}\n\n@cache\ndef third():\n    del a\n",
    "{}(x if y else z).w()\n",
]
WITHIN = [
    "class A:\n    b = 1\n\n{}\n    c = [x for x in y if x]\n",
    "{}",  # indented as a whole
    "if a:\n{}\nelse:\n    b = [x for x in y if x]\n",
    "try:\n{}\n    a = b or c\nexcept ImportError:\n    pass\n",
    "def outer(a):\n    if a:\n        return 1\n\n{}\n    for b in a:\n        c\n    return f\n",
    "print 'Python 2'\n\nclass A:\n{}\n\nexec 'x'\n",
]


def test_equal_trees_have_equal_shapes_and_openings() -> None:
    """What is skipped by shape or by keywords is never the same program."""
    for module in (json.decoder, inspect, ast):
        for function in functions(inspect.getsource(module), "code"):
            again = next(functions(ast.unparse(function.node), "code"))
            assert identity(again) == identity(function)
            assert (again.shape, keywords(again)) == (function.shape, keywords(function))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("around", [*AROUND, *WITHIN])
def test_what_is_looked_for_is_never_passed_over(form: str, around: str) -> None:
    """The check of keywords lets a function pass, wherever it is and however it is written."""
    own = next(functions(form, "code"))
    text = around.format(textwrap.indent(form, "    ") if around in WITHIN else form)
    for source in (text, text.replace("    ", "\t")):
        found = functions(source, "code", frozenset([keywords(own)]))
        assert identity(own) in [identity(function) for function in found]


@pytest.mark.parametrize(
    "dress",
    [
        "Text.\n\n```python\n{}```\nMore.",
        "Text.\n~~~ Python3\n{}~~~\n",
        "Text.\n```\n{}",
        "- A list:\n\n<4{}\nMore of it.",
        "Text before.\n{}Text behind it.",
        "At a prompt:\n<p{}>>> f(1, 2)\n",
        "> Quoted:\n<q{}",
    ],
)
@pytest.mark.parametrize("form", [FORMS[0], FORMS[2], FORMS[-1]])
def test_functions_stand_in_any_fence_or_none(dress: str, form: str) -> None:
    own = next(functions(form, "code"))
    marks = {"<4": ("    ", "    "), "<p": (">>> ", "... "), "<q": ("> ", "> ")}
    first, rest = next((marks[mark] for mark in marks if mark in dress), ("", ""))
    shown = first + f"\n{rest}".join(form.rstrip("\n").split("\n")) + "\n"
    text = dress.replace("<4", "").replace("<p", "").replace("<q", "").format(shown)
    for wanted, names in ((None, ()), (frozenset([keywords(own)]), ()), (frozenset(), {"f"})):
        assert identity(own) in [identity(function) for function in functions(text, "web", wanted, names)]


def test_what_is_not_looked_for_is_passed_over() -> None:
    assert list(functions(PLAIN, "code", frozenset(["w"]))) == []


def test_real_code_is_never_passed_over() -> None:
    for module in (json.decoder, inspect, ast):
        source = inspect.getsource(module)
        for function in list(functions(source, "code"))[:40]:
            alone = f"x = 1\n{ast.unparse(function.node)}\nfor a in b:\n    c\n"
            assert identity(function) in {
                identity(f) for f in functions(alone, "code", frozenset([keywords(function)]))
            }


UNITS = [
    '"',
    "'",
    '\\"',
    '"""',
    '\\"""',
    "'''\\",
    '"\\"""',
    "\\",
    "#",
    "def ",
    "\nd",
    "{",
    "if ",
    '"\n',
    "```\n",
    "```python\n",
]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", ["code", "web"])
def test_hostile_text_is_looked_at_once(unit: str, kind: str) -> None:
    """To read it again from each quote would take the square of its length."""

    def look(size: int) -> None:
        text = "```python\ndef f(:\n" + unit * (size // len(unit))
        assert list(functions(text, kind, frozenset(["w"]))) == []

    assert_linear(look, 40_000)


def test_methods_and_fenced_blocks() -> None:
    assert [f.name for f in functions("class A:\n    def m(self): pass\n\ndef f(): pass\n", "code")] == ["m", "f"]
    assert [f.name for f in functions("match a:\n    case 1:\n        def f(): pass\n", "code")] == ["f"]
    assert [f.name for f in functions("Text\n\n```python\ndef f(): pass\n```\n\n```\ndef g(: \n```\n", "web")] == ["f"]
    assert list(functions("def f(:\n", "code")) == []
    assert list(functions("def f(): pass\0", "code")) == []
    assert list(functions("def f():\n " + "(" * 100_000, "code")) == []


def test_of_what_does_not_parse_the_functions_that_do_are_compared() -> None:
    text = f"import x\n\n\n{PLAIN}\n\ndef half(:\n    pass\n\n\nprint 'x'\n\n\ndef last(\n    a,\n) -> int:\n    return a\n"
    assert [f.name for f in functions(text, "code")] == ["f", "last"]
    assert digest(text) == digest(PLAIN)


DEEP = {
    "elif": "def f(a):\n" + "".join(f"    {'el' if n else ''}if a == {n}:\n        return {n}\n" for n in range(1_000)),
    "sum": "def f(a):\n    return (" + " + ".join(f"a{n}" for n in range(900)) + ")\n",
    "calls": "def f(a):\n    return a" + ".b()" * 400 + "\n",
}


@pytest.mark.parametrize("code", DEEP.values(), ids=DEEP)
def test_a_tree_may_be_as_deep_as_the_parser_bears(code: str) -> None:
    one = next(functions(code, "code"))
    other = next(functions(code.replace("def f(a)", "def g(a)"), "code"))
    assert (identity(one), one.shape) == (identity(other), other.shape)
    assert digest(f"{code}    return 0\n") != digest(code)
    assert list(functions(code, "code", frozenset([keywords(one)])))


def test_a_number_may_have_any_length() -> None:
    """Python writes no more than 4,300 decimal digits."""
    assert digest(f"def f(a):\n    return 0x{'7' * 9_000}\n") != digest(f"def f(a):\n    return 0x{'7' * 9_001}\n")


def test_nested_functions_take_linear_time() -> None:
    """A function's shape holds those in it, so they would be walked once for each function around them."""
    heads = "".join(f"{' ' * depth}def f():\n" for depth in range(90))

    def walk(count: int) -> None:
        assert len(list(functions(heads + " " * 90 + "a;" * count + "\n", "code"))) == 90

    assert_linear(walk, 10_000)
