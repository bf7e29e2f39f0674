"""The documents that earlier runs have kept: their ids and sketches, in a folder that one run writes and the next reads.

A folder is self-contained: files from other folders are hard-linked if the file system allows it, else copied.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.curation.duplicates.candidates import agree_in_a_band
from components.curation.duplicates.sketches import SketchFiles, algorithm
from components.errors import StepError
from components.files import open_file, read_json, save_array, write_json
from components.foreign.confined import is_name, refuse_links_out
from components.params import DuplicatesParams

MANIFEST = "index.json"
_IDS, _SKETCHES = ".ids.npy", ".sketches.npy"  # endings of a segment's two files


@dataclass(frozen=True)
class Index:
    """Kept documents.

    Attributes:
        ids: uint64 (documents, 2), packed.
        sketches: of all, in the order of the ids.
        segments: paths of their files, without the endings.
    """

    ids: np.ndarray
    sketches: SketchFiles
    segments: tuple[Path, ...] = ()

    @property
    def identity(self) -> str:
        """A hash that identifies these documents by their ids: a sketch follows from its text."""
        return hashlib.sha256(self.ids.tobytes()).hexdigest()

    def near(self, ids: np.ndarray, sketches: SketchFiles, params: DuplicatesParams, scratch: Path) -> "Index":
        """The documents that others, by their ids and sketches, may duplicate; the rest cannot affect the result.

        So a few new documents are compared with a few of the kept ones, however many there are.

        Args:
            scratch: folder for a file of their sketches.
        """
        chosen = np.isin(self.ids[:, 0], ids[:, 0])
        if params.thresholds:
            chosen |= agree_in_a_band(self.sketches, sketches, min(params.thresholds.values()))
        path = scratch / "near.npy"
        _write_sketches(path, self.sketches, chosen)
        return Index(self.ids[chosen], SketchFiles([path]))


def open_index(folder: Path, params: DuplicatesParams) -> Index:
    """The index in a folder.

    Raises:
        StepError: the folder is not an index, or its sketches were made by another algorithm.
    """
    folder = Path(folder)
    remedy = "expected an index of curated documents, as components.curation writes it; leave earlier empty for none"
    manifest = read_json(folder / MANIFEST, remedy, remedy)
    made, asked = manifest.get("algorithm"), algorithm(params)
    if made != asked:
        raise StepError(
            f"{folder} holds sketches by {made!r}, which cannot be compared with those of this run, {asked!r}; "
            "curate the earlier documents again, or leave curation.duplicates.earlier empty"
        )
    segments = manifest.get("segments")
    if not isinstance(segments, list) or not all(isinstance(name, str) for name in segments):
        raise StepError(f"{folder / MANIFEST} has no list of segments; {remedy}")
    if wrong := [name for name in segments if not is_name(name)]:  # copies of them are written beside the new one
        raise StepError(f"{folder / MANIFEST} names the segment {wrong[0]!r}, which leads out of its folder; {remedy}")
    refuse_links_out(folder)
    sketches = SketchFiles([folder / f"{segment}{_SKETCHES}" for segment in segments])
    ids = _joined_ids([_read_ids(folder / f"{segment}{_IDS}") for segment in segments])
    if len(ids) != sketches.rows:
        raise StepError(f"{folder} has {len(ids)} ids, but {sketches.rows} sketches; {remedy}")
    return Index(ids, sketches, tuple(folder / segment for segment in segments))


def join(indexes: Sequence[Index]) -> Index:
    """One index of all documents of several."""
    segments = tuple(segment for index in indexes for segment in index.segments)
    sketches = SketchFiles([Path(f"{segment}{_SKETCHES}") for segment in segments])
    return Index(_joined_ids([index.ids for index in indexes]), sketches, segments)


def _joined_ids(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros((0, 2), dtype=np.uint64), *parts])


def _read_ids(path: Path) -> np.ndarray:
    try:
        with open_file(path) as file:
            ids = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise StepError(f"{path} holds no ids ({error}); curate the earlier documents again") from error
    if ids.dtype != np.uint64 or ids.shape[1:] != (2,):
        raise StepError(f"{path} holds {ids.dtype} {ids.shape}; expected uint64 (documents, 2)")
    return ids


def write_index(
    folder: Path, sketches: SketchFiles, ids: np.ndarray, kept: np.ndarray, params: DuplicatesParams
) -> None:
    """Write the index of a run's kept documents to a folder.

    Args:
        sketches: of this run's documents, by position.
        ids: uint64 (documents, 2), packed.
        kept: bool (documents,): which documents to write.
    """
    segment = _segment(0)
    save_array(folder / f"{segment}{_IDS}", ids[: len(kept)][kept])
    _write_sketches(folder / f"{segment}{_SKETCHES}", sketches, kept)
    _write_manifest(folder, int(kept.sum()), 1, params)


def write_joined(folder: Path, indexes: Sequence[Index], params: DuplicatesParams) -> None:
    """Write one index of all documents of several indexes to an empty folder."""
    whole = join(indexes)
    for number, source in enumerate(whole.segments):
        for ending in (_IDS, _SKETCHES):
            _link(Path(f"{source}{ending}"), folder / f"{_segment(number)}{ending}")
    _write_manifest(folder, len(whole.ids), len(whole.segments), params)


def _segment(number: int) -> str:
    return f"segment-{number:05d}"


def _write_manifest(folder: Path, documents: int, segments: int, params: DuplicatesParams) -> None:
    names = [_segment(number) for number in range(segments)]
    write_json(folder / MANIFEST, {"algorithm": algorithm(params), "documents": documents, "segments": names})


def _write_sketches(path: Path, sketches: SketchFiles, kept: np.ndarray) -> None:
    with open(path, "wb") as file:
        shape = (int(kept.sum()), sketches.permutations)
        np.lib.format.write_array_header_1_0(file, {"descr": "<u4", "fortran_order": False, "shape": shape})
        for first, chunk in sketches.chunks():
            file.write(chunk[kept[first : first + len(chunk)]].tobytes())


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
