"""A logged checkpoint generates text where it is loaded."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from components.errors import StepError
from components.phi import checkpoint
from components.phi.model import Phi, PhiConfig
from components.tracking import MlflowTracker
from tests.components.phi.generated import generate

CONFIG = PhiConfig(97, 64, 160, 2, 2, 40)


def test_a_logged_checkpoint_generates_text(
    lively: Callable[..., Phi], tokenizer_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    import pandas

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    model = lively(CONFIG)
    checkpoint.save(model, tmp_path / "m", tokenizer_dir, {})
    tracker = MlflowTracker("train_small", tmp_path)
    tracker.model(tmp_path / "m", "model", {"validation_loss": 1.5})
    tracker.end("FINISHED")
    (logged,) = mlflow.search_logged_models(output_format="list")
    loaded = mlflow.pyfunc.load_model(logged.model_uri)

    tokenizer = checkpoint.load_tokenizer(tmp_path / "m")
    prompts = ["w5 w17 w3", "w1 " * 60]  # the second is longer than the window
    answers = loaded.predict(pandas.DataFrame({"prompt": prompts}))
    assert answers == list(loaded.predict(prompts))
    assert len(answers) == 2
    assert not answers[0].startswith("w5 w17 w3")
    ids = torch.tensor([tokenizer.encode(prompts[0]).ids])
    expected = generate(model, ids, 20)[0, 3:].tolist()
    assert answers[0].split()[: len(expected)] == tokenizer.decode(expected).split()[: len(answers[0].split())]


def test_the_file_stands_alone() -> None:
    """MLflow copies it away from this project, so it may import nothing of it."""
    source = Path(checkpoint.__file__).with_name("pyfunc_model.py").read_text()
    assert "components" not in source
    check = "import sys, ast; ast.parse(sys.stdin.read())"
    subprocess.run([sys.executable, "-c", check], input=source, text=True, check=True)


def test_a_checkpoint_with_a_link_that_leads_out_of_it_is_not_logged(
    lively: Callable[..., Phi], tokenizer_dir: Path, tmp_path: Path
) -> None:
    """MLflow copies what links lead to."""
    checkpoint.save(lively(CONFIG), tmp_path / "m", tokenizer_dir, {})
    (tmp_path / "m" / "notes.txt").symlink_to("/etc/passwd")
    with pytest.raises(StepError, match=r"'notes\.txt' is a link that leads out of its folder"):
        MlflowTracker("train_small", tmp_path).model(tmp_path / "m", "model", {})
