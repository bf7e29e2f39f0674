"""Tests judge from another process as if they stood in the program, except where that could be exploited."""

import pytest

from components.sandbox import Outcome, Sandbox

PROGRAM = """
import collections, dataclasses, datetime, decimal, enum, fractions, functools, math

counter = 0
LIMIT = 5

class TooMuch(ValueError):
    pass

def echo(x): return x
def sort_in_place(values): values.sort()
def append_to(values, value): values.append(value); return values
def count():
    global counter
    counter += 1
def fail(kind, *args): raise {"too much": TooMuch, "value": ValueError, "key": KeyError, "exit": SystemExit, "os": OSError}[kind](*args)
def apply(function, *args, **kwargs): return function(*args, **kwargs)
def smallest(values, key): return min(values, key=key)
def numbers(n): yield from range(n)
def total(values): return functools.reduce(lambda a, b: a + b, values)
def adder(n): return lambda x: x + n
def swap(pair): pair[0], pair[1] = pair[1], pair[0]
def cycle():
    x = [1]
    x.append(x)
    return x

@dataclasses.dataclass(order=True)
class Point:
    x: int
    y: int
    def __add__(self, other): return Point(self.x + other.x, self.y + other.y)
    def norm(self): return math.hypot(self.x, self.y)

class Stack(list):
    def push(self, x): self.append(x)

class Colour(enum.IntEnum):
    RED = 1

class Node:
    def __init__(self, value, next=None): self.value, self.next = value, next

class Bank:
    def __init__(self): self.balance = 0
    def __enter__(self): self.balance += 1; return self
    def __exit__(self, *error): self.balance -= 1
    def __len__(self): return 7
    def __getitem__(self, key): return self.balance if key == "balance" else [][0]
    def __setitem__(self, key, value): self.balance = value

Pair = collections.namedtuple("Pair", "a b")
def sum(a, b): return a + b
"""

HONEST = {
    "plain values": "for x in (None, True, 3, -2**70, 1.5, float('inf'), 1j, 'é\\ud800', b'\\xff', (1, (2,)), [1, [2]], {'a': {1: 2}}, {1, 2}, frozenset({3}), range(3), slice(1, 2), ..., bytearray(b'x')):\n    y = echo(x)\n    assert y == x and type(y) is type(x), (x, y)",
    "library values": "import collections, datetime, decimal, fractions\nfor x in (decimal.Decimal('1.10'), fractions.Fraction(1, 3), datetime.date(2020, 1, 2), datetime.datetime(2020, 1, 2, 3, tzinfo=datetime.timezone.utc), datetime.timedelta(1, 2, 3), datetime.time(1, 2), collections.Counter('aab'), collections.OrderedDict(a=1), collections.deque([1, 2], 5), collections.defaultdict(list, a=[1])):\n    y = echo(x)\n    assert y == x and type(y) is type(x), (x, y)",
    "not a number": "x = echo(float('nan'))\nassert x != x",
    "minus zero": "import math\nassert math.copysign(1, echo(-0.0)) == -1",
    "types": "assert echo(int) is int and echo(list) is list",
    "in place": "x = [3, 1, 2]\nassert sort_in_place(x) is None\nassert x == [1, 2, 3]",
    "the same list comes back": "x = []\nassert append_to(x, 1) is x and x == [1]",
    "shared and nested": "a = [1]\nb = [a, a]\nappend_to(b[0], 2)\nassert b == [[1, 2], [1, 2]] and b[0] is b[1] is a",
    "elements that change places": "a, b = [1], [2]\npair = [a, b]\nswap(pair)\nassert pair[0] is b and pair[1] is a",
    "dict in place": "x = {}\necho(x)\napply(x.update, {'a': 1})\nassert x == {'a': 1}",
    "cycle": "x = cycle()\nassert x[0] == 1 and x[1] is x",
    "globals": "count()\ncount()\nassert counter == 2",
    "constant": "assert LIMIT == 5",
    "callback": "assert apply(lambda a, b=0: a - b, 5, b=2) == 3",
    "key function": "assert smallest(['ccc', 'a', 'bb'], key=len) == 'a'",
    "callback that fails": "try:\n    apply(lambda: 1 / 0)\nexcept ZeroDivisionError:\n    pass\nelse:\n    assert False",
    "callback within a callback": "assert apply(lambda: apply(lambda: apply(lambda: 7))) == 7",
    "generator": "assert list(numbers(4)) == [0, 1, 2, 3]\nassert 2 in numbers(4) and 9 not in numbers(4)",
    "generator of the tests": "assert total(x * x for x in range(4)) == 14",
    "closure": "assert adder(3)(4) == 7",
    "class": "p = Point(1, 2)\nassert p.x == 1 and (p + Point(3, 4)).y == 6 and p == Point(1, 2) and p != Point(2, 1) and p < Point(2, 0)\np.x = 3\nassert Point(3, 4).norm() == 5\nassert repr(p) == 'Point(x=3, y=2)'\nassert isinstance(p, Point) and callable(p.norm)",
    "linked": "n = Node(1, Node(2))\nn.next.next = Node(3)\nassert n.next.next.value == 3 and n.next.next.next is None",
    "builtin subclass": "s = Stack()\ns.push(1)\nassert s == [1] and len(s) == 1 and s[0] == 1 and s.pop() == 1 and not s",
    "named tuple": "assert Pair(1, 2) == (1, 2) and (1, 2) == Pair(1, 2) and Pair(1, 2).a == 1\nassert [Pair(1, 2)] == [(1, 2)]\nassert Pair(1, 2) in [(1, 2)]",
    "enumeration": "assert Colour.RED == 1 and Colour.RED + 1 == 2 and Colour.RED in {1}",
    "context manager": "b = Bank()\nwith b as c:\n    assert c.balance == 1\nassert b.balance == 0 and len(b) == 7\nb['balance'] = 9\nassert b['balance'] == 9",
    "exceptions": "for kind, expected in (('value', ValueError), ('too much', TooMuch), ('too much', ValueError), ('key', KeyError), ('os', OSError)):\n    try:\n        fail(kind, 1)\n    except expected as error:\n        assert error.args == (1,)\n    else:\n        assert False",
    "index error ends a loop by hand": "b = Bank()\ntry:\n    b['x']\nexcept IndexError:\n    pass",
    "imports of the program": "assert math.floor(echo(1.5)) == 1 and collections.Counter('a') == {'a': 1}",
    "unittest": "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(echo(1), 1)\n    def test_raises(self):\n        with self.assertRaises(ValueError): fail('value')\nunittest.main()",
    "unittest that nobody starts": "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(echo(1), 1)",
    "main": "if __name__ == '__main__':\n    assert echo(1) == 1",
    "functions of the tests": "def check(candidate):\n    assert candidate(3) == 3\n    assert [candidate(i) for i in range(3)] == [0, 1, 2]\ncheck(echo)",
    "file": "open('written', 'w').write('x')\nassert apply(__builtins__.open, 'written').read() == 'x'",
    "sum is the builtin": "assert sum([1, 2]) == 3",
    "large": "x = list(range(20000))\nassert echo(x) == x",
}  # fmt: skip

WRONG = {
    "assertion": ("assert echo(1) == 2", "AssertionError (tests, line 1)"),
    "message": ("assert echo(1) == 2, f'got {echo(1)}'", "AssertionError: got 1 (tests, line 1)"),
    "name": ("nothing(1)", "NameError: name 'nothing' is not defined (tests, line 1)"),
    "exception of the program": ("fail('value', 'x')", "ValueError: x (tests, line 1)"),
    "own exception": ("fail('too much', 'x')", "TooMuch: x (tests, line 1)"),
    "exit of the program": ("fail('exit', 0)", "SystemExit: 0 (tests, line 1)"),
    "bare except is not a shelter": ("try:\n    apply(exit_now)\nexcept:\n    pass\nassert 0", "NameError: name 'exit_now' is not defined"),
    "unittest": ("import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(echo(1), 2)\nunittest.main()", "the tests ended with status True"),
    "unittest that nobody starts": ("import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(echo(1), 2)", "AssertionError: test (__main__.T"),
    "a lent value that is not lendable": ("echo(object())", "Unlendable: an object of type object cannot be handed over"),
    "syntax": ("assert (", "SyntaxError"),
    "arguments": ("echo()", "TypeError: echo() missing 1 required positional argument: 'x'"),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_honest_tests_pass(box: Sandbox, name: str) -> None:
    verdict = box.run(PROGRAM, HONEST[name])
    assert verdict.passed, verdict


@pytest.mark.parametrize("name", WRONG)
def test_what_a_failed_test_is_told(box: Sandbox, name: str) -> None:
    tests, error = WRONG[name]
    verdict = box.run(PROGRAM, tests)
    assert verdict.outcome is Outcome.FAILED
    assert error in verdict.error if name != "bare except is not a shelter" else not verdict.passed


def test_names_that_the_tests_want_from_the_program(box: Sandbox) -> None:
    assert box.run(PROGRAM, "assert sum(10, 15) == 25", names=["sum"]).passed
    assert box.run(PROGRAM, "def check(): return sum(10, 15)\nassert check() == 25", names=["sum"]).passed
    assert not box.run(PROGRAM, "assert sum(10, 15) == 25").passed


def test_a_program_that_fails_never_reaches_its_tests(box: Sandbox) -> None:
    assert box.run("1 / 0", "pass").error == "ZeroDivisionError: division by zero (program, line 1)"
    assert box.run("import sys; sys.exit()", "pass").outcome is Outcome.EXITED
    assert box.run("raise MemoryError", "pass").outcome is Outcome.MEMORY


def test_the_program_is_a_module_to_its_tests(box: Sandbox) -> None:
    assert box.run("if __name__ == '__main__': 1 / 0\nname = __name__", "assert name == '__program__'").passed


def test_the_end_of_a_program_is_not_the_end_of_its_tests(box: Sandbox) -> None:
    end = "import os\ndef f(): os._exit(42)"
    for tests in ("f()", "try:\n    f()\nexcept:\n    pass", "try:\n    f()\nfinally:\n    import os; os._exit"):
        verdict = box.run(end, tests)
        assert (verdict.outcome, verdict.error) == (Outcome.EXITED, "the program ended itself with status 42")


@pytest.mark.parametrize(
    "question",
    [
        "f.__globals__", "f.__code__", "f.__closure__", "f.__class__.__base__.__subclasses__()", "f.__self__",
        "obj._hidden", "obj.__dict__", "obj.__class__", "obj.method.__func__", "obj.method.__globals__",
        "f._peer.ask('getattr', f, '__globals__')", "f._peer.ask('eval', f, '1')", "f._peer.ask('setattr', obj, 'expected', 1)",
        "f._peer.ask('call', [1], (), {})", "setattr(obj, 'expected', 1) or f._peer.ask('setattr', obj, 'expected', 1)",
    ],
)  # fmt: skip
def test_a_program_learns_nothing_through_what_the_tests_lend(box: Sandbox, question: str) -> None:
    program = f"""
def answer(f, obj):
    try:
        found = {question}
    except Exception:
        return "refused"
    return getattr(found, "__module__", None) == "components.sandbox.program" and "own" or repr(found)
"""
    tests = """
secret = 4913
class Thing:
    expected = 4913
    _hidden = 4913
    def method(self): return secret
thing = Thing()
got = answer(lambda: secret, thing)
assert "4913" not in got, got
assert thing.expected == 4913
"""
    verdict = box.run(program, tests)
    assert verdict.passed, verdict
