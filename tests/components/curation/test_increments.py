"""A corpus that grows: each increment is curated alone, and all together are what one run over the whole keeps."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow.parquet as pq
import pytest

from components.curation import curate, increment
from components.curation.increment import LEDGER
from components.documents import Document, DocumentWriter, add_increment, increments, read_ledger
from components.errors import StepError
from components.params import CurationParams, EngineParams, IngestionParams, Params, TokenizationParams
from components.tracking import Tracker
from tests.components.curation.test_curation import GOOD, UNGATED, UNSCORED, document, essays
from tests.documents import read_documents

FIRST, LATER = 40, 4  # documents


def night(
    folder: Path,
    nights: Sequence[Sequence[Document]],
    incremental: bool = True,
    education: Mapping[str, Any] = MappingProxyType({}),
    **sections: Any,
) -> dict:
    """A run over raw documents that have come in some increments; without `incremental` they are one."""
    shutil.rmtree(folder / "raw", ignore_errors=True)
    (folder / "raw").mkdir(parents=True)
    parts = nights if incremental else [[row for rows in nights for row in rows]]
    for number, rows in enumerate(parts):
        with DocumentWriter(folder / "one", rows_per_shard=30) as writer:
            for row in rows:
                writer.write(row)
        add_increment(folder / "raw", number, folder / "one")
        shutil.rmtree(folder / "one")
    params = Params(
        engine=EngineParams(kind="serial"),
        ingestion=IngestionParams(incremental=incremental),
        curation=CurationParams(education=UNGATED | education, **sections),
        tokenization=TokenizationParams(vocab_size=300),
    )
    outputs = {name: folder / name for name in ("curated", "report", "index")}
    outputs |= {"output": outputs.pop("curated"), "ledger": folder / LEDGER}
    return curate.run({"documents": folder / "raw", "work": folder / "work"}, outputs, params, Tracker())


def essay(number: int, source: str = "") -> Document:
    return document(f"{essays(number + 1)[number]} {GOOD}", source=source or f"{number:03d}")


def corpus(first: int = FIRST) -> list[list[Document]]:
    """Two increments: the second has an essay of its own, an exact and a near copy of others, and one that is too short."""
    old = [essay(number) for number in range(first)]
    copies = [document(old[5].text.replace("1", letter, 1), source="near") for letter in "abcdefgh"]
    near = next(copy for copy in copies if copy.id > old[5].id)  # of equals, one run keeps the lesser id
    return [old, [essay(first), document(old[3].text, source="exact"), near, document("Short.", source="short")]]


def files(folder: Path) -> dict[str, bytes]:
    found = [
        path for name in ("curated", "report", "index", LEDGER) for path in [folder / name, *folder.glob(f"{name}/*")]
    ]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if path.is_file()}


@pytest.fixture
def cleaned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each row group that was judged, as the runs of a test go on."""
    counts: list[int] = []

    def counting(unit: Any, folder: Path) -> None:
        counts.append(pq.ParquetFile(unit.path).metadata.row_group(unit.number).num_rows)
        clean(unit, folder)

    clean = increment.clean
    monkeypatch.setattr(increment, "clean", counting)
    return counts


def test_the_increments_together_are_what_one_run_keeps(tmp_path: Path) -> None:
    nights = corpus()
    grown = night(tmp_path / "grown", nights, education=UNSCORED)
    whole = night(tmp_path / "whole", nights, incremental=False, education=UNSCORED)
    assert grown["dropped"] == whole["dropped"] == {"exact_duplicate": 1, "min_chars": 1, "near_duplicate": 1}
    of_learning = {"education", "warnings"}  # which counts the documents of the first increment
    assert {name: grown[name] for name in grown.keys() - of_learning} == {
        name: whole[name] for name in whole.keys() - of_learning
    }
    kept = {d.id: d.row() for d in read_documents(tmp_path / "whole" / "curated")}
    for found in read_documents(tmp_path / "grown" / "curated"):
        row, same = found.row(), kept.pop(found.id)
        for one in (row, same):  # a document that stays does not know of its later copies
            one["metadata"] = {k: v for k, v in json.loads(one["metadata"]).items() if k != "cluster_size"}
        assert row == same
    assert not kept
    assert {d.source: d.rule for d in read_ledger(tmp_path / "grown" / LEDGER)} == {
        "exact": "exact_duplicate",
        "near": "near_duplicate",
        "short": "min_chars",
    }
    flows = [json.loads((tmp_path / name / "report" / "curation.json").read_text()) for name in ("grown", "whole")]
    assert flows[0]["documents"] == flows[1]["documents"]
    assert flows[0]["flow"]["prose"]["in"][:2] == flows[1]["flow"]["prose"]["in"][:2]
    assert flows[0]["origins"].keys() == flows[1]["origins"].keys()


def test_one_increment_is_what_one_run_writes(tmp_path: Path) -> None:
    nights = corpus()[:1]
    night(tmp_path / "grown", nights)
    night(tmp_path / "whole", nights, incremental=False)
    assert files(tmp_path / "grown") == files(tmp_path / "whole")


def test_a_later_run_judges_what_is_new_alone(tmp_path: Path, cleaned: list[int]) -> None:
    nights = corpus()
    night(tmp_path, nights[:1])
    assert sum(cleaned) == FIRST
    first = files(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("part-*")}
    night(tmp_path, nights)
    assert sum(cleaned) == FIRST + LATER
    shard = "curated/part-00000.parquet"
    assert files(tmp_path)[shard] == first[shard]
    assert increments(tmp_path / "curated").keys() == {0, 1}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    second = files(tmp_path)
    night(tmp_path, nights)
    assert sum(cleaned) == FIRST + LATER
    assert files(tmp_path) == second


def test_lost_results_are_made_again_to_the_same_bytes(tmp_path: Path) -> None:
    nights = [*corpus(), [essay(FIRST + 1), essay(FIRST, "again")]]
    for count in (1, 2, 3):
        night(tmp_path, nights[:count])
    before = files(tmp_path)
    shutil.rmtree(tmp_path / "work")
    night(tmp_path, nights)
    assert files(tmp_path) == before


@pytest.mark.parametrize("place", ["clean", "find", "write_index", "write_json"])
def test_a_run_that_is_cut_off_leaves_what_was_there_and_goes_on(
    place: str, tmp_path: Path, cleaned: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    nights = corpus()
    night(tmp_path / "whole", nights[:1])
    night(tmp_path / "whole", nights)
    night(tmp_path / "cut", nights[:1])
    before = files(tmp_path / "cut")

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(increment, place, cut)
        with pytest.raises(KeyboardInterrupt):
            night(tmp_path / "cut", nights)
    assert files(tmp_path / "cut") == before
    cleaned.clear()
    night(tmp_path / "cut", nights)
    assert sum(cleaned) == (LATER if place == "clean" else 0)
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_an_increment_of_which_nothing_stays_does_no_harm(tmp_path: Path) -> None:
    nights = [*corpus(), [document("Short.", source="s")], [], [essay(FIRST + 1)]]
    summary = night(tmp_path, nights)
    assert summary["documents_in"] == FIRST + LATER + 2 == summary["documents_kept"] + summary["documents_dropped"]
    assert list(increments(tmp_path / "curated")) == [0, 1, 4]


@pytest.mark.slow
def test_a_later_increment_is_scored_by_what_the_first_has_taught(tmp_path: Path) -> None:
    """Of a kind that the first does not have nothing is known."""
    nights = corpus(140)
    nights[1].append(Document(essay(150).text, "web", "page", "MIT", "test"))
    learned = []
    for count in (1, 2):
        night(tmp_path, nights[:count], web={"kinds": []})
        learned.append(json.loads((tmp_path / "report" / "curation.json").read_text())["education"])
    counted = [education.pop("valued")["prose"]["scored"] for education in learned]
    remarks = [education.pop("remarks") for education in learned]
    assert learned[0] == learned[1]
    assert counted[0] == 140 < counted[1]
    assert remarks[0][0].startswith("prose: all 140 documents are kept")
    assert learned[0]["skipped"] == {}
    values = {d.source: d.educational_value for d in read_documents(tmp_path / "curated")}
    assert values["140"] > 0
    assert values["page"] is None
    (tmp_path / "work" / learned[0]["classifier"]).unlink()
    night(tmp_path, nights, web={"kinds": []})
    assert (tmp_path / "work" / learned[0]["classifier"]).is_file()  # components.curation.why takes it from there


def test_a_changed_parameter_or_seed_curates_every_increment_again(tmp_path: Path) -> None:
    nights = corpus()
    night(tmp_path, nights)
    summary = night(tmp_path, nights, min_chars=5, min_alpha_fraction=0.1)
    assert "min_chars" not in summary["dropped"]


def test_increments_without_the_parameter_are_refused(tmp_path: Path) -> None:
    nights = corpus()
    night(tmp_path, nights)
    params = Params(engine=EngineParams(kind="serial"))
    outputs = {"output": tmp_path / "curated", "ledger": tmp_path / LEDGER}
    before = files(tmp_path)
    with pytest.raises(StepError, match=r"holds 2 increments.*ingestion\.incremental is false"):
        curate.run({"documents": tmp_path / "raw", "work": tmp_path / "work"}, outputs, params, Tracker())
    assert files(tmp_path) == before


def test_an_output_is_not_a_link_to_kept_work(tmp_path: Path) -> None:
    night(tmp_path, corpus())
    for path in [*(tmp_path / "curated").iterdir(), tmp_path / LEDGER]:
        assert os.stat(path).st_nlink == 1
