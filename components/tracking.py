"""What a step tells MLflow: one run a step, with parameters, metrics, datasets and models.

A step is tracked when DVC runs it or when MLFLOW_TRACKING_URI is set; a step called by hand otherwise leaves no trace.
A Prefect flow hands its parent run over in PHIFORGE_PARENT_RUN_ID; plain `dvc repro` has none, and the step's run then
stands alone, tagged `pipeline.source = dvc repro`. The client is imported when the first word is said to it, since
that costs two seconds of CPU.

Tags of a step's run, which lead to everything else:
- `stage`, `prefect.flow_run_id`;
- `git.commit` (HEAD), `git.source` ("HEAD", or "HEAD plus changes in ..."), `git.tree` (hash of the files as they stood)
  and, where that is not HEAD's, `git.ref`, which keeps it in git;
- `dvc.deps` and `dvc.outs` (JSON, path to md5; the flow adds the outputs, which DVC hashes after the step has ended).
"""

import hashlib
import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from components.addresses import is_web, without_secrets
from components.confined import refuse_links_out
from components.errors import StepError
from components.files import STATE, private_directory, sha256_file
from components.params import flatten
from components.revision import keep, read_revision

PARENT = "PHIFORGE_PARENT_RUN_ID"
FLOW_RUN = "PHIFORGE_FLOW_RUN_ID"
EXPERIMENT = "phiforge"
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
    """Tags that say which source a run in this checkout works with; a tree that differs from HEAD is kept in git.

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


class Tracker:
    """The run of one step. The base class says nothing to anyone; `MlflowTracker` does."""

    def params(self, values: Mapping[str, Any]) -> None: ...

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None: ...

    def tags(self, values: Mapping[str, str]) -> None: ...

    def artifact(self, path: Path, folder: str = "") -> None: ...

    def dataset(self, path: str, context: str) -> None: ...

    def model(self, checkpoint: Path, name: str, metadata: Mapping[str, Any]) -> None: ...


class MlflowTracker(Tracker):
    """Speaks to MLflow. Metrics are buffered: one write a second to SQLite is enough."""

    def __init__(self, stage: str, root: Path) -> None:
        self.stage, self.root = stage, root
        self._mlflow: Any = None
        self._curves: set[str] = set()  # names of figures that were logged by step

    def _client(self) -> Any:
        if self._mlflow is None:
            # Model logging asks for these; the defaults try to reach a hub or write to the home folder.
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
            os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
            import mlflow

            mlflow.set_tracking_uri(tracking_uri(self.root))
            mlflow.set_experiment(experiment_id=ensure_experiment(mlflow.MlflowClient()))
            tags = {"stage": self.stage} | source_tags(self.root)
            if flow_run := os.environ.get(FLOW_RUN):
                tags["prefect.flow_run_id"] = flow_run
            else:
                tags["pipeline.source"] = "dvc repro" if os.environ.get("DVC_STAGE") else "command line"
            mlflow.start_run(run_name=self.stage, parent_run_id=os.environ.get(PARENT) or None, tags=tags)
            self._mlflow = mlflow
        return self._mlflow

    def params(self, values: Mapping[str, Any]) -> None:
        self._client().log_params(dict(values))

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log figures. A figure that has a curve gets no point outside it: MLflow would put it at step 0."""
        if step is None:
            values = {name: value for name, value in values.items() if name not in self._curves}
        else:
            self._curves.update(values)
        self._client().log_metrics({k: storable(v) for k, v in values.items()}, step=step, synchronous=False)

    def tags(self, values: Mapping[str, str]) -> None:
        self._client().set_tags(dict(values))

    def artifact(self, path: Path, folder: str = "") -> None:
        log = self._client().log_artifacts if Path(path).is_dir() else self._client().log_artifact
        log(str(path), folder or None)

    def dataset(self, path: str, context: str) -> None:
        """Log a dataset by DVC's digest, reading none of its data."""
        digest = lock_hashes(self.root, [path]).get(path)
        if digest is None:
            return
        from mlflow.data.dataset_source_registry import resolve_dataset_source
        from mlflow.data.meta_dataset import MetaDataset

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # two of MLflow's own source types claim any local path
            source = resolve_dataset_source(str(self.root / path))
        self._client().log_input(MetaDataset(source=source, name=path, digest=digest[:36]), context=context)

    def model(self, checkpoint: Path, name: str, metadata: Mapping[str, Any]) -> None:
        """Log a checkpoint so that `mlflow.pyfunc.load_model` generates text from it.

        The logged model is tagged with the hash of its weights, by which the registry finds it.
        """
        refuse_links_out(checkpoint)  # MLflow copies what links lead to
        wrapper = Path(__file__).parent / "phi" / "pyfunc_model.py"
        client = self._client()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it asks for type hints; the signature says it already
            client.pyfunc.log_model(
                name=name,
                python_model=str(wrapper),
                artifacts={"checkpoint": str(checkpoint)},
                signature=text_signature(checkpoint),
                pip_requirements=["torch", "transformers", "safetensors", "pandas"],
                metadata=dict(metadata),
                tags={WEIGHTS: weights_sha256(checkpoint)},
            )

    def end(self, status: str) -> None:
        if self._mlflow is not None:
            self._mlflow.flush_async_logging()
            self._mlflow.end_run(status)


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
    """Id of the experiment, made if need be. With SQLite its artifacts lie beside the database, not in the workspace
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
            return client.create_experiment(name, artifact_location=location)
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
    return experiment.experiment_id


@contextmanager
def track(step: str, params: Mapping[str, Any], dependencies: list[str]) -> Iterator[Tracker]:
    """The tracker of a step. Its run is FINISHED when the block ends, FAILED when it raises.

    Args:
        step: name of the step; the run is named after DVC's stage where there is one.
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
        _log_leads(tracker, root, step, params, dependencies)  # what failed must be found again as well
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
    """The parameters and the hashes of what was read: the way from a run to all that made it."""
    tracker.params(flatten(params))
    tracker.tags({"dvc.deps": json.dumps(lock_hashes(root, dependencies), sort_keys=True)})
    for path in dependencies:
        tracker.dataset(path, context=step)
