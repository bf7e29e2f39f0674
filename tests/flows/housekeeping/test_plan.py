"""Only what exceeds its limit is removed, and nothing that is needed by what is kept."""

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from components.params import Limit
from flows.housekeeping.plan import DAY, Entry, removable

NOW = 1000 * DAY
KINDS = ("runs", "versions", "experiments", "cache", "remote")


@st.composite
def graphs(draw: st.DrawFn) -> list[Entry]:
    """Entries of several kinds that need each other in any way, circles and keys that nobody has included."""
    keys = [f"key{number}" for number in range(draw(st.integers(1, 12)))]
    entries = []
    for number in range(draw(st.integers(1, 30))):
        entries.append(
            Entry(
                kind=draw(st.sampled_from(KINDS)),
                name=str(number),
                key=draw(st.sampled_from(keys)),
                time=NOW - draw(st.floats(0, 100)) * DAY,
                needs=draw(st.frozensets(st.sampled_from([*keys, "of nobody"]), max_size=4)),
                pinned=draw(st.booleans()),
            )
        )
    return entries


limits = st.dictionaries(st.sampled_from(KINDS), st.builds(Limit, keep=st.integers(0, 5), days=st.floats(0, 120)))


@examples(max_examples=400)
@given(graphs(), limits)
def test_whatever_is_needed_stays(entries: list[Entry], limits: dict[str, Limit]) -> None:
    going = removable(entries, limits, NOW)
    staying = [entry for entry in entries if entry not in going]
    needed = {key for entry in staying for key in entry.needs}
    for entry in going:
        assert not entry.pinned
        assert entry.key not in needed
        if limit := limits.get(entry.kind):
            assert NOW - entry.time >= limit.days * DAY
            newer = [other for other in entries if other.kind == entry.kind and other.time >= entry.time]
            assert len(newer) > limit.keep


@examples(max_examples=400)
@given(graphs(), limits)
def test_nothing_stays_without_a_reason(entries: list[Entry], limits: dict[str, Limit]) -> None:
    """What stays is pinned or within its limit, or a chain of needs leads to it from something that is."""
    going = removable(entries, limits, NOW)
    staying = [entry for entry in entries if entry not in going]
    reached = {entry.key for entry in staying if entry.pinned or _within(entry, entries, limits)}
    while more := {k for e in staying if e.key in reached for k in e.needs} - reached:
        reached |= more
    assert {entry.key for entry in staying} <= reached


def _within(entry: Entry, entries: list[Entry], limits: dict[str, Limit]) -> bool:
    limit = limits.get(entry.kind)
    newest = sorted((e for e in entries if e.kind == entry.kind), key=lambda e: (-e.time, e.name))
    return limit is not None and (NOW - entry.time < limit.days * DAY or entry in newest[: limit.keep])


@pytest.mark.parametrize(
    ("limit", "left"),
    [
        (Limit(keep=0, days=0), ""),
        (Limit(keep=2, days=0), "ab"),
        (Limit(keep=0, days=3.5), "abcd"),
        (Limit(keep=1, days=2.5), "abc"),
    ],
)
def test_age_and_number_each_keep(limit: Limit, left: str) -> None:
    entries = [Entry("runs", name, name, NOW - age * DAY) for age, name in enumerate("abcde")]
    going = removable(entries, {"runs": limit}, NOW)
    assert "".join(entry.name for entry in entries if entry not in going) == left
