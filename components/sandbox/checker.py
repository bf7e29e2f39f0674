"""The tests' process: run the tests, and request from the program's process everything that they use of the program.

The verdict is the exit status of this process, which the program cannot change. Three rules prevent a program from
passing by the behaviour of its objects:

* A name is looked up in the tests, then in the builtins, then (`math.floor`) in the standard modules, and last in the
  program, except for names listed in the job. So a program cannot redefine `abs` or `math` under its tests.
* A comparison or calculation between a program's object and a plain value happens here, with the plain value of the object
  (`class Score(int)`); an object without one is unequal to everything. So an `__eq__` of the program never sees the
  expected value. Two objects of the program are compared by the program, as tests of classes with operators require.
* Membership is decided here, over the program's iterator.
"""

import ast
import builtins
import json
import operator
import os
import sys
import types
from functools import partial
from typing import Any, NoReturn

from components.sandbox.peer import Ended, Peer, Reference
from components.sandbox.program import PASSED, PROGRAM_ENDED, REPORTED, classify, describe, next_of
from components.sandbox.values import Unreadable


def run_tests(source: bytes, names: list[str], channel: int, result: int) -> None:
    """Run the tests and end the process: PASSED, PROGRAM_ENDED, or REPORTED with the reason in the file `result`."""
    peer = _Judge(channel, result)
    status = REPORTED
    try:
        greeting = peer._receive()
        if greeting[0] == "failed":
            _, outcome, error = greeting
            _report(result, str(outcome), str(error))
        else:
            tree = ast.parse(source.decode("utf-8", "surrogatepass"), "<tests>")
            _execute(tree, Names(peer, frozenset(map(str, greeting[1])), frozenset(names), _bases(tree)))
            status = PASSED
    except (Ended, Unreadable) as error:
        peer.give_up(error)
    except SystemExit as end:  # from unittest.main
        status = REPORTED if end.code else PASSED
        _report(result, "failed", f"the tests ended with status {end.code}")
    except BaseException as error:  # noqa: BLE001 - any exception of the tests is the result
        _report(result, classify(error), describe(error))
    os._exit(status)


class _Judge(Peer):
    """The tests' side. If the program has ended, it ends the process, so that an `except` in the tests cannot hide that."""

    def __init__(self, channel: int, result: int) -> None:
        super().__init__(channel, _perform, _may_lend, Remote)
        self._result = result

    def ask(self, operation: str, *operands: Any) -> Any:
        try:
            return super().ask(operation, *operands)
        except (Ended, Unreadable) as error:
            self.give_up(error)

    def give_up(self, error: BaseException) -> NoReturn:
        if isinstance(error, Ended):
            os._exit(PROGRAM_ENDED)
        _report(self._result, "failed", f"the program's answer could not be read: {error}")
        os._exit(REPORTED)


def _bases(tree: ast.AST) -> frozenset[str]:
    """Names with attributes in the tests, as in `math.floor`; only these may be modules."""
    attributes = (node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return frozenset(value.id for value in attributes if isinstance(value, ast.Name))


class Names(dict[str, Any]):
    """The tests' global names; missing ones are requested from the program."""

    def __init__(self, peer: Peer, program: frozenset[str], wanted: frozenset[str], bases: frozenset[str]) -> None:
        super().__init__(__name__="__main__", __builtins__=builtins)
        self._peer, self._program, self._wanted, self._bases = peer, program, wanted, bases

    def __missing__(self, name: str) -> Any:
        if name in self._program and name not in self._wanted:
            if hasattr(builtins, name):
                raise KeyError(name)
            if name in self._bases and name in sys.stdlib_module_names:
                return __import__(name)
        if name in self._program:
            return self._peer.ask("name", name)
        raise KeyError(name)


def _execute(tree: ast.Module, space: Names) -> None:
    sys.modules["__main__"] = _Module(space)
    exec(compile(tree, "<tests>", "exec", dont_inherit=True), space)
    _run_test_cases(space)


class _Module(types.ModuleType):
    """The tests as a module, for unittest.main."""

    def __init__(self, space: Names) -> None:
        super().__init__("__main__")
        self._space = space

    def __getattr__(self, name: str) -> Any:
        try:
            return self._space[name]
        except KeyError as error:
            raise AttributeError(name) from error

    def __dir__(self) -> list[str]:
        return list(self._space)


def _run_test_cases(space: Names) -> None:
    """Run the test cases, which would pass if they did not run."""
    unittest = sys.modules.get("unittest")
    if unittest is None:
        return
    cases = [
        value
        for value in list(space.values())
        if isinstance(value, type) and issubclass(value, unittest.TestCase) and value.__module__ == "__main__"
    ]
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(case) for case in cases)
    outcome = unittest.TestResult()
    suite.run(outcome)
    for case, trace in outcome.errors + outcome.failures:
        raise AssertionError(f"{case}: {trace.strip().splitlines()[-1]}")


def _report(result: int, outcome: str, error: str) -> None:
    os.write(result, json.dumps({"outcome": outcome, "error": error[:2000]}).encode())


_CALLABLE = (
    *(types.FunctionType, types.BuiltinFunctionType, types.MethodType, partial),
    *(operator.itemgetter, operator.attrgetter, operator.methodcaller),
)


def _of_the_tests(value: Any) -> bool:
    return type(value).__module__ == "__main__" or (isinstance(value, type) and value.__module__ == "__main__")


def _may_lend(value: Any) -> bool:
    """Whether the program may use an object: a function, an iterator, a class of the tests or its instance."""
    iterator = hasattr(type(value), "__next__") and hasattr(type(value), "__iter__")
    return isinstance(value, _CALLABLE) or iterator or _of_the_tests(value)


def _get_public(target: Any, name: str) -> Any:
    if not _of_the_tests(target) or name.startswith("_"):
        raise AttributeError(f"{type(target).__name__!r} object of the tests does not lend the attribute {name!r}")
    return getattr(target, name)


_OPERATIONS: dict[str, Any] = {
    "call": lambda target, args, kwargs: target(*args, **kwargs),
    "getattr": _get_public,
    "iter": iter,
    "next": next_of,
    "len": len,
    "getitem": operator.getitem,
    "bool": bool,
}


def _perform(operation: str, operands: list[Any]) -> Any:
    target = operands[0]
    if operation not in _OPERATIONS or isinstance(target, Remote) or not _may_lend(target):
        raise TypeError("the tests lend no such thing")
    return _OPERATIONS[operation](*operands)


def _asking(operation: str) -> Any:
    return lambda self, *operands: self._peer.ask(operation, self, *operands)


def _deciding(name: str, reflected: bool = False) -> Any:
    """An operator that is computed here or by the program, by the second rule of this module."""
    function = getattr(operator, name)

    def method(self: "Remote", other: Any) -> Any:
        if isinstance(other, Remote):
            return self._peer.ask(name, *((other, self) if reflected else (self, other)))
        value = self._peer.ask("plain", self)
        if value is NotImplemented or isinstance(value, Remote):
            return NotImplemented
        return function(other, value) if reflected else function(value, other)

    return method


class Remote(Reference):
    """Stands for an object of the program."""

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        self._peer.ask("setattr", self, name, value)

    def __contains__(self, item: Any) -> bool:
        return any(item is candidate or item == candidate for candidate in iter(self))

    def __hash__(self) -> int:
        try:
            return hash(self._peer.ask("plain", self))
        except TypeError:
            return hash(("of the program", self._place))

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, Remote) and bool(self._peer.ask("isinstance", instance, self))

    def __subclasscheck__(self, subclass: Any) -> bool:
        return isinstance(subclass, Remote) and bool(self._peer.ask("issubclass", subclass, self))

    def __exit__(self, *error: Any) -> bool:
        return bool(self._peer.ask("exit", self, None, None, None))


for _name in (
    *("delattr", "getitem", "setitem", "delitem", "len", "reversed", "bool", "str", "repr", "format", "dir"),
    *("int", "float", "complex", "index", "neg", "pos", "abs", "invert", "enter"),
):
    setattr(Remote, f"__{_name}__", _asking(_name))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Remote, f"__{_name}__", _deciding(_name))
for _name in (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor", "lshift", "rshift"),
):
    setattr(Remote, f"__{_name.rstrip('_')}__", _deciding(_name))
    setattr(Remote, f"__r{_name.rstrip('_')}__", _deciding(_name, reflected=True))
del _name
