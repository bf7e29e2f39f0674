"""The Prefect flows: one task per stage of a dvc.yaml, after the stages on which it depends.

- DVC decides which stages run, and stores the results; Prefect's own cache is off. A stage that DVC skips ends in the
  state `Cached`, one that ran in `Completed`.
- `meta:` of a stage sets retries, timeout and `limit`: stages with the same limit share a device and run one at a time,
  across all runs on the machine.
- A run with overrides or a profile works in its own workspace, other runs in the main tree.
- After a failure, stages that depend on the failed one do not run. When the others have ended, the flow fails with the
  stage's name and its last lines.
"""

import contextlib
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows import settings  # before Prefect, which reads its settings from the environment

settings.configure(settings.project_root())

from prefect import Task, flow, get_client, get_run_logger, task  # noqa: E402
from prefect.artifacts import create_markdown_artifact, create_table_artifact  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.futures import PrefectFuture  # noqa: E402
from prefect.results import ResultRecord  # noqa: E402
from prefect.runtime import flow_run as this_flow_run  # noqa: E402
from prefect.states import Cancelled, Completed, State  # noqa: E402
from prefect.task_runners import ThreadPoolTaskRunner  # noqa: E402

from components.errors import StepError  # noqa: E402
from components.foreign.addresses import without_secrets  # noqa: E402
from components.params import PARAMS_FILE, load_params  # noqa: E402
from components.running.locks import WaitStopped  # noqa: E402
from components.running.progress import Pace, parse  # noqa: E402
from components.tracking import flat_numbers  # noqa: E402
from flows import events, measured, records, recovery  # noqa: E402
from flows.cache import Cache, dropped  # noqa: E402
from flows.definitions import (  # noqa: E402
    CORPUS,
    DATA_ABLATION,
    GROWTH_LAW,
    GROWTH_STUDY,
    PIPELINE,
    TUNING,
    WITHOUT,
    Definition,
)
from flows.disk import Places, check_space  # noqa: E402
from flows.graph import Stage, load_graph, locked_outputs, settle_lock_order, show  # noqa: E402
from flows.housekeeping import tidy_files  # noqa: E402
from flows.lineage import Lineage  # noqa: E402
from flows.parameters import Overrides, Profile, Size, resolve_in_flow  # noqa: E402
from flows.promotion import settle  # noqa: E402
from flows.sizes import Asked  # noqa: E402
from flows.stages import Outcome, StageFailed, StageRunner, StageStopped  # noqa: E402
from flows.turns import turn  # noqa: E402
from flows.workspace import Workspace, experiment_exists, refuse_edits, save_experiment, workspace  # noqa: E402


def refuse_stored_result(*_: Any, **__: Any) -> Any:
    """Replaces Prefect's loading of stored results. The flows here store none, but anybody who may write a run's state to
    the server may name any file there, and Prefect would unpickle it."""
    raise ValueError("the state of this run names a stored result; the flows of this project store none")


ResultRecord.deserialize = ResultRecord.deserialize_from_result_and_metadata = refuse_stored_result


class PipelineFailed(Exception):
    """At least one stage failed; the message names it and shows its last lines."""


@dataclass
class PipelineRun:
    """One run of a definition in one checkout: its inputs and its outcomes."""

    definition: Definition
    home: Path
    place: Workspace
    stages: list[Stage]
    runner: StageRunner
    lineage: Lineage
    cache: Cache
    log: Callable[[str], None]
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    failures: dict[str, Exception] = field(default_factory=dict)

    def count(self, *kinds: str) -> int:
        return sum(outcome.kind in kinds for outcome in self.outcomes.values())

    @property
    def sentence(self) -> str:
        """The outcomes of the stages as a sentence."""
        ran, total = self.count("ran"), len(self.stages)
        if ran == 0 and len(self.outcomes) == total:
            return f"all {total} stages were cached"
        return f"{ran} of {total} stages ran, {self.count('cached', 'restored')} cached"


def mark_lost(flow: Any, flow_run: Any, state: State) -> None:
    """Close records of a crashed or cancelled flow run; Prefect calls this by keyword, possibly in its runner."""
    home = settings.project_root()
    for flow_run_id, record in records.all_of(home):
        if flow_run_id == str(flow_run.id):
            recovery.close_record(home, flow_run_id, record)


def flow_of(definition: Definition, description: str) -> Callable[[Callable[..., State]], Any]:
    """The decorator of a definition's flow."""
    return flow(
        name=definition.flow,
        description=description,
        task_runner=ThreadPoolTaskRunner(max_workers=settings.concurrent_stages()),
        on_crashed=[mark_lost],
        on_cancellation=[mark_lost],
    )


@flow_of(PIPELINE, "Raw text to a benchmarked pair of models: the stages of dvc.yaml.")
def pipeline(
    profile: Profile = None,
    text: str | None = None,
    size: Size = None,
    overrides: Overrides = {},  # noqa: B006 - never changed; Prefect shows it
    promote: bool | None = None,
) -> State:
    """Bring every stage of the pipeline up to date.

    Args:
        profile: name of an overlay in profiles/.
        text: train on this text: folders, files, patterns or addresses, separated by commas or spaces; relative paths start
            at the project's folder. Empty reads the sources of params.yaml and overrides.
        size: size of the smaller model of the pair, with vocabulary, tokens, batch and learning rates to match; auto fits
            the text and this machine. Empty means auto for a text without a profile, else no change.
        overrides: dotted keys of params.yaml to values, such as {"seed": 2}; checked before any work.
        promote: whether the larger model may replace the registry's champion if it is better. Empty means yes without
            other parameters, else no.

    Raises:
        StepError: a parameter, the pipeline's definition or the repository is refused.
        PipelineFailed: a stage failed.
    """
    return bring_all_up_to_date(PIPELINE, Asked(overrides, profile, (text,) if text else (), size), promote)


@flow_of(CORPUS, "The curated corpus: the stages of dvc.yaml up to the gate of the curated documents.")
def corpus(
    profile: Profile = None,
    text: str | None = None,
    size: Size = None,
    overrides: Overrides = {},  # noqa: B006
) -> State:
    """Bring the curated corpus up to date; arguments and errors as for the pipeline."""
    return bring_all_up_to_date(CORPUS, Asked(overrides, profile, (text,) if text else (), size))


@flow_of(GROWTH_STUDY, "The value of growing a small model: the stages of studies/growth/dvc.yaml and those they need.")
def growth_study(
    profile: Profile = None,
    text: str | None = None,
    size: Size = None,
    overrides: Overrides = {},  # noqa: B006
) -> State:
    """Bring every stage of the growth study up to date; arguments and errors as for the pipeline."""
    return bring_all_up_to_date(GROWTH_STUDY, Asked(overrides, profile, (text,) if text else (), size))


@flow_of(GROWTH_LAW, "When growing a small model pays: the stages of studies/law/dvc.yaml and those they need.")
def growth_law(
    profile: Profile = None,
    text: str | None = None,
    size: Size = None,
    overrides: Overrides = {},  # noqa: B006
) -> State:
    """Bring every stage of the growth law up to date; arguments and errors as for the pipeline."""
    return bring_all_up_to_date(GROWTH_LAW, Asked(overrides, profile, (text,) if text else (), size))


@flow_of(
    DATA_ABLATION, "The value of each ingredient of the data: the stages of studies/data/dvc.yaml and those they need."
)
def data_ablation(
    profile: Profile = None,
    text: str | None = None,
    size: Size = None,
    overrides: Overrides = {},  # noqa: B006
) -> State:
    """Bring every stage of the data ablation up to date; arguments and errors as for the pipeline."""
    return bring_all_up_to_date(DATA_ABLATION, Asked(overrides, profile, (text,) if text else (), size))


@flow_of(
    WITHOUT,
    "What the models would be without some documents: the stages of studies/without/dvc.yaml and those they need.",
)
def without(
    profile: Profile = None,
    text: str | None = None,
    size: Size = None,
    overrides: Overrides = {},  # noqa: B006
) -> State:
    """Bring every stage of the study of counterfactuals up to date; arguments and errors as for the pipeline."""
    return bring_all_up_to_date(WITHOUT, Asked(overrides, profile, (text,) if text else (), size))


@flow_of(
    TUNING, "Fine-tune a model and compare before and after: the stages of studies/tuning/dvc.yaml and those they need."
)
def tuning(
    profile: Profile = None,
    text: str | None = None,
    size: Size = None,
    overrides: Overrides = {},  # noqa: B006
) -> State:
    """Bring every stage of fine-tuning up to date; arguments and errors as for the pipeline."""
    return bring_all_up_to_date(TUNING, Asked(overrides, profile, (text,) if text else (), size))


FLOWS = {
    PIPELINE.flow: pipeline,
    CORPUS.flow: corpus,
    GROWTH_STUDY.flow: growth_study,
    GROWTH_LAW.flow: growth_law,
    DATA_ABLATION.flow: data_ablation,
    WITHOUT.flow: without,
    TUNING.flow: tuning,
}


def bring_all_up_to_date(definition: Definition, asked: Asked, promote: bool | None = None, parent: str = "") -> State:
    """The body of a flow.

    Args:
        parent: id of the MLflow run of which this one is a part, such as that of a sweep.
    """
    home, logger = settings.project_root(), get_run_logger()

    def say(text: str) -> None:
        level = logging.WARNING if isinstance(text, events.Caution) else logging.INFO
        text = without_secrets(text)  # it may quote git or DVC with the address of a remote
        logger.log(level, text)
        events.emit("note", text=text)

    overrides, profile = resolve_in_flow(home, asked, definition, say), asked.profile
    recovery.close_lost(home, say)
    flow_run_id = this_flow_run.id
    records.write(home, flow_run_id)
    with workspace(home, overrides, profile, say) as place:
        lineage = Lineage(home, place.root, flow_run_id, this_flow_run.name)
        lineage.facts = {"overrides": overrides, "profile": profile, "workspace": place.key}
        lineage.facts |= {"parent": parent, "kind": "part"} if parent else {}
        runner = StageRunner(place.root, settings.stage_environment(home))
        stages = load_graph(place.root, definition.file, definition.last)
        show(place.root, definition.file)
        run = PipelineRun(definition, home, place, stages, runner, lineage, Cache(home), say)
        with closing(run):
            events.emit("graph", text=str(place.root), names=tuple(stage.name for stage in run.stages))
            with lock_files_in_order(run):
                run_stages(run)
            if run.failures:
                raise PipelineFailed(failure_text(run))
            finish_workspace(run)
            standing = settle(run, promote) if definition == PIPELINE else ""
            tidy_files(home, load_params(home / PARAMS_FILE, overrides, profile).housekeeping, say)
    return Completed(message="; ".join(filter(None, (run.sentence, standing))))


@contextlib.contextmanager
def lock_files_in_order(run: PipelineRun) -> Iterator[None]:
    """Write each dvc.lock in the same order, independent of the order in which the stages ended."""
    try:
        yield
    finally:
        for file in {stage.file for stage in run.stages}:
            stages = run.stages if file == run.definition.file else load_graph(run.place.root, file)
            settle_lock_order(run.place.root, stages, file)


@contextlib.contextmanager
def closing(run: PipelineRun) -> Iterator[None]:
    """End the run completely: stop processes, write the artifacts, close MLflow's runs."""
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except Exception:
        raise
    except BaseException:  # Ctrl-C or a cancellation: stop, then let Prefect handle it
        status = "KILLED"
        run.runner.stop()
        events.emit("stopped")
        raise
    finally:
        run.runner.stop()
        with lasting_signals():
            if status != "KILLED":
                write_artifacts(run)
            metrics = report_numbers(run.place.root / run.definition.numbers) if status == "FINISHED" else {}
            run.cache.close()
            run.lineage.finish(status, {name: outcome.outs for name, outcome in run.outcomes.items()}, metrics)
            records.remove(run.home, run.lineage.flow_run_id)


@contextlib.contextmanager
def lasting_signals() -> Iterator[None]:
    """Keep a second Ctrl-C from interrupting the clean-up."""
    import signal

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run_stages(run: PipelineRun) -> None:
    """Submit each stage after its dependencies, at most as many at a time as the task runner has threads."""
    waiting = {stage.name: stage for stage in run.stages}
    futures: dict[str, PrefectFuture] = {}
    running: dict[str, Stage] = {}
    done: queue.Queue[str] = queue.Queue()
    while True:
        for stage in ready(run, waiting, running):
            running[stage.name] = waiting.pop(stage.name)
            futures[stage.name] = stage_task(run, stage).submit(wait_for=[futures[name] for name in stage.deps])
            threading.Thread(target=report_end, args=(futures[stage.name], stage.name, done), daemon=True).start()
        if not running:
            return
        name = next_end(done)
        del running[name]
        state = futures[name].state
        if not state.is_completed():
            run.failures.setdefault(name, RuntimeError(f"stage {name}: {state.message or state.name}"))


def ready(run: PipelineRun, waiting: Mapping[str, Stage], running: Mapping[str, Stage]) -> list[Stage]:
    """The stages that may start now."""
    chosen: list[Stage] = []
    for stage in waiting.values():
        now = [*running.values(), *chosen]
        if len(now) >= settings.concurrent_stages():
            break
        # The lock would make it wait too, but in a thread that another stage could use.
        excluded = stage.limit and any(stage.limit == other.limit for other in now)
        if not excluded and all(name in run.outcomes for name in stage.deps):
            chosen.append(stage)
    return chosen


def next_end(done: "queue.Queue[str]") -> str:
    """The next stage that ends. It wakes regularly, because signals are handled in this thread."""
    while True:
        with contextlib.suppress(queue.Empty):
            return done.get(timeout=0.2)


def report_end(future: PrefectFuture, name: str, done: "queue.Queue[str]") -> None:
    """Put a stage's name into the queue when its task has ended, including retries."""
    try:
        future.wait()
    finally:
        done.put(name)


def stage_task(run: PipelineRun, stage: Stage) -> Task:
    """The Prefect task of a stage, with the policy of its `meta:`.

    It does not use Prefect's timeout, which would leave the stage's process running; the runner stops the process.
    """

    def work() -> State:
        return bring_up_to_date(run, stage)

    def retry(_task: Any, _task_run: Any, _state: State) -> bool:
        error = run.failures.get(stage.name)
        if not isinstance(error, StageFailed) or error.permanent or run.runner.stopped.is_set():
            return False
        events.emit("retry", stage.name, error.reason)
        return True

    built = task(work, name=stage.name, description=stage.description or None)
    return built.with_options(
        task_run_name=stage.name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=stage.retries,
        retry_delay_seconds=stage.retry_delay_s,
        retry_condition_fn=retry,
    )


def bring_up_to_date(run: PipelineRun, stage: Stage) -> State:
    """The body of a stage's task: skip, restore or run the stage, and return that as the task's state."""
    logger, started = get_run_logger(), time.monotonic()
    run.failures.pop(stage.name, None)
    events.emit("started", stage.name)
    try:
        outs = locked_outputs(run.place.root, stage.name, stage.file)
        drop_spoilt(run, outs)
        if run.runner.current(stage):
            outcome = Outcome(stage.name, "cached", time.monotonic() - started, outs)
        else:
            needed = [other for other in run.stages if other.name in stage.deps]
            check_space(Places(run.place.root, run.home, run.cache.folder), stage, needed)
            outcome = run_limited(run, stage, logger)
            if drop_spoilt(run, outcome.outs):  # restored by DVC from an earlier run
                outcome = run_limited(run, stage, logger)
    except (StageStopped, WaitStopped) as error:
        run.failures[stage.name] = error
        events.emit("stopped", stage.name, str(error), time.monotonic() - started)
        return Cancelled(message=str(error))
    except (StageFailed, StepError) as error:
        run.failures[stage.name] = error
        events.emit("failed", stage.name, str(error), time.monotonic() - started)
        run.lineage.close_child(stage.name, "FAILED")
        raise
    run.outcomes[stage.name] = outcome
    events.emit(outcome.kind, stage.name, seconds=outcome.seconds)
    if outcome.kind == "ran":
        measured.write(run.home, run.place.root, stage, outcome.seconds, outcome.usage)
        run.lineage.stage_ran(stage.name, outcome.outs, run.cache.folder)
        return Completed(message=f"ran in {outcome.seconds:.1f} s")
    return Completed(name="Cached", message="restored" if outcome.kind == "restored" else "nothing changed")


def drop_spoilt(run: PipelineRun, outs: Mapping[str, str]) -> bool:
    """Remove changed objects of these outputs from DVC's cache; returns whether there were any."""
    spoilt = run.cache.drop_spoilt(outs)
    for path in spoilt:
        run.log(dropped(path))
    return bool(spoilt)


def run_limited(run: PipelineRun, stage: Stage, logger: Any) -> Outcome:
    """Run a stage, alone on the device of its limit."""
    pace = Pace()

    def line(text: str) -> None:
        if not parse(text.strip()) or pace.due():  # Prefect keeps every line
            logger.info(text)
        events.emit("line", stage.name, text)

    def run_now() -> Outcome:
        return run.runner.run(stage, line, environment_of(run, stage))

    if not stage.limit:
        return run_now()

    def wait(text: str) -> None:
        line(f"{stage.limit}: {text}")

    with turn(settings.turns_folder(run.home, stage.limit), run.lineage.name, stage.name, wait, run.runner.stopped):
        return run_now()


def environment_of(run: PipelineRun, stage: Stage) -> Mapping[str, str]:
    """Environment variables with the MLflow run for a stage's process."""
    if stage.always_changed:
        return {}  # it runs every time, mostly without news, so it is not logged to MLflow
    new = not run.lineage.run_id
    variables = run.lineage.environment_of(stage.name)
    if new:
        records.write(run.home, run.lineage.flow_run_id, mlflow=run.lineage.run_id)
        with get_client(sync_client=True) as client:
            client.update_flow_run_labels(run.lineage.flow_run_id, {"mlflow.run_id": run.lineage.run_id})
    return variables


def write_artifacts(run: PipelineRun) -> None:
    """The table of stages, the result table, and the address of the MLflow run."""
    create_table_artifact(key="stages", table=stage_table(run), description=run.sentence)
    result = run.definition.result and run.place.root / run.definition.result
    if result and result.is_file() and not run.failures:
        create_markdown_artifact(key="results", markdown=result.read_text(encoding="utf-8"))
    if run.lineage.run_id:
        uri = without_secrets(settings.mlflow_uri(run.home))
        text = f"MLflow run `{run.lineage.run_id}` in experiment `phiforge` at `{uri}`"
        create_markdown_artifact(key="mlflow", markdown=text)


def stage_table(run: PipelineRun) -> list[dict[str, str]]:
    """One row per stage: outcome, seconds, and the hashes of its outputs."""
    rows = []
    for stage in run.stages:
        outcome = run.outcomes.get(stage.name)
        kind = outcome.kind if outcome else ("failed" if stage.name in run.failures else "not run")
        hashes = "  ".join(f"{path} {md5[:12]}" for path, md5 in (outcome.outs if outcome else {}).items())
        seconds = f"{outcome.seconds:.1f}" if outcome else ""
        rows.append({"stage": stage.name, "outcome": kind, "seconds": seconds, "outputs": hashes})
    return rows


def failure_text(run: PipelineRun) -> str:
    """The failed stages with their last lines, and the stages that therefore did not run."""
    failed = ", ".join(run.failures)
    missing = [s.name for s in run.stages if s.name not in run.outcomes and s.name not in run.failures]
    head = f"failed: {failed}" + (f"; therefore not run: {', '.join(missing)}" if missing else "")
    return "\n".join([head, *(str(error) for error in run.failures.values())])


def finish_workspace(run: PipelineRun) -> None:
    """List a workspace's run among DVC's experiments."""
    if not run.place.key:
        return
    refuse_edits(run.home, run.place)
    if run.count("ran", "restored") or not experiment_exists(run.home, run.place):
        save_experiment(run.home, run.place, run.definition, run.stages, run.log)


def report_numbers(path: Path) -> dict[str, float]:
    """The numbers of a result; empty without a result."""
    return flat_numbers(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
