"""Block lists of addresses: what each list blocks, what it leaves, and addresses of any form."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.curation.filters.urls import UrlLists, address_of
from components.errors import StepError
from tests.components.curation.test_curation import ENGLISH, curated, document

LISTS = {
    "domains": "\ufefffirst.example\n# a comment\n\n.\nBad.example\nhttps://www.worse.example/\nbücher.example\n",
    "prefixes": ".\nhttps://www.fine.example/forum/\nfine.example/u?id=\n",
    "words": "casino\n---\n",
    "soft_words": "win\nbonus\n",
    "subwords": "free-money\n***\n",
}


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    (tmp_path / "lists").mkdir()
    for name, text in LISTS.items():
        (tmp_path / "lists" / f"{name}.txt").write_text(text, encoding="utf-8")
    return tmp_path / "lists"


@pytest.mark.parametrize(
    ("address", "blocked"),
    [
        ("http://bad.example/page", "domains"),
        ("http://first.example/", "domains"),
        ("https://a.example/", None),
        ("https://user:pw@WWW.shop.BAD.example.:8080?x", "domains"),
        ("worse.example", "domains"),
        ("https://xn--bcher-kva.example/", "domains"),
        ("https://verybad.example/", None),
        ("https://bad.example.org/", None),
        ("https://fine.example/?next=http://bad.example/", None),
        ("http://fine.example/forum/1", "prefixes"),
        ("http://fine.example/u?id=3", "prefixes"),
        ("http://fine.example/forums", None),
        ("https://a.example/the-casino_7", "words"),
        ("https://a.example/the%2Dcasino", "words"),
        ("https://a.example/casinos", None),
        ("https://a.example/win-a-bonus", "soft_words"),
        ("https://a.example/win-win", None),
        ("https://a.example/x-FREE.money-x", "subwords"),
        ("http://[::1", None),
        ("", None),
    ],
)
def test_an_address_is_blocked_by_the_list_that_names_it(lists, tmp_path, address: str, blocked: str | None) -> None:
    built = UrlLists.build(lists)
    built.save(tmp_path / "saved")
    for one in (built, UrlLists.load(tmp_path / "saved")):
        failure = one.first_failure(address)
        assert (failure.rule if failure else None) == (blocked and f"url_lists.{blocked}")
        assert failure is None or failure.value > failure.threshold


@given(st.text() | st.text("a.:/?#@[]%é", max_size=30).map("http://{}".format))
def test_any_address_is_borne(address: str) -> None:
    lists = UrlLists(
        {"domains": [], "prefixes": []}, [], dict.fromkeys(("words", "soft_words", "subwords"), frozenset()), ""
    )
    assert lists.first_failure(address) is None


def test_the_row_says_the_address_before_the_source() -> None:
    assert address_of("rows.jsonl:3", {"url": "https://a.example"}) == "https://a.example"
    assert address_of("https://b.example/1", {"url": 7}) == "https://b.example/1"
    assert address_of("folder/file.txt", {}) == ""


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_list_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content:
        (tmp_path / "domains.txt").write_bytes(content)
    with pytest.raises(StepError, match=r"curation\.url_lists: .*(domains\.txt cannot be read|has no list)"):
        UrlLists.build(tmp_path)


def test_blocked_documents_are_in_the_ledger_and_a_changed_list_counts(lists, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        document(ENGLISH + f"{n}\n", source=f"https://{host}/{n}")
        for n, host in enumerate(("bad.example", "a.example"))
    ]
    summary, kept, ledger = curated(tmp_path, rows, url_lists="lists")
    assert [row["rule"] for row in ledger] == ["url_lists.domains"]
    assert "bad.example" in ledger[0]["detail"]
    assert (len(kept), summary["dropped"]) == (1, {"url_lists.domains": 1})
    (lists / "domains.txt").write_text("other.example\n")
    _, kept, ledger = curated(tmp_path, rows, url_lists="lists")
    assert len(kept) + len(ledger) == 2
    assert not any(row["rule"].startswith("url_lists") for row in ledger)


@pytest.mark.parametrize("line", ["*.bad.com", "bad.com/forum", "0.0.0.0 bad.com", "||bad.com^"])
def test_a_line_that_could_never_block_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "domains.txt").write_text(f"good.com\n{line}\n")
    with pytest.raises(StepError, match=r"domains\.txt: line 2: .* is not a domain; expected one such as example\.com"):
        UrlLists.build(tmp_path)
