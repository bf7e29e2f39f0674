"""Later runs against what earlier ones have kept; sketches and ids in files; folders that are refused."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.curation.duplicates import ids as document_ids
from components.curation.duplicates import index as module
from components.curation.duplicates import sketches as sketch_module
from components.curation.duplicates.clusters import Clusters, find
from components.curation.duplicates.index import Index, open_index, write_index, write_joined
from components.curation.duplicates.sketches import SketchFiles, algorithm, save_sketches
from components.documents import document_id
from components.errors import StepError
from components.files import atomic_directory, scratch_directory
from components.params import DuplicatesParams
from components.text.shingles import sketch

PARAMS = DuplicatesParams()


def text(start: int) -> str:
    return " ".join(f"w{n}" for n in range(start, start + 60))


def curate(folder: Path, texts: list[str], earlier: Path | None, output: Path) -> Clusters:
    """A run that takes an index and writes one."""
    path = folder / "sketches.npy"
    save_sketches(path, sketch(texts, PARAMS.permutations))
    files, ids = SketchFiles([path]), document_ids.pack(map(document_id, texts))
    index = open_index(earlier, PARAMS) if earlier else None
    scores = np.arange(len(texts), dtype=np.float32)
    kinds = np.ones(len(texts), dtype=np.int8)
    with scratch_directory(folder) as scratch:
        found = find(files, ids, kinds, scores, lambda places: (texts[n] for n in places), PARAMS, scratch, index)
        write_index(scratch, files, ids, found.kept, PARAMS)
        with atomic_directory(output) as partial:
            write_joined(partial, [*filter(None, [index]), open_index(scratch, PARAMS)], PARAMS)
    return found


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_later_runs_drop_what_earlier_ones_have(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    first = [text(0), text(100), text(0) + " more", text(200)]
    assert curate(tmp_path, first, None, one).kept.tolist() == [False, True, True, True]
    before = content(one)
    second = [text(0), text(300), text(100), text(200) + " again", text(300)]
    found = curate(tmp_path, second, one, two)
    assert found.kept.tolist() == [False, False, False, False, True]
    assert found.exact.tolist() == [False, True, True, False, False]
    assert found.cluster(np.arange(5)) == [
        document_id(t) for t in (first[2], text(300), text(100), text(200), text(300))
    ]
    assert found.sizes(np.ones(5, dtype=bool)).tolist() == [1, 2, 1, 1, 2]
    assert found.known.tolist() == [True, False, True, True, False]
    assert found.jaccard[2] == 1
    assert 0.85 < found.jaccard[0] < 1
    assert content(one) == before
    assert len(open_index(two, PARAMS).ids) == 4
    third = curate(tmp_path, [*first, *second, text(400)], two, two)  # its own place
    assert np.flatnonzero(third.kept).tolist() == [9]
    assert len(open_index(two, PARAMS).ids) == 5
    assert content(one) == before
    again = curate(tmp_path, [text(400)], two, tmp_path / "three")
    assert not again.kept.any()


def test_an_index_over_file_systems_is_copied(tmp_path, monkeypatch):
    curate(tmp_path, [text(0)], None, tmp_path / "one")

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(module.os, "link", refuse)
    curate(tmp_path, [text(100)], tmp_path / "one", tmp_path / "two")
    assert len(open_index(tmp_path / "two", PARAMS).ids) == 2


def test_a_failed_write_leaves_the_old_index(tmp_path, monkeypatch):
    folder = tmp_path / "index"
    curate(tmp_path, [text(0)], None, folder)
    before = content(folder)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write_sketches", fail)
    with pytest.raises(OSError, match="No space"):
        curate(tmp_path, [text(100)], folder, folder)
    assert content(folder) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "sketches.npy"]


def test_sketches_of_another_algorithm_are_refused(tmp_path):
    folder = tmp_path / "index"
    curate(tmp_path, [text(0)], None, folder)
    with pytest.raises(StepError, match=r"128 permutations.*cannot be compared.*256 permutations.*earlier"):
        open_index(folder, DuplicatesParams(permutations=256))
    manifest = json.loads((folder / "index.json").read_text())
    manifest["algorithm"] = algorithm(PARAMS).replace("RMinHash 2", "RMinHash 1")
    (folder / "index.json").write_text(json.dumps(manifest))
    with pytest.raises(StepError, match=r"RMinHash 1.*cannot be compared"):
        open_index(folder, PARAMS)


def test_a_folder_that_is_not_an_index_is_refused(tmp_path):
    with pytest.raises(StepError, match=r"index\.json is not there; expected an index"):
        open_index(tmp_path, PARAMS)
    folder = tmp_path / "index"
    curate(tmp_path, [text(0), text(100)], None, folder)
    (folder / "segment-00000.ids.npy").write_bytes(b"")
    with pytest.raises(StepError, match=r"segment-00000\.ids\.npy holds no ids"):
        open_index(folder, PARAMS)
    with open(folder / "segment-00000.ids.npy", "wb") as file:  # whose header says terabytes
        facts = {"descr": "<u8", "fortran_order": False, "shape": (10**12, 2)}
        np.lib.format.write_array_header_1_0(file, facts)
    with pytest.raises(StepError, match=r"segment-00000\.ids\.npy holds no ids"):
        open_index(folder, PARAMS)
    np.save(folder / "segment-00000.ids.npy", np.zeros((1, 2), dtype=np.uint64))
    with pytest.raises(StepError, match="1 ids, but 2 sketches"):
        open_index(folder, PARAMS)


@pytest.mark.parametrize("what", ["ids", "sketches"])
def test_a_pipe_in_an_index_is_not_waited_for(tmp_path, what):
    curate(tmp_path, [text(0), text(100)], None, tmp_path / "index")
    path = tmp_path / "index" / f"segment-00000.{what}.npy"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StepError, match="is a pipe, a socket or a device"):
        open_index(tmp_path / "index", PARAMS)


def test_files_of_sketches_are_checked(tmp_path):
    path = tmp_path / "part"
    save_sketches(path, sketch([text(0), text(1)], PARAMS.permutations))
    assert SketchFiles([path]).rows == 2
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    with pytest.raises(StepError, match="truncated"):
        SketchFiles([path])
    path.write_bytes(b"PK")
    with pytest.raises(StepError, match="holds no sketches"):
        SketchFiles([path])
    with pytest.raises(StepError, match="holds no sketches"):
        SketchFiles([tmp_path / "missing"])
    np.save(tmp_path / "other.npy", np.zeros(3))
    with pytest.raises(StepError, match="expected sketches"):
        SketchFiles([tmp_path / "other.npy"])
    path.write_bytes(whole)
    save_sketches(tmp_path / "wide", sketch([text(0)], 256))
    with pytest.raises(StepError, match="128 and 256 permutations"):
        SketchFiles([path, tmp_path / "wide"])


def test_chunks_and_taking_go_over_files(tmp_path, monkeypatch):
    monkeypatch.setattr(sketch_module, "_ROWS", 3)
    rows = np.arange(11 * 16, dtype=np.uint32).reshape(11, 16)
    paths = [tmp_path / str(n) for n in range(3)]
    for path, part in zip(paths, (rows[:7], rows[7:7], rows[7:]), strict=True):
        save_sketches(path, part)
    files = SketchFiles(paths)
    assert [first for first, _ in files.chunks()] == [0, 3, 6, 7, 10]
    assert np.array_equal(np.concatenate([chunk for _, chunk in files.chunks()]), rows)
    assert np.array_equal(files.take(np.array([0, 2, 6, 7, 10])), rows[[0, 2, 6, 7, 10]])


def test_sketches_estimate_jaccard():
    """Texts of which one has the first words of the other: J is the share of the runs."""
    words = [f"w{n}" for n in range(1_004)]
    texts = [" ".join(words[: kept + 4]) for kept in range(100, 1_001, 100)]
    sketches = sketch(texts, PARAMS.permutations)
    estimates = (sketches == sketches[-1]).mean(axis=1)
    assert np.abs(estimates - np.arange(1, 11) / 10).max() < 0.13  # three standard errors
    assert np.array_equal(sketch([texts[3].upper() + "!"], PARAMS.permutations)[0], sketches[3])
    assert sketch([], PARAMS.permutations).shape == (0, 128)


id_lists = st.lists(st.integers(0, 5) | st.integers(0, 2**128 - 1), max_size=12).map(
    lambda ns: [f"{n:032x}" for n in ns]
)


@given(id_lists)
def test_ids_are_packed_and_unpacked(ids):
    packed = document_ids.pack(ids)
    assert document_ids.unpack(packed) == ids
    assert [ids[n] for n in np.lexsort((packed[:, 1], packed[:, 0]))] == sorted(ids)


def test_what_is_not_an_id_is_refused():
    with pytest.raises(ValueError, match="expected 32 hex digits"):
        document_ids.pack(["abcd"])


@pytest.mark.parametrize("name", ["../segment-00000", "/etc/segment-00000", "..\\segment-00000", ""])
def test_a_manifest_names_no_segment_outside_of_its_folder(tmp_path, name):
    """Segments are written beside the new one, under the names that the manifest gives."""
    folder = tmp_path / "index"
    curate(tmp_path, [text(0)], None, folder)
    manifest = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(manifest | {"segments": [name]}))
    for path in folder.glob("*.npy"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(StepError, match="which leads out of its folder; expected an index"):
        open_index(folder, PARAMS)


def test_a_segment_is_not_a_link_that_leads_elsewhere(tmp_path):
    folder = tmp_path / "index"
    curate(tmp_path, [text(0)], None, folder)
    path = folder / "segment-00000.ids.npy"
    path.rename(tmp_path / "ids.npy")
    path.symlink_to(tmp_path / "ids.npy")
    with pytest.raises(StepError, match="is a link that leads out of its folder"):
        open_index(folder, PARAMS)


words = st.lists(st.integers(0, 30).map(lambda n: f"w{n}"), min_size=6, max_size=12).map(" ".join)


@settings(max_examples=40, deadline=None)
@given(st.lists(words, max_size=25), st.lists(words, max_size=12), st.sampled_from([0.5, 0.7, None]))
def test_documents_that_are_near_nothing_decide_nothing(tmp_path_factory, old, new, threshold):
    """What comes of new documents is the same whether all earlier ones are compared or those that are near."""
    params = DuplicatesParams(thresholds={"prose": threshold} if threshold else {})
    folder = tmp_path_factory.mktemp("near")
    parts = []
    for name, texts in (("old", list(dict.fromkeys(old))), ("new", new)):
        save_sketches(folder / name, sketch(texts, params.permutations))
        parts.append((document_ids.pack(map(document_id, texts)), SketchFiles([folder / name])))
    ids, sketches = parts[1]
    kinds, scores = np.ones(len(new), dtype=np.int8), np.arange(len(new), dtype=np.float32)

    def verdict(index: Index) -> tuple:
        found = find(sketches, ids, kinds, scores, lambda at: (new[n] for n in at), params, folder, index)
        return found.kept.tolist(), found.cluster(np.arange(len(new))), found.jaccard.tolist(), len(found.ids)

    def all_of_it(self: Index, *_: object) -> Index:
        return self

    index = Index(*parts[0])
    some = verdict(index)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Index, "near", all_of_it)
        everything = verdict(index)
    assert some[:3] == everything[:3]
    assert some[3] <= everything[3]
