"""Rows of a benchmark's data set: from files in a folder, or from the Hugging Face hub if the user allows it.

The folder's layout is `<data set>/<split>.jsonl` or `.jsonl.gz`, one JSON object per line, as named in the suites'
files. Rows are passed to lm-eval in memory: the cache of the library `datasets` depends on a file's modification time,
and returns old rows if that has not changed.
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import parse_json
from components.foreign.confined import inside, is_elsewhere

MOST_CHARS = 1 << 28  # maximum per file, far more than a benchmark has: a decompression bomb may have any size
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Place:
    """Where data may come from.

    Attributes:
        folder: of the benchmarks' files; None = no folder.
        hub: whether missing data may be loaded from the hub, or from its cache on this machine.
    """

    folder: Path | None = None
    hub: bool = False
    _held: dict[Path, Rows] = field(default_factory=dict, repr=False)  # each subject uses some rows of the same file

    def file(self, name: str, where: Mapping[str, str]) -> Rows | None:
        """The rows of a file with these values in these fields; None if there is no such file.

        Raises:
            StepError: the name leads out of the folder, a line is not a JSON object, a field of `where` is missing, or
            no row matches.
        """
        other = name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"  # compressed or not
        folder = self.folder
        if folder is None:
            return None
        path = next((p for n in (name, other) if (p := inside(folder, n, "the suite's data")).is_file()), None)
        if path is None:
            return None
        if path not in self._held:
            self._held[path] = _read(path)
        rows, shown = self._held[path], path.relative_to(folder)
        for key in where:
            fields = {field for row in rows for field in row}
            if rows and key not in fields:
                raise StepError(f"{shown}: the field {key!r} is missing; its rows have {', '.join(sorted(fields))}")
        kept = [row for row in rows if all(row.get(key) == value for key, value in where.items())]
        if not kept:
            raise StepError(f"{shown} has no rows" + (f" with {dict(where)}" if where else ""))
        return kept

    def from_hub(self, path: str, name: str | None, split: str) -> Rows | None:
        """The rows of a split of a data set; None if the hub may not be used.

        Raises:
            StepError: the split cannot be loaded.
        """
        if not self.hub or not path:
            return None
        import datasets

        datasets.disable_progress_bars()
        try:
            builder = datasets.load_dataset_builder(path, name)
            files = [str(file) for files in (builder.config.data_files or {}).values() for file in files]
            if elsewhere := [file for file in files if is_elsewhere(file, None)]:
                raise StepError(
                    f"the data set {path} names the file {elsewhere[0]!r}, which is not on the hub; expected a name on the "
                    "hub, or its rows as files in the data folder"
                )
            builder.download_and_prepare()
            return [dict(row) for row in builder.as_dataset(split=split)]
        except (OSError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
            said = " ".join(str(error).split())[:200]
            raise StepError(
                f"the data set {path} cannot be loaded from the hub ({type(error).__name__}: {said})"
            ) from error


def _read(path: Path) -> Rows:
    """All rows of a file."""
    rows: Rows = []
    name, read = f"{path.parent.name}/{path.name}", 0
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(iter(lambda: lines.readline(MOST_CHARS), ""), 1):
                read += len(line)
                if read > MOST_CHARS:
                    raise ValueError(f"it holds more than {MOST_CHARS:,} characters, more than any benchmark's file")
                row = parse_json(line)
                if not isinstance(row, dict):
                    raise StepError(f"{name}, line {number}: a {type(row).__name__}; expected a JSON object")
                rows.append(row)
    except (OSError, EOFError, ValueError) as error:
        raise StepError(
            f"{name}, line {len(rows) + 1}: cannot be read as JSON lines ({error}); download it again"
        ) from error
    return rows
