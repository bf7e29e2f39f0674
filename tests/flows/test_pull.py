"""What somebody with access to DVC's remote can and cannot do to who pulls from it."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[2]
CONTENT = b"from a colleague\n"
NAME = hashlib.md5(CONTENT).hexdigest()
HONEST = ("a.txt", "part/b.txt")
HOSTILE = ("a.txt", "../../../evil.txt")
REMOTE = """[core]
    analytics = false
    remote = shared
['remote "shared"']
    url = ../../remote
    verify = {}
"""
STAGE = """stages:
  ingest:
    cmd: python step.py
    outs: [data/raw]
"""
LOCK = """schema: '2.0'
stages:
  ingest:
    cmd: python step.py
    outs:
    - path: data/raw
      hash: md5
      md5: {}.dir
"""


def listing(paths: tuple[str, ...]) -> bytes:
    return json.dumps([{"md5": NAME, "relpath": path} for path in sorted(paths)], sort_keys=True).encode()


def make_clone(
    toy: ModuleType,
    folder: Path,
    held: tuple[str, ...],
    locked: tuple[str, ...],
    content: bytes = CONTENT,
    verify: str = "true",
) -> Path:
    """A clone whose dvc.lock names one listing, beside a remote that holds `held` under its name, and `content` for a file."""
    root = folder / "clone"
    name = hashlib.md5(listing(locked)).hexdigest()
    for oid, data in ((NAME, content), (f"{name}.dir", listing(held))):
        path = folder / "remote" / "files" / "md5" / oid[:2] / oid[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / ".dvc").mkdir(parents=True)
    files = {
        ".dvc/config": REMOTE.format(verify),
        "dvc.yaml": STAGE,
        "dvc.lock": LOCK.format(name),
        ".gitignore": "/.phiforge/\n",
    }
    for place, text in files.items():
        (root / place).write_text(text)
    toy.git(root, "init", "--quiet")
    return root


def pull(root: Path, *targets: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "flows.pull", *targets],
        cwd=REPOSITORY, env=os.environ | {"PHIFORGE_HOME": str(root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_what_the_lock_names_is_pulled(toy: ModuleType, tmp_path: Path) -> None:
    root = make_clone(toy, tmp_path, HONEST, HONEST)
    done = pull(root, "data/raw")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(root / "data/raw" / path).read_bytes() for path in HONEST] == [CONTENT] * 2


@pytest.mark.parametrize(
    ("locked", "said"),
    [(HONEST, "a listing with another hash than its name"), (HOSTILE, "a path that leads out of its folder")],
)
def test_a_remote_writes_no_file_outside_of_the_outputs(
    toy: ModuleType, tmp_path: Path, locked: tuple[str, ...], said: str
) -> None:
    root = make_clone(toy, tmp_path, HOSTILE, locked)
    done = pull(root)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "evil.txt").exists()
    assert not (root / "data").exists()


@pytest.mark.parametrize("verify", ["true", "false"])
def test_a_remote_changes_no_content(toy: ModuleType, tmp_path: Path, verify: str) -> None:
    root = make_clone(toy, tmp_path, HONEST, HONEST, b"changed\n", verify)
    done = pull(root)
    assert done.returncode != 0
    assert "failed to pull data" in done.stderr
    assert not list(root.rglob("*.txt"))


def test_dvc_alone_still_believes_the_remote(toy: ModuleType, tmp_path: Path) -> None:
    """The day this fails, `dvc pull` is safe by itself, and flows/pull.py can go."""
    toy.dvc(make_clone(toy, tmp_path, HOSTILE, HONEST), "pull")
    assert (tmp_path / "evil.txt").read_bytes() == CONTENT
