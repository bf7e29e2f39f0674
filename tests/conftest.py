"""Fixtures that every test may use."""

import os
import secrets
import socket
from pathlib import Path

import pytest
from hypothesis import settings

import components  # noqa: F401 - sets the environment before any test imports torch

# Ray reads this when it is imported, and some tests import it before the engine can say so.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

# A shared machine stalls now and then; a slow example is no failure.
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
    """What may stand where a file is expected: none of them ends, or can be read whole."""
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
def _untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps called by a test say nothing to MLflow unless the test asks for it."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_STAGE", "PHIFORGE_PARENT_RUN_ID", "PHIFORGE_FLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
