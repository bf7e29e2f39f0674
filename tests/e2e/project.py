"""A copy of this project to run whole pipelines in, and how to call its commands."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from components.params import set_dotted

# Parameters with which the whole pipeline takes a minute or two.
SMALL = {
    "validation.min_tokens": 1000,
    "synthesis.chapters": 40,
    "synthesis.exercises": 800,
    "synthesis.exam_examples": 10,
    "tokenization.vocab_size": 600,
    "tokenization.epochs.code": 1,
    "tokenization.validation_fraction": 0.2,
    "training.context_length": 64,
    "training.batch_tokens": 1024,
    "training.micro_batch_tokens": 512,
    "training.threads": 1,
    "training.validations": 3,
    "training.validation_tokens": 4096,
    "small.model.hidden_size": 32,
    "small.model.intermediate_size": 64,
    "small.model.num_hidden_layers": 1,
    "small.model.num_attention_heads": 2,
    "small.tokens": 40_000,
    "large.model.hidden_size": 40,
    "large.model.intermediate_size": 80,
    "large.model.num_hidden_layers": 2,
    "large.model.num_attention_heads": 2,
    "large.tokens": 20_000,
    "transfer.proof_tokens": 512,
    "interpretation.held_out_tokens": 1024,
    "interpretation.questions": 2,
    "promotion.max_overlap": 1.0,
    "promotion.max_loss_over_control": 5.0,
    "study.arms": ["scratch", "continued", "exact"],
    "study.seeds": [1, 2],
    "study.rates": [1.0],
    "study.horizons": [1.0],
    "ablation.seeds": [1, 2],
    "ablation.tokens": 40_000,
    "ingestion.sources": [{"path": "texts", "license": "Apache-2.0"}],
}


def environment() -> dict[str, str]:
    left_out = (
        "PYTHONDONTWRITEBYTECODE",
        "PHIFORGE_HOME",
        "PREFECT_API_URL",
        "PREFECT_HOME",
        "MLFLOW_TRACKING_URI",
        "DVC_STAGE",
    )
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


def call(project: Path, *words: str) -> str:
    """Run `python -m WORDS` in a project; its output if it ends well."""
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def make_project(root: Path, folder: Path, params: Mapping[str, Any]) -> Path:
    """A copy of this project as a repository of its own, in which these parameters differ; `texts` holds its code and prose."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file() and not name.startswith(("tests/", "dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, folder / name)
    # Real text that is the same on every machine: this project's own code and prose.
    shutil.copytree(
        folder / "components", folder / "texts" / "code", ignore=shutil.ignore_patterns("__pycache__", "*.json")
    )
    shutil.copytree(folder / "docs", folder / "texts" / "docs")
    (folder / "texts" / "broken.txt").write_bytes(b"binary \x00\x01 data")
    yaml = YAML()
    written = yaml.load((folder / "params.yaml").read_text())
    for key, value in params.items():
        set_dotted(written, key, value)
    with open(folder / "params.yaml", "w") as file:
        yaml.dump(written, file)
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "start"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    return folder
