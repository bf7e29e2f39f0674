"""Every read of the pages: one client per service and process, short caches, and no waiting for a service that is away.

Data that may change is kept for a second or two, so that ten people who watch a run ask as often as one; data of ended runs
is kept.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

from components.errors import StepError
from components.params import load_params, profile_names
from flows.client import (
    Curve,
    FlowRun,
    LogLine,
    Record,
    Records,
    Refused,
    Runs,
    StageRun,
    Unavailable,
    access,
    pipeline_graph,
    project_root,
    tuning,
)
from flows.client import corpus as data
from flows.client import exam as questions
from flows.client import schedules as planned
from flows.client.acts import Act
from flows.client.acts import latest as latest_acts
from flows.client.corpus import Corpus
from flows.client.exam import Question
from flows.client.playground import Playground, known_models
from flows.client.registry import Registry, State
from flows.client.schedules import Schedule
from flows.client.values import MLFLOW, PREFECT
from ui.health import Health

TIMEOUT_S = 3.0  # of each request: longer, and a person believes that the page is broken
COMMAND_S = 180  # patience with a command that only reads
NOW, SOON = 1.0, 5.0  # seconds for which an answer is kept: what a person watches, and lists
LEAST = 8  # tokens of a passage; shorter ones of ordinary language stand in every corpus
LEADERBOARD = "report/leaderboard.json"
REPORT_PATH = "phiforge-report"  # of the panel's server: then the record, and the page that it stored
CURVES = ("loss", "validation_loss", "learning_rate", "gradient_norm", "tokens_per_second")
Value = TypeVar("Value")


@st.cache_resource
def runs() -> Runs:
    """The Prefect server's runs. Ask it through `prefect`."""
    return Runs(timeout_s=TIMEOUT_S)


@st.cache_resource
def records() -> Records:
    """MLflow's records. Ask them through `mlflow`."""
    return Records()


@st.cache_resource
def registry() -> Registry:
    """MLflow's registry. Ask it through `champions`."""
    return Registry()


@st.cache_resource
def playground() -> Playground:
    """The worker that holds models; it starts when it is first asked, and ends with this process."""
    return Playground()


@st.cache_data(ttl=SOON, show_spinner=False)
def models() -> list[str]:
    """Names of the models of all runs."""
    return known_models(project_root())


@st.cache_data(ttl=60, max_entries=20, show_spinner=False)
def ready_prompts(model: str) -> list[tuple[str, str]]:
    """Prompts for a model, with what each is: held-out texts, and questions of the exam."""
    try:
        passages = playground().one("prompts", model=model)["passages"]
    except StepError:  # no held-out text on this machine
        passages = []
    asked = exam()
    some = asked[:: max(1, len(asked) // 8)][:8]
    shown = [(f"Exam, {one.task.replace('_', ' ')}", one.prompt) for one in some]
    return [(passage["kind"].capitalize(), passage["prompt"]) for passage in passages[:8]] + shown


@st.cache_data(ttl=300, max_entries=20, show_spinner=False)
def about_model(model: str) -> dict[str, Any]:
    """Its parameters, layers, heads, width and positions.

    Raises:
        StepError: there is no such model.
    """
    return playground().one("about", model=model)


@st.cache_data(ttl=60, max_entries=100, show_spinner=False)
def look(model: str, prompt: str, off: Mapping[str, Any], head: Sequence[int], tokens: int) -> dict[str, Any]:
    """What a prompt does inside a model. Kept for a minute, so that a switch only computes the model that it changes."""
    return playground().one("look", model=model, prompt=prompt, off=off, head=head, tokens=tokens)


def tuning_rows(files: tuple[str, ...], objective: str) -> tuning.Checked:
    """Rows to learn from, as the step of fine-tuning checks them.

    Raises:
        StepError: the step refuses them.
    """
    return _tuning_rows(files, objective, tuple(_changed(Path(file)) for file in files))


@st.cache_data(max_entries=20, show_spinner="Checking the rows")
def _tuning_rows(files: tuple[str, ...], objective: str, changed: tuple[int, ...]) -> tuning.Checked:
    return tuning.check(project_root(), files, objective)


@st.cache_data(ttl=SOON, show_spinner=False)
def tuned() -> list[tuning.Tuned]:
    """Results of fine-tuning, newest first."""
    return tuning.tuned(project_root())


def exam() -> list[Question]:
    """The questions of the latest run's exam with the models' answers; none without an exam."""
    place = questions.latest(project_root())
    return [] if place is None else _exam(place, questions.changed(place))


@st.cache_resource(max_entries=2, show_spinner=False)
def _exam(place: Path, changed: int) -> list[Question]:
    return questions.questions(place)


@st.cache_data(ttl=60, max_entries=200, show_spinner=False)
def spans(model: str, text: str, least: int = LEAST) -> dict[str, Any]:
    """Passages of a text, of at least so many tokens, that stand in a model's training tokens.

    Raises:
        StepError: its tokens are not on this machine.
    """
    return playground().one("spans", model=model, text=text, least=least)["traced"]


HEALTH = Health({PREFECT: lambda: runs().ready(), MLFLOW: lambda: records().parents()})


def prefect(question: Callable[[Runs], Value]) -> Value:
    """Ask the Prefect server.

    Raises:
        Unavailable: it does not answer.
    """
    return HEALTH.ask(PREFECT, lambda: question(runs()))


def mlflow(question: Callable[[Records], Value]) -> Value:
    """Ask MLflow; raises as `prefect` does."""
    return HEALTH.ask(MLFLOW, lambda: question(records()))


def forget() -> None:
    """Drop what an act has changed."""
    for cached in (recent, upcoming, schedules, flow_run, stage_runs, champions, printed):
        cached.clear()


@st.cache_data(ttl=NOW, show_spinner=False)
def recent(limit: int = 50) -> list[FlowRun]:
    """The latest runs, newest first."""
    return prefect(lambda runs: runs.recent(limit))


@st.cache_data(ttl=SOON, show_spinner=False)
def upcoming(limit: int = 5) -> list[FlowRun]:
    """The next scheduled runs, soonest first."""
    return prefect(lambda runs: runs.upcoming(limit))


@st.cache_data(ttl=SOON, show_spinner=False)
def schedules() -> list[Schedule]:
    """All schedules, by deployment."""
    return prefect(planned.schedules)


@st.cache_data(ttl=NOW, max_entries=100, show_spinner=False)
def flow_run(run_id: str) -> FlowRun | None:
    """One run; None if the server has none with this id."""
    return prefect(lambda runs: runs.get(run_id))


@st.cache_data(ttl=NOW, max_entries=100, show_spinner=False)
def stage_runs(run_id: str, flow: str) -> list[StageRun]:
    """The stages of a run in the order of its flow."""
    return prefect(lambda runs: runs.stages(run_id, stages(flow)))


@st.cache_data(ttl=NOW, max_entries=100, show_spinner=False)
def progress(task_run_id: str) -> dict[str, float] | None:
    """The figures of a running stage's last progress line."""
    return prefect(lambda runs: runs.progress(task_run_id))


@st.cache_data(ttl=NOW, max_entries=100, show_spinner=False)
def logs(run_id: str, task_run_id: str = "") -> list[LogLine]:
    """The last lines of a run, or of one of its stages."""
    return prefect(lambda runs: runs.logs(run_id, task_run_id))


@st.cache_data(ttl=SOON, show_spinner=False)
def parents() -> list[Record]:
    """MLflow's records of whole runs, newest first."""
    return mlflow(lambda records: records.parents())


@st.cache_data(ttl=SOON, max_entries=200, show_spinner=False)
def parent_of(run_id: str) -> Record | None:
    """MLflow's record of a run; None if all its stages were cached."""
    return mlflow(lambda records: records.parent_of(run_id))


@st.cache_data(ttl=60, show_spinner=False)
def usual_seconds() -> dict[str, float]:
    """How long each stage took when it last ran."""
    return mlflow(lambda records: records.usual_seconds())


@st.cache_data(ttl=SOON, show_spinner=False)
def champions() -> tuple[str, State]:
    """The registered model's name, and its champion and decisions."""
    name = defaults(None)["reporting"]["registered_model"]
    return name, HEALTH.ask(MLFLOW, lambda: registry().state(name))


@st.cache_data(ttl=NOW, show_spinner=False)
def acts(run_id: str) -> list[Act]:
    """What people did to a run or version, newest first."""
    return [act for act in latest_acts(project_root()) if act.of == run_id]


def page_address(address: str) -> str:
    """A page of Prefect or MLflow, with the login of `operator`; others log in there with their own token."""
    auth = os.environ.get(access.AUTH, "")
    headers = st.context.headers
    names = {headers.get(access.ROLE_HEADER), headers.get(access.USER_HEADER) or access.OPERATOR}
    operator = names == {access.OPERATOR}
    return access.with_login(address, auth) if auth and address.startswith("http") and operator else address


def defaults(profile: str | None) -> dict[str, Any]:
    """The current params.yaml with a profile applied, as nested plain values."""
    root = project_root()
    files = [root / "params.yaml", *([root / "profiles" / f"{profile}.yaml"] if profile else [])]
    return _defaults(profile, tuple(_changed(file) for file in files))


@st.cache_data(max_entries=50, show_spinner=False)
def _defaults(profile: str | None, changed: tuple[int, ...]) -> dict[str, Any]:
    return load_params(project_root() / "params.yaml", profile=profile).model_dump(mode="json")


def params_changed() -> int:
    """When params.yaml has changed last."""
    return _changed(project_root() / "params.yaml")


def _changed(file: Path) -> int:
    """When a file has changed last; 0 without one."""
    return file.stat().st_mtime_ns if file.is_file() else 0


def profiles() -> list[str]:
    return profile_names(project_root())


@st.cache_data(ttl=SOON, show_spinner=False)
def launch_trouble(flow: str) -> tuple[str, bool]:
    """The reason why a run of a flow cannot be launched now (may be empty), and whether a worker waits for runs. Of a server
    that is away, the banner says all."""
    try:
        return "", prefect(lambda runs: runs.ready(flow))
    except Refused as error:
        return str(error), False
    except Unavailable:
        return "", True


def stages(flow: str = "pipeline") -> dict[str, str]:
    """Names of a flow's stages in the order of execution, with descriptions."""
    return {name: description for name, (description, _) in outline(flow).items()}


def graph(flow: str = "pipeline") -> dict[str, tuple[str, ...]]:
    """A flow's stages in the order of execution, each with the stages that it needs."""
    return {name: needs for name, (_, needs) in outline(flow).items()}


def outline(flow: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """A flow's stages in the order of execution, each with its description and the stages that it needs."""
    files = [project_root() / "dvc.yaml", *sorted(project_root().glob("studies/*/dvc.yaml"))]
    return _outline(flow, tuple(map(_changed, files)))


@st.cache_resource(max_entries=50, show_spinner=False)
def _outline(flow: str, changed: tuple[int, ...]) -> dict[str, tuple[str, tuple[str, ...]]]:
    return pipeline_graph(project_root(), flow)


def stage_records(parent: Record | None, flow_run_id: str = "") -> dict[str, Record]:
    """MLflow's records of a run's stages, in the pipeline's order; for a cached stage, that of the run that made it.

    Args:
        parent: the run's own record; None if all its stages were cached.
        flow_run_id: the run, needed for its outputs if `parent` is None.
    """
    if parent is None:
        outputs = prefect(lambda runs: runs.outputs(flow_run_id))
        found = mlflow(lambda records: records.stages(None, outputs))
    else:
        found = (_ended_stages if parent.ended else _stages)(parent)
    order = list(stages())
    return dict(sorted(found.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))


def _stages(parent: Record) -> dict[str, Record]:
    return mlflow(lambda records: records.stages(parent))


@st.cache_data(max_entries=200, show_spinner=False, hash_funcs={Record: lambda record: record.id})
def _ended_stages(parent: Record) -> dict[str, Record]:
    """The records of an ended run, which never change."""
    return _stages(parent)


def corpora() -> list[Corpus]:
    """The folders with data of a run, latest first."""
    return data.corpora(project_root())


@st.cache_data(max_entries=20, show_spinner=False)
def curation(corpus: Corpus, changed: int) -> dict[str, Any]:
    """What curation reported of a corpus as of a change."""
    return corpus.report


@st.cache_data(max_entries=100, show_spinner=False)
def documents(corpus: Corpus, which: str, text: str, rule: str, changed: int) -> data.Found:
    """The first documents of a set with all words of a text."""
    return data.documents(corpus, which, text, rule)


@st.cache_data(max_entries=100, show_spinner=False)
def text_of(corpus: Corpus, which: str, identifier: str, changed: int) -> dict[str, Any] | None:
    """A document with its text; None if it is not here."""
    return data.document(corpus, which, identifier)


@st.cache_data(ttl=300, max_entries=50, show_spinner="Reading ...")
def printed(module: str, *words: str) -> str:
    """What a command of ours prints, or its error. A process of its own, because such commands read every run or cache."""
    command = [sys.executable, "-m", module, *words]
    try:
        done = subprocess.run(
            command, cwd=project_root(), capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"error: no answer within {COMMAND_S} s; run it on the terminal"
    return done.stdout if done.returncode == 0 else done.stderr


def report(record_id: str, path: str) -> str:
    """A page that a stage stored with its record; empty if there is none."""
    return mlflow(lambda records: records.file(record_id, path))


def curves(stages_of_run: Mapping[str, Record]) -> list[Curve]:
    """The histories of CURVES of all training stages of a run."""
    return [
        curve for record in stages_of_run.values() for curve in (_ended_curves if record.ended else _curves)(record)
    ]


def _curves(record: Record) -> list[Curve]:
    return mlflow(lambda records: records.curves(record, CURVES))


@st.cache_data(max_entries=500, show_spinner=False, hash_funcs={Record: lambda record: record.id})
def _ended_curves(record: Record) -> list[Curve]:
    """The curves of an ended run, which never change."""
    return _curves(record)


def leaderboard(stages_of_run: Mapping[str, Record]) -> dict[str, Any]:
    """The leaderboard from the report of a run; empty without a report."""
    record = stages_of_run.get("report")
    return (document(record, LEADERBOARD) if record else None) or {}


def document(record: Record, path: str) -> dict[str, Any] | None:
    """A JSON object that a stage stored with its record; None if there is none."""
    return (_ended_document if record.ended else _document)(record, path)


def _document(record: Record, path: str) -> dict[str, Any] | None:
    return mlflow(lambda records: records.document(record, path))


@st.cache_data(max_entries=200, show_spinner=False, hash_funcs={Record: lambda record: record.id})
def _ended_document(record: Record, path: str) -> dict[str, Any] | None:
    """A document of an ended run, which never changes."""
    return _document(record, path)
