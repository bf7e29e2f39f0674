"""Cuts passages that many documents repeat, such as a site's notices, from all of these documents but one.

A passage is a line, as in CCNet (Wenzek et al. 2020, arXiv 1911.00359), three sentences, as in C4 (arXiv 1910.10683), or 50 words,
as in RefinedWeb (arXiv 2306.01116). Fenced code, headings, formulas, parts of an unfinished sentence, and lines that introduce
code are not passages: textbooks repeat them. Of the kept documents with a passage, the one with the smallest id keeps it,
so the order of the sources does not matter; a document of an earlier increment has precedence. A passage in fewer than
`passages.documents` documents stays in all of them: deduplication finds copies of whole texts.

It takes two phases over the results of `clean`. The first hashes passages; here they are counted, one range of hash values at
a time, so that memory beyond that range is five bytes per passage. The second cuts the marked passages, and drops a document
that is nearly all repeated, or that fails a rule without its repeated passages. A document that is more than half repeated
stays whole, since half a text is not readable.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.curation import language
from components.curation.clean import DOCUMENTS, DROPS, FIGURES, FOREIGN, LENGTHS, SKETCHES, STEP, web_verdicts
from components.curation.duplicates import ids as document_ids
from components.curation.duplicates.sketches import save_sketches
from components.curation.filters.fenced import fenced_lines
from components.curation.rules import Failure, first_failure
from components.curation.tally import origin
from components.curation.text import normalise
from components.curation.work import Work
from components.documents import Drop, LedgerWriter, document_id, read_ledger
from components.files import save_array, write_json
from components.params import CurationParams
from components.params.curation import PassagesParams
from components.text.characters import UNSPACED
from components.text.shingles import sketch

KNOWN = "passages.bin"  # of an increment: its passages by hash, and how many documents contain each
RULE = "repeated_passages"
MIN_WORDS = 5  # minimum for a line to be a passage
MIN_UNSPACED = 10  # minimum characters for a line to be a passage, in scripts without spaces between words
SPENT = 0.9  # repeated share of its characters at which a document is dropped
HALF = 0.5
WINDOW = {"lines": 1, "sentences": 3, "words": 50}
SAMPLED = 8  # one in this many of the overlapping runs of words is hashed; longer copies contain several
AT_ONCE = 1 << 21  # passages counted at once: about 150 MB
HASHES, COUNTS = "hashes.npy", "counts.npy"
STAYS = "stays.npy"  # of a cut result: which documents of the `clean` result are in it
_MULTIPLIER = np.uint64(0xD1342543DE82EF95)
_UNSPACED = re.compile(f"[{UNSPACED}]")
_SENTENCE_END = re.compile(r"[.?!…][\"'”\u2019»)\]]*\s+|[\u3002\uff01\uff1f][”\u2019\u300d\u300f\uff09]*\s*")
_WORD = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])\w)+")  # in scripts without spaces, each character is a word
_COUNTED = np.dtype([("hash", "<u8"), ("documents", "<u4")])


class Passages(NamedTuple):
    """The passages of a text: where their atoms (lines, sentences, words) begin and end, and the first atom and hash of each."""

    spans: list[tuple[int, int]]
    first: np.ndarray
    hashes: np.ndarray


def passages_of(text: str, params: PassagesParams) -> Passages:
    """The passages of a text, in order."""
    spans, keys = _lines(text) if params.unit == "lines" else _parts(text, params.unit)
    window = WINDOW[params.unit]
    if len(keys) < window:
        return Passages(spans, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64))
    digests = (blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest() for key in keys)
    atoms = np.frombuffer(b"".join(digests), dtype="<u8")
    hashes = atoms[: len(atoms) - window + 1].copy()
    for place in range(1, window):
        hashes = hashes * _MULTIPLIER + atoms[place : place + len(hashes)]
    first = np.arange(len(hashes))
    if params.unit == "words":
        first = first[hashes >> np.uint64(32) & np.uint64(SAMPLED - 1) == 0]
    return Passages(spans, first, hashes[first])


def _lines(text: str) -> tuple[list[tuple[int, int]], list[str]]:
    """Start and end, with the line end, of each line that may be a passage; and its lower-case text."""
    fenced = fenced_lines(text)
    is_long = _is_long_unspaced if not text.isascii() and _UNSPACED.search(text) else _is_long
    spans, keys, start = [], [], 0
    for number, line in enumerate(text.split("\n")):
        end = start + len(line) + 1
        if is_long(line):  # few lines are, and the other checks take longer
            key = line.strip(" \t*-•>|")
            introduces = fenced is not None and any(fenced[number : number + 3])
            if is_long(key) and _stands_alone(key) and not introduces:
                spans.append((start, min(end, len(text))))
                keys.append(key.lower())
        start = end
    return spans, keys


def _is_long(line: str) -> bool:
    """Whether a line has as many words as a passage."""
    return line.count(" ") >= MIN_WORDS - 1


def _is_long_unspaced(line: str) -> bool:
    """Whether a line that may be in a script without spaces between words is as long as a passage."""
    return _is_long(line) or len(_UNSPACED.findall(line)) >= MIN_UNSPACED


def _stands_alone(line: str) -> bool:
    """Whether a line is complete: not a heading, a formula or a part of a wrapped sentence."""
    return not (
        line[0] == "#" or line[0].islower() or line[-1] in ",;:\uff0c\uff1b\uff1a\u3001" or "$" in line or "\\" in line
    )


def _parts(text: str, unit: str) -> tuple[list[tuple[int, int]], list[str]]:
    """Start, end (where the next one starts) and lower-case text of each sentence or word outside fenced code."""
    fenced = fenced_lines(text)
    spans: list[tuple[int, int]] = []
    keys: list[str] = []
    start = 0
    for number, line in enumerate(text.split("\n")):
        if not (fenced and fenced[number]):
            if unit == "sentences":
                borders = [0, *(found.end() for found in _SENTENCE_END.finditer(line)), len(line)]
                parts = [line[a:b].strip().lower() for a, b in pairwise(borders)]
            else:
                found = list(_WORD.finditer(line))
                borders = [*(word.start() for word in found), len(line)]
                parts = [word[0].lower() for word in found]
            spans += [(start + a, start + b) for key, (a, b) in zip(parts, pairwise(borders), strict=True) if key]
            keys += filter(None, parts)
        start += len(line) + 1
    return spans, keys


class Cut(NamedTuple):
    """Results of `clean` without repeated passages.

    Attributes:
        folders: of the results; a result without repeated passages keeps its folder.
        marks: bool (passages,) per result of `clean`, which of its passages are cut.
        ranks: int32 (documents of `clean`,), equal for equal texts; the lowest rank keeps a passage.
        keepers: bool (ranks,), which keep a passage that was cut from others.
    """

    folders: list[Path]
    marks: list[np.ndarray]
    ranks: np.ndarray
    keepers: np.ndarray

    def stays(self, kept: np.ndarray, counts: Sequence[int]) -> np.ndarray:
        """bool (documents of `clean`,): which of them are kept.

        Args:
            kept: bool, by position in the cut results.
            counts: documents of each cut result.
        """
        stays = []
        for folder, own in zip(self.folders, np.split(kept, np.cumsum(counts)[:-1]), strict=True):
            if (folder / STAYS).exists():
                whole = np.load(folder / STAYS, allow_pickle=False)
                whole[whole] = own
                own = whole
            stays.append(own)
        return np.concatenate([np.zeros(0, dtype=bool), *stays])

    def loses(self, stays: np.ndarray) -> bool:
        """Whether a passage is lost: it was cut from others, and no document that contains it is kept."""
        staying = np.zeros(len(self.keepers), dtype=bool)
        staying[self.ranks[stays]] = True
        return bool((self.keepers & ~staying).any())


@dataclass(frozen=True)
class _Hashed:
    """A result of `clean` to hash."""

    cleaned: Path
    params: PassagesParams


@dataclass(frozen=True)
class _Marked:
    """A result of `clean`, and which of its passages are repeated."""

    cleaned: Path
    hashed: Path
    marks: bytes  # packed bits
    params: CurationParams
    before: tuple[Path, bytes] | None  # the result of an earlier round, and its marks: most documents are cut alike


def without_repeated(
    cleaned: Sequence[Path],
    work: Work,
    params: CurationParams,
    facts: Mapping[str, Any],
    earlier: Sequence[Path],
    folder: Path,
    avoided: np.ndarray | None = None,
    before: Cut | None = None,
) -> Cut:
    """Results of `clean` without repeated passages.

    Args:
        facts: everything that the results depend on.
        earlier: the folders of the increments before, with their KNOWN.
        folder: for the KNOWN of this increment.
        avoided: bool (documents,), which keep a passage only if no other document can.
        before: the result of an earlier round, whose work is used again.
    """
    own = params.passages
    if not own.kinds:
        return Cut(list(cleaned), [], np.zeros(0, dtype=np.int32), np.zeros(0, dtype=bool))
    names = [f"{path.parent.name.removeprefix('clean-')}-{path.name}" for path in cleaned]
    units = {name: _Hashed(path, own) for name, path in zip(names, cleaned, strict=True)}
    hashed = work.map("passages", own.model_dump(mode="json"), units, hash_unit)
    ranks = _ranks(cleaned, avoided)
    known = [one / KNOWN for one in earlier]
    marks, keepers = _mark(ranks, hashed, own.documents, known, folder / KNOWN)
    cut = {}
    for number, (name, path, hashes, mark) in enumerate(zip(names, cleaned, hashed, marks, strict=True)):
        if mark.any():
            bits = np.packbits(mark).tobytes()
            earlier_cut = None
            if before and before.folders[number] != path:
                earlier_cut = before.folders[number], np.packbits(before.marks[number]).tobytes()
            cut[f"{name}-{sha256(bits).hexdigest()[:20]}"] = _Marked(path, hashes, bits, params, earlier_cut)
    work.expect(len(cut))
    done = iter(work.map("cut", facts, cut, cut_unit))
    folders = [next(done) if mark.any() else path for path, mark in zip(cleaned, marks, strict=True)]
    return Cut(folders, marks, np.concatenate([np.zeros(0, dtype=np.int32), *ranks]), keepers)


def hash_unit(unit: _Hashed, folder: Path) -> None:
    """Write the hashes of a result's passages, and the number per document, to a folder."""
    hashes, counts = [np.zeros(0, dtype=np.uint64)], []
    with pq.ParquetFile(unit.cleaned / DOCUMENTS) as file:
        for batch in file.iter_batches(batch_size=1_000, columns=["text", "kind"]):
            for text, kind in zip(batch["text"].to_pylist(), batch["kind"].to_pylist(), strict=True):
                found = passages_of(text, unit.params).hashes if kind in unit.params.kinds else hashes[0]
                hashes.append(found)
                counts.append(len(found))
    save_array(folder / HASHES, np.concatenate(hashes))
    save_array(folder / COUNTS, np.array(counts, dtype=np.int64))


def _mark(
    ranks: Sequence[np.ndarray], hashed: Sequence[Path], least: int, earlier: Sequence[Path], known: Path
) -> tuple[list[np.ndarray], np.ndarray]:
    """bool (passages,) per result: which passages to cut; and bool (ranks,): which documents keep passages cut from others.
    Writes all passages with their counts.

    Memory: five bytes per passage, and AT_ONCE passages at a time.
    """
    hashes = [np.load(folder / HASHES, mmap_mode="r", allow_pickle=False) for folder in hashed]
    counts = (np.load(folder / COUNTS, allow_pickle=False) for folder in hashed)
    owners = [np.repeat(part, count) for part, count in zip(ranks, counts, strict=True)]
    keepers = np.zeros(max((int(part.max(initial=-1)) + 1 for part in ranks), default=0), dtype=bool)
    before = [np.memmap(path, _COUNTED, mode="r") for path in earlier if path.stat().st_size]
    marks = [np.zeros(len(part), dtype=bool) for part in hashes]
    ranges = 1 + (sum(map(len, hashes)) + sum(map(len, before))) // AT_ONCE
    width = -(-(1 << 64) // ranges)
    with open(known, "wb") as file:
        for number in range(ranges):
            low, high = number * width, min((number + 1) * width, 1 << 64) - 1
            chosen = [np.flatnonzero((part >= np.uint64(low)) & (part <= np.uint64(high))) for part in hashes]
            values = np.concatenate([np.zeros(0, np.uint64), *(p[c] for p, c in zip(hashes, chosen, strict=True))])
            holders = np.concatenate([np.zeros(0, np.int32), *(o[c] for o, c in zip(owners, chosen, strict=True))])
            told = [_slice(one, low, high) for one in before]
            repeated, counted = _repeated(values, holders, least, told)
            keepers[holders[~repeated & np.isin(values, values[repeated])]] = True
            file.write(counted.tobytes())
            ends = np.cumsum([len(one) for one in chosen])
            for mark, place, flags in zip(marks, chosen, np.split(repeated, ends[:-1]), strict=False):
                mark[place] = flags
    return marks, keepers


def _ranks(cleaned: Sequence[Path], avoided: np.ndarray | None) -> list[np.ndarray]:
    """int32 (documents,) per result: rank by id; equal texts count as one document, and avoided ones come last."""
    ids = [document_ids.pack(pq.read_table(folder / DOCUMENTS, columns=["id"])["id"].to_pylist()) for folder in cleaned]
    together = np.concatenate([np.zeros((0, 2), dtype=np.uint64), *ids])
    order = np.lexsort((together[:, 1], together[:, 0]))
    ordered = together[order]
    ranks = np.zeros(len(together), dtype=np.int32)
    ranks[order[1:]] = np.cumsum((ordered[1:] != ordered[:-1]).any(axis=1))
    if avoided is not None:
        last = np.ones(int(ranks.max(initial=-1)) + 1, dtype=bool)
        np.logical_and.at(last, ranks, avoided)
        place = np.empty(len(last), dtype=np.int32)
        place[np.argsort(last, kind="stable")] = np.arange(len(last))
        ranks = place[ranks]
    return np.split(ranks, np.cumsum([len(part) for part in ids])[:-1])[: len(ids)]


def _slice(known: np.ndarray, low: int, high: int) -> np.ndarray:
    """The passages of an earlier increment in a range of hash values; they are sorted."""
    first, last = np.searchsorted(known["hash"], np.array([low, high], dtype=np.uint64), side="left")
    return known[first : last + 1][known["hash"][first : last + 1] <= np.uint64(high)]


def _repeated(
    values: np.ndarray, ranks: np.ndarray, least: int, earlier: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """bool (passages,): in at least `least` documents, and not first here; and all distinct passages with their counts."""
    order = np.lexsort((ranks, values))
    value, rank = values[order], ranks[order]
    fresh = np.append(True, value[1:] != value[:-1])[: len(value)]
    another = fresh | np.append(True, rank[1:] != rank[:-1])[: len(value)]
    group = np.cumsum(fresh) - 1
    distinct = value[fresh]
    counts = np.bincount(group[another], minlength=len(distinct)).astype(np.int64)
    before = np.zeros(len(distinct), dtype=np.int64)
    for known in earlier:
        place = np.minimum(np.searchsorted(known["hash"], distinct), max(0, len(known) - 1))
        if len(known):
            before += np.where(known["hash"][place] == distinct, known["documents"][place], 0)
    first = rank[fresh]
    cut = (counts + before >= least)[group] & ((before > 0)[group] | (rank != first[group]))
    repeated = np.zeros(len(values), dtype=bool)
    repeated[order] = cut
    counted = np.empty(len(distinct), dtype=_COUNTED)
    counted["hash"], counted["documents"] = distinct, counts
    return repeated, counted


def cut_unit(unit: _Marked, folder: Path) -> None:
    """Write a result without its marked passages to a folder."""
    counts = np.load(unit.hashed / COUNTS, allow_pickle=False)
    ends, marks = np.cumsum(counts), _unpacked(unit.marks, counts)
    table = pq.read_table(unit.cleaned / DOCUMENTS)
    holders = _holders(marks, ends)
    rows = dict(zip(holders.tolist(), table.take(holders).to_pylist(), strict=True))
    sketches = np.load(unit.cleaned / SKETCHES, allow_pickle=False)
    cuts: dict[int, dict[str, Any] | Drop] = {}  # what becomes of each row
    if unit.before:
        others = _holders(marks != _unpacked(unit.before[1], counts), ends)
        cuts = _cut_before(unit.before[0], rows, np.setdiff1d(holders, others), sketches)
    made = {}
    for place in sorted(rows.keys() - cuts.keys()):
        row, mark = rows[place], marks[ends[place] - counts[place] : ends[place]]
        text, share, passages = cut(row["text"], row["kind"], mark, unit.params.passages)
        if share >= SPENT:
            cuts[place] = _spent(row, share)
        elif share <= HALF:
            made[place] = _changed(row, text, passages)
    for place, failure in _failures(made, unit.params).items():
        detail = f"{failure.detail}, after repeated passages were cut"
        cuts[place] = _drop(rows[place], failure.rule, failure.value, failure.threshold, detail)
        del made[place]
    sketches[list(made)] = sketch([row["text"] for row in made.values()], unit.params.duplicates.permutations)
    stays, changed = np.ones(len(counts), dtype=bool), {}
    lengths = np.load(unit.cleaned / LENGTHS, allow_pickle=False)
    figures = json.loads((unit.cleaned / FIGURES).read_text(encoding="utf-8"))
    removed = 0
    with LedgerWriter(folder / DROPS) as ledger:
        for drop in read_ledger(unit.cleaned / DROPS):
            ledger.write(drop)
        for place, found in sorted((cuts | made).items()):
            if isinstance(found, Drop):
                ledger.write(found)
                stays[place] = False
                _count_drop(figures, rows[place], found.rule)
            elif found["id"] != rows[place]["id"]:
                changed[place] = found
                removed += len(rows[place]["text"]) - len(found["text"])
                lengths[place] = len(found["text"])
    kept = _replaced(table, changed).filter(pa.array(stays))
    pq.write_table(kept, folder / DOCUMENTS, compression="zstd")
    save_sketches(folder / SKETCHES, sketches[stays])
    save_array(folder / LENGTHS, lengths[stays])
    save_array(folder / FOREIGN, np.load(unit.cleaned / FOREIGN, allow_pickle=False)[stays])
    save_array(folder / STAYS, stays)
    write_json(folder / FIGURES, figures | {"passages": {"documents": len(changed), "characters": removed}})


def _unpacked(marks: bytes, counts: np.ndarray) -> np.ndarray:
    return np.unpackbits(np.frombuffer(marks, dtype=np.uint8), count=int(counts.sum())).astype(bool)


def _holders(marks: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The documents with a marked passage, ascending."""
    return np.unique(np.searchsorted(ends, np.flatnonzero(marks), side="right"))


def _cut_before(
    folder: Path, rows: Mapping[int, dict[str, Any]], places: np.ndarray, sketches: np.ndarray
) -> dict[int, dict[str, Any] | Drop]:
    """What became of some rows in an earlier result, by row; puts in their sketches."""
    stays = np.load(folder / STAYS, allow_pickle=False)
    left, gone = places[stays[places]], places[~stays[places]]
    at = (np.cumsum(stays) - 1)[left]
    sketches[left] = np.load(folder / SKETCHES, allow_pickle=False)[at]
    found = pq.read_table(folder / DOCUMENTS, columns=["id", "text", "metadata"]).take(at).to_pylist()
    drops = list(read_ledger(folder / DROPS))[-int((~stays).sum()) :]  # those of `clean` are before them
    cuts: dict[int, dict[str, Any] | Drop] = {
        place: rows[place] | row for place, row in zip(left.tolist(), found, strict=True)
    }
    which = (np.cumsum(~stays) - 1)[gone].tolist()
    return cuts | {place: drops[one] for place, one in zip(gone.tolist(), which, strict=True)}


def _replaced(table: pa.Table, rows: Mapping[int, Mapping[str, Any]]) -> pa.Table:
    """The table with new ids, texts and metadata in some rows."""
    mask = np.zeros(table.num_rows, dtype=bool)
    mask[list(rows)] = True
    for name in ("id", "text", "metadata"):
        values = pa.array([row[name] for row in rows.values()], table.schema.field(name).type)
        column = pc.replace_with_mask(table[name].combine_chunks(), pa.array(mask), values)
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)
    return table


def cut(text: str, kind: str, marks: np.ndarray, params: PassagesParams) -> tuple[str, float, int]:
    """A text without its marked passages; their share of its characters; the number of pieces cut."""
    found = passages_of(text, params)
    goes = np.zeros(len(found.spans) + 1, dtype=np.int64)
    first = found.first[marks]
    np.add.at(goes, first, 1)
    np.add.at(goes, first + WINDOW[params.unit], -1)
    pieces, start, gone, runs = [], 0, 0, 0
    for (begin, end), inside in zip(found.spans, np.cumsum(goes)[:-1] > 0, strict=True):
        if inside:
            runs += begin > start or not runs
            pieces.append(text[start:begin])
            gone += end - begin
            start = end
    return normalise("".join([*pieces, text[start:]]), kind), gone / max(1, len(text)), runs


def _changed(row: dict[str, Any], text: str, passages: int) -> dict[str, Any]:
    metadata = json.loads(row["metadata"])
    metadata = {"raw_id": row["id"]} | metadata | {"passages_removed": passages}
    return row | {
        "id": document_id(text),
        "text": text,
        "metadata": json.dumps(metadata, ensure_ascii=False, sort_keys=True),
    }


def _failures(rows: Mapping[int, Mapping[str, Any]], params: CurationParams) -> dict[int, Failure]:
    """The first rule that each shortened text fails, by row."""
    found = {place: first_failure(row["text"], row["kind"], params) for place, row in rows.items()}
    of_web = [place for place, row in rows.items() if row["kind"] in params.web.kinds and not found[place]]
    spoken = [json.loads(rows[place]["metadata"]).get("language", language.ENGLISH) for place in of_web]
    verdicts = web_verdicts([rows[place]["text"] for place in of_web], spoken, params.web)
    found |= {place: verdict.failure for place, verdict in zip(of_web, verdicts, strict=True)}
    return {place: failure for place, failure in found.items() if failure}


def _spent(row: dict[str, Any], share: float) -> Drop:
    return _drop(row, RULE, round(share, 4), SPENT, f"{share:.0%} of the text is passages that other documents hold")


def _drop(row: dict[str, Any], rule: str, value: float, threshold: float, detail: str) -> Drop:
    raw_id = json.loads(row["metadata"]).get("raw_id", row["id"])
    return Drop(raw_id, STEP, rule, value, threshold, detail, row["source"])


def _count_drop(figures: dict[str, Any], row: dict[str, Any], rule: str) -> None:
    """Count as dropped a document that was counted as passed, with the bytes of its present text."""
    key, size = [row["kind"], origin(row["source"]), row["license"]], len(row["text"].encode())
    entry = next(entry for entry in figures["counts"] if entry[:4] == [*key, ""])  # each portion of the rows has one
    entry[4] -= 1
    entry[5] -= size
    figures["counts"].append([*key, rule, 1, size])
