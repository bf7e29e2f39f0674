"""A JSON schema of overrides: every dotted key of params.yaml with its type, range and meaning.

A server that starts runs uses it to refuse an unknown key or a wrong type, and a form can be generated from it. Only
`check_params` also checks how parameters depend on each other, which a schema cannot express.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from components.params.load import Params

Schema = dict[str, Any]
LEFT_OUT = ("$defs", "default", "title")  # a form that fills in defaults would override every parameter
ANY_NAME = "*"


@cache
def overrides_schema() -> Schema:
    """The schema of a mapping from dotted keys to values. A section's own key takes all of its values at once."""
    whole = Params.model_json_schema()
    found = dict(_walk(_resolved(whole, whole["$defs"]), ""))
    sections = [re.escape(key) for key, value in found.items() if "properties" in value]
    patterns = {f"^({'|'.join(sections)})$": {"type": "object"}}
    properties: Schema = {}
    for key, value in found.items():
        if key.endswith(ANY_NAME):
            patterns[f"^{re.escape(key.removesuffix(ANY_NAME))}.+$"] = value
        elif "properties" not in value:
            properties[key] = {"title": key} | value
    return {
        "type": "object",
        "properties": properties,
        "patternProperties": patterns,
        "additionalProperties": False,
    }


def _walk(section: Schema, prefix: str) -> Iterator[tuple[str, Schema]]:
    """Each key below a section and its schema. The last part of a key is ANY_NAME in a mapping with free names."""
    for name, value in section["properties"].items():
        key = f"{prefix}{name}"
        yield key, value
        if "properties" in value:
            yield from _walk(value, f"{key}.")
        elif held := value.get("additionalProperties"):
            schema = {} if held is True else held
            for item in value.get("propertyNames", {}).get("enum", [ANY_NAME]):
                yield f"{key}.{item}", schema | {"description": f"Entry {item} of {key}"}


def _resolved(schema: Any, definitions: Mapping[str, Schema]) -> Any:
    """A schema in which each reference is replaced by its target, without the keys in LEFT_OUT."""
    if isinstance(schema, list):
        return [_resolved(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        own = {key: value for key, value in schema.items() if key != "$ref"}
        return _resolved(definitions[schema["$ref"].rpartition("/")[2]] | own, definitions)
    if schema.get("type") == "boolean":
        # A choice instead of a boolean, since a form would show a switch and send false if nobody touched it.
        schema = schema | {"enum": [True, False]}
    if "enum" in schema:  # the choices have their types
        schema = {key: value for key, value in schema.items() if key != "type"}
    found = {
        key: _resolved(value, definitions) for key, value in schema.items() if key not in (*LEFT_OUT, "properties")
    }
    if "properties" in schema:  # parameter names, which may include `title`
        found["properties"] = {name: _resolved(value, definitions) for name, value in schema["properties"].items()}
    return found
