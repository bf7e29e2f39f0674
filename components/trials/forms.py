"""Questions as JSON: checked against their form, with one sentence for what is wrong."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from components.errors import StepError, short

Form = TypeVar("Form", bound=BaseModel)
PART = "benchmarking.exam_part"
OPEN, SEALED = "open", "sealed"  # its values for tries and sweeps


def read_form(form: type[Form], values: Mapping[str, Any], what: str) -> Form:
    """A form with these values.

    Raises:
        StepError: a value is refused; names it.
    """
    try:
        return form.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or what
        if first["type"] == "missing" and (field := form.model_fields.get(place)) and field.description:
            expected = field.description[:1].lower() + field.description[1:]
            raise StepError(f"{what}: {place} was not given; expected {expected}; add it") from None
        given = "" if first["type"] == "missing" else f" is {short(first['input'])}"
        fields = ", ".join(form.model_fields)
        raise StepError(
            f"{what}: {place}{given}: {first['msg'].lower()}; the fields are {fields}; correct it"
        ) from None


def refuse_chosen(what: str, chosen: set[str], given: set[str]) -> None:
    """Refuse parameters that a try or sweep chooses for each run.

    Raises:
        StepError: one of them was given.
    """
    if taken := sorted(chosen & given):
        raise StepError(f"{what}: {taken[0]} is set; a {what} chooses it for each run; leave it out")
