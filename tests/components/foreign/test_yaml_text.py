"""YAML from strangers: what it says is read, what explodes is refused in one short line, within seconds."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.foreign import yaml_text
from components.foreign.yaml_text import NotYaml, parse


def laughs(levels: int, width: int = 9, start: str = "lol") -> str:
    """A billion laughs, where `levels` is 9: each level holds the one before `width` times."""
    lines = [f"a0: &a0 {start}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels + 1)]
    return "\n".join(lines)


def merges(levels: int) -> str:
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], k{n}: v}}" for n in range(1, levels + 1)]
    return "\n".join(lines)


BOMBS = {
    "lists": (laughs(9), "too large"),
    "strings": (laughs(2, 100, "x" * 100_000), "too large"),
    "merged mappings": (merges(9), "too large"),
    "a list in itself": ("a: &a [*a]", "is contained in"),
    "a mapping in itself": ("a: &a {b: {<<: *a}}", "is contained in"),
    "deep lists": ("[" * 100_000 + "]" * 100_000, "deep"),
    "deep mappings": ("{a: " * 100_000, "deep"),
    "deep blocks": ("- " * 100_000 + "x", "deep"),
    "many nodes": ("a: [" + "x, " * 600_000 + "]", "too large"),
    "a huge number": ("seed: " + "9" * 1_000_000, "digits"),
    "a key twice": ("a: 1\na: 2", "duplicate key"),
    "a huge key twice": (f"{'k' * 1_000}: 1\n{'k' * 1_000}: 2", "duplicate key"),
    "no such day": ("a: 2001-99-99", "ValueError"),
    "an empty number": ("a: !!int ''", "IndexError"),
    "code": ("a: !!python/object/apply:os.system [id]", "could not determine a constructor"),
    "no list's end": ("a: [", "line 2, column 1"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_a_line_within_seconds(name: str) -> None:
    text, words = BOMBS[name]
    started = time.process_time()
    with pytest.raises(NotYaml, match=words) as refused:
        parse(text)
    assert time.process_time() - started < 3
    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)


def test_an_alias_that_does_not_explode_is_read() -> None:
    assert parse("a: &a {b: 1}\nc: *a\nd: {<<: *a, e: 2}") == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}


@given(st.recursive(st.integers() | st.text("ab", max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=9))
def test_a_text_without_aliases_is_read_as_it_is(value: object) -> None:
    assert parse(f"a: {value!r}") == {"a": value}


@pytest.mark.parametrize("name", ["pipe", "folder", "large", "device", "socket"])
def test_what_is_not_a_text_file_is_refused(name: str, hostile_places: dict[str, Path]) -> None:
    started = time.process_time()
    with pytest.raises((OSError, ValueError)):
        yaml_text.read(hostile_places[name])
    assert time.process_time() - started < 1
