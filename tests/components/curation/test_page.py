"""The data page: its counts are those of the ledger, hostile text stays text, equal runs give equal bytes."""

import json
import random
import re
from pathlib import Path

import pytest

from components.curation.page import _shortly, samples
from components.curation.tally import STAGES, Tally, origin, stage_of
from components.documents import Document, Drop
from components.params import CurationParams
from tests.components.curation.test_curation import ENGLISH, GOOD, UNSCORED, curated, document, essays, functions

HOSTILE = "<script>alert('x')</script> & \"quotes\" </pre></article> "


def corpus() -> list:
    rows = [document(text, source=f"https://www.site{n % 3}.org/page/{n}") for n, text in enumerate(essays(40))]
    rows += [document(text, "code", f"python:module{n % 5}.name{n}") for n, text in enumerate(functions(120))]
    rows += [document(ENGLISH, "web", "notes/one.txt"), document(GOOD, "web", HOSTILE), document(HOSTILE, source="bad")]
    return [*rows, document(essays(1)[0], "prose", "again"), document("Write to jane.roe@firm.co.uk.")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, list]:
    root = tmp_path_factory.mktemp("page")
    summary, _, ledger = curated(root, corpus())
    return root, summary, ledger


def test_what_came_in_went_or_stayed(made: tuple[Path, dict, list]) -> None:
    root, summary, ledger = made
    content = json.loads((root / "report" / "curation.json").read_text())
    for flow in content["flow"].values():
        assert flow["in"][0] == flow["kept"][0] + sum(counts[0] for counts in flow["dropped"].values())
        in_tokens = flow["kept"][2] + sum(counts[2] for counts in flow["dropped"].values())
        assert flow["in"][2] == pytest.approx(in_tokens, rel=0.01)  # what was edited makes the difference
        assert 0 < flow["kept"][2] < flow["kept"][1]
    assert sum(flow["in"][0] for flow in content["flow"].values()) == summary["documents_in"]
    assert sum(flow["kept"][0] for flow in content["flow"].values()) == summary["documents_kept"]
    by_stage = {stage: sum(stage_of(row["rule"]) == stage for row in ledger) for stage in STAGES}
    assert by_stage == {stage: sum(f["dropped"][stage][0] for f in content["flow"].values()) for stage in STAGES}
    assert content["origins"]["site0.org"]["in"][0] == 14
    for flow in content["origins"].values():  # documents; bytes change where texts are edited
        assert flow["in"][0] == flow["kept"][0] + sum(counts[0] for counts in flow["dropped"].values())
    assert sum(flow["in"][0] for flow in content["origins"].values()) == summary["documents_in"]
    for column in range(3):  # the same, seen by kind and by origin
        by_kind, by_origin = (
            [sum(flow[part][column] for flow in content[view].values()) for part in ("in", "kept")]
            for view in ("flow", "origins")
        )
        assert by_kind == pytest.approx(by_origin, abs=10)  # tokens are rounded
    assert content["licenses"]["MIT"][0] == summary["documents_in"]
    assert sum(content["values"]["code"]["counts"]) == 120


def test_the_page_needs_nothing_beside_it_and_shows_hostile_text_as_text(made: tuple[Path, dict, list]) -> None:
    root, _, _ = made
    page = (root / "report" / "index.html").read_text()
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=[\"'](?!#)", page)
    assert "@import" not in page
    assert "&lt;script&gt;" in page
    assert "Write to &lt;EMAIL&gt;." in page
    assert "jane.roe" not in page
    assert page.count("<article>") == page.count("</article>") > 3


def test_equal_runs_give_equal_pages_whatever_the_workers(made: tuple[Path, dict, list], tmp_path: Path) -> None:
    root, _, _ = made
    curated(tmp_path, corpus(), "processes", 2)
    for name in ("curation.json", "index.html"):
        assert (root / "report" / name).read_bytes() == (tmp_path / "report" / name).read_bytes()


def test_without_values_the_page_says_so(tmp_path: Path) -> None:
    curated(tmp_path, [document(text) for text in essays(5)], education=UNSCORED)
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Not scored: 5 different documents" in page
    assert "nothing went" in page


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1.00k"),
        (9_996, "10.0k"),
        (99_960, "100k"),
        (999_600, "1.00M"),
        (4_564_000, "4.56M"),
    ],
)
def test_numbers_of_tokens_have_three_digits(number: int, shown: str) -> None:
    assert _shortly(number) == shown


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("https://www.Example.org/a/b?c", "example.org"),
        ("http://[broken/a", "[broken"),
        ("ftp://user:word@host.net:21/a", "host.net"),
        ("python:json.decoder.JSONDecoder", "python:json"),
        ("notes/a/b.txt", "notes"),
        ("file.txt", "file.txt"),
        ("code.jsonl:17", "code.jsonl"),
        ("part-0.parquet:7", "part-0.parquet"),
        ("folder/code.jsonl:17", "folder"),
        ("https://host.net:8080/code.jsonl.gz:17", "host.net"),
        ("s3://bucket/code.jsonl:17", "bucket"),
        ("hf://owner/name/config:train@1a2b3c:17", "owner"),
        ("crawl.warc.gz:17", "crawl.warc.gz"),
        ("python:17", "python"),
        ("", ""),
    ],
)
def test_origins(source: str, place: str) -> None:
    assert origin(source) == place


def test_an_excerpt_shows_nothing_of_a_secret_that_is_longer_than_it(tmp_path: Path) -> None:
    lines = [
        "".join(random.Random(n).choices("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=64))
        for n in range(26)
    ]
    secret = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *lines, "-----END RSA PRIVATE KEY-----\n"])
    curated(tmp_path, [document(ENGLISH), document(f"Here is my key\n{secret}" * 13)], max_chars={"prose": 20_000})
    page = (tmp_path / "report" / "curation.json").read_text()
    (shown,) = json.loads(page)["samples"]["max_chars"]["dropped"]
    assert shown["text"].startswith("Here is my key\n<KEY>")
    assert not any(line[at : at + 12] in page for line in lines for at in range(0, 53, 13))


def test_a_text_that_is_there_thrice_is_shown_once_at_the_border(tmp_path: Path) -> None:
    rows = [document("a text that is too short", source=f"copy {n}") for n in range(3)]
    curated(tmp_path, [document(ENGLISH), *rows, document("another", source="other")])
    shown = json.loads((tmp_path / "report" / "curation.json").read_text())["samples"]["min_chars"]["dropped"]
    assert [one["source"] for one in shown] == ["copy 0", "other"]


def test_what_stayed_is_near_the_threshold_of_its_own_kind() -> None:
    tally = Tally()
    for kind, value in (("prose", 0.3), ("code", 0.5), ("textbook", 0.1)):
        tally.keep(Document(f"{kind} {value}", kind, kind, "MIT", "test", value))
    tally.drop(Drop("0" * 32, "curation", "educational_value", 0.39, 0.4, "", "gone"), None)
    found = samples(tally, {}, CurationParams(education={"min_value": {"prose": 0.2, "code": 0.45}}))
    shown = found["educational_value"]["kept"]
    assert [(one["source"], one["value"], one["threshold"]) for one in shown] == [
        ("code", 0.5, 0.45),
        ("prose", 0.3, 0.2),
    ]
