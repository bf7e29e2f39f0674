"""YAML from a person or a stranger, read within limits.

A few lines of YAML may expand to gigabytes: an alias repeats its anchor's value. So the text is scanned before any
value is built, and refused if it would be too large or too deep when expanded.
"""

from pathlib import Path
from typing import Any

from components.errors import shortened
from components.files import read_text

MOST_BYTES = 2_000_000  # of a file; reading so many takes seconds
MOST_WEIGHT = 4_000_000  # characters and nodes of a text with its aliases expanded
NODE = 8  # weight of a node besides its characters
DEEPEST = 50  # maximum nesting of lists and mappings


class NotYaml(ValueError):
    """A text that is not usable YAML; says why in one line."""


def read(path: Path) -> Any:
    """The value in a YAML file.

    Raises:
        OSError: it cannot be opened, or is not a file.
        ValueError: it is too large, not UTF-8, or `NotYaml`.
    """
    return parse(read_text(path, MOST_BYTES))


def parse(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        NotYaml: it is not YAML, or too large or too deep with its aliases expanded.
    """
    from ruamel.yaml import YAML

    try:
        _weigh(YAML(typ="safe").parse(text))
        return YAML(typ="safe").load(text)
    except NotYaml:
        raise
    except Exception as error:  # noqa: BLE001 - of a date that does not exist, or too many digits, the library raises anything
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        said = getattr(error, "problem", None) or f"{type(error).__name__}: {error}"
        raise NotYaml(shortened(str(said)) + where) from None


def _weigh(events: Any) -> None:
    """Refuse a text that is too heavy or too deep, an alias weighing as much as its anchor."""
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent

    weights: dict[str | None, int] = {}  # by anchor
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and what weighed before it
    total = 0
    for event in events:
        if isinstance(event, AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_nodes):
                raise NotYaml(f"the alias *{shortened(event.anchor, 40)} is contained in its own value")
            total += weights.get(event.anchor, 0)
        elif isinstance(event, ScalarEvent):
            total += NODE + len(event.value)
            weights[event.anchor] = NODE + len(event.value)
        elif isinstance(event, CollectionStartEvent):
            open_nodes.append((event.anchor, total))
            total += NODE
        elif isinstance(event, CollectionEndEvent):
            anchor, before = open_nodes.pop()
            weights[anchor] = total - before
        if len(open_nodes) > DEEPEST:
            raise NotYaml(f"nests lists or mappings more than {DEEPEST} deep")
        if total > MOST_WEIGHT:
            raise NotYaml(f"is too large; it may hold about {MOST_WEIGHT:,} characters with its aliases written out")
