"""What a step logs to MLflow: one run per step, with parameters, metrics, datasets and models.

A step is tracked when DVC runs it or when MLFLOW_TRACKING_URI is set; otherwise a step called by hand is not logged. A
Prefect flow passes its parent run in PHIFORGE_PARENT_RUN_ID; plain `dvc repro` has none, and the step's run then has no
parent and the tag `pipeline.source = dvc repro`.

Importing MLflow's client costs two seconds of CPU. So a step collects notes, and imports the client only when something
cannot wait for the end (a curve, a model). A flow has a client already: it names a file in PHIFORGE_NOTES, a step that
has logged nothing yet leaves its notes there, and the flow logs them. Any other step does so itself when it ends.

Tags of a step's run, which lead to everything else:
- `stage`, `prefect.flow_run_id`;
- `git.commit` (HEAD), `git.source` ("HEAD", or "HEAD plus changes in ..."), `git.tree` (hash of the files at that time)
  and, if it is not HEAD's, `git.ref`, which keeps it in git;
- `dvc.deps` and `dvc.outs` (JSON, path to md5; the flow adds the outputs, which DVC hashes after the step has ended).
"""

import hashlib
import json
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from components.errors import StepError, shortened
from components.files import STATE, private_directory, sha256_file, write_json
from components.foreign.addresses import is_web, without_secrets
from components.foreign.confined import refuse_links_out
from components.params import flatten
from components.running.revision import keep, read_revision

PARENT = "PHIFORGE_PARENT_RUN_ID"
FLOW_RUN = "PHIFORGE_FLOW_RUN_ID"
NOTES = "PHIFORGE_NOTES"
EXPERIMENT = "phiforge"
KIND = ("mlflow.experimentKind", "custom_model_development")  # else MLflow opens on its page for agents, which is empty
RETRIES = "4"  # of a request to MLflow; its own seven take four minutes
TRACING_SECONDS = 120.0
WEIGHTS = "weights_sha256"  # tag of a logged model and of a registered version: hash of the weights


def flat_numbers(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a nested summary by flat MLflow metric names: `dropped.length`."""
    flat: dict[str, float] = {}
    for key, value in values.items():
        name = "".join(c if c.isalnum() or c in "_-./ " else "_" for c in f"{prefix}{key}")
        if isinstance(value, Mapping):
            flat |= flat_numbers(value, f"{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[name] = float(value)
    return flat


def project_home(root: Path | None = None) -> Path:
    """The project's main folder, also from inside one of its git worktrees (where `.git` is a file)."""
    root = Path(root or Path.cwd()).resolve()
    git = root / ".git"
    if git.is_file():
        common = Path(git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()).parent.parent
        return common.parent
    return root


def state_folder() -> Path:
    """`.phiforge` in the project's main folder, which all its workspaces share."""
    return private_directory(project_home() / STATE)


def tracking_uri(root: Path | None = None) -> str:
    """MLFLOW_TRACKING_URI, or SQLite in the project's main folder, which all its workspaces share."""
    return given_uri() or f"sqlite:///{project_home(root) / 'mlflow.db'}"


def given_uri() -> str:
    """MLFLOW_TRACKING_URI, or an empty string.

    A login in a web address moves to MLflow's own variables for it, since MLflow prints the address with every run.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    login = urlsplit(given) if is_web(given) and "@" in given else None
    if login and login.username:
        os.environ.setdefault("MLFLOW_TRACKING_USERNAME", unquote(login.username))
        os.environ.setdefault("MLFLOW_TRACKING_PASSWORD", unquote(login.password or ""))
        given = os.environ["MLFLOW_TRACKING_URI"] = without_secrets(given)
    return given


def source_tags(root: Path) -> dict[str, str]:
    """Tags with the source of a run in this checkout; a tree that differs from HEAD is kept in git.

    Empty outside a git repository; a repository that cannot be read costs the tags, not the run.
    """
    try:
        revision = read_revision(root)
        keep(root, revision)
    except StepError as error:
        print(f"no source is recorded: {error}", flush=True)
        return {}
    tags = {"git.commit": revision.commit, "git.source": revision.description, "git.tree": revision.tree}
    return tags | ({"git.ref": revision.reference} if revision.reference else {})


def lock_hashes(root: Path, paths: list[str]) -> dict[str, str]:
    """md5 of those `paths` that dvc.lock knows as outputs of a stage."""
    lock = Path(root) / "dvc.lock"
    if not lock.is_file():
        return {}
    from ruamel.yaml import YAML

    stages = (YAML(typ="safe").load(lock.read_text(encoding="utf-8")) or {}).get("stages", {})
    known = {out["path"]: out.get("md5", "") for stage in stages.values() for out in stage.get("outs", [])}
    return {path: known[path] for path in paths if path in known}


def weights_sha256(checkpoint: Path) -> str:
    """Hex SHA-256 of a checkpoint's weights; of a sharded one, of its shards' hashes in order of their names."""
    hashes = [sha256_file(path) for path in sorted(Path(checkpoint).glob("*.safetensors")) if path.is_file()]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


@dataclass(frozen=True)
class Trace:
    """One call of a model, for MLflow's page of traces.

    Attributes:
        start_ns, end_ns: nanoseconds since 1970.
        tags: what traces are searched by.
        cost: in the currency of the prices; None where it is unknown.
    """

    name: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    start_ns: int
    end_ns: int
    failed: bool
    attributes: dict[str, Any]
    tags: dict[str, str]
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None

    def with_values(self, change: Callable[[Any], Any]) -> "Trace":
        """The trace with its texts changed."""
        texts = ("inputs", "outputs", "attributes", "tags")
        return replace(self, **{name: change(getattr(self, name)) for name in texts})

    @property
    def measured(self) -> dict[str, Any]:
        """Tokens and cost under MLflow's own names, and all else that is known of the call."""
        from mlflow.tracing.constant import CostKey, SpanAttributeKey, TokenUsageKey

        found = dict(self.attributes)
        if self.prompt_tokens is not None and self.completion_tokens is not None:
            found[SpanAttributeKey.CHAT_USAGE] = {
                TokenUsageKey.INPUT_TOKENS: self.prompt_tokens,
                TokenUsageKey.OUTPUT_TOKENS: self.completion_tokens,
                TokenUsageKey.TOTAL_TOKENS: self.prompt_tokens + self.completion_tokens,
            }
        if self.cost is not None:
            found[SpanAttributeKey.LLM_COST] = {CostKey.TOTAL_COST: self.cost}
        return found


class Tracker:
    """The run of one step. The base class logs nothing; `MlflowTracker` does."""

    def params(self, values: Mapping[str, Any]) -> None: ...

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None: ...

    def tags(self, values: Mapping[str, str]) -> None: ...

    def artifact(self, path: Path, folder: str = "") -> None: ...

    def dataset(self, path: str, context: str) -> None: ...

    def model(self, checkpoint: Path, name: str, metadata: Mapping[str, Any]) -> None: ...

    def trace(self, trace: Trace) -> None: ...


@dataclass
class Notes:
    """What a step logs when it ends. Times are milliseconds since the epoch."""

    stage: str
    root: str  # the checkout, in which paths of artifacts and datasets are relative
    started: int
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    artifacts: list[tuple[str, str]] = field(default_factory=list)  # path and folder
    datasets: list[tuple[str, str, str]] = field(default_factory=list)  # path, digest and context
    status: str = "RUNNING"
    ended: int = 0

    def open_run(self, client: Any) -> str:
        """Create the run, with the step's start time; returns its id."""
        experiment = ensure_experiment(client)
        made = client.create_run(experiment, start_time=self.started, tags=self.tags, run_name=self.stage)
        return made.info.run_id

    def close_run(self, client: Any, run_id: str) -> None:
        """Log everything, and end the run."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(name, storable(value), self.ended, 0) for name, value in self.metrics.items()]
        params = [Param(name, str(value)) for name, value in self.params.items()]
        tags = [RunTag(name, value) for name, value in self.tags.items()]
        client.log_batch(run_id, metrics, params, tags)
        for name, folder in self.artifacts:
            path = Path(self.root, name)
            log = client.log_artifacts if path.is_dir() else client.log_artifact
            log(run_id, str(path), folder or None)
        if self.datasets:
            client.log_inputs(run_id, [self._dataset(*dataset) for dataset in self.datasets])
        client.set_terminated(run_id, self.status, self.ended)

    def _dataset(self, path: str, digest: str, context: str) -> Any:
        """A dataset in MLflow's form. Its data is not read."""
        from mlflow.data.dataset_source_registry import resolve_dataset_source
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.entities import DatasetInput, InputTag
        from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # two of MLflow's own source types claim any local path
            source = resolve_dataset_source(str(Path(self.root, path)))
        dataset = MetaDataset(source=source, name=path, digest=digest[:36])
        return DatasetInput(dataset._to_mlflow_entity(), [InputTag(MLFLOW_DATASET_CONTEXT, context)])


class MlflowTracker(Tracker):
    """Collects notes for MLflow, and logs at once what cannot wait."""

    def __init__(self, stage: str, root: Path) -> None:
        self.root, self.notes = root, Notes(stage, str(root), _milliseconds())
        self._mlflow: Any = None
        self._curves: set[str] = set()  # names of metrics that were logged by step
        self._traces: list[Trace] = []

    def _live(self) -> Any:
        """MLflow, with the step's run as its active one."""
        if self._mlflow is None:
            # Model logging asks for these; the defaults try to reach a hub or write to the home folder.
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
            os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
            os.environ.setdefault(
                "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false"
            )  # a step's traces come when it has ended
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", RETRIES)
            import mlflow

            mlflow.set_tracking_uri(tracking_uri(self.root))
            client = mlflow.MlflowClient()
            mlflow.set_experiment(experiment_id=ensure_experiment(client))
            self.notes.tags |= self._origin()
            mlflow.start_run(run_id=self.notes.open_run(client))
            self._mlflow = mlflow
        return self._mlflow

    def _origin(self) -> dict[str, str]:
        """Tags that say what the run belongs to."""
        tags = {"stage": self.notes.stage} | source_tags(self.root)
        if parent := os.environ.get(PARENT):
            tags["mlflow.parentRunId"] = parent
        if flow_run := os.environ.get(FLOW_RUN):
            return tags | {"prefect.flow_run_id": flow_run}
        return tags | {"pipeline.source": "dvc repro" if os.environ.get("DVC_STAGE") else "command line"}

    def params(self, values: Mapping[str, Any]) -> None:
        self.notes.params |= values

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics, all of a step together. A metric with a curve gets no point outside it: MLflow would put it at
        step 0. One write per second to SQLite is enough, so the client buffers them."""
        if step is None:
            self.notes.metrics |= {name: float(value) for name, value in values.items()}
        else:
            self._curves.update(values)
            storables = {name: storable(value) for name, value in values.items()}
            self._live().log_metrics(storables, step=step, synchronous=False)

    def tags(self, values: Mapping[str, str]) -> None:
        self.notes.tags |= values

    def artifact(self, path: Path, folder: str = "") -> None:
        self.notes.artifacts.append((str(path), folder))

    def dataset(self, path: str, context: str) -> None:
        """Log a dataset by DVC's digest, reading none of its data."""
        if digest := lock_hashes(self.root, [path]).get(path):
            self.notes.datasets.append((path, digest, context))

    def model(self, checkpoint: Path, name: str, metadata: Mapping[str, Any]) -> None:
        """Log a checkpoint so that `mlflow.pyfunc.load_model` generates text from it.

        The logged model is tagged with the hash of its weights, by which the registry finds it.
        """
        refuse_links_out(checkpoint)  # MLflow copies the targets of links
        wrapper = Path(__file__).parent / "phi" / "pyfunc_model.py"
        client = self._live()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it asks for type hints, which the signature already gives
            client.pyfunc.log_model(
                name=name,
                python_model=str(wrapper),
                artifacts={"checkpoint": str(checkpoint)},
                signature=text_signature(checkpoint),
                pip_requirements=["torch", "transformers", "safetensors", "pandas"],
                metadata=dict(metadata),
                tags={WEIGHTS: weights_sha256(checkpoint)},
            )

    def trace(self, trace: Trace) -> None:
        """Keep a trace until the step has ended."""
        self._traces.append(trace)

    def _log_traces(self) -> None:
        mlflow = self._live()
        client, run, until = mlflow.MlflowClient(), mlflow.active_run().info, time.monotonic() + TRACING_SECONDS
        for number, trace in enumerate(self._traces):
            span = client.start_trace(
                trace.name,
                span_type="CHAT_MODEL",
                inputs=trace.inputs,
                attributes=trace.measured,
                tags=trace.tags,
                experiment_id=run.experiment_id,
                start_time_ns=trace.start_ns,
                run_id=run.run_id,
            )
            span.end(outputs=trace.outputs, status="ERROR" if trace.failed else "OK", end_time_ns=trace.end_ns)
            if not number:
                client.get_trace(span.trace_id)  # MLflow only warns of a trace that it cannot store
            if time.monotonic() > until:
                print(f"MLflow takes too long: {number + 1} of {len(self._traces)} traces are recorded", flush=True)
                return

    def end(self, status: str) -> None:
        """End the run: leave the notes to the flow that asked for them, or log them. A step that is interrupted before
        it has logged anything leaves no run: importing the client would delay it. A server that fails costs the record,
        not the step's work.
        """
        if status == "KILLED" and self._mlflow is None:
            return
        for log in ([self._log_traces] if self._traces else []) + [lambda: self._close(status)]:
            try:
                log()
            except Exception as error:  # noqa: BLE001 - whatever a server or a library of MLflow's raises
                uri = without_secrets(tracking_uri(self.root))
                print(f"MLflow at {uri}: not recorded, {type(error).__name__}: {shortened(str(error))}", flush=True)

    def _close(self, status: str) -> None:
        notes, file = self.notes, os.environ.get(NOTES)
        notes.status, notes.ended = status, _milliseconds()
        notes.metrics = {name: value for name, value in notes.metrics.items() if name not in self._curves}
        if file and self._mlflow is None:
            notes.tags |= self._origin()
            write_json(Path(file), asdict(notes))
            return
        mlflow = self._live()
        mlflow.flush_async_logging()
        notes.close_run(mlflow.MlflowClient(), mlflow.active_run().info.run_id)
        mlflow.end_run(status)


def _milliseconds() -> int:
    return int(time.time() * 1000)


def text_signature(checkpoint: Path) -> Any:
    """Prompts in, continuations out, and the parameters of generation; MLflow drops those that no signature names."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    config = json.loads((Path(checkpoint) / "config.json").read_text(encoding="utf-8"))
    new_tokens = min(64, config["max_position_embeddings"] // 2)
    text = Schema([ColSpec("string")])
    params = ParamSchema(
        [
            ParamSpec("max_new_tokens", "long", new_tokens),
            ParamSpec("temperature", "double", 0.0),
            ParamSpec("seed", "long", 0),
        ]
    )
    return ModelSignature(inputs=text, outputs=text, params=params)


def storable(value: float) -> float:
    """A metric as MLflow can store it: its databases turn an infinity into 1.8e308, but keep NaN, which is truer."""
    number = float(value)
    return math.nan if math.isinf(number) else number


def ensure_experiment(client: Any) -> str:
    """Id of the experiment, made if need be. With SQLite its artifacts are beside the database, not in the workspace
    that happens to run first.

    Raises:
        StepError: the experiment was deleted in MLflow, which keeps its name taken.
    """
    from mlflow.exceptions import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    uri = client.tracking_uri
    location = None
    if uri.startswith("sqlite:///"):
        location = (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts").as_uri()
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.create_experiment(name, artifact_location=location, tags=dict([KIND]))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:  # else another step made it in the meantime
                raise
    if experiment.lifecycle_stage == "deleted":
        raise StepError(
            f"MLflow: experiment {name!r} was deleted; expected one that takes runs; bring it back with "
            f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`, or name another in "
            "MLFLOW_EXPERIMENT_NAME"
        )
    if KIND[0] not in experiment.tags:
        client.set_experiment_tag(experiment.experiment_id, *KIND)
    return experiment.experiment_id


@contextmanager
def track(step: str, params: Mapping[str, Any], dependencies: list[str]) -> Iterator[Tracker]:
    """The tracker of a step. Its run is FINISHED when the block ends, FAILED when it raises.

    Args:
        step: name of the step; the run is named after DVC's stage if there is one.
        params: the sections that the step may read, as a nested mapping.
        dependencies: paths that the step reads, relative to the project.
    """
    if not (os.environ.get("DVC_STAGE") or os.environ.get("MLFLOW_TRACKING_URI")):
        yield Tracker()
        return
    root = Path.cwd()
    stage = os.environ.get("DVC_STAGE", step).rpartition(":")[2] or step
    tracker = MlflowTracker(stage, root)
    try:
        yield tracker
    except Exception:
        _log_leads(tracker, root, step, params, dependencies)  # failed runs must be traceable too
        tracker.end("FAILED")
        raise
    except BaseException:
        tracker.end("KILLED")
        raise
    _log_leads(tracker, root, step, params, dependencies)
    tracker.end("FINISHED")


def _log_leads(
    tracker: MlflowTracker, root: Path, step: str, params: Mapping[str, Any], dependencies: list[str]
) -> None:
    """Log the parameters and the hashes of what was read, which lead from a run to its inputs."""
    tracker.params(flatten(params))
    tracker.tags({"dvc.deps": json.dumps(lock_hashes(root, dependencies), sort_keys=True)})
    for path in dependencies:
        tracker.dataset(path, context=step)
