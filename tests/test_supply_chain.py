"""Set-up installs only what the lock files name, and only files with a hash from there."""

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCKS = [
    "requirements.lock",
    "requirements-cuda.lock",
    "requirements-audit.lock",
    "requirements-docs.lock",
    "requirements-playground.lock",
    "docker/requirements.lock",
    "bench/peers.lock",
]


def locked(text: str) -> dict[Requirement, list[str]]:
    """The requirements of a lock file, each with the hashes of its files."""
    lines = text.replace("\\\n", " ").splitlines()
    return {Requirement(line.split("--hash")[0]): re.findall(r"--hash=sha256:[0-9a-f]{64}\b", line) for line in lines}


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_is_pinned_with_hashes_and_no_index_is_named(name):
    text = (ROOT / name).read_text()
    assert "://" not in text
    for requirement, hashes in locked(text).items():
        assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), requirement
        assert hashes, requirement


def test_the_lock_answers_what_pyproject_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    asked = {
        "requirements.lock": project["project"]["dependencies"] + groups["dev"] + project["build-system"]["requires"],
        "requirements-audit.lock": groups["audit"],
        "requirements-docs.lock": groups["docs"],
        "requirements-playground.lock": groups["playground"],
        "docker/requirements.lock": groups["server"],
    }
    for name, wanted in asked.items():
        pins = {r.name: r.specifier for r in locked((ROOT / name).read_text())}
        for requirement in map(Requirement, wanted):
            version = str(pins[canonicalize_name(requirement.name)]).removeprefix("==")
            assert requirement.specifier.contains(version), f"{name}: {requirement}"


def test_the_image_verifies_what_it_installs():
    text = (ROOT / "docker" / "Dockerfile").read_text().replace("\\\n", " ")
    installs = re.findall(r"pip install ([^&\n]*)", text)
    assert len(installs) == 2
    for arguments in map(str.split, installs):
        assert "--require-hashes" in arguments
        assert "--only-binary" in arguments or "--require-build-hashes" in arguments
        assert not [a for a in arguments if re.search(r"[<>=~]", a)]


@pytest.fixture
def set_up(tmp_path: Path, monkeypatch) -> Callable[..., subprocess.CompletedProcess]:
    """Run `make setup` in a folder with a blank, on an index of toy packages; uv alone is the real one."""
    root = tmp_path / "my project"
    give_project(root)
    give_uv(root / ".venv")
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    uv = distribution("uv").version  # there already; the index holds a toy of that name and version
    variables = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": (tmp_path / "index").as_uri(),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
    }

    def run(lock: dict[str, Path | str], **more: str) -> subprocess.CompletedProcess:
        lock |= {f"uv=={uv}": publish(tmp_path / "index", "uv", version=uv)}
        lines = [f"{name} \\\n    --hash=sha256:{digest(file)}\n" for name, file in lock.items()]
        (root / "requirements.lock").write_text("".join(lines))
        (root / "requirements-cuda.lock").write_text("")
        command = ["make", "setup", f"PYTHON={sys.executable}"]
        environment = os.environ | variables | more
        return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)

    return run


def give_project(root: Path) -> None:
    """The Makefile, and a package `flows` with the command and the build backend of our own project."""
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (root / "flows").mkdir(parents=True)
    (root / "flows" / "__init__.py").touch()
    (root / "flows" / "command.py").write_text("def main():\n    print('Phiforge here')\n")
    (root / "pyproject.toml").write_text(f"""
[project]
name = "phiforge"
version = "1.0"
[project.scripts]
phiforge = "{ours["project"]["scripts"]["phiforge"]}"
[build-system]
requires = {ours["build-system"]["requires"]}
build-backend = "{ours["build-system"]["build-backend"]}"
[tool.uv.build-backend]
module-name = ["flows"]
module-root = ""
""")
    shutil.copy(ROOT / "Makefile", root)


def give_uv(place: Path) -> None:
    """A virtual environment without pip that has this one's uv."""
    venv.create(place, symlinks=True)
    source = Path(str(distribution("uv").locate_file("")))
    [target] = place.glob("lib/python*/site-packages")
    for path in source.glob("uv*"):
        (target / path.name).symlink_to(path)
    (place / "bin" / "uv").symlink_to(Path(sys.executable).parent / "uv")


def digest(file: Path | str) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if isinstance(file, Path) else file


def wheel(folder: Path, name: str, version: str = "1.0", text: str = "", requires: str = "") -> Path:
    """A wheel of one module."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", text)
        archive.writestr(f"{name}-{version}.dist-info/METADATA", metadata)
        archive.writestr(
            f"{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{name}-{version}.dist-info/RECORD", "")
    return path


def publish(index: Path, name: str, **options: str) -> Path:
    """Add a wheel to an index of files."""
    path = wheel(index / name, name, **options)
    (index / name / "index.html").write_text(f'<a href="{path.name}">{path.name}</a>')
    return path


def publish_source(index: Path, name: str, builder: str) -> Path:
    """Add a source distribution, which another package builds, to an index of files."""
    (index / name).mkdir(parents=True)
    path = index / name / f"{name}-1.0.tar.gz"
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        "pyproject.toml": f'[build-system]\nrequires = ["{builder}"]\nbuild-backend = "{builder}"\n',
    }
    with tarfile.open(path, "w:gz") as archive:
        for file, text in files.items():
            member = tarfile.TarInfo(f"{name}-1.0/{file}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    (index / name / "index.html").write_text(f'<a href="{path.name}">{path.name}</a>')
    return path


def installed(tmp_path: Path) -> set[str]:
    """What set-up installed, as name-version."""
    return {path.stem for path in tmp_path.glob("my project/.venv/lib/python*/site-packages/*-*.dist-info")}


@pytest.mark.slow
def test_setup_installs_what_the_lock_names_and_asks_no_extra_index(set_up, tmp_path):
    lock = {name: publish(tmp_path / "index", name.partition("==")[0]) for name in ("harmless==1.0", "torch==1.0")}
    publish(tmp_path / "extra", "harmless", text="print('from elsewhere')")
    done = set_up(lock, PIP_EXTRA_INDEX_URL=(tmp_path / "extra").as_uri())
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"harmless-1.0", "torch-1.0"} <= installed(tmp_path)
    assert (tmp_path / "my project" / ".venv" / "installed").is_file()
    command = tmp_path / "my project" / ".venv" / "bin" / "phiforge"
    assert (
        subprocess.run([command], cwd=tmp_path, capture_output=True, text=True, check=True).stdout == "Phiforge here\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("requires", ["", "unlocked"])
def test_setup_refuses_another_file_and_a_package_that_is_not_locked(set_up, tmp_path, requires):
    publish(tmp_path / "index", "unlocked")
    torch = publish(tmp_path / "index", "torch")
    harmless = publish(tmp_path / "index", "harmless", requires=requires)
    done = set_up({"torch==1.0": torch, "harmless==1.0": harmless if requires else "0" * 64})
    assert done.returncode != 0
    assert ("unlocked" if requires else "Hash mismatch for `harmless==1.0`") in done.stderr
    assert not {"harmless-1.0", "unlocked-1.0"} & installed(tmp_path)
    assert not (tmp_path / "my project" / ".venv" / "installed").exists()


@pytest.mark.slow
def test_setup_does_not_run_what_would_build_a_package_and_is_not_locked(set_up, tmp_path):
    ran = tmp_path / "ran"
    publish(tmp_path / "index", "builder", text=f"open({str(ran)!r}, 'w')")
    torch = publish(tmp_path / "index", "torch")
    done = set_up({"torch==1.0": torch, "harmless==1.0": publish_source(tmp_path / "index", "harmless", "builder")})
    assert done.returncode != 0
    assert "builder" in done.stderr
    assert not ran.exists()


@pytest.mark.slow
def test_setup_keeps_the_machines_own_torch_and_verifies_the_rest(set_up, tmp_path):
    publish(tmp_path / "index", "accelerator")
    lock = {name: publish(tmp_path / "index", name.partition("==")[0]) for name in ("harmless==1.0", "torch==1.0")}
    wheel(tmp_path / "wheels", "torch", version="1.0+own", requires="accelerator")
    wheels = str(tmp_path / "wheels")
    done = set_up(lock | {"harmless==1.0": "0" * 64}, PIP_FIND_LINKS=wheels)
    assert "Hash mismatch for `harmless==1.0`" in done.stderr
    done = set_up(lock, PIP_FIND_LINKS=wheels)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"harmless-1.0", "torch-1.0+own", "accelerator-1.0"} <= installed(tmp_path)
