"""MLflow's runs: those that a registered version, an open run or the limits need are kept; removed ones leave no row and no file."""

import sqlite3
import time
from pathlib import Path

import mlflow
import pytest

from components.params import Limit
from flows.client.values import Unavailable
from flows.housekeeping.plan import DAY, removable
from flows.housekeeping.tracked import TrackedRuns

OUTPUT = "a" * 32
FLOW_RUN = "0196f7a2-0000-7000-8000-0123456789ab"


class Recorder:
    """Makes runs as flows do: a parent, a stage with a file, and a model that the stage logged."""

    def __init__(self, home: Path) -> None:
        from flows.lineage import client, ensure_experiment

        self.home, self.client = home, client(home)
        self.experiment = ensure_experiment(self.client)
        self.store = self.client._tracking_client.store

    def run(self, age_days: float = 0, status: str = "FINISHED", **tags: str) -> tuple[str, str]:
        """Ids of the parent's run and of the model."""
        parent = self.client.create_run(self.experiment, tags=tags).info.run_id
        of_parent = {"mlflow.parentRunId": parent, "stage": "train_large"}
        stage = self.client.create_run(self.experiment, tags=of_parent).info.run_id
        self.client.log_metric(stage, "loss", 1.0)
        self.client.log_text(stage, "curve", "curve.csv")
        model = self.client.create_logged_model(self.experiment, name="model", source_run_id=stage)
        folder = Path(model.artifact_location.removeprefix("file://"))
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_text("weights")
        self.client.finalize_logged_model(model.model_id, "READY")
        ended = int((time.time() - age_days * DAY) * 1000)
        self.client.set_terminated(stage, "FINISHED", ended)
        self.client.set_terminated(parent, status, ended)
        return parent, model.model_id

    def register(self, model: str, **tags: str) -> None:
        if not self.client.search_registered_models("name = 'phiforge'"):
            self.client.create_registered_model("phiforge")
        logged = self.client.get_logged_model(model)
        self.client.create_model_version(
            "phiforge", logged.artifact_location, logged.source_run_id, model_id=model, tags=tags
        )

    def tidy(self, keep: int = 0, days: float = 0) -> list[str]:
        tracking = TrackedRuns(self.home)
        going = removable(tracking.entries(), {"mlflow": Limit(keep=keep, days=days)}, time.time())
        assert all(path.is_dir() for entry in going for path in tracking.paths(entry) if "models" in path.parts)
        return [entry.name for entry in going if tracking.remove(entry)]

    def rows(self) -> int:
        """Rows of all tables that hold something of runs and models."""
        with sqlite3.connect(self.home / "mlflow.db") as database:
            tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
            used = [name for name in tables if name not in ("alembic_version", "experiments", "experiment_tags")]
            return sum(database.execute(f'select count(*) from "{name}"').fetchone()[0] for name in used)

    def files(self) -> list[Path]:
        return [path for path in (self.home / "mlartifacts").rglob("*") if path.is_file()]


@pytest.fixture
def recorder(tmp_path, monkeypatch) -> Recorder:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return Recorder(tmp_path)


def test_a_run_goes_with_its_stages_files_models_and_rows(recorder):
    before = recorder.rows()
    parent, _ = recorder.run()
    assert len(recorder.files()) == 2
    assert recorder.tidy() == [parent]
    assert recorder.files() == []
    assert recorder.rows() == before
    assert list((recorder.home / "mlartifacts").glob("*/*")) == []


def test_age_and_number_keep_runs_and_an_open_one_stays(recorder):
    old, older, young = (recorder.run(age)[0] for age in (100, 200, 1))
    recorder.run(300, status="RUNNING")
    assert set(recorder.tidy(keep=1, days=90)) == {older, old}
    assert recorder.tidy(keep=0, days=0) == [young]
    assert len(recorder.client.search_runs([recorder.experiment])) == 2


def test_what_a_registered_version_came_from_stays(recorder):
    trained, model = recorder.run(
        500, workspace="0123456789ab", **{"git.ref": "refs/phiforge/abc", "dvc.train": OUTPUT}
    )
    evaluated, _ = recorder.run(400, **{"dvc.report": "b" * 32 + ".dir"})
    lost, _ = recorder.run(300)
    recorder.register(model, evaluation=evaluated, decision=f'{{"flow_run": "{FLOW_RUN}"}}')
    assert recorder.tidy() == [lost]
    needs = {need for entry in TrackedRuns(recorder.home).entries() if entry.kind == "versions" for need in entry.needs}
    assert needs >= {
        f"mlflow:{trained}",
        f"mlflow:{evaluated}",
        "experiment:run-0123456789ab",
        f"prefect:{FLOW_RUN}",
        "source:refs/phiforge/abc",
        f"object:{OUTPUT}",
        f"object:{'b' * 32}.dir",
    }
    recorder.client.delete_model_version("phiforge", "1")
    assert set(recorder.tidy()) == {trained, evaluated}


def test_a_run_needs_its_source_and_its_flow_run(recorder):
    recorder.run(**{"git.ref": "refs/phiforge/abc", "prefect.flow_run_id": "1-2"})
    [entry] = TrackedRuns(recorder.home).entries()
    assert entry.needs == {"source:refs/phiforge/abc", "prefect:1-2"}


def test_what_was_deleted_in_mlflows_pages_goes_like_the_rest(recorder):
    parent, model = recorder.run()
    recorder.client.delete_run(parent)
    recorder.client.delete_logged_model(model)
    assert recorder.tidy() == [parent]
    assert recorder.files() == []


def test_nothing_is_made_where_mlflow_was_never_used(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert list(TrackedRuns(tmp_path).entries()) == []
    assert list(tmp_path.iterdir()) == []


def test_what_a_version_behind_a_server_needs_is_known_and_its_runs_are_left_alone(recorder, monkeypatch):
    parent, model = recorder.run(500, **{"dvc.train": OUTPUT})
    recorder.register(model)
    monkeypatch.setattr("flows.housekeeping.tracked.is_web", lambda _: True)
    served = TrackedRuns(recorder.home)
    entries = {entry.kind: entry for entry in served.entries()}
    assert "not removed" in served.remark
    assert entries["versions"].needs >= {f"object:{OUTPUT}", f"mlflow:{parent}"}
    assert entries["mlflow"].pinned


def test_a_server_that_does_not_answer_stops_housekeeping(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Unavailable, match="does not answer"):
        list(TrackedRuns(tmp_path).entries())


def test_an_experiment_of_a_person_is_left_alone(recorder):
    other = recorder.client.create_experiment("mine")
    run = recorder.client.create_run(other).info.run_id
    recorder.client.set_terminated(run, "FINISHED", 1)
    assert recorder.tidy() == []
    assert mlflow.MlflowClient(recorder.client.tracking_uri).get_run(run)
