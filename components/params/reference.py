"""Generates the page docs/parameters.md and the comments of params.yaml from the typed parameters.

`python -m components.params.reference` in the project's folder rewrites them; a test checks that they are current.
"""

import json
import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from components.params.load import PARAMS_FILE, Params, range_of

PAGE = Path("docs/parameters.md")
HEAD = """\
# Parameters

Every parameter of `params.yaml`, with its default and the values it accepts. Change one for a single run with
`--set section.key=value`, in the panel under New run, or in the parameters of a deployment. Change it for every run in
`params.yaml`. Unknown keys and values out of range are refused before any work starts.

`python -m components.params.reference` generates this page from `components/params/`.
"""
TABLE = ["| Parameter | Default | Accepts | Effect |", "|---|---|---|---|"]
_LINE = re.compile(r"(?P<key>(?P<indent> *)(?P<name>\w+):.*?)(?: # .*)?")


@dataclass(frozen=True)
class Entry:
    """A parameter, or a section of several.

    Attributes:
        key: the dotted key.
        model: the type of a section, or of each item of a list; None for a plain value.
    """

    key: str
    field: FieldInfo
    default: Any
    model: type[BaseModel] | None

    @property
    def is_section(self) -> bool:
        return isinstance(self.default, BaseModel)


def entries(model: type[BaseModel], defaults: BaseModel | None, prefix: str = "") -> Iterator[Entry]:
    """Every field of a model, each section followed by its own fields.

    Args:
        defaults: the values to show as defaults; None shows each field's own default.
    """
    for name, field in model.model_fields.items():
        default = getattr(defaults, name) if defaults else field.default
        inner = [kind for kind in (field.annotation, *typing.get_args(field.annotation)) if _is_model(kind)]
        entry = Entry(f"{prefix}{name}", field, default, inner[0] if inner else None)
        yield entry
        if entry.is_section and entry.model:
            yield from entries(entry.model, default, f"{entry.key}.")


def page() -> str:
    """The text of docs/parameters.md: one table per section."""
    tables: dict[str, list[str]] = {}
    about: dict[str, str] = {}
    for entry in entries(Params, Params()):
        if entry.is_section:
            tables[entry.key], about[entry.key] = [], _effect(entry)
            continue
        tables.setdefault(entry.key.rpartition(".")[0], []).append(_row(entry))
        if entry.model:
            items = f"Each of {entry.key}"
            tables[items] = [_row(item) for item in entries(entry.model, None)]
    parts = [HEAD]
    for key, rows in tables.items():
        parts.append(f"{'###' if '.' in key else '##'} {key or 'All steps'}\n")
        if about.get(key):
            parts.append(f"{about[key]}.\n")
        if rows:
            parts.append("\n".join([*TABLE, *rows]) + "\n")
    return "\n".join(parts)


def commented(text: str) -> str:
    """A params.yaml in which the comment of each parameter is its description; other lines are unchanged."""
    descriptions = {entry.key: entry.field.description for entry in entries(Params, Params())}
    lines: list[str] = []
    path: list[str] = []
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found:
            path = [*path[: len(found["indent"]) // 2], found["name"]]
        description = found and descriptions.get(".".join(path))
        lines.append(f"{found['key']} # {description}" if found and description else line)
    return "\n".join(lines) + "\n"


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _row(entry: Entry) -> str:
    default = "required" if entry.default is PydanticUndefined else _code(entry.default)
    return f"| `{entry.key.rpartition('.')[2]}` | {default} | {_accepts(entry)} | {_effect(entry)} |"


def _effect(entry: Entry) -> str:
    return (entry.field.description or "").replace("<", "&lt;")


def _accepts(entry: Entry) -> str:
    """The range of a number, or the choices of a word."""
    if typing.get_origin(entry.field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in typing.get_args(entry.field.annotation))
    return range_of(entry.field)


def _code(value: Any) -> str:
    """A value in JSON, which is YAML as well."""
    return f"`{json.dumps(value, default=lambda model: model.model_dump(exclude_defaults=True))}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    PARAMS_FILE.write_text(commented(PARAMS_FILE.read_text(encoding="utf-8")), encoding="utf-8")
