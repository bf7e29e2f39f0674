"""What a section of params.yaml is."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Strict: a number is a number, not a string that spells one, since what params.yaml holds goes into commands as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, strict=True)


def refuse_repeats(section: Section, *names: str) -> None:
    """Refuse lists of a section that name something twice.

    Raises:
        ValueError: with the list.
    """
    for name in names:
        values: list[Any] = getattr(section, name)
        if len(set(values)) < len(values):
            raise ValueError(f"{name} {values} names one of them twice")
