"""Passages that many documents repeat: cut from all but one, the same in any order, in pieces and by increments."""

# ruff: noqa: RUF001 - the texts are of several scripts
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.curation import passages
from components.curation.passages import cut, passages_of
from components.documents import Document, document_id
from components.params import CurationParams
from components.params.curation import PassagesParams
from tests.components.curation.test_curation import UNSCORED, curated, essays
from tests.components.curation.test_increments import night
from tests.documents import read_documents

LINES = PassagesParams()
NOTICE = "You must log in to answer this question here.\n"
STORIES = [
    f"The {animal} walks to the river in the morning, because it is thirsty after the night. It drinks for a long time.\n"
    f"Then the {animal} sees a boat with {count} people, and it hides behind a stone that is larger than itself.\n"
    f"Nobody in the boat looks up, for all of them talk of the price of {animal} food and of the weather. The {animal} waits.\n"
    f"In the evening the {animal} tells the others what it has seen, and they do not believe that there were {count}.\n"
    for count, animal in enumerate(("fox", "bear", "otter", "heron", "badger", "lynx"), 3)
]


def pages(texts: list[str], kind: str = "web") -> list[Document]:
    return [Document(text, kind, f"https://a.example/{n}", "MIT", "test") for n, text in enumerate(texts)]


def test_a_notice_stays_in_one_page_alone(tmp_path: Path) -> None:
    rows = pages([story + NOTICE for story in STORIES])
    summary, kept, ledger = curated(tmp_path, rows, education=UNSCORED)
    assert (len(kept), ledger) == (len(rows), [])
    holds = [document for document in kept if NOTICE in document.text]
    assert [document.id for document in holds] == [min(row.id for row in rows)]
    for document in kept:
        assert document.id == document_id(document.text)
        assert document in holds or (document.metadata["passages_removed"], len(document.metadata["raw_id"])) == (1, 32)
    cut_away = (len(STORIES) - 1) * len(NOTICE)
    assert summary["passages"] == {"documents": len(STORIES) - 1, "characters": cut_away}


@pytest.mark.parametrize("sections", [{"passages": {"kinds": []}}, {"passages": {"documents": len(STORIES) + 1}}])
def test_what_few_repeat_stays_and_cutting_can_be_switched_off(tmp_path: Path, sections: dict) -> None:
    _, kept, _ = curated(tmp_path, pages([story + NOTICE for story in STORIES]), **sections, education=UNSCORED)
    assert all(NOTICE in document.text for document in kept)


def test_a_page_of_nothing_else_is_in_the_ledger_and_one_of_more_than_half_stays_whole(tmp_path: Path) -> None:
    said = STORIES[0]
    own = (f"{said}It was the story of number {number}, and it was told once.\n" for number in range(999))
    smaller = [text for text in own if document_id(text) < document_id(said)][:3]
    rows = pages([*smaller, said])
    _, kept, ledger = curated(tmp_path, rows, duplicates={"thresholds": {}}, education=UNSCORED)
    assert [(row["id"], row["rule"], row["value"], row["threshold"]) for row in ledger] == [
        (document_id(said), "repeated_passages", 1.0, 0.9)
    ]
    assert {document.text for document in kept} == set(smaller)


def test_a_document_that_is_nothing_else_is_counted_once_whatever_the_portions(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("components.curation.clean.CHARACTERS", 1)
    own = (f"{STORIES[0]}It was the story of number {number}, and it was told once.\n" for number in range(999))
    smaller = [text for text in own if document_id(text) < document_id(STORIES[0])][:3]
    summary, _, _ = curated(tmp_path, pages([*smaller, STORIES[0]]), duplicates={"thresholds": {}}, education=UNSCORED)
    assert summary["dropped"] == {"repeated_passages": 1}
    report = json.loads((tmp_path / "report" / "curation.json").read_text())
    assert report["licenses"]["MIT"][::2] == [4, 3]  # that came, and that stayed


def test_code_in_fences_headings_and_what_introduces_them_are_not_passages() -> None:
    text = (
        "## How to install it with pip here\n\nNow run the command that follows below.\n\n```\npip install one two three four five\n```\n"
        "as shown in the figure above,\nwhere $x$ is one of the values here\nThis one is a passage of its own.\n"
    )
    found = passages_of(text, LINES)
    assert [text[a:b] for a, b in found.spans] == ["This one is a passage of its own.\n"]


THAI = "คุณต้องเข้าสู่ระบบก่อนจึงจะตอบคำถามนี้ได้"


@pytest.mark.parametrize(
    ("unit", "text", "atoms"),
    [
        ("lines", "您必须登录才能回答这个问题\n", ["您必须登录才能回答这个问题\n"]),
        (
            "lines",
            "この質問に答えるにはログインする必要があります。\n",
            ["この質問に答えるにはログインする必要があります。\n"],
        ),
        ("lines", f"{THAI}\n", [f"{THAI}\n"]),
        ("lines", "登录 注册\n首页\n", []),  # as short as a menu
        ("lines", "您必须登录才能回答这个问题，\n", []),  # goes on in the next line
        ("lines", "Сайт использует файлы.\n", []),  # three words
        ("sentences", "请先登录。谢谢！为什么？因为。\n", ["请先登录。", "谢谢！", "为什么？", "因为。"]),
        ("words", "请先登录ABC now\n", ["请", "先", "登", "录", "ABC ", "now"]),
    ],
)
def test_scripts_that_do_not_part_words_have_passages(unit: str, text: str, atoms: list[str]) -> None:
    assert [text[a:b] for a, b in passages_of(text, PassagesParams(unit=unit)).spans] == atoms


@pytest.mark.parametrize(
    ("rule", "sections"),
    [
        ("min_chars", {"min_chars": 460}),
        ("gopher_quality.min_doc_words", {"web": {"gopher_quality": {"min_doc_words": 90}}}),
    ],
)
def test_rules_are_applied_to_what_is_left(tmp_path: Path, rule: str, sections: dict) -> None:
    rows = pages([story + NOTICE for story in STORIES])
    summary, kept, ledger = curated(tmp_path, rows, **sections, education=UNSCORED)
    assert set(summary["dropped"]) == {rule}
    assert all(
        "after repeated passages were cut" in row["detail"] and row["value"] < row["threshold"] for row in ledger
    )
    assert len(kept) + len(ledger) == len(rows)
    assert any(NOTICE in document.text for document in kept)


SENTENCES = st.sampled_from(["One sees it all.", "Two of us go.", "Who are three?", "And four.", "Go five!"])
TEXTS = st.lists(st.lists(SENTENCES, min_size=1, max_size=6).map(" ".join), min_size=1, max_size=5).map("\n".join)


@given(TEXTS, st.sampled_from(["lines", "sentences", "words"]), st.randoms())
def test_what_is_cut_is_what_is_marked_and_nothing_else(text: str, unit: str, draw) -> None:
    params = PassagesParams(unit=unit)
    found = passages_of(text, params)
    marks = np.array([draw.random() < 0.5 for _ in found.hashes], dtype=bool)
    left, share, runs = cut(text, "web", marks, params)
    marked = {atom for first in found.first[marks] for atom in range(first, first + passages.WINDOW[unit])}
    stays = list(text)
    for atom in marked:
        begin, end = found.spans[atom]
        stays[begin:end] = [""] * (end - begin)
    assert left.split() == "".join(stays).split()
    assert 0 <= share <= 1
    assert (runs > 0) == bool(marked)


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=8), st.integers(2, 4), st.data())
def test_marks_are_those_of_a_plain_count_whatever_the_ranges(documents: list[list[int]], least: int, data) -> None:
    split = data.draw(st.integers(0, len(documents)))
    texts = [tuple(one) for one in documents]
    holders = defaultdict(set)
    for number, one in enumerate(texts):
        for value in one:
            holders[value].add(number)
    values = np.array([value for one in texts[split:] for value in one], dtype=np.uint64)
    ranks = np.array([number for number, one in enumerate(texts[split:], split) for _ in one], dtype=np.int32)
    before = np.array(sorted({value for one in texts[:split] for value in one}), dtype=np.uint64)
    known = np.zeros(len(before), dtype=passages._COUNTED)
    known["hash"] = before
    known["documents"] = [sum(value in one for one in texts[:split]) for value in before.tolist()]
    marks, counted = passages._repeated(values, ranks, least, [known])
    plain = [
        len(holders[value]) >= least and min(holders[value]) < number
        for value, number in zip(values.tolist(), ranks.tolist(), strict=True)
    ]
    assert marks.tolist() == plain
    assert counted["hash"].tolist() == sorted(set(values.tolist()))


def test_ranges_and_shards_change_nothing(tmp_path: Path, monkeypatch) -> None:
    rows = pages([story + NOTICE for story in STORIES * 2] + essays(12), "web")
    _, kept, ledger = curated(tmp_path / "one", rows, education=UNSCORED)
    monkeypatch.setattr(passages, "AT_ONCE", 3)
    _, again, other = curated(tmp_path / "two", rows[::-1], education=UNSCORED)
    assert {one.id: one.text for one in kept} == {one.id: one.text for one in again}
    assert len(ledger) == len(other)


def test_an_increment_knows_the_passages_of_those_before(tmp_path: Path) -> None:
    rows = pages([story + NOTICE for story in STORIES])
    night(tmp_path, [rows[:2]], education=UNSCORED)
    night(tmp_path, [rows[:2], rows[2:]], education=UNSCORED)
    kept = list(read_documents(tmp_path / "curated"))
    assert len(kept) == len(rows)
    assert sum(NOTICE in document.text for document in kept) == 2  # the first increment had too few to cut it


@pytest.mark.parametrize(
    "text", ["", "\n", "a\x00b\n" * 9, "\ud800 " * 99, "x" * 100_000, "word " * 20_000, ". " * 50_000]
)
@pytest.mark.parametrize("unit", ["lines", "sentences", "words"])
def test_hostile_text_is_borne(text: str, unit: str) -> None:
    params = PassagesParams(unit=unit)
    found = passages_of(text, params)
    cut(text, "web", np.ones(len(found.hashes), dtype=bool), params)


@pytest.mark.parametrize("why", ["low value", "near-duplicate"])
def test_a_passage_stays_where_its_first_holder_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    rows = pages([story + NOTICE for story in STORIES])
    first = min(rows, key=lambda row: row.id)
    if why == "low value":
        place = rows.index(first)
        monkeypatch.setattr(
            "components.curation.increment.low_values", lambda documents, *_: np.arange(len(documents)) == place
        )
    else:
        smaller = (first.text + f"And {n} more.\n" for n in range(99))
        rows += pages([next(text for text in smaller if document_id(text) > first.id)])
    education = {} if why == "low value" else UNSCORED
    _, kept, ledger = curated(tmp_path, rows, education=education)
    if why == "low value":
        assert [row["id"] for row in ledger] == [first.id]
    assert sum(NOTICE in document.text for document in kept) == 1


@pytest.mark.parametrize("seed", range(3))
def test_a_later_round_gives_the_same_whether_or_not_it_knows_the_earlier_one(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(passages, "cut", lambda text, *rest: calls.append(text) or cut(text, *rest))
    texts = [story + NOTICE * (number % 3) + "".join(essays(number)) for number, story in enumerate(STORIES[1:])]
    curated(tmp_path, pages([*texts, "short.\n", NOTICE * 9]), education=UNSCORED)
    (cleaned,) = (path for path in (tmp_path / "work").glob("clean-*/*") if path.is_dir())
    (hashed,) = (path for path in (tmp_path / "work").glob("passages-*/*") if path.is_dir())
    counts = np.load(hashed / passages.COUNTS)
    rounds = [np.random.default_rng([seed, number]).random(counts.sum()) < 0.6 for number in range(2)]
    ends = np.cumsum(counts).tolist()
    for start, end in [(ends[0], ends[1]), (ends[-2], ends[-1])]:  # cut alike in both rounds, the last one spent
        rounds[0][start:end] = rounds[1][start:end] = True
    earlier, later = (np.packbits(marks).tobytes() for marks in rounds)

    def made(name: str, marks: bytes, before: tuple[Path, bytes] | None) -> Path:
        (tmp_path / name).mkdir()
        calls.clear()
        passages.cut_unit(passages._Marked(cleaned, hashed, marks, CurationParams(), before), tmp_path / name)
        return tmp_path / name

    first, alone = made("first", earlier, None), made("alone", later, None)
    alone_cut = len(calls)
    knowing = made("knowing", later, (first, earlier))
    assert len(calls) < alone_cut
    assert 0 < np.load(alone / passages.STAYS).sum() < len(counts)
    assert {path.name: path.read_bytes() for path in knowing.iterdir()} == {
        path.name: path.read_bytes() for path in alone.iterdir()
    }
