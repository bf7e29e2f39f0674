"""Checked reading of JSON: errors name the file and the key."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, overload

from components.errors import StepError
from components.files import read_json


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        StepError: the file is missing, unreadable, not JSON (so with NaN or Infinity) or not an object.
    """
    return read_json(path, "run the step that writes it", "run the step that writes it again", finite=True)


@overload
def number(
    path: Path, content: Mapping[str, Any], key: str, required: Literal[True] = True, where: str = ""
) -> float: ...
@overload
def number(path: Path, content: Mapping[str, Any], key: str, required: bool, where: str = "") -> float | None: ...
def number(path: Path, content: Mapping[str, Any], key: str, required: bool = True, where: str = "") -> float | None:
    """The finite number at `key`, or None if it is absent and not required.

    Raises:
        StepError: absent though required, or not a finite number.
    """
    value = content.get(key)
    if value is None and not required:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        given = "is missing" if key not in content else f"is {value!r}"
        raise StepError(f"{path}: `{where}{key}` {given}; expected a number; run the step that writes it again")
    return value


def text(path: Path, content: Any, key: str) -> str | None:
    value = content.get(key) if isinstance(content, Mapping) else None
    if value is not None and not isinstance(value, str):
        raise StepError(f"{path}: `{key}` is {value!r}; expected text; run the step that writes it again")
    return value


def mapping(path: Path, content: Mapping[str, Any], key: str, default: Any = None, where: str = "") -> dict[str, Any]:
    """The object at `key`, or the default if it is absent.

    Raises:
        StepError: absent without a default, or not an object.
    """
    value = content.get(key, default)
    if not isinstance(value, dict):
        given = "is missing" if key not in content else f"is a {type(value).__name__}"
        raise StepError(f"{path}: `{where}{key}` {given}; expected an object; run the step that writes it again")
    return value
