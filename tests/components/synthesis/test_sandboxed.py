"""A model's programs: run confined, with values that depend on nothing but the program."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import StepError
from components.sandbox import Sandbox
from components.synthesis import exercises, prose, sandboxed
from components.synthesis.restricted import fault
from components.synthesis.sandboxed import Programs, turned

ORDER = "a value that depends on the order of a set"


@pytest.mark.parametrize(
    ("program", "expression", "value"),
    [
        ("def f(n):\n    return sum(range(n))", "f(10)", "45"),
        ("print('seen by nobody')", "1", "1"),
        ("", "sorted({'b', 'a'})", "['a', 'b']"),
        ("", "{3, 1, 2}", "{1, 2, 3}"),
        ("", "{'x'}, frozenset(['x']), set(), frozenset()", "({'x'}, frozenset({'x'}), set(), frozenset())"),
        ("s = {'a', 'b'}\ns |= {'c'}\nt = s - {'a'}", "len(s), 'b' in t, isinstance(t, set), t == {'b', 'c'}",
         "(3, True, True, True)"),
        ("", "{frozenset('ab'): 1}[frozenset('ba')]", "1"),
        ("", "'\\ud800\\n'", r"'\ud800\n'"),
    ],
)  # fmt: skip
def test_a_value_is_its_repr(programs, program, expression, value):
    assert programs.evaluate([(program, expression)]) == [(True, value)]


@pytest.mark.parametrize(
    ("program", "expression", "words"),
    [
        ("while True:\n    pass", "1", "timeout (ran for 2 s of cpu time)"),
        ("x = 'a' * 10 ** 9\ny = x + x", "len(y)", "MemoryError"),
        ("", "'a' * 20000", "a value of over 10,000 characters"),
        ("", "missing", "NameError"),
        ("", "set().pop()", "KeyError"),
        ("", "str(lambda: 1)", "a value that names its address"),
        ("", "list({'a', 'b'})", ORDER),
        ("", "list({'a', 'b', 'c'})[1]", ORDER),
        ("s = {'a', 'b'}", "s.pop()", ORDER),
        ("", "[pair for pair in {('a', 1), ('b', 2)}]", ORDER),
        ("", "list({'a': 1}.keys() | {'b': 2}.keys())", ORDER),
        ("", "''.join(frozenset('hello'))", ORDER),
        ("", "{None, 1}", ORDER),
    ],
)
def test_what_is_not_a_value_says_why(programs, program, expression, words):
    assert programs.evaluate([(program, expression)]) == [(False, words)]


def test_results_come_in_order_and_one_that_ends_badly_ends_alone(programs):
    jobs = [("", f"{n} * {n}") for n in range(20)]
    jobs[7] = ("x = [0] * 10 ** 9", "x")
    assert [value for _, value in programs.evaluate(jobs)] == [
        "MemoryError" if n == 7 else str(n * n) for n in range(20)
    ]
    assert programs.evaluate([]) == []


HARMFUL = {
    "a file": "open('/etc/passwd').read()",
    "a process": "__import__('os').fork()",
    "a socket": "__import__('socket').socket()",
    "a command": "__import__('subprocess').run(['id'])",
    "the parent": "__import__('os').kill(__import__('os').getppid(), 9)",
    "its own end": "__import__('os')._exit(0)",
}


@pytest.mark.parametrize("expression", HARMFUL.values(), ids=HARMFUL)
def test_what_reaches_out_passes_neither_wall(programs, expression):
    assert fault(expression, "eval")
    ((fine, _),) = programs.evaluate([("", expression)])  # as if the first wall had let it through
    assert not fine


def test_the_second_wall_is_the_sandbox(programs, tmp_path, monkeypatch):
    """With all built-ins handed out, a program still finds no file, no process and no network."""
    monkeypatch.setattr(sandboxed, "BUILTINS", (*sandboxed.BUILTINS, "open", "__import__"))
    secret = tmp_path / "secret"
    secret.write_text("x")
    jobs = [("", f"open({str(secret)!r}).read()"), ("", f"open({str(secret)!r}, 'w').write('y')")]
    jobs += [("", expression) for expression in HARMFUL.values()]
    assert [fine for fine, _ in programs.evaluate(jobs)] == [False] * len(jobs)
    assert secret.read_text() == "x"
    assert programs.evaluate([("", "1 + 1")]) == [(True, "2")]


def test_nothing_of_a_model_is_run_elsewhere():
    """The modules that read what a model wrote import no other way to run code."""
    for module in (exercises, prose, sandboxed):
        source = Path(module.__file__).read_text(encoding="utf-8").replace("ast.literal_eval(", "")  # runs nothing
        assert "import evaluate" not in source
        assert not any(word in source for word in ("subprocess", "exec(", "eval("))


def test_without_a_sandbox_nothing_runs(monkeypatch):
    def refuse(*_: object) -> Sandbox:
        raise StepError(
            "generated code cannot be isolated here and is not run: no seccomp; allow_unisolated_execution runs it anyway"
        )

    monkeypatch.setattr(sandboxed, "Sandbox", refuse)
    with pytest.raises(StepError, match=r"cannot be isolated here .* no seccomp; the teacher procedural"):
        Programs()


@given(
    st.sets(st.one_of(st.integers(), st.text(max_size=3), st.tuples(st.integers(), st.text(max_size=1))), max_size=6)
)
@settings(max_examples=25, deadline=None)
def test_turning_changes_the_order_of_a_set_and_nothing_else(programs, values):
    """Law: what does not look at the order gives the same; what does is an answer only where the order is not an accident."""
    jobs = [(f"s = set({list(values)!r})", "sorted(map(repr, s)), len(s)"), (f"s = set({list(values)!r})", "list(s)")]
    (fine, _), (ordered, value) = programs.evaluate(jobs)
    assert fine
    accidental = len(values) > 1 and any(not isinstance(v, int) for v in values)
    assert ordered != accidental or value == ORDER
    assert ordered == (not accidental)


def test_turned_source_is_python_that_means_the_same():
    source = "def f(x):\n    return {n + 1 for n in x} | {0}"
    scope = {"__turn__": lambda value: value}
    exec(turned(source, "exec"), scope)
    assert scope["f"]([1, 2]) == {0, 2, 3}
    assert turned("len({1})", "eval") == "__turn__(len(__turn__({1})))"
