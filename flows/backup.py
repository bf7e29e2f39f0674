"""Backup and restore of what nothing can make again: `phiforge backup FILE`, `phiforge restore FILE`.

The file is a tar archive with a manifest of SHA-256 hashes, checked before anything is changed:

- `databases/`: Prefect's and MLflow's, as SQLite files or dumps by PostgreSQL's own tools
- `project/`: DVC's cache and local remote, MLflow's models, `.phiforge` without locks and logs, dvc.lock, parameters
- `objects/`: the buckets of the S3 server, if MLflow's artifacts are there
- `repository.bundle`: git's history, with the experiments

Databases are copied before files, and files of results never change, so the servers may run during a backup. A restore
brings the databases to the schema of the installed Prefect and MLflow, so restoring into a copy of the project that has
newer ones rehearses an upgrade.
"""

import argparse
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from components.errors import StepError
from components.files import STATE, atomic_file, scratch_directory, sha256_file
from components.foreign.addresses import without_secrets
from components.running.locks import exclusive
from flows import settings
from flows.cache import cache_folder
from flows.secret_files import BUCKETS
from flows.server import running_server

PROG = "python -m flows.backup"
MANIFEST = "manifest.json"
BUNDLE = "repository.bundle"
# In .phiforge: made again by every start, copied in another way, or too large and only saving time.
LEFT_OUT = {"logs", "locks", "prefect", "up.json", "cache", "peers", "audit", "backups", "restore"}
PROJECT = ("dvc.lock", "params.yaml", "mlartifacts", "certificates", ".phiforge")


def databases(root: Path) -> dict[str, str]:
    """The addresses of Prefect's and MLflow's databases, without SQLAlchemy's drivers."""
    prefect = os.environ.get("PREFECT_SERVER_DATABASE_CONNECTION_URL") or (
        f"sqlite:///{settings.state_folder(root) / 'prefect' / 'prefect.db'}"
    )
    found = {"prefect": prefect, "mlflow": settings.mlflow_uri(root)}
    for name, address in found.items():
        scheme, _, rest = address.partition("://")
        if (kind := scheme.partition("+")[0]) not in ("sqlite", "postgresql"):
            raise StepError(
                f"{name}: {without_secrets(address)} is not a database; expected sqlite:// or postgresql://; run this where the "
                "server runs, or with the variables of its database (see docs/deployment.md)"
            )
        found[name] = f"{kind}://{rest}"
    return found


def backup(root: Path, file: Path) -> dict[str, Any]:
    """Write a backup; returns its manifest."""
    if file.exists():
        raise StepError(f"{file}: exists; choose another name")
    file.parent.mkdir(parents=True, exist_ok=True)
    with scratch_directory(settings.state_folder(root)) as scratch, atomic_file(file) as partial:
        hashes: dict[str, str] = {}
        with tarfile.open(partial, "w") as archive:

            def add(path: Path, name: str) -> None:
                hashes[name] = sha256_file(path)
                archive.add(path, name, recursive=False)

            for name, address in databases(root).items():
                dump = scratch / name
                if _dump(address, dump):
                    add(dump, f"databases/{name}.{address.partition(':')[0]}")
            for path in _files(root):
                if path.is_file() and not path.is_symlink():
                    add(path, f"project/{path.relative_to(root).as_posix()}")
            for name, copy in _objects(scratch):
                add(copy, f"objects/{name}")
            _git(root, "bundle", "create", "--quiet", str(scratch / BUNDLE), "--all")
            add(scratch / BUNDLE, BUNDLE)
            manifest = {
                "made": datetime.now(UTC).isoformat(timespec="seconds"),
                "commit": _git(root, "rev-parse", "HEAD").strip(),
                "versions": {name: version(name) for name in ("prefect", "mlflow", "dvc")},
                "sha256": hashes,
            }
            (scratch / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
            archive.add(scratch / MANIFEST, MANIFEST)
        partial.chmod(0o600)  # it has the hashes of tokens and the answers of paid models
    return manifest


def restore(root: Path, file: Path, overwrite: bool = False) -> dict[str, Any]:
    """Put a backup back and bring the databases to the schemas of the installed versions; returns its manifest."""
    if running_server(root):
        raise StepError("the platform is running; stop `make up`, then restore")
    targets = databases(root)
    taken = [name for name, address in targets.items() if not overwrite and _has_tables(address)]
    if taken:
        raise StepError(
            f"{', '.join(taken)}: the database has content; expected an empty one; add --overwrite to replace it"
        )
    with exclusive(settings.lock_file(root, settings.MAIN)), scratch_directory(settings.state_folder(root)) as scratch:
        manifest = _unpack(file, scratch)
        for dump in (scratch / "databases").glob("*"):
            _load(dump, targets[dump.stem])
        if (scratch / "project").is_dir():
            shutil.copytree(scratch / "project", root, dirs_exist_ok=True)
        _put_objects(scratch / "objects")
        _git(root, "fetch", "--quiet", str(scratch / BUNDLE), "+refs/exps/*:refs/exps/*")
    migrate(targets)
    _call("dvc", "checkout", "--quiet", "--force", "--allow-missing", cwd=root)
    return manifest


def migrate(targets: dict[str, str]) -> None:
    """Bring the databases to the schemas of the installed Prefect and MLflow, by their own commands."""
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    kind, _, rest = targets["prefect"].partition("://")
    address = f"{drivers[kind]}://{rest}"
    _call("prefect", "server", "database", "upgrade", "--yes", PREFECT_SERVER_DATABASE_CONNECTION_URL=address)
    _call("mlflow", "db", "upgrade", targets["mlflow"])


def _files(root: Path) -> Iterator[Path]:
    for name in PROJECT:
        path = root / name
        if name == STATE:
            for inner in sorted(path.iterdir()):
                if inner.name not in LEFT_OUT and not inner.name.startswith((".", "migrated-")):
                    yield from sorted(inner.rglob("*")) if inner.is_dir() else [inner]
        else:
            yield from sorted(path.rglob("*")) if path.is_dir() else [path]
    cache = cache_folder(root)
    if cache.is_relative_to(root):  # others may share one outside
        yield from sorted((cache / "files").rglob("*"))
        yield from sorted((cache / "runs").rglob("*"))


def _dump(address: str, file: Path) -> bool:
    """Copy a database into a file, also while it is in use; whether there is one."""
    if address.startswith("postgresql:"):
        named, password = _without_password(address)
        _run(_tool("pg_dump"), "--format=custom", f"--file={file}", f"--dbname={named}", env=password)
        return True
    source = Path(address.partition("///")[2])
    if not source.is_file():
        return False
    with (
        contextlib.closing(sqlite3.connect(source, timeout=60)) as one,
        contextlib.closing(sqlite3.connect(file)) as other,
    ):
        one.backup(other)
    return True


def _load(dump: Path, address: str) -> None:
    kind = dump.suffix[1:]
    if not address.startswith(f"{kind}:"):
        raise StepError(
            f"{dump.stem}: the backup has a database of {kind}, but the address here is {without_secrets(address)}; set the same "
            "kind of database"
        )
    if kind == "postgresql":
        options = ["--clean", "--if-exists", "--no-owner", "--exit-on-error", "--single-transaction"]
        named, password = _without_password(address)
        _run(_tool("pg_restore"), *options, f"--dbname={named}", str(dump), env=password)
        return
    target = Path(address.partition("///")[2])
    target.parent.mkdir(parents=True, exist_ok=True)
    for suffix in ("-wal", "-shm"):  # of the database that is replaced
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    os.replace(dump, target)


def _without_password(address: str) -> tuple[str, dict[str, str]]:
    """An address for a command line, which other users of the machine can see, and the environment with its password."""
    parts = urlsplit(address)
    if not parts.password:
        return address, dict(os.environ)
    user, _, host = parts.netloc.rpartition("@")
    named = urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{host}"))
    return named, os.environ | {"PGPASSWORD": unquote(parts.password)}


def _has_tables(address: str) -> bool:
    from sqlalchemy import create_engine, inspect

    if address.startswith("sqlite:"):
        file = Path(address.partition("///")[2])
        return file.is_file() and file.stat().st_size > 0
    engine = create_engine(address.replace("postgresql:", "postgresql+psycopg2:"))
    try:
        return bool(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def _unpack(file: Path, folder: Path) -> dict[str, Any]:
    """Extract an archive and check every hash."""
    try:
        with tarfile.open(file) as archive:
            archive.extractall(folder, filter="data")
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        hashes = manifest["sha256"]
    except (OSError, tarfile.TarError, ValueError, KeyError) as error:
        raise StepError(
            f"{file}: is not a whole backup ({error}); expected a file that `phiforge backup` wrote"
        ) from None
    for name, expected in hashes.items():
        path = folder / name
        if not path.is_file() or sha256_file(path) != expected:
            raise StepError(f"{file}: {name} is damaged or missing; nothing was changed; use another backup")
    return manifest


def _bucket_server() -> Any:
    """The S3 server of MLflow's artifacts; None if they are on disk."""
    if not os.environ.get("MLFLOW_ARTIFACTS_DESTINATION", "").startswith("s3://"):
        return None
    import fsspec

    return fsspec.filesystem("s3", endpoint_url=os.environ.get("AWS_ENDPOINT_URL_S3"))


def _objects(scratch: Path) -> Iterator[tuple[str, Path]]:
    """Name and temporary copy of each object."""
    if server := _bucket_server():
        for bucket in BUCKETS["admin"]:
            for key in sorted(server.find(bucket)):
                server.get_file(key, scratch / "object")
                yield key, scratch / "object"


def _put_objects(folder: Path) -> None:
    server = _bucket_server()
    for path in sorted(folder.rglob("*")) if server else []:
        if path.is_file():
            server.put_file(str(path), path.relative_to(folder).as_posix())


def _tool(name: str) -> str:
    if found := shutil.which(name):
        return found
    raise StepError(f"{name}: not found; install PostgreSQL's client, which is not older than the server")


def _git(root: Path, *words: str) -> str:
    return _run("git", "-C", str(root), *words)


def _call(*words: str, cwd: Path | None = None, **variables: str) -> str:
    return _run(sys.executable, "-m", *words, cwd=cwd, env=os.environ | variables)


def _run(*command: str, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **options)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no output"]
        raise StepError(f"{Path(command[0]).name}: ended with status {done.returncode}: {without_secrets(said[-1])}")
    return done.stdout


def main(argv: list[str] | None = None, prog: str = PROG, command: str = "") -> int:
    """Back up or restore; returns the exit status."""
    arguments = parser(prog, command).parse_args(argv)
    command = command or arguments.command
    root = settings.project_root()
    settings.configure(root)
    try:
        if command == "backup":
            manifest = backup(root, arguments.file)
        else:
            manifest = restore(root, arguments.file, arguments.overwrite)
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    names = manifest["sha256"]
    parts = {part: sum(name.startswith(part) for name in names) for part in ("databases/", "project/", "objects/")}
    counted = ", ".join(f"{count} of {part[:-1]}" for part, count in parts.items())
    print(
        f"{arguments.file}: {'written' if command == 'backup' else 'restored'}, made {manifest['made']}; files: {counted}"
    )
    return 0


def parser(prog: str = PROG, command: str = "") -> argparse.ArgumentParser:
    """The command line, of one command or of both."""
    made = argparse.ArgumentParser(
        prog=prog, description="Back up and restore databases, cache, registry and experiments."
    )
    if not command:
        made.add_argument("command", choices=["backup", "restore"], help="what to do")
    made.add_argument("file", type=Path, help="the backup, a tar archive")
    if command != "backup":
        made.add_argument("--overwrite", action="store_true", help="replace databases that have content")
    return made


if __name__ == "__main__":
    sys.exit(main())
