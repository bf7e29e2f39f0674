"""The registry in a real MLflow with SQLite: one version for the same weights, one alias a version, none if nobody asks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components import tracking
from components.tracking import MlflowTracker, Tracker


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowTracker]:
    import mlflow

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    tracker = MlflowTracker("report", tmp_path)
    yield tracker
    tracker.end("FINISHED")
    mlflow.set_tracking_uri(None)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "models/large", b"weights")


def make_checkpoint(path: Path, weights: bytes) -> Path:
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(weights)
    (path / "config.json").write_text('{"max_position_embeddings": 64}', encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _wrapper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapper that needs no torch in place of the real one."""
    package = tmp_path / "package"
    (package / "phi").mkdir(parents=True)
    (package / "phi" / "pyfunc_model.py").write_text(
        "import mlflow\n\nclass Echo(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n        return list(model_input.iloc[:, 0])\n\n"
        "mlflow.models.set_model(Echo())\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(tracking, "__file__", str(package / "tracking.py"))


def versions(tracker: MlflowTracker, name: str = "house") -> dict[str, Any]:
    client = tracker._client().MlflowClient()
    return {
        str(v.version): client.get_model_version(name, v.version)
        for v in client.search_model_versions(f"name='{name}'")
    }


def test_the_plain_tracker_registers_nothing(checkpoint: Path, tmp_path: Path) -> None:
    Tracker().register(checkpoint, "house", "champion", {"gate": "passed"})
    assert not (tmp_path / "mlflow.db").exists()


def test_the_same_weights_have_one_version_and_one_alias(
    tracker: MlflowTracker, checkpoint: Path, tmp_path: Path
) -> None:
    client = tracker._client().MlflowClient()
    experiment = [tracker._client().active_run().info.experiment_id]

    tracker.model(checkpoint, "large", {"stage": "train_large"})
    logged = client.search_logged_models(experiment)
    tracker.register(checkpoint, "house", "candidate", {"gate": "not judged"})
    assert len(client.search_logged_models(experiment)) == 1, "what training logged is not stored again"
    only = versions(tracker)["1"]
    assert only.source == f"models:/{logged[0].model_id}"
    assert only.tags == {"gate": "not judged", "weights_sha256": tracking.weights_sha256(checkpoint)}

    tracker.register(checkpoint, "house", "champion", {"gate": "passed"})
    found = versions(tracker)
    assert list(found) == ["1"]
    assert found["1"].aliases == ["champion"]
    assert found["1"].tags["gate"] == "passed"

    other = make_checkpoint(tmp_path / "models/other", b"other weights")
    tracker.register(other, "house", "champion", {})
    found = versions(tracker)
    assert len(found) == 2
    assert found["1"].aliases == []
    assert found["2"].aliases == ["champion"]
    assert tracker._client().pyfunc.load_model("models:/house@champion").predict(["a"]) == ["a"]
