"""The base class of the sections of params.yaml."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from components.foreign.addresses import refuse_secrets

Fraction = Annotated[float, Field(ge=0, le=1)]
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
# Secrets of this and other systems: a parameter file from somebody else could make a run send them to its own endpoint.
_OF_OTHERS = re.compile(r"(?:AWS|MLFLOW|PREFECT|RAY)_\w*|PHIFORGE_(?:ALERTS|ALERTS_FILE|AUTH|AUTH_FILE|READER_SECRET)")


def _is_variable(name: str) -> str:
    """Refuse a value that is not the name of an environment variable, without quoting it: it may be the secret itself."""
    if name and not _VARIABLE.fullmatch(name):
        raise ValueError(
            "is not the name of an environment variable; expected capitals, digits and underscores, such as MY_KEY: put "
            "the secret into a variable and give the variable's name"
        )
    if _OF_OTHERS.fullmatch(name):
        raise ValueError(
            f"names {name}, which holds a secret of another system; expected a variable that was set for this address alone, "
            "such as MY_KEY"
        )
    return name


Variable = Annotated[str, AfterValidator(_is_variable)]  # name of an environment variable that holds a secret
API_KEY = (
    "Name of the environment variable that holds the endpoint's key, or a whole Authorization header such as "
    "`Basic ...`; its "
    "value is never written anywhere"
)


class Section(BaseModel):
    """A strict model: a string that spells a number is refused, since values of params.yaml go into commands unchanged."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        allow_inf_nan=False,
        strict=True,
        hide_input_in_errors=True,
    )

    @field_validator("*")
    @classmethod
    def _holds_no_secret(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse secrets: every parameter is written to dvc.lock, MLflow and Prefect. Fields of type `Variable` name a secret."""
        ways = [name for name, field in cls.model_fields.items() if _is_variable in _validators(field)]
        name_it = f"name an environment variable that holds it in {' or '.join(ways)}"
        refuse_secrets(value, name_it if ways and info.field_name not in ways else "give it in the environment")
        return value


def _validators(field: FieldInfo) -> list[Any]:
    return [rule.func for rule in field.metadata if isinstance(rule, AfterValidator)]


def refuse_repeats(section: Section, *names: str) -> None:
    """Refuse lists of a section that contain a value twice.

    Raises:
        ValueError: a list repeats a value; the message has the list.
    """
    for name in names:
        values: list[Any] = getattr(section, name)
        if len(set(values)) < len(values):
            raise ValueError(f"{name} {values} names one of them twice")
