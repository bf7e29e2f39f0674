"""Values travel between processes as what they are; what arrives can only be a value or be refused."""

import datetime
import decimal
import fractions
import json
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.sandbox.values import Decoder, Encoder, Unlendable

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary()
    | st.characters(categories=["Cs"]) | st.decimals(allow_nan=False) | st.fractions() | st.dates() | st.times() | st.datetimes()
    | st.datetimes(timezones=st.timezones().map(lambda _: datetime.UTC)) | st.timedeltas()
    | st.integers(10**300, 10**301) | st.just(...) | st.sampled_from([int, str, list, type(None), Counter])
)  # fmt: skip
HASHABLE = st.recursive(SCALARS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(HASHABLE, inner, max_size=4)
        | st.sets(HASHABLE, max_size=4)
        | st.lists(inner, max_size=3).map(lambda v: deque(v, 5))
        | st.dictionaries(HASHABLE, inner, max_size=3).map(OrderedDict)
        | st.dictionaries(HASHABLE, inner, max_size=3).map(lambda v: defaultdict(None, v))
        | st.lists(HASHABLE, max_size=3).map(Counter)
        | st.binary().map(bytearray)
        | st.tuples(st.integers(-9, 9), st.integers(-9, 9)).map(lambda v: range(*v))
    ),
    max_leaves=12,
)


def refuse(value: Any) -> Any:
    raise Unlendable(type(value).__name__)


def travel(value: Any) -> Any:
    encoder = Encoder(refuse)
    token = encoder.encode(value)
    token, table = json.loads(json.dumps([token, encoder.table]))
    return Decoder(table, refuse).decode(token)


def same(a: Any, b: Any) -> bool:
    """Equal in type, structure and text: NaN and the sign of zero count."""
    return type(a) is type(b) and repr(a) == repr(b)


def text_of(value: Any) -> str:
    """The text of a hashable value, the members of sets in one order: their own is open."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__}({sorted(map(text_of, value))})"
    return f"({', '.join(map(text_of, value))})" if isinstance(value, tuple) else repr(value)


@given(VALUES)
def test_a_value_arrives_as_it_left(value: Any) -> None:
    arrived = travel(value)
    if isinstance(value, set | frozenset):
        assert text_of(arrived) == text_of(value)
    elif "{" not in repr(value):  # the order of sets within is open
        assert same(arrived, value)
    assert type(arrived) is type(value)


@given(st.lists(st.lists(st.integers(), max_size=3), max_size=3))
def test_changes_travel_back_into_the_same_objects(value: list[list[int]]) -> None:
    sent = Encoder(refuse)
    sent.encode(value)
    there = Decoder(json.loads(json.dumps(sent.table)), refuse)
    copy = there.objects[0]
    for inner in copy:
        inner.append(7)
    copy.reverse()
    copy.append([8])
    back = Encoder(refuse, there.objects)
    changes = [[place, back.contents(v)] for place, v in enumerate(there.objects)]
    before, expected = list(value), [*([*v, 7] for v in reversed(value)), [8]]
    here = Decoder(json.loads(json.dumps(back.table)), refuse, sent.objects)
    here.update(json.loads(json.dumps(changes)))
    assert value == expected
    assert all(any(v is old for old in before) for v in value[:-1])


def test_cycles_and_sharing() -> None:
    value: list[Any] = [1]
    value += [value, {"self": value}]
    arrived = travel((value, value))
    assert arrived[0] is arrived[1] is arrived[0][1] is arrived[0][2]["self"]


class Any_(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


@pytest.mark.parametrize(
    "value", [Any_(1), object(), len, lambda: 1, iter([]), type("T", (), {})], ids=lambda value: type(value).__name__
)
def test_what_is_not_plain_does_not_travel_as_plain(value: Any) -> None:
    with pytest.raises(Unlendable):
        travel([value])


MALFORMED = [
    [], ["no such tag"], ["at", 5], ["at", "x"], ["at", None], ["int", "zz"], ["int", 5], ["type", "os"], ["type", "eval"],
    ["bytes", "zz"], ["Decimal", "x"], ["Fraction", 1, 0], ["date", "x"], ["range", 1, 2, 0], ["constant", "exit"],
    ["tuple", ["at", 9]], {"a": 1}, ["datetime", "2020-01-01", "x", 0], ["complex", "__import__('os')", 0], ["timedelta", 1e300, 0, 0],
    ["frozenset", ["at", 0]],
]  # fmt: skip


@pytest.mark.parametrize("token", MALFORMED, ids=repr)
def test_malformed_tokens_are_refused(token: Any) -> None:
    with pytest.raises((Exception, Unlendable)):
        Decoder([["list", None, []]], refuse).decode(token)


@pytest.mark.parametrize(
    "contents", [["tuple", None, []], ["list", None, 5], ["dict", None, [[1]]], ["deque", "x", []], ["bytearray", None, "z"], 5, [], ["dict", None, [[["at", 0], 1]]]], ids=repr
)  # fmt: skip
def test_malformed_tables_are_refused(contents: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Decoder([contents], refuse)


def test_a_change_keeps_the_type() -> None:
    decoder = Decoder([["list", None, []]], refuse)
    with pytest.raises(TypeError):
        decoder.update([[0, ["dict", None, []]]])


def test_the_same_decimal_and_fraction() -> None:
    for value in (decimal.Decimal("1.10"), decimal.Decimal("sNaN"), fractions.Fraction(-1, 3)):
        assert same(travel(value), value)
