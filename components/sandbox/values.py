"""Values as JSON, between a program and its tests.

A received value cannot run code, and is of the type of its tag; an object that claims to equal everything is only a
reference. Plain values are copied: the builtin types, and the standard library's collections, Decimal, Fraction and
datetime. Mutable values are in a table, once each, and other values refer to it, so that sharing and cycles survive. After
a call, changed values are sent back and changed in place at the caller.

Other objects (functions, iterators, instances) stay in their process; the other side gets a reference.
"""

import collections
import datetime
import decimal
import fractions
import math
import operator
from collections.abc import Callable
from typing import Any

Token = Any  # JSON: a scalar, or [tag, ...]


class Unreadable(BaseException):
    """The received data is not a message. Not an Exception, so that tests do not treat it as one of the program."""


class Unlendable(TypeError):
    """A value that must not leave its process."""


_MUTABLE: tuple[type[Any], ...] = (
    *(list, dict, set, bytearray),
    *(collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque),
)
_MUTABLE_TAGS = {kind: kind.__name__ for kind in _MUTABLE}
_MAPPINGS = ("dict", "Counter", "OrderedDict", "defaultdict")
_SCALARS = (type(None), bool, str)
_SMALL = 1 << 62

# Classes that are the same on both sides. They are data types, so a program gains nothing by claiming one as an answer.
_TYPES = {
    kind.__name__: kind
    for kind in (
        *(bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, slice, object),
        *(collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque),
        *(decimal.Decimal, fractions.Fraction),
        *(datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone),
    )
}
_TYPES["NoneType"] = type(None)
_TYPE_NAMES = {kind: name for name, kind in _TYPES.items()}
_CONSTANTS = {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}

# Types that are sent as the text or numbers for a constructor.
_REBUILT: dict[str, tuple[type, Callable[[Any], tuple], Callable[..., Any]]] = {
    "complex": (complex, lambda v: (v.real, v.imag), complex),
    "range": (range, lambda v: (v.start, v.stop, v.step), range),
    "slice": (slice, lambda v: (v.start, v.stop, v.step), slice),
    "bytes": (bytes, lambda v: (v.hex(),), bytes.fromhex),
    "Decimal": (decimal.Decimal, lambda v: (str(v),), decimal.Decimal),
    "Fraction": (fractions.Fraction, lambda v: (v.numerator, v.denominator), fractions.Fraction),
    "date": (datetime.date, lambda v: (v.isoformat(),), datetime.date.fromisoformat),
    "timedelta": (datetime.timedelta, lambda v: (v.days, v.seconds, v.microseconds), datetime.timedelta),
    "datetime": (
        datetime.datetime,
        lambda v: (_no_zone(v).isoformat(), v.utcoffset(), v.fold),
        lambda text, offset, fold: _with_zone(datetime.datetime.fromisoformat(text), offset, fold),
    ),
    "time": (
        datetime.time,
        lambda v: (_no_zone(v).isoformat(), v.utcoffset(), v.fold),
        lambda text, offset, fold: _with_zone(datetime.time.fromisoformat(text), offset, fold),
    ),
}
_REBUILT_TAGS = {kind: (tag, take) for tag, (kind, take, _) in _REBUILT.items()}


def _no_zone(moment: Any) -> Any:
    return moment.replace(tzinfo=None)


def _with_zone(moment: Any, offset: datetime.timedelta | None, fold: int) -> Any:
    return moment.replace(tzinfo=None if offset is None else datetime.timezone(offset), fold=fold)


class Encoder:
    """Turns values into tokens; `table` has the mutable values among them, once each.

    `known` are mutable values that the other side already has, in its order. `refer` makes the token of a value that cannot
    be copied, or raises Unlendable.
    """

    def __init__(self, refer: Callable[[Any], Token], known: list[Any] | None = None) -> None:
        self._refer = refer
        self.objects: list[Any] = list(known or [])
        self.table: list[Token] = []
        self._places = {id(value): place for place, value in enumerate(self.objects)}

    def encode(self, value: Any) -> Token:
        kind = type(value)
        if kind in _SCALARS or (kind is float and math.isfinite(value)):
            return value
        if kind is int:
            return value if -_SMALL < value < _SMALL else ["int", hex(value)]
        if kind is float:
            return ["float", repr(value)]
        if kind is tuple or kind is frozenset:
            return [kind.__name__, *map(self.encode, value)]
        if kind in _MUTABLE_TAGS:
            return ["at", self._place(value)]
        if kind in _REBUILT_TAGS:
            tag, take = _REBUILT_TAGS[kind]
            return [tag, *map(self.encode, take(value))]
        if kind is type and value in _TYPE_NAMES:
            return ["type", _TYPE_NAMES[value]]
        if value is Ellipsis or value is NotImplemented:
            return ["constant", repr(value)]
        return self._refer(value)

    def contents(self, value: Any) -> Token:
        """The current content of a mutable value: [tag, extra, items]."""
        tag = _MUTABLE_TAGS[type(value)]
        if tag == "bytearray":
            return [tag, None, value.hex()]
        if tag in _MAPPINGS:
            return [tag, None, [[self.encode(k), self.encode(v)] for k, v in list(value.items())]]
        return [tag, getattr(value, "maxlen", None), [self.encode(item) for item in list(value)]]

    def _place(self, value: Any) -> int:
        place = self._places.get(id(value))
        if place is None:
            place = self._places[id(value)] = len(self.objects)
            self.objects.append(value)
            slot = len(self.table)
            self.table.append(None)
            self.table[slot] = self.contents(value)
        return place


class Decoder:
    """Turns tokens into values. `resolve` makes a value of a reference.

    A malformed token may raise any exception; the peer turns it into Unreadable."""

    def __init__(self, table: list[Token], resolve: Callable[[Token], Any], known: list[Any] | None = None) -> None:
        self._resolve = resolve
        self.objects: list[Any] = list(known or [])
        first = len(self.objects)
        self.objects += [self._empty(contents) for contents in table]
        for value, contents in zip(self.objects[first:], table, strict=True):
            self._fill(value, contents)

    def update(self, changes: list[tuple[int, Token]]) -> None:
        """Change the contents of known values in place."""
        for place, contents in changes:
            value = self.objects[place]
            if not isinstance(contents, list) or contents[0] != _MUTABLE_TAGS.get(type(value)):
                raise TypeError("a value cannot change its type")
            value.clear()
            self._fill(value, contents)

    def decode(self, token: Token) -> Any:
        if type(token) is not list:
            if token is None or type(token) in (bool, int, float, str):
                return token
            raise TypeError(f"{type(token).__name__} is not a token")
        tag, *rest = token
        if tag == "at":
            return self.objects[operator.index(rest[0])]
        if tag == "tuple":
            return tuple(map(self.decode, rest))
        if tag == "frozenset":
            return frozenset(map(self.decode, rest))
        if tag == "int":
            return int(rest[0], 16)
        if tag == "float":
            return float(rest[0])
        if tag in _REBUILT:
            return _REBUILT[tag][2](*map(self.decode, rest))
        if tag == "type":
            return _TYPES[rest[0]]
        if tag == "constant":
            return _CONSTANTS[rest[0]]
        return self._resolve(token)

    @staticmethod
    def _empty(contents: Token) -> Any:
        tag, extra, _ = contents
        for kind in _MUTABLE:
            if kind.__name__ == tag:
                return kind(maxlen=extra) if kind is collections.deque else kind()
        raise TypeError(f"no mutable type {tag!r}")

    def _fill(self, value: Any, contents: Token) -> None:
        tag, _, items = contents
        if tag == "bytearray":
            value += bytes.fromhex(items)
        elif tag in _MAPPINGS:
            for k, v in items:
                value[self.decode(k)] = self.decode(v)
        elif tag == "set":
            value.update(map(self.decode, items))
        else:
            value.extend(map(self.decode, items))
