"""Data sets of the Hugging Face hub by name, `hf://owner/name[/config][:split][@revision]`, and folders in its layout,
`hf:///folder` or `hf://./folder`; streamed by the `datasets` library, which runs no code of a data set.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.ingestion.files import SourceFile
from components.ingestion.readers.base import Limits, Quarantined, Read
from components.ingestion.readers.rows import TEXT, row_document
from components.params import Source
from components.tracking import project_home

SCHEME = "hf://"
CREATED_BY = "hub-reader/1"
CARD = "README.md"
LIKELY = (TEXT, "content", "markdown", "raw_content")  # columns that are taken for the text if no other is named
_LOCAL = ("/", "./", "../", "~")
_NAME = re.compile(
    r"^(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)(?:/(?P<config>[\w.-]+))?(?::(?P<split>[\w.]+))?(?:@(?P<revision>[\w./-]+))?$"
)


@dataclass(frozen=True)
class Dataset:
    """A data set as `datasets.load_dataset` takes it."""

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
        StepError: it names none.
    """
    rest = source.path.removeprefix(SCHEME)
    if rest.startswith(_LOCAL):
        folder, colon, split = rest.rpartition(":")
        folder = project_home() / Path(folder if colon else rest).expanduser()
        if not folder.is_dir():
            raise StepError(f"ingestion.sources: {source.path!r} is no folder (looked for {folder})")
        return Dataset(str(folder), None, (split if colon else "") or source.split or "train", None, True)
    match = _NAME.match(rest)
    if not match:
        raise StepError(
            f"ingestion.sources: {source.path!r} names no data set; expected hf://owner/name[/config][:split][@revision], "
            "or hf:///folder or hf://./folder"
        )
    split = match["split"] or source.split or "train"
    return Dataset(f"{match['owner']}/{match['name']}", match["config"], split, match["revision"], False)


def resolve(source: Source) -> tuple[str, str]:
    """A data set's name with its present revision, so that all of it is read from one; and that revision.

    Raises:
        StepError: the hub cannot be asked, or does not have it.
    """
    found = parse(source)
    if found.is_local:
        raise ValueError(f"{source.path} lies here and has no revision")
    _quiet()
    from huggingface_hub import HfApi

    try:
        revision = HfApi().dataset_info(found.path, revision=found.revision).sha
    except Exception as error:  # the hub's client raises errors of several libraries
        raise StepError(
            f"ingestion.sources: the hub does not give {found.path} ({type(error).__name__}: {error}); correct the name, "
            "set HF_TOKEN if it is restricted, or check the network"
        ) from error
    config = f"/{found.config}" if found.config else ""
    return f"{SCHEME}{found.path}{config}:{found.split}@{revision}", revision


def read_hub(file: SourceFile, limits: Limits) -> Read:
    """The rows of a split, one after the other; never the whole of it in memory or on disk.

    Raises:
        StepError: no such data set, configuration, split or text column.
    """
    source = file.source.model_copy(update={"path": str(file.location)})
    found = parse(source)
    rows, features = _stream(found, source.path)
    column = _text_column(source, features, source.path)
    source = source.model_copy(update={"text_column": column})
    license = source.license if source.license != "unknown" else _license(found)
    about = {"dataset": found.path, "config": found.config, "split": found.split, "revision": found.revision}
    if found.is_local:
        about = {"dataset": file.name, "split": found.split}
    for number, row in enumerate(watched(rows, found, source.path), start=1):
        item = row_document(row, file.name, number, source, license, CREATED_BY)
        if not isinstance(item, Quarantined):
            item.metadata |= {name: fact for name, fact in about.items() if fact} | {"row": number}
            item.metadata.pop("file", None)
            item.metadata.pop("line", None)
        yield item


def watched(rows: Iterable[dict[str, Any]], found: Dataset, path: str) -> Iterator[dict[str, Any]]:
    """The rows; a folder that breaks off is an error of its files, a hub that does is none of the data set.

    Raises:
        OSError: the former, to be quarantined.
        StepError: the latter: the run must be started again, rather than go on with a part of the data set.
    """
    try:
        yield from rows
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        if found.is_local:
            raise OSError(said) from error
        raise StepError(f"ingestion.sources: {path} cannot be read on ({said}); start again") from error


def _stream(found: Dataset, path: str) -> tuple[Any, dict[str, Any]]:
    _quiet()
    from datasets import load_dataset

    try:
        rows = load_dataset(
            found.path, found.config, split=found.split, revision=found.revision, streaming=True
        ).decode(False)
        features = rows.features or (rows := rows._resolve_features()).features
    except Exception as error:  # the library raises errors of several others
        raise StepError(f"ingestion.sources: {path} cannot be read ({type(error).__name__}: {error})") from error
    return rows, dict(features)


def _text_column(source: Source, features: dict[str, Any], path: str) -> str:
    strings = [name for name, held in features.items() if getattr(held, "dtype", None) in ("string", "large_string")]
    guesses = [*LIKELY, *(strings if len(strings) == 1 else ())]
    candidates = [source.text_column] if source.text_column else guesses
    for name in candidates:
        if name in strings:
            return name
    raise StepError(
        f"ingestion.sources: {path} has no column of strings {' or '.join(map(repr, candidates))}; it has "
        f"{', '.join(features)}; name the one that holds the text in text_column"
    )


def _license(found: Dataset) -> str:
    """What the data set's card says, as SPDX writes it where it is a Creative Commons licence; else `unknown`."""
    from huggingface_hub import DatasetCard

    try:
        location = str(Path(found.path) / CARD) if found.is_local else found.path
        said = DatasetCard.load(location).data.to_dict().get("license")
    except Exception:  # noqa: BLE001 - no card, or none that can be read: then nothing is said
        return "unknown"
    names = said if isinstance(said, list) else [said]
    return " AND ".join(_spdx(name) for name in names if isinstance(name, str) and name) or "unknown"


def _spdx(name: str) -> str:
    """The hub writes licences in lower case; those of the hub's list that SPDX writes otherwise, as SPDX does."""
    special = {"apache-2.0": "Apache-2.0", "mit": "MIT", "odc-by": "ODC-By-1.0", "pddl": "PDDL-1.0", "odbl": "ODbL-1.0"}
    lower = name.lower()
    return special.get(lower, lower.upper() if lower.startswith(("cc-", "cc0-", "bsd-", "gpl-", "lgpl-")) else name)


def _quiet() -> None:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
