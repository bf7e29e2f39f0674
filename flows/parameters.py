"""The parameters of a run: their types for Prefect's form and API, and the overrides that result from them.

Prefect's server refuses wrong parameters when a run is created (`check_at_creation`), before it stores them. The flow
checks them again, because a run can be created in other ways. Both use the checks of `components.params`.
"""

import copy
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console

from components.errors import StepError, short
from components.foreign.addresses import refuse_secrets
from components.params import PARAMS_FILE, load_params, profile_names
from components.params.schema import overrides_schema
from components.params.sizing import WIDTHS
from flows.definitions import Definition
from flows.preview import Previewed, preview
from flows.settings import project_root
from flows.sizes import Asked, sources_of

LINE = 10_000  # maximum characters of a line that a flow logs
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
DEEPEST = 20  # maximum nesting of lists and mappings in a parameter; params.yaml has five


@dataclass(frozen=True)
class Described:
    """Gives a parameter the JSON schema that Prefect registers with the deployment; changes nothing for the flow."""

    schema: Callable[[], dict[str, Any]]

    def __get_pydantic_json_schema__(self, *_: Any) -> dict[str, Any]:
        return copy.deepcopy(self.schema())  # pydantic writes the flow's defaults into it


def _one_of(names: list[str]) -> dict[str, Any]:
    return {"anyOf": [{"type": "string", "enum": names}, {"type": "null"}]}


Overrides = Annotated[dict[str, Any], Described(overrides_schema)]
Profile = Annotated[str | None, Described(lambda: _one_of(profile_names(project_root())))]
Size = Annotated[str | None, Described(lambda: _one_of(["auto", *WIDTHS]))]


def resolve(
    home: Path, asked: Asked, definition: Definition, console: Console, start: Path, with_time: bool = True
) -> Previewed:
    """Print the contents of the text and the plan; returns the run's overrides with sources and sizes.

    Args:
        start: folder for relative paths of the text.

    Raises:
        StepError: a parameter or the text is refused.
    """
    overrides = dict(asked.overrides)
    if asked.texts:
        sources = [source for text in asked.texts for source in sources_of(text, start)]
        overrides["ingestion.sources"] = list({source["path"]: source for source in sources}.values())
    return preview(home, replace(asked, overrides=overrides), definition, console, with_time)


def resolve_in_flow(home: Path, asked: Asked, definition: Definition, say: Callable[[str], None]) -> dict[str, Any]:
    """Like `resolve`, for a flow, which logs the lines. The command line has already resolved text and sizes."""
    if not asked.texts and not asked.size:
        load_params(home / PARAMS_FILE, asked.overrides, asked.profile)
        return dict(asked.overrides)
    with io.StringIO() as printed:
        overrides = resolve(home, asked, definition, Console(file=printed, width=LINE), home).overrides
        for line in printed.getvalue().splitlines():
            say(line)
    return overrides


def refuse_wrong(home: Path, parameters: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Refuse parameters that the deployment does not have, and values that the flow would refuse.

    Only the flow checks whether a path of `text` exists, because the server may be another machine.

    Args:
        schema: the deployment's schema, made by Prefect from the flow's signature; without properties it accepts anything.

    Raises:
        StepError: a parameter is refused; the message does not quote secrets.
    """
    refuse_unstorable(parameters)
    known = schema.get("properties", {})
    if "properties" in schema and (unknown := sorted(set(parameters) - set(known))):
        raise StepError(f"parameters: {', '.join(unknown)} given; expected only: {', '.join(known)}; remove it")
    overrides, profile = parameters.get("overrides") or {}, parameters.get("profile")
    readable = isinstance(overrides, Mapping) and isinstance(
        profile, str | None
    )  # otherwise the schema's check refuses it
    if readable and "overrides" in known and (home / PARAMS_FILE).is_file():
        load_params(home / PARAMS_FILE, overrides, profile)
    for name, value in parameters.items():
        try:
            refuse_secrets(value)
        except ValueError as error:
            raise StepError(f"{name}: {error}") from None


def refuse_unstorable(parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that Prefect's databases cannot store, or that are nested too deeply to check.

    Raises:
        StepError: a text is not valid Unicode, or the parameters are nested too deeply.
    """
    level: list[Any] = [parameters]
    for _ in range(DEEPEST + 1):
        level = [inner for value in level for inner in _inner(value)]
        if wrong := next((text for text in level if isinstance(text, str) and _UNSTORABLE.search(text)), None):
            raise StepError(
                f"parameters: {short(wrong)} contains NUL or an unpaired surrogate; expected Unicode text; correct it"
            )
    if any(isinstance(value, Mapping | list) for value in level):
        raise StepError(
            f"parameters: lists and mappings are nested more than {DEEPEST} deep; expected the form of params.yaml; flatten them"
        )


def _inner(value: Any) -> Iterator[Any]:
    """The values in a list or mapping, and the keys."""
    if isinstance(value, Mapping):
        yield from value
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def check_at_creation() -> None:
    """Make the Prefect server of this process refuse wrong parameters of runs, deployments and schedules."""
    from fastapi import HTTPException
    from prefect.server.api import deployments as api
    from prefect.server.models import deployments as models
    from prefect.utilities.schema_tools.validation import ValidationError

    hydrate, validate, create = api.hydrate, api.validate, models.create_deployment

    def hydrate_what_can_be_stored(parameters: dict[str, Any], *context: Any) -> dict[str, Any]:
        try:
            refuse_unstorable(parameters)  # before the validation
        except StepError as error:
            raise HTTPException(409, f"Error creating flow run: {error}") from None
        return hydrate(parameters, *context)

    def validate_in_our_words(parameters: dict[str, Any], schema: dict[str, Any], **options: Any) -> Any:
        try:
            refuse_wrong(project_root(), parameters, schema)
        except StepError as error:
            raise ValidationError(str(error)) from None
        return validate(parameters, schema, **options)

    def refuse_stored(parameters: dict[str, Any], schema: dict[str, Any], owner: str) -> None:
        try:
            validate_in_our_words(parameters, schema, raise_on_error=True, ignore_required=True)
        except ValidationError as error:
            raise HTTPException(409, f"Error storing {owner}: {error}") from None

    async def check_and_create(*, session: Any, deployment: Any) -> Any:
        if deployment.parameters and deployment.enforce_parameter_schema:
            refuse_stored(deployment.parameters, deployment.parameter_openapi_schema or {}, "deployment")
        return await create(session=session, deployment=deployment)

    def with_check(store: Callable[..., Any]) -> Callable[..., Any]:
        async def check_and_store(*, session: Any, deployment_id: Any, **given: Any) -> Any:
            deployment = await models.read_deployment(session=session, deployment_id=deployment_id)
            for schedule in given.get("schedules", [given.get("schedule")]):
                if schedule.parameters and deployment and deployment.enforce_parameter_schema:
                    parameters = deployment.parameters | schedule.parameters
                    refuse_stored(parameters, deployment.parameter_openapi_schema, "schedule")
            return await store(session=session, deployment_id=deployment_id, **given)

        return check_and_store

    api.hydrate, api.validate = hydrate_what_can_be_stored, validate_in_our_words
    models.create_deployment = check_and_create
    models.create_deployment_schedules = with_check(models.create_deployment_schedules)
    models.update_deployment_schedule = with_check(models.update_deployment_schedule)
