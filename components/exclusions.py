"""Names documents to leave out, such as `source=notes/2019` or `document=` and an id, and finds them.

`ingestion.exclude` applies them before anything else sees a document. The study of counterfactuals also leaves out kinds of
text and families of exercises. Several rules are one item of that study, `family=planets+family=seasons`, in which
everything but letters, digits and a few marks is written as %XX, so that it can stand in commands and file names.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

FAMILIES = "families"  # in the metadata of exercises: the family of each of its questions
LIBRARY = "python:"  # begins the sources of Python's own library
MOST = 180  # maximum characters of an item, which becomes the name of a file
SEPARATORS = "/:#?"  # after a source; a dot too in the library
IN_DATA = ("document", "source", "license")
KINDS = "web|prose|code|textbook|exercise"  # importing components.documents would make every command slower
FIELDS = (*IN_DATA, "kind", "family")
_FORMS = {"document": re.compile("[0-9a-f]{32}"), "kind": re.compile(KINDS), "family": re.compile("[a-z0-9_]+")}
_EXPECTED = {
    "document": "an id of 32 hex digits",
    "kind": f"one of {KINDS.replace('|', ', ')}",
    "family": "the name of a family of exercises",
}


@dataclass(frozen=True, order=True)
class Exclusion:
    """One rule: documents whose `field` is `value`.

    A `document` is meant with all parts of the text that it belongs to, a `source` with everything inside it, and a source
    of ingestion.sources with all its documents.
    """

    field: str
    value: str

    def __str__(self) -> str:
        return f"{self.field}={self.value}"

    def matches(self, id: str, source: str, license: str, kind: str, metadata: Mapping[str, Any]) -> bool:
        """Whether it names this document, which may be raw, curated, or written from one of those."""
        if self.field == "document":
            part = metadata.get("part_of")
            whole = part.get("document") if isinstance(part, dict) else None
            return self.value in (id, whole, metadata.get("raw_id"))
        if self.field == "source":
            return self.names(source)
        if self.field == "license":
            return license.casefold() == self.value.casefold()
        return self.field == "kind" and kind == self.value

    def names(self, source: str) -> bool:
        """Whether a source is this one, or inside it."""
        prefix = self.value.rstrip("/")
        below = inside(self.value)
        return source in (self.value, prefix) or (source.startswith(prefix) and source[len(prefix)] in below)


def inside(source: str) -> str:
    """The characters that, after a source, begin something inside it."""
    return SEPARATORS + ("." if source.startswith(LIBRARY) else "")


def parse(text: str, fields: Iterable[str] = FIELDS) -> Exclusion:
    """Read a rule.

    Raises:
        ValueError: the rule has another form; the message says which is expected.
    """
    field, equals, value = text.partition("=")
    if not equals or field not in fields or not value:
        raise ValueError(
            f"{text!r} names no documents; expected {', '.join(f'{name}=...' for name in fields)}: correct it"
        )
    if (form := _FORMS.get(field)) and not form.fullmatch(value):
        raise ValueError(f"{text!r}: expected {field}= with {_EXPECTED[field]}; correct it")
    return Exclusion(field, value)


def item_of(rules: Iterable[Exclusion]) -> str:
    """The rules as one item, in a fixed order.

    Raises:
        ValueError: it would be too long for the name of a file.
    """
    item = "+".join(f"{rule.field}={quote(rule.value, safe='')}" for rule in sorted(set(rules)))
    if len(item) > MOST:
        raise ValueError(
            f"the rules take {len(item)} characters ({item[:60]}...); expected at most {MOST}; leave out fewer at once"
        )
    return item


def rules_of(item: str) -> list[Exclusion]:
    """The rules of an item.

    Raises:
        ValueError: it is not what `item_of` writes.
    """
    rules = [parse(unquote(part)) for part in item.split("+")]
    if item_of(rules) != item:
        raise ValueError(f"{item!r} is not written as expected; expected {item_of(rules)!r}: correct it")
    return rules


def excluded(rules: Iterable[Exclusion], row: Mapping[str, Any]) -> bool:
    """Whether a rule names a row of a document set, whose metadata may still be JSON."""
    metadata = row["metadata"]
    known = json.loads(metadata) if isinstance(metadata, str) else metadata
    return any(rule.matches(row["id"], row["source"], row["license"], row["kind"], known) for rule in rules)
