"""Frees the unused space of SQLite databases."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from components.errors import StepError
from flows import records
from flows.housekeeping.tracked import database_file
from flows.server import running_server
from flows.settings import mlflow_uri, state_folder


def databases(home: Path) -> list[Path]:
    """The SQLite files of Prefect and MLflow that belong to this project."""
    prefect = Path(os.environ.get("PREFECT_HOME", state_folder(home) / "prefect")) / "prefect.db"
    found = [prefect] if "PREFECT_SERVER_DATABASE_CONNECTION_URL" not in os.environ else []
    found += [path for path in [database_file(mlflow_uri(home))] if path]
    return [path for path in found if path.is_file()]


def in_use(home: Path) -> str:
    """A sentence on what uses the databases now; empty if nothing does."""
    if running_server(home):
        return "`make up` is running"
    alive = [name for name, record in records.all_of(home) if records.alive(record)]
    return f"flow run {alive[0]} is running" if alive else ""


def compact(home: Path) -> int:
    """Rewrite the databases without their free pages; returns how many bytes that freed.

    Raises:
        StepError: a database is in use, or the disk has no space for the copy.
    """
    freed = 0
    for path in databases(home):
        before = _size(path)
        try:
            with closing(sqlite3.connect(path, timeout=1, isolation_level=None)) as database:
                database.execute("VACUUM")
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            raise StepError(
                f"{path}: SQLite refuses to rewrite it ({error}); expected an unused database and space for a "
                "copy of it; stop what uses it and run `make housekeeping` again"
            ) from error
        freed += before - _size(path)
    return freed


def _size(path: Path) -> int:
    """Bytes of a database and of its write-ahead log."""
    size = 0
    for file in (path, path.with_name(f"{path.name}-wal")):
        with suppress(FileNotFoundError):
            size += file.stat().st_size
    return size
