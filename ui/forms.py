"""The launch form as data: the fields of typed parameters, and the overrides from a person's changes.

`fields` reads a pydantic model and chooses a widget for each parameter; lists, open dictionaries and unions are edited as
YAML. Keys are dotted, as in params.yaml.
"""

import io
import json
import math
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from components.errors import StepError, short
from components.files import parse_json
from components.foreign import yaml_text
from components.params import Params, check_params, describe_range, merge, set_dotted

Kind = Literal["integer", "number", "choice", "switch", "text", "yaml"]


GENERAL = ("engine", "housekeeping")  # sections that are shown together with parameters outside of sections


@dataclass(frozen=True)
class Field:
    """One parameter and its kind of widget. `group` is the path of the model that contains it."""

    key: str
    group: str
    kind: Kind
    description: str
    choices: tuple[Any, ...] = ()
    allowed: str = ""  # description of its range

    @property
    def name(self) -> str:
        return self.key.rpartition(".")[2]

    @property
    def section(self) -> str:
        """The part of params.yaml with this parameter; `general` for those that no result or all results depend on."""
        first, dot, _ = self.key.partition(".")
        return first if dot and first not in GENERAL else "general"


def fields(model: type[BaseModel] = Params, prefix: str = "") -> list[Field]:
    """Every parameter of a model and of the models inside it, in the order of declaration."""
    return list(_walk(model, prefix))


def sections() -> dict[str, str]:
    """The form's sections in the order of params.yaml, with the descriptions of their models."""
    found = dict.fromkeys((field.section for field in fields()), "")
    for name in found:
        annotation = Params.model_fields[name].annotation if name in Params.model_fields else None
        # Not by inheritance: a parent's docstring does not describe the section.
        found[name] = (annotation.__dict__.get("__doc__") or "").strip().partition("\n")[0] if annotation else ""
    return found


def _walk(model: type[BaseModel], prefix: str) -> Iterator[Field]:
    for name, info in model.model_fields.items():
        key = f"{prefix}{name}"
        annotation = _bare(info.annotation)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _walk(annotation, f"{key}.")
        elif keys := _literal_keys(annotation):
            value_type = _bare(typing.get_args(annotation)[1])
            for item in keys:
                yield _field(f"{key}.{item}", key, value_type, info)
        else:
            yield _field(key, prefix.rstrip("."), annotation, info)


def _field(key: str, group: str, annotation: Any, info: FieldInfo) -> Field:
    kind, choices = _kind(annotation)
    return Field(key, group, kind, info.description or "", choices, describe_range(key))


def _kind(annotation: Any) -> tuple[Kind, tuple[Any, ...]]:
    if typing.get_origin(annotation) is Literal:
        return "choice", typing.get_args(annotation)
    simple: dict[Any, Kind] = {bool: "switch", int: "integer", float: "number", str: "text"}
    return simple.get(annotation, "yaml"), ()


def _literal_keys(annotation: Any) -> tuple[Any, ...]:
    """The keys of a dictionary with a fixed choice of keys, else nothing."""
    if typing.get_origin(annotation) is not dict:
        return ()
    key_type, value_type = typing.get_args(annotation)
    if typing.get_origin(key_type) is not Literal or _kind(_bare(value_type))[0] == "yaml":
        return ()
    return typing.get_args(key_type)


def _bare(annotation: Any) -> Any:
    """The type without Annotated; unions are unchanged."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


def lookup(values: Mapping[str, Any], key: str) -> Any:
    """`values["a"]["b"]` for `a.b`, or None if it does not exist."""
    node: Any = values
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return node


def with_values(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of nested parameters with other values at some dotted keys."""
    made = merge({}, json.loads(json.dumps(base)))
    for key, value in values.items():
        set_dotted(made, key, value)
    return made


def differences(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted key to (default, chosen) for every override that changes the value."""
    return {key: (lookup(base, key), value) for key, value in overrides.items() if not same(lookup(base, key), value)}


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in params.yaml: 1 and 1.0 are, 1 and True are not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def check(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> str:
    """The error with which a run would refuse the parameters; empty if it would not."""
    try:
        check_params(with_values(base, overrides))
    except StepError as error:
        return str(error)
    return ""


def step(value: float, whole: bool) -> float:
    """The step of a number's buttons: about a tenth of it; for powers of two an eighth."""
    if whole:
        size = abs(int(value))
        if size >= 8 and size & (size - 1) == 0:
            return size // 8
        return 10 ** max(0, int(math.log10(size)) - 1) if size else 1
    if not value:
        return 0.01
    return 10.0 ** (math.floor(math.log10(abs(value))) - 1)


def to_yaml(value: Any) -> str:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue().removesuffix("...\n").removesuffix("\n")


def from_yaml(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        StepError: the text is not YAML; the message has the position.
    """
    try:
        return yaml_text.parse(text)
    except yaml_text.NotYaml as error:
        raise StepError(f"not YAML: {error}") from None


def parse_link(text: str) -> tuple[dict[str, Any], list[str]]:
    """Overrides from a page's address, and what is wrong with those that are left out."""
    try:
        values = parse_json(text, finite=True)
    except ValueError as error:
        return {}, [f'overrides = {short(text)}: {error}; expected JSON such as {{"seed": 2}}']
    if not isinstance(values, dict):
        return {}, [f'overrides = {short(values)}: expected parameters with their values, such as {{"seed": 2}}']
    known = {field.key: field for field in fields()}
    wrong = {key: _misfit(known.get(key), value) for key, value in values.items()}
    problems = [f"{key} = {short(values[key])}: {problem}" for key, problem in wrong.items() if problem]
    return {key: value for key, value in values.items() if not wrong[key]}, problems


def _misfit(field: Field | None, value: Any) -> str:
    """Why a parameter's widget cannot show a value; empty if it can. The check says whether a run takes it."""
    if field is None:
        return "there is no such parameter"
    whole = isinstance(value, int) and not isinstance(value, bool)
    fits = {
        "integer": whole and abs(value) < 2**53,  # a browser's numbers are exact up to here
        "number": (whole or isinstance(value, float)) and abs(value) < 1e300,
        "switch": isinstance(value, bool),
        "choice": value in field.choices,
        "text": isinstance(value, str),
        "yaml": True,
    }
    expected = {
        "integer": "an integer below 2^53",
        "number": "a number",
        "switch": "true or false",
        "choice": f"one of {', '.join(map(str, field.choices))}",
        "text": "a text",
    }
    return "" if fits[field.kind] else f"expected {expected[field.kind]}"
