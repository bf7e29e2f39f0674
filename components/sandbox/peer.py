"""Requests between two processes: the tests' process asks the program to call its functions, and may be called back.

A message is a length (4 bytes) and JSON. The answer to `["ask", operation, operands, table]` is
`["give", value, changes, table]` or `["raise", class, arguments, changes, table]`; before it answers, the other side may
ask too. Objects that a side lends are in its list `lent`; the other side refers to them by index.
"""

import json
import operator
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from components.sandbox.values import Decoder, Encoder, Token, Unlendable, Unreadable

MESSAGE_BYTES = 64 << 20


class Ended(BaseException):
    """The other side has ended. Not an Exception, so that tests do not catch it by accident."""


# Exceptions that keep their class in a message. StopIteration and StopAsyncIteration would end a loop in the tests instead
# of failing them, and SystemExit would end the tests.
_LOOP_ENDS = {"StopIteration", "StopAsyncIteration"}
_EXCEPTIONS = {
    name: kind
    for name, kind in vars(__import__("builtins")).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and name not in _LOOP_ENDS
}


@contextmanager
def _reading() -> Iterator[None]:
    """Turn every fault of a message, except a lack of memory, into Unreadable."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


class Peer:
    """One end of the connection.

    Args:
        descriptor: of the connected socket.
        perform: executes an operation for the other side.
        may_lend: whether the other side may use an object.
        reference: class of the proxies for the other side's objects, called with (peer, place).
    """

    def __init__(
        self,
        descriptor: int,
        perform: Callable[[str, list[Any]], Any],
        may_lend: Callable[[Any], bool],
        reference: Callable[["Peer", int], Any],
    ) -> None:
        self._descriptor = descriptor
        self._perform, self._may_lend, self._reference = perform, may_lend, reference
        self.lent: list[Any] = []
        self._places: dict[int, int] = {}
        self._borrowed: dict[int, Any] = {}
        self._classes: dict[int, type[Exception]] = {}
        self._lock = threading.RLock()  # for one request at a time

    def ask(self, operation: str, *operands: Any) -> Any:
        """The other side's answer. Raises the exception of the other side, or Ended if it has ended."""
        with self._lock:
            encoder = Encoder(self._refer)
            tokens = [encoder.encode(operand) for operand in operands]
            self._send(["ask", operation, tokens, encoder.table])
            while True:
                message = self._receive()
                if message[0] != "ask":
                    return self._answered(message, encoder.objects)
                self._answer(message)

    def serve(self) -> None:
        """Answer requests until the other side ends."""
        while True:
            message = self._receive()
            with self._lock:
                self._answer(message)

    def _answered(self, message: list[Any], objects: list[Any]) -> Any:
        with _reading():
            kind, *rest, changes, table = message
            decoder = Decoder(table, self._resolve, objects)
            decoder.update(changes)
            if kind == "give":
                return decoder.decode(rest[0])
            if kind != "raise":
                raise ValueError(f"{kind!r} is not an answer")
            error = self._exception(rest[0], [decoder.decode(token) for token in rest[1]])
        raise error

    def _answer(self, message: list[Any]) -> None:
        with _reading():
            kind, operation, tokens, table = message
            if kind != "ask":
                raise ValueError(f"{kind!r} is not a question")
            decoder = Decoder(table, self._resolve)
            operands = [decoder.decode(token) for token in tokens]
        encoder = Encoder(self._refer, decoder.objects)
        try:
            answer = ["give", encoder.encode(self._perform(operation, operands))]
        except (Ended, Unreadable):
            raise
        except BaseException as error:  # noqa: BLE001 - all exceptions go to the other side's caller
            answer = ["raise", self._refer_exception(type(error)), self._arguments(error, encoder)]
        changes = []
        for place, value in enumerate(decoder.objects):
            contents = encoder.contents(value)
            if contents != table[place]:
                changes.append([place, contents])
        self._send([*answer, changes, encoder.table])

    def _refer(self, value: Any) -> Token:
        if isinstance(value, Reference):
            return ["yours", value._place]
        if isinstance(value, type) and issubclass(value, BaseException):
            return ["exception", self._refer_exception(value)]
        if not self._may_lend(value):
            raise Unlendable(f"an object of type {type(value).__name__} cannot be handed over")
        return ["mine", self._lend(value)]

    def _lend(self, value: Any) -> int:
        place = self._places.get(id(value))
        if place is None:
            place = self._places[id(value)] = len(self.lent)
            self.lent.append(value)
        return place

    def _resolve(self, token: Token) -> Any:
        tag, content = token
        if tag == "exception":
            return self._class(content)
        place = operator.index(content)
        if tag == "mine":
            if place not in self._borrowed:
                self._borrowed[place] = self._reference(self, place)
            return self._borrowed[place]
        if tag == "yours" and 0 <= place < len(self.lent):
            return self.lent[place]
        raise ValueError(f"no reference {token!r}")

    def _refer_exception(self, kind: type[BaseException]) -> Token:
        """[name of the nearest builtin, own name, place], the last two only for classes that are not builtins."""
        if _EXCEPTIONS.get(kind.__name__) is kind:
            return [kind.__name__]
        base = next((k.__name__ for k in kind.__mro__ if _EXCEPTIONS.get(k.__name__) is k), "Exception")
        return [base, kind.__name__, self._lend(kind)]

    def _class(self, token: Token) -> type[Exception]:
        base, *own = token
        if not own:
            return _EXCEPTIONS[base]
        name, place = own
        if place not in self._classes:
            self._classes[place] = type(str(name), (_EXCEPTIONS[base],), {})
        return self._classes[place]

    @staticmethod
    def _arguments(error: BaseException, encoder: Encoder) -> list[Token]:
        try:
            return [encoder.encode(argument) for argument in error.args]
        except Exception:  # noqa: BLE001 - an argument that cannot be sent, unlike its text
            return [str(error)[:1000]]

    def _exception(self, token: Token, arguments: list[Any]) -> Exception:
        kind = self._class(token)
        try:
            return kind(*arguments)
        except TypeError:
            return _EXCEPTIONS["RuntimeError"](f"{kind.__name__}: {arguments}")

    def _send(self, message: list[Any]) -> None:
        data = json.dumps(message).encode()
        if len(data) > MESSAGE_BYTES:
            raise Unlendable(f"a value of {len(data)} bytes as JSON is too large to hand over")
        rest = memoryview(len(data).to_bytes(4, "little") + data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Ended from error

    def _receive(self) -> list[Any]:
        length = int.from_bytes(self._read(4), "little")
        with _reading():
            if length > MESSAGE_BYTES:
                raise ValueError(f"a message of {length} bytes")
            message = json.loads(self._read(length))
            if not isinstance(message, list) or not message:
                raise ValueError("not a message")
            return message

    def _read(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            try:
                part = os.read(self._descriptor, min(length - len(data), 1 << 20))
            except ConnectionResetError as error:
                raise Ended from error
            if not part:
                raise Ended
            data += part
        return bytes(data)


class Reference:
    """Base of both sides' proxies, with the peer that lent the object and the index there."""

    __slots__ = ("_peer", "_place")
    _peer: Peer
    _place: int

    def __init__(self, peer: Peer, place: int) -> None:
        object.__setattr__(self, "_peer", peer)
        object.__setattr__(self, "_place", place)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._peer.ask("call", self, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return self._peer.ask("getattr", self, name)

    def __iter__(self) -> Any:
        return self._peer.ask("iter", self)

    def __next__(self) -> Any:
        found, value = self._peer.ask("next", self)
        if not found:
            raise StopIteration
        return value
