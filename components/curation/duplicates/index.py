"""The documents that earlier runs have kept: their ids and sketches, in a folder that one run writes and the next takes.

A folder is whole in itself: what it takes over from the one before is linked, not copied, where the file system can.
"""

import os
import shutil
from pathlib import Path

import numpy as np

from components.confined import is_name, refuse_links_out
from components.curation.duplicates.sketches import SketchFiles, algorithm
from components.errors import StepError
from components.files import open_file, read_json, save_array, write_json
from components.params import DuplicatesParams

MANIFEST = "index.json"


class Index:
    """An index folder, opened.

    Attributes:
        ids: uint64 (documents, 2), packed.

    Raises:
        StepError: the folder is not an index, or one that other sketches were made for.
    """

    def __init__(self, folder: Path, params: DuplicatesParams) -> None:
        self.folder = Path(folder)
        remedy = (
            "expected an index of curated documents, as components.curation writes it; leave earlier empty for none"
        )
        self.manifest = read_json(self.folder / MANIFEST, remedy, remedy)
        made, asked = self.manifest.get("algorithm"), algorithm(params)
        if made != asked:
            raise StepError(
                f"{self.folder} holds sketches by {made!r}, which cannot be compared with those of this run, {asked!r}; "
                "curate the earlier documents again, or leave curation.duplicates.earlier empty"
            )
        self.segments = self.manifest.get("segments")
        if not isinstance(self.segments, list) or not all(isinstance(name, str) for name in self.segments):
            raise StepError(f"{self.folder / MANIFEST} has no list of segments; {remedy}")
        if wrong := [
            name for name in self.segments if not is_name(name)
        ]:  # copies of them are written beside the new one
            raise StepError(
                f"{self.folder / MANIFEST} names the segment {wrong[0]!r}, which leads out of its folder; {remedy}"
            )
        refuse_links_out(self.folder)
        self._files = SketchFiles([self._path(segment, "sketches") for segment in self.segments])
        self.ids = np.concatenate([np.zeros((0, 2), dtype=np.uint64), *map(self._read_ids, self.segments)])
        if len(self.ids) != self._files.rows:
            raise StepError(f"{self.folder} has {len(self.ids)} ids, but {self._files.rows} sketches; {remedy}")

    def _path(self, segment: str, what: str) -> Path:
        return self.folder / f"{segment}.{what}.npy"

    def _read_ids(self, segment: str) -> np.ndarray:
        path = self._path(segment, "ids")
        try:
            with open_file(path) as file:
                ids = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError, MemoryError) as error:
            raise StepError(f"{path} holds no ids ({error}); curate the earlier documents again") from error
        if ids.dtype != np.uint64 or ids.shape[1:] != (2,):
            raise StepError(f"{path} holds {ids.dtype} {ids.shape}; expected uint64 (documents, 2)")
        return ids

    def after(self, sketches: SketchFiles) -> SketchFiles:
        """The sketches of a run with those of the index behind them."""
        return sketches.followed_by(self._files)


def write_index(
    folder: Path,
    sketches: SketchFiles,
    ids: np.ndarray,
    kept: np.ndarray,
    params: DuplicatesParams,
    earlier: Index | None = None,
) -> None:
    """Write the index of what is curated after this run into an empty folder.

    Args:
        sketches: of this run's documents, by position.
        ids: uint64 (documents, 2), packed.
        kept: bool (documents,): which ones belong into it.
    """
    segments = list(earlier.segments) if earlier else []
    for segment in segments:
        for name in (f"{segment}.ids.npy", f"{segment}.sketches.npy"):
            _link(earlier.folder / name, folder / name)
    segment = f"segment-{len(segments):05d}"
    save_array(folder / f"{segment}.ids.npy", ids[: len(kept)][kept])
    _write_sketches(folder / f"{segment}.sketches.npy", sketches, kept)
    documents = int(kept.sum()) + (len(earlier.ids) if earlier else 0)
    facts = {"algorithm": algorithm(params), "documents": documents, "segments": [*segments, segment]}
    write_json(folder / MANIFEST, facts)


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
