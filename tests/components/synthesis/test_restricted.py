"""What a teacher's program may be: enough to compute, nothing that reaches out of it."""

import pytest

from components.synthesis.restricted import computes, fault


@pytest.mark.parametrize(
    "program",
    [
        "",
        "def area(w: int, h: int) -> int:\n    return w * h",
        "total = 0\nfor n in range(1, 11):\n    if n % 2:\n        total += n",
        "words = 'a b c'.split()\npairs = {w: len(w) for w in words}",
        "try:\n    x = 1 / 0\nexcept ZeroDivisionError as error:\n    x = 0",
        "while True:\n    break",
        "f = lambda a, *b, **c: sorted(b, key=lambda v: -v)",
    ],
)
def test_plain_programs_pass(program):
    assert fault(program) == ""


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os", "Import is not allowed in line 1"),
        ("from os import path", "ImportFrom is not allowed"),
        ("x = ().__class__", ".__class__ is not allowed"),
        ("x = f'{y.__class__}'", ".__class__ is not allowed"),
        ("x = '{0.__class__}'.format(1)", ".format is not allowed"),
        ("__import__('os')", "the name __import__ is not allowed"),
        ("open('x')", "the name open is not allowed"),
        ("getattr(x, 'y')", "the name getattr is not allowed"),
        ("def sum(x):\n    return 0", "the name sum is not allowed in line 1"),
        ("x.y = 1", ".y is not allowed"),
        ("global x", "Global is not allowed"),
        ("class A: pass", "ClassDef is not allowed"),
        ("with x: pass", "With is not allowed"),
        ("async def f(): pass", "AsyncFunctionDef is not allowed"),
        ("def f():\n    yield 1", "Yield is not allowed"),
        ("x = 9 ** 9 ** 9", "an exponent other than a number up to 64"),
        ("x = 2 ** y", "an exponent other than"),
        ("x = 1 << 10", "<< is not allowed"),
        ("x = pow(9, 99999999)", "pow without a modulus"),
        ("x = 10000000000000", "a number over"),
        ("x = b'a'", "a constant of type bytes"),
        ("try:\n    x\nexcept:\n    pass", "an except that names no exception"),
        ("def broken(:", "not Python"),
        ("x = 1\n" * 1000, "characters of code"),
        ("@f\ndef g(): pass", "a decorator"),
        ("x = 1" + " + 1" * 400, "more than 100 levels of nesting"),
        ("x = " + "-" * 3_000 + "1", "not Python"),
    ],
)
def test_what_reaches_out_is_refused(program, words):
    assert words in fault(program)


def test_an_expression_is_one_expression():
    assert fault("1 + 1", "eval") == ""
    assert fault("x = 1", "eval") == "not Python (SyntaxError)"
    assert computes("f(3)")
    assert computes("2 + 2")
    assert not computes("'Paris'")
    assert not computes("[1, 2]")
    assert not computes("-4")
