"""The program's process: run its source, then answer the tests' process.

Nothing here is trusted after the program has started, because it can change everything here. But it can only change its
own answers: the correct answers and the verdict are in the tests' process.
"""

import atexit
import errno
import io
import json
import linecache
import operator
import os
import sys
import threading
import types
from typing import Any

from components.sandbox.peer import Ended, Peer, Reference

PASSED, REPORTED, PROGRAM_ENDED = 42, 43, 44  # exit statuses of a script or of the tests' process
ERROR_LENGTH = 1000
# Functions for after the program started, stored now in case the program replaces them by accident.
_exit, _write = os._exit, os.write


def run_script(source: bytes, result: int) -> None:
    """Run a program without tests; write the outcome to the file `result`, and end the process."""
    try:
        _execute(source, "__main__")
        threading._shutdown()  # type: ignore[attr-defined]  # waits for its threads, like the interpreter
        atexit._run_exitfuncs()
        sys.stdout.flush()
    except SystemExit:
        _flush()
        _report(result, "exited", "the program called sys.exit")
        _exit(REPORTED)
    except BaseException as error:  # noqa: BLE001 - any exception of the program is its result
        _flush()
        _report(result, classify(error), describe(error))
        _exit(REPORTED)
    _exit(PASSED)


def serve_tests(source: bytes, channel: int) -> None:
    """Run a program as a module and answer its tests until they end."""
    peer = Peer(channel, _perform, lambda value: True, Borrowed)
    try:
        _execute(source, "__program__")
        _flush()
        failure = ["ready", sorted(name for name in _SPACE if isinstance(name, str))]
    except BaseException as error:  # noqa: BLE001 - any exception of the program is its result
        _flush()
        outcome = "exited" if isinstance(error, SystemExit) else classify(error)
        failure = ["failed", outcome, describe(error)]
    try:
        peer._send(failure)
        if failure[0] == "ready":
            peer.serve()
    except Ended:
        pass
    _exit(0)


def classify(error: BaseException) -> str:
    """The outcome of an exception."""
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, OSError):
        return _OUTCOMES.get(error.errno or 0, "failed")
    return "failed"


def describe(error: BaseException) -> str:
    """One line: type, message, and the line of the program or the tests where it was raised."""
    try:
        text = str(error)
    except Exception as second:  # noqa: BLE001 - the text of the exception fails
        text = f"(no text: {type(second).__name__})"
    where, trace = "", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name in ("<program>", "<tests>"):
            where = f" ({name[1:-1]}, line {trace.tb_lineno})"
        trace = trace.tb_next
    line = " ".join(f"{type(error).__name__}: {text[:ERROR_LENGTH]}".split())
    return line.rstrip(": ") + where


_OUTCOMES = {
    **dict.fromkeys((errno.EPERM, errno.EACCES, errno.EROFS), "forbidden"),
    **dict.fromkeys((errno.EFBIG, errno.ENOSPC, errno.EDQUOT), "output"),
    errno.ENOMEM: "memory",
}
_SPACE: dict[str, Any] = {}


def _execute(source: bytes, name: str) -> None:
    text = source.decode("utf-8", "surrogatepass")
    module = types.ModuleType(name)
    global _SPACE
    _SPACE = vars(module)
    sys.modules[name] = module
    # For tracebacks and inspect.
    linecache.cache["<program>"] = (len(text), None, io.StringIO(text).readlines(), "<program>")
    exec(compile(text, "<program>", "exec", dont_inherit=True), _SPACE)


def _flush() -> None:
    try:
        sys.stdout.flush()
    except Exception as error:  # noqa: BLE001 - the program closed or replaced it, or wrote too much
        del error


def _report(result: int, outcome: str, error: str) -> None:
    _write(result, json.dumps({"outcome": outcome, "error": error}).encode())


class Borrowed(Reference):
    """An object that the tests lent: a function, an iterator or an instance of one of their classes."""

    __slots__ = ()

    def __len__(self) -> int:
        return self._peer.ask("len", self)

    def __getitem__(self, key: Any) -> Any:
        return self._peer.ask("getitem", self, key)

    def __bool__(self) -> bool:
        return self._peer.ask("bool", self)


def next_of(iterator: Any) -> tuple[bool, Any]:
    """(True, the next item) or (False, None) at the end, because StopIteration is not sent."""
    try:
        return True, next(iterator)
    except StopIteration:
        return False, None


def _plain(value: Any) -> Any:
    """The builtin value of an instance of a subclass; NotImplemented for other objects."""
    if isinstance(value, str):
        return str.__str__(value)
    kinds: tuple[type[Any], ...] = (bool, int, float, complex, bytes, tuple, list, dict, set, frozenset)
    for kind in kinds:
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, type({}.keys()) | type({}.items())):
        return set(value)
    return NotImplemented


_OPERATIONS: dict[str, Any] = {
    "name": lambda name: _SPACE[name],
    "call": lambda target, args, kwargs: target(*args, **kwargs),
    "getattr": getattr,
    "setattr": setattr,
    "delattr": delattr,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "len": len,
    "iter": iter,
    "reversed": reversed,
    "next": next_of,
    "bool": bool,
    "str": str,
    "repr": repr,
    "format": format,
    "dir": dir,
    "hash": hash,
    "int": int,
    "float": float,
    "complex": complex,
    "index": operator.index,
    "isinstance": isinstance,
    "issubclass": issubclass,
    "plain": _plain,
    "enter": lambda target: type(target).__enter__(target),
    "exit": lambda target, *error: type(target).__exit__(target, *error),
}
_OPERATIONS |= {
    name: getattr(operator, name)
    for name in (
        *("eq", "ne", "lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"),
        *("and_", "or_", "xor", "lshift", "rshift", "neg", "pos", "abs", "invert"),
    )
}


def _perform(operation: str, operands: list[Any]) -> Any:
    try:
        return _OPERATIONS[operation](*operands)
    finally:
        _flush()
