"""Ingestion: from the sources of params.yaml to raw documents.

Small files are read in batches by the engine, large ones are streamed one after the other, so memory stays bounded.
The order of the documents follows the order of sources and file names, whatever the engine.
"""

import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from components.documents import PART_OF, Document, DocumentWriter
from components.engine import map_shards
from components.errors import StepError
from components.files import atomic_directory
from components.ingestion.files import SourceFile
from components.ingestion.inventory import list_files, nothing_to_read, source_root
from components.ingestion.quarantine import Quarantine
from components.ingestion.readers import Limits, read_file
from components.ingestion.readers.hub import is_hub, parse
from components.ingestion.readers.rows import TAKEN
from components.ingestion.remote import is_remote, public
from components.ingestion.sections import split
from components.ingestion.unread import Unread
from components.params import Params, Source
from components.progress import Progress
from components.terminal import printable
from components.tracking import Tracker

BATCH_BYTES = 1_000_000  # of small files that one worker reads at a time
LARGE_FILE_BYTES = 16_000_000  # a larger file is streamed here rather than returned by a worker
PACKING = 8  # how much larger the text of a compressed file may be than the file
HANDED_CHARS = 2 * LARGE_FILE_BYTES  # that a worker returns of a batch, at most
ITEM_CHARS = 1_000  # that any row counts for beside its text, since millions may be empty
QUARANTINE = "quarantine.jsonl"


def run(inputs: dict[str, Any], outputs: dict[str, Any], params: Params, tracker: Tracker) -> dict[str, Any]:
    batches, unread = _batches(params)
    _keep_sources(outputs, params, batches)
    progress = Progress(len(batches))
    counts: Counter[str] = Counter()
    with atomic_directory(outputs["output"]) as output:
        with DocumentWriter(output) as writer, Quarantine(output / QUARANTINE) as quarantine:
            taken: Counter[int] = Counter()  # documents by source
            columns: Counter[tuple[str, str]] = Counter()  # documents by source and the field taken for their text
            for done, (batch, items) in enumerate(zip(batches, _read(batches, params), strict=True), start=1):
                source = batch[0].source
                for item in items if _wants(source, taken) else ():
                    if isinstance(item, dict):
                        quarantine.write(item)
                        continue
                    writer.write(item)
                    counts[f"documents.{item.kind}"] += 1
                    counts[f"bytes.{item.kind}"] += len(item.text.encode())
                    counts["split"] += item.metadata.get(PART_OF, {}).get("number") == 1
                    taken[id(source)] += 1
                    if TAKEN in item.metadata:
                        columns[public(source.path), item.metadata[TAKEN]] += 1
                    if not _wants(source, taken):
                        break
                progress.update(done, documents=writer.rows)
        if not writer.rows:
            reasons = printable("; ".join(f"{q['file']}: {q['reason']}" for q in quarantine.first[:3]))
            raise StepError(
                f"no document could be read from the sources, {quarantine.rows} quarantined ({reasons}); correct these files or "
                "name other text in ingestion.sources"
            )
    _tell(quarantine, unread, columns)
    return _summary(writer.rows, counts, quarantine) | {
        "not_read": unread.rows(),
        "text_columns": [
            {"source": path, "column": column, "documents": count} for (path, column), count in sorted(columns.items())
        ],
    }


def _tell(quarantine: Quarantine, unread: Unread, columns: Counter[tuple[str, str]]) -> None:
    """Print what was not read, and what was taken for the text where nobody has named it."""
    for entry in quarantine.first:
        place = entry["file"] + (f":{entry['line']}" if entry["line"] else "")
        print(printable(f"quarantined: {place}: {entry['reason']}"))
    for line in unread.lines():
        print(printable(f"not read: {line}"))
    for (path, column), count in sorted(columns.items()):
        said = f"{path}: took the field {column!r} as the text of {count:,} documents; text_column overrides it"
        print(printable(said))


def _keep_sources(outputs: dict[str, Any], params: Params, batches: list[list[SourceFile]]) -> None:
    """Refuse an output that would replace what is read, or be read the next time."""
    folders = {_folder(source): source.path for source in params.ingestion.sources}
    for file in (file for batch in batches for file in batch):
        if isinstance(file.location, Path) and not file.refused and file.location not in folders:
            linked = os.path.islink(file.location)  # the folder that it lies in may be one, too
            folders.setdefault(file.location if linked else file.location.parent, file.source.path)
    real = {Path(os.path.realpath(folder)): path for folder, path in folders.items() if folder}
    for name, output in outputs.items():
        place = Path(os.path.realpath(output)) if output else None
        for folder, path in real.items() if place else ():
            if place == folder or place in folder.parents or folder in place.parents:
                raise StepError(
                    f"--{name}: {output} is, holds or lies in the source {path!r} of ingestion.sources ({folder}), and would "
                    "replace it or be read as a part of it; name another place"
                )


def _folder(source: Source) -> Path | None:
    """Where on this machine a source lies, if it does."""
    if is_hub(source.path):
        found = parse(source)
        return Path(found.path) if found.is_local else None
    return None if is_remote(source.path) else source_root(source)


def _wants(source: Source, taken: Counter[int]) -> bool:
    """Whether a source's limit leaves room for another document."""
    return not source.limit or taken[id(source)] < source.limit


def _batches(params: Params) -> tuple[list[list[SourceFile]], Unread]:
    """Files grouped into units of work, several small ones or one large one; and what no reader takes."""
    batches: list[list[SourceFile]] = []
    all_unread = Unread()
    size = 0
    for source in params.ingestion.sources:
        files, unread = list_files(source)
        all_unread.add_all(unread)
        for file in files:
            alone = _is_large(file)
            if not batches or alone or batches[-1][0].source is not source or size + file.size > BATCH_BYTES:
                batches.append([])
                size = 0
            batches[-1].append(file)
            size += BATCH_BYTES if alone else file.size
    if not batches:
        raise StepError(nothing_to_read(", ".join(repr(public(s.path)) for s in params.ingestion.sources), all_unread))
    return batches, all_unread


def _is_large(file: SourceFile) -> bool:
    """Whether a file is better streamed than held whole: for its size, or since not all of it may be wanted."""
    if file.source.limit or is_hub(str(file.location)):
        return True
    packed = file.compression or (file.format and file.format.packs)
    unknown = not file.size and not isinstance(file.location, Path)
    return unknown or file.size * (PACKING if packed else 1) >= LARGE_FILE_BYTES


def _read(batches: list[list[SourceFile]], params: Params) -> Iterator[list[Any] | Iterator[Any]]:
    """Documents and quarantine rows of each batch, in order."""
    own = params.ingestion
    limits = {"max_chars": own.max_document_chars, "part_chars": own.part_chars}
    read = partial(read_batch, **limits)
    for alone, group in groupby(batches, key=lambda batch: _is_large(batch[0])):
        if alone:
            yield from (_stream(batch, **limits) for batch in group)
        else:
            group = list(group)
            for batch, items in zip(group, map_shards(read, group, params.engine), strict=True):
                yield _stream(batch, **limits) if items is None else items


def _stream(batch: list[SourceFile], max_chars: int, part_chars: int) -> Iterator[Document | dict[str, Any]]:
    for file in batch:
        whole = file.source.path == "python"  # the library's reader has split it already
        for item in read_file(file, Limits(max_chars)):
            if isinstance(item, Document):
                yield from [item] if whole else split(item, part_chars)
            else:
                yield item.row()


def read_batch(batch: list[SourceFile], max_chars: int, part_chars: int) -> list[Document | dict[str, Any]] | None:
    """Everything of one batch of files: documents, and quarantine rows as dicts. None where it is far more than the
    files' sizes let expect, as of a bomb: then it must be streamed."""
    items, held = [], 0
    for item in _stream(batch, max_chars, part_chars):
        items.append(item)
        row = item.row() if isinstance(item, Document) else item
        held += ITEM_CHARS + sum(len(value) for value in row.values() if isinstance(value, str))
        if held > HANDED_CHARS:
            return None
    return items


def _summary(documents: int, counts: Counter[str], quarantine: Quarantine) -> dict[str, Any]:
    summary: dict[str, Any] = {"documents": documents, "megabytes": 0.0, "quarantined": quarantine.rows}
    summary["texts_split"] = counts.pop("split", 0)  # long texts that became several documents
    for name, count in sorted(counts.items()):
        unit, kind = name.split(".")
        if unit == "bytes":
            summary["megabytes"] += count / 1e6
        else:
            summary[f"documents_{kind}"] = count
    summary["megabytes"] = round(summary["megabytes"], 3)
    summary["quarantined_first"] = quarantine.first
    return summary
