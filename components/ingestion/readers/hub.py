"""Data sets of the Hugging Face hub by name, `hf://owner/name[/config][:split][@revision]`, and folders in its layout,
`hf:///folder[#config][:split]` or `hf://./folder`; streamed by the `datasets` library, which runs no code of a data set.

Files are streamed one by one: the library would stop at the first broken file, without its name.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from components.errors import StepError, shortened
from components.foreign.confined import inside, is_elsewhere
from components.ingestion.files import SourceFile
from components.ingestion.readers.base import ELSEWHERE, Limits, Quarantined, Read, is_scarcity
from components.ingestion.readers.columns import TEXT, Columns
from components.ingestion.readers.json_values import jsonl_rows
from components.ingestion.readers.rows import TAKEN, Rows, peeked, row_document
from components.ingestion.readers.tables import table_rows
from components.params import Source
from components.tracking import project_home

SCHEME = "hf://"
CREATED_BY = "hub-reader/1"
CARD = "README.md"
SETTINGS = (".huggingface.yaml", "dataset_infos.json")  # read by the library besides the card
FORMATS = ("arrow", "csv", "json", "parquet", "text", "webdataset", "xml")  # HDF5, for one, may name other files
NAMED = 5  # maximum missing files named in one entry
# Fields of a configuration that do not tell how to read it.
_NAMES = ("name", "version", "data_dir", "data_files", "description")
_LOCAL = ("/", "./", "../", "~")
_PART = re.compile(r"(?P<head>.*?)(?P<number>\d+)-of-(?P<total>\d+)")  # as the hub names the files of a split
_NAME = re.compile(
    r"^(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)(?:/(?P<config>[\w.-]+))?(?::(?P<split>[\w.]+))?(?:@(?P<revision>[\w./-]+))?$"
)


@dataclass(frozen=True)
class Dataset:
    """A data set with the arguments of `datasets.load_dataset`."""

    path: str  # owner/name, or a folder
    config: str | None
    split: str
    revision: str | None
    is_local: bool


def is_hub(path: str) -> bool:
    return path.startswith(SCHEME)


def parse(source: Source) -> Dataset:
    """The data set that a source's path names.

    Raises:
        StepError: the path is not valid.
    """
    rest = source.path.removeprefix(SCHEME)
    if rest.startswith(_LOCAL):
        return _folder(rest, source)
    match = _NAME.match(rest)
    if not match:
        raise StepError(
            f"ingestion.sources: {source.path!r} names no data set; expected hf://owner/name[/config][:split][@revision], "
            "or hf:///folder[#config][:split] or hf://./folder"
        )
    split = match["split"] or source.split or "train"
    return Dataset(f"{match['owner']}/{match['name']}", match["config"], split, match["revision"], False)


def _folder(rest: str, source: Source) -> Dataset:
    """The data set of `folder[#config][:split]`; an existing folder with one of the marks in its name comes first."""
    before, _, last = rest.rpartition(":")
    named = [(rest, "", ""), (before, "", last), (*before.rpartition("#")[::2], last), (*rest.rpartition("#")[::2], "")]
    for path, config, split in named:
        folder = project_home() / Path(path).expanduser()
        if path and folder.is_dir():
            return Dataset(str(folder), config or None, split or source.split or "train", None, True)
    looked = project_home() / Path(rest).expanduser()
    raise StepError(
        f"ingestion.sources: {source.path!r} is not a folder (looked for {looked}); expected hf:///folder[#config][:split]"
    )


def resolve(source: Source) -> tuple[str, str]:
    """A data set's name with its present revision, so that all files have the same one; and that revision.

    Raises:
        StepError: the hub does not respond, or does not have the data set.
    """
    found = parse(source)
    if found.is_local:
        raise ValueError(f"{source.path} is a local folder and has no revision")
    _quiet()
    from huggingface_hub import HfApi

    try:
        revision = HfApi().dataset_info(found.path, revision=found.revision).sha or found.revision
    except Exception as error:  # the hub's client raises errors of several libraries
        raise StepError(
            f"ingestion.sources: the hub does not return {found.path} ({type(error).__name__}: {error}); correct the name, "
            "set HF_TOKEN if it is restricted, or check the network"
        ) from error
    if revision is None:
        raise StepError(
            f"ingestion.sources: the hub does not name a revision of {found.path}; name one, as in {found.path}@main"
        )
    config = f"/{found.config}" if found.config else ""
    return f"{SCHEME}{found.path}{config}:{found.split}@{revision}", revision


def read_hub(file: SourceFile, limits: Limits) -> Read:
    """The rows of a split, streamed; never all of them in memory or on disk.

    Raises:
        StepError: the data set, configuration, split or text column does not exist.
    """
    source = file.source.model_copy(update={"path": str(file.location)})
    found = parse(source)
    root = Path(found.path) if found.is_local else None
    if root and not source.follow_links:
        for name in (CARD, *SETTINGS):
            inside(root, name, f"ingestion.sources: {source.path}")
    builder = _builder(found, source.path)
    named = _parts(builder, found, source.path)
    parts = [part for part in named if source.follow_links or not is_elsewhere(part, root)]
    for part in [part for part in named if part not in parts]:
        yield Quarantined(file.name, 0, f"names the file {shortened(part)}, which {ELSEWHERE}")
    if missing := found.is_local and _missing(parts):
        yield Quarantined(file.name, 0, missing)
    license = source.license if source.license != "unknown" else _license(found)
    about = {"dataset": found.path, "config": found.config, "split": found.split, "revision": found.revision}
    if found.is_local:
        about["dataset"] = file.name
    column, number = "", 0
    for part in parts:
        before, name = number, part.removeprefix(found.path).lstrip("/")
        where = f"{source.path}: {name}"
        try:
            rows = _numbered(
                watched(_rows(builder, found, part, source, limits), found, where), file.name, name, before
            )
            if not column:
                sample, rows = peeked(rows)
                held = [row[1] for row in sample if not isinstance(row, Quarantined)]
                column = _text_column(held, source) if held else ""
                about |= {TAKEN: column if column not in (TEXT, source.text_column) else ""}
            source = source.model_copy(update={"text_column": column})
            for row in rows:
                if isinstance(row, Quarantined):
                    number = row.line
                    yield row
                    continue
                number = row[0]
                item = row_document(row[1], file.name, number, source, license, CREATED_BY)
                if not isinstance(item, Quarantined):
                    item.metadata |= {name: fact for name, fact in about.items() if fact} | {"row": number}
                    item.metadata.pop("file", None)
                    item.metadata.pop("line", None)
                yield item
        except OSError as error:
            if is_scarcity(error):
                raise
            reason = (
                f"its file {name} cannot be read to its end, after {number - before:,} rows ({error}); others are read"
            )
            yield Quarantined(file.name, 0, reason)


def _numbered(rows: Iterable[Any], file: str, part: str, before: int) -> Rows:
    """The rows of a part with their numbers in the data set; unreadable rows also with their place in the part."""
    for number, row in enumerate(rows, start=before + 1):
        yield (
            Quarantined(file, number, f"{part}:{row.line}: {row.reason}")
            if isinstance(row, Quarantined)
            else (number, row)
        )


def watched(rows: Iterable[Any], found: Dataset, where: str) -> Iterator[Any]:
    """The rows, with errors sorted by cause.

    Raises:
        OSError: a file of a local folder cannot be read; it will be quarantined.
        StepError: the hub failed: the run must be started again, not continue with a part of the data set.
    """
    with _breaks(found, where):
        yield from rows


@contextlib.contextmanager
def _breaks(found: Dataset, where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the library raises errors of several others
        if is_scarcity(error):
            raise
        said = shortened(f"{type(error).__name__}: {error}")
        if found.is_local:
            raise OSError(said) from error
        raise StepError(f"ingestion.sources: {where} stopped responding ({said}); run again") from error


def _builder(found: Dataset, path: str) -> Any:
    """The library's builder of a data set: its format, its configuration, and the files of each split."""
    _quiet()
    from datasets import load_dataset_builder

    try:
        builder = load_dataset_builder(found.path, found.config, revision=found.revision)
    except Exception as error:  # the library raises errors of several others
        how = "hf:///folder#config" if found.is_local else "hf://owner/name/config"
        remedy = f"; name it as in {how}" if "config" in str(error).lower() else ""
        said = shortened(f"{type(error).__name__}: {error}", 1_000)  # includes the existing configurations
        raise StepError(f"ingestion.sources: {path} cannot be read ({said}){remedy}") from error
    kind = type(builder).__module__.rpartition(".")[2]
    if kind not in FORMATS:
        raise StepError(
            f"ingestion.sources: {path} is stored as {kind}, whose files may take their content from elsewhere; expected one of "
            f"{', '.join(FORMATS)}: convert it"
        )
    return builder


def _parts(builder: Any, found: Dataset, path: str) -> list[str]:
    """The files of the split, in order."""
    splits = {str(split): [str(name) for name in files] for split, files in (builder.config.data_files or {}).items()}
    if found.split not in splits:
        raise StepError(
            f"ingestion.sources: {path} has no split {found.split!r}; it has {', '.join(splits) or 'none'}; "
            "name one after a colon or in split"
        )
    return splits[found.split]


def _missing(parts: list[str]) -> str:
    """A sentence on missing files of a folder, by the numbers in the others' names (`-of-00003`), or an empty string.

    Files that exist, but not in this configuration or split, are not missing.
    """
    counted = {key for part in map(Path, parts) if (key := _counted(part)[0])}
    there: dict[Any, set[int]] = {key: set() for key in counted}
    for folder in {key[0] for key in counted}:
        for path in folder.iterdir():
            key, number = _counted(path)
            if key in there:
                there[key].add(number)
    lacking, names = 0, []
    for (_, head, total), numbers in sorted(there.items()):
        lacking += max(0, int(total) - len(numbers))
        absent = [number for number in range(min(int(total), len(numbers) + NAMED)) if number not in numbers]
        names += [f"{head}{number:0{len(total)}}-of-{total}" for number in absent]
    more = f" and {lacking - NAMED:,} more" if lacking > NAMED else ""
    return f"lacks files of its split: {', '.join(names[:NAMED])}{more}; the others are read" if lacking else ""


def _counted(path: Path) -> tuple[tuple[Path, str, str] | None, int]:
    """The common part of the names of a split's files, and this file's number."""
    match = _PART.match(path.name)
    return ((path.parent, match["head"], match["total"]), int(match["number"])) if match else (None, 0)


def _rows(builder: Any, found: Dataset, part: str, source: Source, limits: Limits) -> Iterator[Any]:
    """The rows of one file.

    JSON and CSV of a folder are read by our own readers, since the library stops at the first row that it cannot read, and
    takes `NA` as a missing value; unless the data set's card tells how to read them.
    """
    own = {"json": jsonl_rows, "csv": table_rows}.get(type(builder).__module__.rpartition(".")[2])
    if own and found.is_local and not _says_how(builder.config):
        folder = None if source.follow_links else Path(found.path)
        for row in own(SourceFile(Path(part), Path(part).name, source, 0, folder=folder), limits):
            yield row if isinstance(row, Quarantined) else row[1]
        return
    builder.config.data_files = {found.split: [part]}
    rows = builder.as_streaming_dataset(split=found.split)
    yield from rows if rows.features is None else rows.decode(False)  # CSV and text have no media to decode


def _says_how(config: Any) -> bool:
    """Whether a card has more than the names of its files: a delimiter, names of columns, types."""
    usual = type(config)()
    return any(
        getattr(config, field.name) != getattr(usual, field.name)
        for field in fields(config)
        if field.name not in _NAMES
    )


def _text_column(rows: list[dict[str, Any]], source: Source) -> str:
    """The column that the source names, else the one that clearly has the text."""
    columns = Columns.of(rows)
    column = source.text_column or columns.text()
    if columns.types.get(column) not in ("string", "null"):
        raise StepError(f"ingestion.sources: {source.path} {columns.refusal('it', source.text_column)}")
    return column


def _license(found: Dataset) -> str:
    """The licence in the data set's card, in SPDX form if it is a Creative Commons licence; else `unknown`."""
    from huggingface_hub import DatasetCard

    try:
        location = str(Path(found.path) / CARD) if found.is_local else found.path
        said = DatasetCard.load(location).data.to_dict().get("license")
    except Exception:  # noqa: BLE001 - no readable card: the licence is unknown
        return "unknown"
    names = said if isinstance(said, list) else [said]
    return " AND ".join(_spdx(name) for name in names if isinstance(name, str) and name) or "unknown"


def _spdx(name: str) -> str:
    """The SPDX form of a licence in the hub's list, which is in lower case."""
    special = {"apache-2.0": "Apache-2.0", "mit": "MIT", "odc-by": "ODC-By-1.0", "pddl": "PDDL-1.0", "odbl": "ODbL-1.0"}
    lower = name.lower()
    return special.get(lower, lower.upper() if lower.startswith(("cc-", "cc0-", "bsd-", "gpl-", "lgpl-")) else name)


def _quiet() -> None:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("DATASETS_VERBOSITY", "critical")  # errors are also raised
