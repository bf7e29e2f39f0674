"""Fixtures that every test may use."""

import os
import secrets
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import components  # noqa: F401 - sets the environment before any test imports torch

# Ray reads this when it is imported, and some tests import it before the engine can say so.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

# A shared machine stalls now and then; a slow example is not a failure.
settings.register_profile("phiforge", deadline=None)
settings.load_profile("phiforge")

ROOT = Path(__file__).parent.parent


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Of unequal bytes, where they part: on a server pytest would look for the likest lines of two files for minutes."""
    if op != "==" or not isinstance(left, bytes) or not isinstance(right, bytes):
        return None
    pairs = zip(left, right, strict=False)
    same = next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(left), len(right)))
    return [
        f"{len(left):,} and {len(right):,} bytes that differ from byte {same:,} on",
        f"{left[same : same + 40]!r} and {right[same : same + 40]!r}",
    ]


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real corpora and benchmark data, where the machine has them; tests that need them skip elsewhere."""
    folder = Path(os.environ.get("PHIFORGE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no shared data: set PHIFORGE_DATA to a folder with corpora/ and benchmarks/")
    return folder


@pytest.fixture
def hostile_places(tmp_path: Path) -> dict[str, Path]:
    """What may be at the path of an expected file: none of them ends, or can be read whole."""
    places = {name: tmp_path / f"hostile-{name}" for name in ("pipe", "folder", "large", "device", "socket")}
    os.mkfifo(places["pipe"])
    places["folder"].mkdir()
    with open(places["large"], "wb") as file:
        file.truncate(10**10)  # without taking room
    places["device"].symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(places["socket"]))  # an address may have a hundred characters
    return places


@pytest.fixture(autouse=True)
def _untracked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Steps called by a test say nothing to MLflow unless the test asks for it, and then no later test does."""
    for name in (
        "MLFLOW_TRACKING_URI",
        "DVC_STAGE",
        "PHIFORGE_PARENT_RUN_ID",
        "PHIFORGE_FLOW_RUN_ID",
        "PHIFORGE_NOTES",
    ):
        monkeypatch.delenv(name, raising=False)
    yield
    if client := sys.modules.get("mlflow"):
        client.set_tracking_uri(None)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder as a run leaves it, in small: tokens of people's text and of exercises, and three Phis with random
    weights. Tests that change it work on a copy."""
    from components.documents import Document, DocumentWriter
    from components.params import check_params
    from components.phi import checkpoint
    from components.phi.model import Phi, PhiConfig
    from components.tokenization import tokenize
    from components.tokens import Tokens
    from components.tracking import Tracker

    folder = tmp_path_factory.mktemp("home")
    with DocumentWriter(folder / "data" / "curated") as writer:
        for number in range(60):
            kind = ("prose", "exercise", "code")[number % 3]
            writer.write(Document(_tale(number), kind, f"tales/{number}", "MIT", "test"))
    settings = {"seed": 1, "tokenization": {"vocab_size": 300, "validation_fraction": 0.3, "epochs": {"code": 1.0}}}
    inputs, outputs = {"documents": [folder / "data" / "curated"]}, {"output": folder / "data" / "tokens"}
    tokenize.run(inputs, outputs, check_params(settings), Tracker())
    tokens = Tokens.open(folder / "data" / "tokens")
    for seed, name in enumerate(("small", "large", "control")):
        config = PhiConfig(tokens.manifest.vocab_size, 32, 64, 2 + (name != "small"), 2, 64)
        model = Phi(config).initialize(seed)
        for parameter in model.parameters():  # far from each other, so that no two tokens are as likely
            parameter.data.mul_(8)
        lineage = {"step": "training", "tokens_fingerprint": tokens.manifest.fingerprint}
        checkpoint.save(model, folder / "models" / name, tokens.tokenizer_dir, lineage)
    return folder


def _tale(number: int) -> str:
    """A text of its own for each number, long enough to be cut into a prompt and its continuation."""
    words = "the old miller went down to the river where his daughter waited with bread and a jug of water"
    known = words.split()
    told = [known[(number * 7 + step * step) % len(known)] for step in range(90)]
    return f"Tale {number}. " + " ".join(told) + ".\n"


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of an installed Chromium."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium is installed; install one to run the browser tests")
