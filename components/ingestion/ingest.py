"""Ingestion: reads the sources of params.yaml as raw documents.

Small files are read in batches by the engine, large ones are streamed one after the other, so memory stays bounded.
The order of the documents follows the order of sources and file names, whatever the engine.

A growing corpus is read one increment at a time (`arrivals`). The documents of each are kept, so a run reads only the
files of new increments.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from components.documents import PART_OF, Document, DocumentWriter, add_increment
from components.engine import map_shards
from components.errors import StepError
from components.exclusions import excluded
from components.files import atomic_directory, read_json, write_json
from components.foreign.terminal import printable
from components.ingestion.arrivals import INCREMENTS, WHOLE, Units, files_of, increments_of
from components.ingestion.files import SourceFile
from components.ingestion.inventory import list_files, nothing_to_read, source_root, versions
from components.ingestion.quarantine import NAMED_IN_SUMMARY, Quarantine
from components.ingestion.readers import Limits, read_file
from components.ingestion.readers.base import WRONG_BYTES
from components.ingestion.readers.hub import is_hub, parse
from components.ingestion.readers.rows import TAKEN
from components.ingestion.remote import is_remote, public
from components.ingestion.sections import split
from components.ingestion.unread import Unread
from components.params import IngestionParams, Params, Source
from components.running.contents import counted
from components.running.kept import code_and_libraries, digest_of, is_whole, keep, mark_used
from components.running.progress import Progress
from components.running.revision import listed
from components.tracking import Tracker, state_folder

BATCH_BYTES = 1_000_000  # of small files that one worker reads at a time
LARGE_FILE_BYTES = 16_000_000  # a larger file is streamed here rather than returned by a worker
PACKING = 8  # assumed ratio of a compressed file's text to the file
HANDED_CHARS = 2 * LARGE_FILE_BYTES  # maximum that a worker returns for a batch
ITEM_CHARS = 1_000  # counted for any row in addition to its text, since millions may be empty
QUARANTINE, FACTS = "quarantine.jsonl", "facts.json"
KEPT = "ingestion"  # folder in `.phiforge`
REMEDY = "run components.ingestion.inventory again"
# Code and libraries that a file's documents depend on, besides the file and the parameters.
CODE = ("ingestion/**/*.py", "foreign/addresses.py", "documents.py")
LIBRARIES = (
    "datasets",
    "defusedxml",
    "fastwarc",
    "lxml",
    "mwparserfromhell",
    "pyarrow",
    "pylatexenc",
    "pypdfium2",
    "resiliparse",
    "trafilatura",
)


@dataclass
class Facts:
    """Counts of the documents that were read.

    Attributes:
        documents: total number.
        counts: documents and bytes by kind, long texts that were split, documents with wrong bytes.
        columns: documents by source and by the field used as their text.
        quarantined: number of rows that could not be read.
        first: some of these rows.
    """

    documents: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    columns: Counter[tuple[str, str]] = field(default_factory=Counter)
    quarantined: int = 0
    first: list[dict[str, Any]] = field(default_factory=list)

    def add(self, other: "Facts") -> None:
        self.documents += other.documents
        self.counts.update(other.counts)
        self.columns.update(other.columns)
        self.quarantined += other.quarantined
        self.first = (self.first + other.first)[:NAMED_IN_SUMMARY]

    def as_json(self) -> dict[str, Any]:
        return vars(self) | {"columns": [[*key, count] for key, count in self.columns.items()]}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Facts":
        columns = {(path, column): count for path, column, count in found["columns"]}
        return cls(**found | {"counts": Counter(found["counts"]), "columns": Counter(columns)})


def run(inputs: dict[str, Any], outputs: dict[str, Any], params: Params, tracker: Tracker) -> dict[str, Any]:
    files, unread = _listed(params)
    _keep_sources(outputs, params, files)
    with atomic_directory(outputs["output"]) as output:
        if params.ingestion.incremental:
            facts = _read_increments(inputs.get("inventory"), files, output, params)
        else:
            facts = _write(files, output, params)
        if not facts.documents:
            reasons = printable("; ".join(f"{q['file']}: {q['reason']}" for q in facts.first[:3]))
            raise StepError(
                f"no document could be read from the sources, {facts.quarantined} quarantined ({reasons}); correct these files or "
                "name other text in ingestion.sources"
            )
    _tell(facts, unread)
    return _summary(facts) | {
        "not_read": unread.rows(),
        "text_columns": [
            {"source": path, "column": column, "documents": count}
            for (path, column), count in sorted(facts.columns.items())
        ],
    }


def _write(files: list[SourceFile], output: Path, params: Params) -> Facts:
    """Read files and write their documents and the quarantine to a folder."""
    batches = _batches(files)
    progress = Progress(len(batches))
    facts = Facts()
    with DocumentWriter(output) as writer, Quarantine(output / QUARANTINE) as quarantine:
        taken: Counter[int] = Counter()  # documents by source
        for done, (batch, items) in enumerate(zip(batches, _read(batches, params), strict=True), start=1):
            source = batch[0].source
            for item in items if _wants(source, taken) else ():
                if isinstance(item, dict):
                    quarantine.write(item)
                    continue
                writer.write(item)
                facts.counts[f"documents.{item.kind}"] += 1
                facts.counts[f"bytes.{item.kind}"] += len(item.text.encode())
                facts.counts["split"] += item.metadata.get(PART_OF, {}).get("number") == 1
                facts.counts["wrong_bytes"] += WRONG_BYTES in item.metadata
                taken[id(source)] += 1
                if TAKEN in item.metadata:
                    facts.columns[public(source.path), item.metadata[TAKEN]] += 1
                if not _wants(source, taken):
                    break
            progress.update(done, documents=writer.rows)
    facts.documents, facts.quarantined, facts.first = writer.rows, quarantine.rows, quarantine.first
    return facts


def _read_increments(inventory: Path | None, files: list[SourceFile], output: Path, params: Params) -> Facts:
    """Collect the documents of all increments in a folder; reads the increments without a kept result."""
    if inventory is None:
        raise StepError(
            "ingestion.incremental is true, and --inventory is not given; expected the list of components.ingestion.inventory, "
            "which says what is new; name it, or set ingestion.incremental to false"
        )
    sources = read_json(inventory, REMEDY, REMEDY)["sources"]
    paths = [public(source.path) for source in params.ingestion.sources]
    if [entry["path"] for entry in sources] != paths or not all(INCREMENTS in entry for entry in sources):
        raise StepError(
            f"{inventory} was made with other parameters; expected increments of {', '.join(paths)}; {REMEDY}"
        )
    own = params.ingestion.model_dump(mode="json", exclude={"incremental"})
    digest = digest_of({"code": code_and_libraries(CODE, LIBRARIES), "ingestion": own})
    place = state_folder() / KEPT / f"increment-{digest}"
    facts = Facts()
    with open(output / QUARANTINE, "wb") as quarantine:
        for number in increments_of(sources):
            wanted = [files_of(entry, number) for entry in sources]
            folder = place / digest_of({"files": [[*one.items()] for one in wanted]})
            if not is_whole(folder):
                print(f"increment {number}: reading {sum(map(len, wanted)):,} files", flush=True)
            keep(folder, partial(_read_increment, wanted=wanted, files=files, params=params))
            mark_used(folder)
            add_increment(output, number, folder)
            with open(folder / QUARANTINE, "rb") as own_rows:
                shutil.copyfileobj(own_rows, quarantine)
            facts.add(Facts.from_json(read_json(folder / FACTS, REMEDY, REMEDY)))
    mark_used(place)
    return facts


def _read_increment(folder: Path, wanted: list[Units], files: list[SourceFile], params: Params) -> None:
    """Read the files of an increment into a folder.

    Args:
        wanted: names and versions of the files of each source.

    Raises:
        StepError: a file has vanished or changed since the inventory was made.
    """
    chosen: list[SourceFile] = []
    for source, names in zip(params.ingestion.sources, wanted, strict=True):
        own = [file for file in files if file.source is source]
        chosen += own if WHOLE in names else [file for file in own if file.name in names]
    facts = _write(chosen, folder, params)
    for source, names in zip(params.ingestion.sources, wanted, strict=True):
        found = versions(source, [file for file in chosen if file.source is source]) if names else {}
        if changed := [name or source.path for name in names if found.get(name) != names[name]]:
            raise StepError(
                f"{public(source.path)}: {listed(changed)} changed or vanished since the inventory was made; expected files that "
                "do not change while they are read; run again once nothing writes there"
            )
    write_json(folder / FACTS, facts.as_json())


def _tell(facts: Facts, unread: Unread) -> None:
    """Print what was not read, and the fields used as text that no parameter names."""
    for entry in facts.first:
        place = entry["file"] + (f":{entry['line']}" if entry["line"] else "")
        print(printable(f"quarantined: {place}: {entry['reason']}"))
    for line in unread.lines():
        print(printable(f"not read: {line}"))
    if count := facts.counts["wrong_bytes"]:
        print(f"wrong bytes in {counted(count, 'document')} became U+FFFD; {WRONG_BYTES} in the metadata says how many")
    for (path, column), count in sorted(facts.columns.items()):
        said = f"{path}: took the field {column!r} as the text of {count:,} documents; text_column overrides it"
        print(printable(said))


def _keep_sources(outputs: dict[str, Any], params: Params, files: list[SourceFile]) -> None:
    """Refuse an output that would replace a source, or be read as one the next time."""
    folders = {_folder(source): source.path for source in params.ingestion.sources}
    for file in files:
        if isinstance(file.location, Path) and not file.refused and file.location not in folders:
            linked = os.path.islink(file.location)  # its folder may be a link, too
            folders.setdefault(file.location if linked else file.location.parent, file.source.path)
    real = {Path(os.path.realpath(folder)): path for folder, path in folders.items() if folder}
    for name, output in outputs.items():
        if not output:
            continue
        place = Path(os.path.realpath(output))
        for folder, path in real.items():
            if place == folder or place in folder.parents or folder in place.parents:
                raise StepError(
                    f"--{name}: {output} is, holds or lies in the source {path!r} of ingestion.sources ({folder}), and would "
                    "replace it or be read as a part of it; name another place"
                )


def _folder(source: Source) -> Path | None:
    """The location of a source on this machine; None for others."""
    if is_hub(source.path):
        found = parse(source)
        return Path(found.path) if found.is_local else None
    return None if is_remote(source.path) else source_root(source)


def _wants(source: Source, taken: Counter[int]) -> bool:
    """Whether a source's limit leaves room for another document."""
    return not source.limit or taken[id(source)] < source.limit


def _listed(params: Params) -> tuple[list[SourceFile], Unread]:
    """The files of all sources, and the files that no reader takes."""
    all_files: list[SourceFile] = []
    all_unread = Unread()
    for source in params.ingestion.sources:
        files, unread = list_files(source)
        all_files += files
        all_unread.add_all(unread)
    if not all_files:
        raise StepError(nothing_to_read(", ".join(repr(public(s.path)) for s in params.ingestion.sources), all_unread))
    return all_files, all_unread


def _batches(files: list[SourceFile]) -> list[list[SourceFile]]:
    """Files grouped into units of work, several small ones or one large one."""
    batches: list[list[SourceFile]] = []
    size = 0
    for file in files:
        alone = _is_large(file)
        if not batches or alone or batches[-1][0].source is not file.source or size + file.size > BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(file)
        size += BATCH_BYTES if alone else file.size
    return batches


def _is_large(file: SourceFile) -> bool:
    """Whether a file is streamed, not read whole: because of its size, or because not all of it may be needed."""
    if file.source.limit or is_hub(str(file.location)):
        return True
    packed = file.compression or (file.format and file.format.packs)
    unknown = not file.size and not isinstance(file.location, Path)
    return unknown or file.size * (PACKING if packed else 1) >= LARGE_FILE_BYTES


def _read(batches: list[list[SourceFile]], params: Params) -> Iterator[list[Any] | Iterator[Any]]:
    """Documents and quarantine rows of each batch, in order."""
    stream, read = partial(_stream, params=params.ingestion), partial(read_batch, params=params.ingestion)
    for alone, group in groupby(batches, key=lambda batch: _is_large(batch[0])):
        if alone:
            yield from map(stream, group)
        else:
            small = list(group)
            for batch, items in zip(small, map_shards(read, small, params.engine), strict=True):
                yield stream(batch) if items is None else items


def _stream(batch: list[SourceFile], params: IngestionParams) -> Iterator[Document | dict[str, Any]]:
    rules = params.exclusions
    for file in batch:
        if any(rule.field == "source" and rule.value == public(file.source.path) for rule in rules):
            continue
        whole = file.source.path == "python"  # the library's reader has already split it
        for item in read_file(file, Limits(params.max_document_chars)):
            if not isinstance(item, Document):
                yield item.row()
                continue
            parts = [item] if whole else list(split(item, params.part_chars))
            # A text is left out as a whole, whichever of its parts was named.
            if not (rules and any(excluded(rules, one.row()) for one in (item, *parts))):
                yield from parts


def read_batch(batch: list[SourceFile], params: IngestionParams) -> list[Document | dict[str, Any]] | None:
    """Everything of one batch of files: documents, and quarantine rows as dicts. None if it is far more than the
    sizes of the files suggest, as for a decompression bomb: then it must be streamed."""
    items, held = [], 0
    for item in _stream(batch, params):
        items.append(item)
        row = item.row() if isinstance(item, Document) else item
        held += ITEM_CHARS + sum(len(value) for value in row.values() if isinstance(value, str))
        if held > HANDED_CHARS:
            return None
    return items


def _summary(facts: Facts) -> dict[str, Any]:
    summary: dict[str, Any] = {"documents": facts.documents, "megabytes": 0.0, "quarantined": facts.quarantined}
    summary["texts_split"] = facts.counts.pop("split", 0)  # long texts that were split into several documents
    summary["texts_with_wrong_bytes"] = facts.counts.pop("wrong_bytes", 0)  # replaced with U+FFFD in the text
    for name, count in sorted(facts.counts.items()):
        unit, kind = name.split(".")
        if unit == "bytes":
            summary["megabytes"] += count / 1e6
        else:
            summary[f"documents_{kind}"] = count
    summary["megabytes"] = round(summary["megabytes"], 3)
    summary["quarantined_first"] = facts.first
    return summary
