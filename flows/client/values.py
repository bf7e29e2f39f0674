"""The facts of a run as plain frozen values: a caller does not need the libraries, and a test does not need servers."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from components.errors import StepError

REMEDY = "Start the platform with `make up`, or set {variable} to where it runs."
PREFECT, MLFLOW = "Prefect", "MLflow"
ARCHIVED = "archived"  # the tag of runs that lists leave out
ACTIVE = {"SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"}  # state types that may still change


class Unavailable(StepError):
    """A server does not answer or refuses; the message names its address and the fix.

    Attributes:
        service: its name.
    """

    def __init__(self, message: str, service: str = PREFECT) -> None:
        super().__init__(message)
        self.service = service


class Refused(Unavailable):
    """A server answers, but not with what was asked for."""


@dataclass(frozen=True)
class FlowRun:
    """One run of a flow. `state` is what Prefect shows (`Late`, `Cached`), `kind` its type (`SCHEDULED`)."""

    id: str
    name: str
    state: str
    kind: str
    message: str
    created: datetime | None
    started: datetime | None
    seconds: float
    overrides: dict[str, Any]
    profile: str | None
    flow: str = "pipeline"
    text: str = ""  # paths of the text to train on; empty for the sources of its parameters
    size: str = ""  # the requested size; empty if there was none
    expected: datetime | None = None  # when it should start
    note: str = ""  # a person's
    tags: tuple[str, ...] = ()  # a person's, without those of the deployment

    @property
    def archived(self) -> bool:
        return ARCHIVED in self.tags

    @property
    def active(self) -> bool:
        return self.kind in ACTIVE


@dataclass(frozen=True)
class StageRun:
    """One stage of a run; a stage without a task run is waiting (`state` Waiting, `kind` empty)."""

    name: str
    state: str = "Waiting"
    kind: str = ""
    message: str = ""
    seconds: float = 0.0
    attempts: int = 0
    task_run_id: str = ""

    @property
    def running(self) -> bool:
        return self.kind == "RUNNING"


@dataclass(frozen=True)
class LogLine:
    time: datetime
    level: int  # as in the standard library: 20 information, 30 warning, 40 error
    text: str
    task_run_id: str


@dataclass(frozen=True)
class Record:
    """One MLflow run: a pipeline's (parent) or a stage's (child)."""

    id: str
    name: str
    status: str
    started: datetime | None
    experiment: str
    tags: dict[str, str] = field(repr=False)
    params: dict[str, str] = field(repr=False)
    metrics: dict[str, float] = field(repr=False)

    @property
    def ended(self) -> bool:
        return self.status not in ("RUNNING", "SCHEDULED")

    @property
    def stage(self) -> str:
        return self.tags.get("stage", "")


@dataclass(frozen=True)
class Curve:
    """A metric over training: x in tokens if the stage logged tokens, else in optimizer steps."""

    stage: str
    figure: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    unit: str  # "tokens" or "steps"


@dataclass(frozen=True)
class Score:
    """One exam score with its standard errors (None if the stage logged none)."""

    model: str
    group: str  # "overall", "categories" or "tasks"
    name: str  # empty for overall
    metric: str  # as in scores.json: acc, acc_norm, bits_per_byte
    value: float
    stderr: float | None
    n: int | None
    clusters: int | None = None
    clustered_stderr: float | None = None
    chance_stderr: float | None = None  # of a model that guesses
