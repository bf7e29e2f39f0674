"""Read YAML from a person or from outside within limits.

A few lines of YAML may expand to gigabytes, because an alias repeats its anchor's value. So the text is scanned before any
value is built, and refused if its expansion would be too large or too deep.
"""

from pathlib import Path
from typing import Any

from components.errors import shortened
from components.files import read_text

MOST_BYTES = 2_000_000  # of a file; reading it takes seconds
MOST_WEIGHT = 4_000_000  # characters and nodes of a text with expanded aliases
NODE = 8  # weight of a node without its characters
DEEPEST = 50  # maximum nesting of lists and mappings


class NotYaml(ValueError):
    """A text that is not usable YAML; the message is one line."""


def read(path: Path) -> Any:
    """The value in a YAML file.

    Raises:
        OSError: the file cannot be opened, or is not a regular file.
        ValueError: the file is too large or not UTF-8, or `NotYaml`.
    """
    return parse(read_text(path, MOST_BYTES))


def parse(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        NotYaml: the text is not YAML, or is too large or too deep with expanded aliases.
    """
    from ruamel.yaml import YAML

    try:
        _weigh(YAML(typ="safe").parse(text))
        return YAML(typ="safe").load(text)
    except NotYaml:
        raise
    except Exception as error:  # noqa: BLE001 - for an impossible date or too many digits, the library raises various errors
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        problem = getattr(error, "problem", None) or f"{type(error).__name__}: {error}"
        raise NotYaml(shortened(str(problem)) + where) from None


def _weigh(events: Any) -> None:
    """Refuse a text that is too heavy or too deep; an alias weighs as much as its anchor."""
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent

    weights: dict[str | None, int] = {}  # by anchor
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and the weight before it
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
            raise NotYaml(f"is too large; with expanded aliases it may have about {MOST_WEIGHT:,} characters")
