"""A survey of the sources within seconds, before any work: files by type, text, languages, titles, and files not read.

Files are listed as in ingestion; a sample is read by ingestion's own readers, and the rest is estimated from it. The sample
is the same at every call: for each ending, random files with a fixed seed, up to FILES and BYTES. Sources on other machines
are named but not read.
"""

import math
import random
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, zip_longest
from typing import Any, TypeVar

from components.files import write_json
from components.foreign.addresses import without_secrets
from components.ingestion.files import SourceFile
from components.ingestion.inventory import list_files, nothing_to_read
from components.ingestion.looks import STREAMED, TITLES, Look, look_at
from components.ingestion.readers import Quarantined
from components.ingestion.readers.base import no_file
from components.ingestion.readers.hub import is_hub
from components.ingestion.remote import is_remote, public
from components.ingestion.sections import KINDS, LONG
from components.ingestion.unread import Unread
from components.params import Params, Source
from components.running.cli import Argument, Command, main
from components.running.contents import AS_JSON, Contents, FileType, counted
from components.text.languages import UNKNOWN, identify
from components.tracking import Tracker

FILES = 1_000  # maximum to read
BYTES = 12_000_000  # approximate maximum of plain text to read; for other formats divided by their COST
COST = {"plain": 1, "parsed": 16}  # per byte by the reader's module, relative to plain text
OTHER_COST = 4
SECONDS = 20.0  # after which reading stops; ordinary text takes far less
EXCERPTS = 100  # of all texts, whose languages are identified
NAMED = 3  # maximum unreadable things listed by name
DIGITS = 2  # significant digits of an estimate; more would change with every new file
PACKED_TEXT = 0.1  # assumed text share of a binary document's bytes, if none of its kind was read

Taken = TypeVar("Taken")


class OutOfTime(BaseException):
    """Signals the end of the time. Not an Exception, since readers turn those into quarantine entries."""


@dataclass
class Group:
    """The files of one source and ending, and the facts from those that were read."""

    source: Source
    files: list[SourceFile] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        return len(self.looks) == len(self.files) and all(look.is_whole for look in self.looks)

    @cached_property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def priority(self) -> float:
        """The priority of reading one more of its files."""
        return self.size / len(self.looks) if self.looks else math.inf

    @cached_property
    def weight(self) -> float:
        """The ratio of all its text to the text that was read."""
        return self.total.text_bytes / max(1, sum(look.text_bytes for look in self.looks))

    @cached_property
    def total(self) -> FileType:
        """The estimate for all its files, valid once reading has ended."""
        read = sum(look.file.size for look in self.looks)
        text, documents = (sum(getattr(look, name) for look in self.looks) for name in ("text_bytes", "documents"))
        if not self.looks:
            packed = self.files[0].format and self.files[0].format.reader == "parsed.read_binary"
            text, documents = self.size * (PACKED_TEXT if packed else 1), len(self.files)
        elif not self.is_exact:
            text *= self.size / max(read, 1)
            documents *= len(self.files) / len(self.looks)
        rounded = round if self.is_exact else _about
        return FileType(_ending(self.files[0]), len(self.files), self.size, rounded(text), rounded(documents))


def survey(params: Params) -> Contents:
    """The content of the sources in the parameters.

    Raises:
        StepError: a source on this machine does not exist or cannot be listed.
    """
    groups, looks, unread, elsewhere = _list(params)
    _read(groups, params)
    looks += [look for group in groups for look in group.looks]
    types, is_limited = _types(groups)
    contents = Contents(
        types=types,
        is_exact=not is_limited and all(group.is_exact for group in groups),
        looked_at=len(looks),
        empty=sum(not look.documents for look in looks),
        refused=_refused(looks),
        not_read=unread.lines(),
        elsewhere=elsewhere,
        columns=sorted({f"{look.column!r} in {public(look.file.source.path)}" for look in looks if look.column}),
        titles=_in_turn([look.titles for look in looks], ""),
        samples=_in_turn([look.samples for look in looks], ("", "")),
        languages=_languages(groups, params),
        code=_shares(
            (name, group.weight * size) for group in groups for look in group.looks for name, size in look.code.items()
        ),
    )
    return replace(contents, refusal=_refusal(contents, unread, looks, params))


def _list(params: Params) -> tuple[list[Group], list[Look], Unread, list[str]]:
    """All files by source and ending; files that cannot be opened, such as broken links; files that no reader takes; and the
    sources that are not inspected."""
    groups: dict[tuple[int, str], Group] = {}
    closed, unread, elsewhere = [], Unread(), []
    for number, source in enumerate(params.ingestion.sources):
        if source.path == "python" or is_hub(source.path) or is_remote(source.path):
            elsewhere.append(public(source.path))
            continue
        files, more = list_files(source)
        unread.add_all(more)
        for file in files:
            if reason := file.refused or ("" if file.size else no_file(file.location)):
                closed.append(Look(file, refused=[Quarantined(file.name, 0, reason)]))
            else:
                groups.setdefault((number, _ending(file)), Group(source)).files.append(file)
    return list(groups.values()), closed, unread, elsewhere


def _read(groups: list[Group], params: Params) -> None:
    """Read a sample: one file of each group, then always one of the group with the most bytes per file already read."""
    waiting = {id(group): iter(random.Random(0).sample(group.files, len(group.files))) for group in groups}
    spent = 0
    with _at_most(SECONDS):
        for _ in range(FILES):
            group = max((one for one in groups if id(one) in waiting), key=Group.priority, default=None)
            if group is None or (group.looks and spent >= BYTES):
                break
            is_first = not group.looks  # the first is read at any cost, outside the budget
            if file := next((one for one in waiting[id(group)] if is_first or spent + _cost(one) <= BYTES), None):
                group.looks.append(look_at(file, params))
                spent += 0 if is_first else _cost(file)
            else:
                del waiting[id(group)]


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """End the block after some seconds, wherever it is."""

    def stop(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except OutOfTime:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _cost(file: SourceFile) -> int:
    """The cost of reading a file, in bytes of plain text."""
    if not file.format:
        return 0
    module = file.format.reader.partition(".")[0]
    size = file.size if module in COST else min(file.size, STREAMED)
    return size * COST.get(module, OTHER_COST)


def _in_turn(of_files: list[list[Taken]], nothing: Taken) -> list[Taken]:
    """The first item of each file, then the second of each, and so on; none twice."""
    in_turn = chain.from_iterable(zip_longest(*of_files, fillvalue=nothing))
    return list(dict.fromkeys(item for item in in_turn if item != nothing))[:TITLES]


def _refused(looks: list[Look]) -> list[str]:
    """The first things that could not be read, one per reason."""
    first: dict[str, Quarantined] = {}
    for row in (row for look in looks for row in look.refused):
        first.setdefault(row.reason, row)
    return [without_secrets(f"{row.file}: {row.reason}") for row in first.values()][:NAMED]


def _types(groups: list[Group]) -> tuple[list[FileType], bool]:
    """The endings, largest first, and whether a source's limit leaves some documents out."""
    found: dict[str, FileType] = {}
    limited = False
    for source in {id(group.source): group.source for group in groups}.values():
        totals = [group.total for group in groups if group.source is source]
        documents = sum(one.documents for one in totals)
        share = min(1.0, source.limit / documents) if source.limit and documents else 1.0
        limited |= share < 1
        for one in totals:
            taken = replace(one, text_bytes=round(share * one.text_bytes), documents=round(share * one.documents))
            found[one.name] = found[one.name] + taken if one.name in found else taken
    return sorted(found.values(), key=lambda one: (-one.bytes, one.name)), limited


def _languages(groups: list[Group], params: Params) -> list[tuple[str, float]]:
    """The languages of prose and pages, by a sample of the documents that were read."""
    own = params.curation.language
    pool = [(text, group.weight * size) for group in groups for look in group.looks for text, size in look.excerpts]
    if len(pool) > EXCERPTS:
        pool = [pool[number * len(pool) // EXCERPTS] for number in range(EXCERPTS)]  # evenly spread
    found = identify([text for text, _ in pool], own.among) if pool else []  # the model takes half a second to load
    known = (code if probability >= own.min_probability else UNKNOWN for code, probability in found)
    return _shares((code, size) for code, (_, size) in zip(known, pool, strict=True) if code != UNKNOWN)


def _shares(sizes: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """Each name with its share of all, largest first."""
    sums: defaultdict[str, float] = defaultdict(float)
    for name, size in sizes:
        sums[name] += size
    total = sum(sums.values())
    return [(name, round(size / total, 3)) for name, size in sorted(sums.items(), key=lambda one: -one[1]) if size]


def _refusal(contents: Contents, unread: Unread, looks: list[Look], params: Params) -> str:
    """Why nothing can be trained on so much text, or an empty string."""
    if contents.elsewhere:
        return ""  # their text is unknown
    named = ", ".join(repr(public(source.path)) for source in params.ingestion.sources)
    if not (contents.types or looks):
        return nothing_to_read(named, unread)
    total, least = contents.total, params.validation
    if not total.documents:
        reasons = "; ".join(contents.refused)
        return (
            f"ingestion.sources: no document in {named}: {counted(contents.looked_at, 'file')} looked at ({reasons}); expected text; "
            "correct these files, or name other text"
        )
    if total.text_bytes < 1e6 * least.min_megabytes:
        return (
            f"ingestion.sources: {total.text_bytes:,} bytes of text in {named} are too little to train on; expected at least "
            f"{1000 * least.min_megabytes:g} kB (validation.min_megabytes); add text there, or name more"
        )
    part = params.ingestion.part_chars
    can_be_split = part and sum(look.kinds[kind] for look in looks for kind in KINDS) > LONG * part
    if total.documents < least.min_documents and not can_be_split:
        return (
            f"ingestion.sources: {counted(total.documents, 'document')} in {named}; expected at least {least.min_documents}, to learn "
            "from one and measure on another (validation.min_documents); add files there, name more, or have longer texts cut by a "
            "lower ingestion.part_chars"
        )
    return ""


def _ending(file: SourceFile) -> str:
    return file.suffix + file.compression


def _about(value: float) -> int:
    """A whole number with DIGITS significant digits."""
    return int(float(f"{value:.{DIGITS}g}"))


def run(inputs: dict[str, Any], outputs: dict[str, Any], params: Params, tracker: Tracker) -> dict[str, Any]:
    contents = survey(params)
    write_json(outputs["output"], AS_JSON.dump_python(contents, mode="json"))
    total = contents.total
    return {"files": total.files, "text_bytes": total.text_bytes, "documents": total.documents}


COMMAND = Command(
    step="ingestion.survey",
    description="Survey the sources of params.yaml within seconds, by a sample of their files.",
    run=run,
    outputs=(Argument("output", "JSON file for the results"),),
    sections=("ingestion", "validation", "curation"),
    tracked=False,
)

if __name__ == "__main__":
    main(COMMAND)
