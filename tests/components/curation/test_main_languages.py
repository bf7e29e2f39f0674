"""A corpus keeps its own main languages, and rules that are made for English step aside for the others."""

import random
from pathlib import Path
from typing import Any

import pytest

from components.curation import curate
from components.curation.language import of, web_rules
from components.documents import Document, DocumentWriter, Drop, read_ledger
from components.params import CurationParams, EngineParams, Params
from components.params.web_rules import WebRulesParams
from components.tracking import Tracker
from tests.documents import read_documents

WORDS = {
    "de": (
        "der Fluss kommt vom Gebirge und fließt durch das Tal während die Kinder am Ufer spielen weil das Wasser im Sommer "
        "warm ist und niemand weiß woher die kleinen Fische kommen die man dort abends zwischen den Steinen sieht"
    ),
    "en": (
        "the river comes from the mountains and runs through the valley while the children play on the bank because the water "
        "is warm in summer and nobody knows where the small fish come from that you see between the stones"
    ),
    "fr": (
        "la rivière vient de la montagne et coule dans la vallée pendant que les enfants jouent sur la rive parce que l'eau est "
        "chaude en été et personne ne sait d'où viennent les petits poissons que l'on voit le soir entre les pierres"
    ),
}


def text(language: str, number: int, sentences: int = 12) -> str:
    """Sentences of a language's words in an order of their own, so that no two texts are alike."""
    draw, words = random.Random(f"{language} {number}"), WORDS[language].split()
    lines = [" ".join(draw.choices(words, k=9)).capitalize() + f" {draw.randrange(10**6)}." for _ in range(sentences)]
    return "\n".join(lines) + "\n"


def curated(
    folder: Path, counts: dict[str, int], kind: str = "web", **sections: Any
) -> tuple[dict[str, Any], list[Document], list[Drop]]:
    folder.mkdir(exist_ok=True)
    with DocumentWriter(folder / "raw") as writer:
        for language, count in counts.items():
            for number in range(count):
                writer.write(Document(text(language, number), kind, f"{language}/{number}", "MIT", "test"))
    params = Params(engine=EngineParams(kind="serial"), curation=CurationParams(**sections))
    outputs = {"output": folder / "curated", "ledger": folder / "ledger.parquet", "report": folder / "report"}
    summary = curate.run({"documents": folder / "raw", "work": folder / "work"}, outputs, params, Tracker())
    return summary, list(read_documents(folder / "curated")), list(read_ledger(folder / "ledger.parquet"))


def languages(documents: list[Document]) -> set[str]:
    return {document.source.partition("/")[0] for document in documents}


def test_a_german_corpus_stays_german(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary, kept, ledger = curated(tmp_path, {"de": 100, "en": 5, "fr": 5})
    assert languages(kept) == {"de"}
    assert len(kept) == 100  # Gopher's stop words and the value by English patterns would have dropped them all
    assert {drop.rule for drop in ledger} == {"language"}
    assert summary["languages"]["kept"] == ["de"]
    assert summary["languages"]["by"] == "corpus"
    assert summary["languages"]["shares"]["de"] > 0.8
    assert {document.metadata["language"] for document in kept} == {"de"}
    assert {document.educational_value for document in kept} == {None}
    (note, skipped) = summary["warnings"]
    assert note.startswith("the corpus is in de (9")
    assert "--set curation.language.keep=[en]" in note
    assert "the documents are not in English" in skipped
    assert f"note: {note}" in capsys.readouterr().out
    assert note[4:20] in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")


def test_a_mixed_corpus_keeps_every_language_with_a_material_share(tmp_path: Path) -> None:
    counts = {"de": 30, "en": 30, "fr": 4}
    summary, kept, _ = curated(tmp_path / "1", counts)
    assert languages(kept) == set(summary["languages"]["kept"]) == {"de", "en"}
    assert languages(curated(tmp_path / "2", counts, language={"min_share": 0.02})[1]) == {"de", "en", "fr"}
    assert languages(curated(tmp_path / "3", counts, language={"min_share": 0})[1]) == {"de", "en", "fr"}


def test_languages_that_are_named_are_kept_alone(tmp_path: Path) -> None:
    summary, kept, _ = curated(tmp_path, {"de": 30, "en": 10}, language={"keep": ["en"]})
    assert languages(kept) == {"en"}
    assert summary["languages"] == {"shares": {}, "kept": ["en"], "by": "curation.language.keep", "note": ""}
    told = "of them 30 by language (not in a language to keep; to keep de: --set curation.language.keep=[de])"
    assert told in summary["warnings"][-1]


def test_prose_of_an_english_corpus_is_not_looked_at(tmp_path: Path) -> None:
    """As before: prose is never dropped for its language, and says nothing of it where all is English."""
    _, kept, _ = curated(tmp_path / "1", {"en": 30, "fr": 2}, "prose")
    assert languages(kept) == {"en", "fr"}
    assert all("language" not in document.metadata for document in kept)
    _, kept, _ = curated(tmp_path / "2", {"de": 30, "fr": 2}, "prose")
    assert languages(kept) == {"de", "fr"}
    assert {document.metadata["language"] for document in kept} == {"de", "fr"}


def test_the_english_part_of_a_mixed_corpus_is_scored(tmp_path: Path) -> None:
    _, kept, _ = curated(tmp_path, {"de": 130, "en": 260}, education={"min_spearman": -1, "min_f1": 0})
    scored = {document.source[:2] for document in kept if document.educational_value is not None}
    assert scored == {"en"}


def test_code_alone_has_no_language(tmp_path: Path) -> None:
    summary, kept, _ = curated(tmp_path, {"de": 9}, "code", code={"kinds": []})
    assert summary["languages"]["kept"] == ["en"]
    assert len(kept) == 9


@pytest.mark.parametrize(("code", "words"), [("en", True), ("und", True), ("de", True), ("zh", False)])
def test_rules_step_aside_by_language_and_script(code: str, words: bool) -> None:
    rules = web_rules(WebRulesParams(), code)
    assert (rules.gopher_quality.min_stop_words == 0) == (code in ("de", "zh"))
    assert (rules.gopher_quality.min_doc_words > 0) == words
    assert (rules.gopher_repetition == WebRulesParams().gopher_repetition) == words
    assert of(None) == "en"


def test_chinese_pages_pass_rules_that_count_words(tmp_path: Path) -> None:
    signs = "川水春天是冷的因为它来自山上雪慢融化流下来孩子们在岸边玩耍没有人知道小鱼从哪里"
    draw = random.Random(1)
    with DocumentWriter(tmp_path / "raw") as writer:
        for number in range(20):
            lines = ["".join(draw.choices(signs, k=60)) + "。" for _ in range(12)]
            writer.write(Document("\n".join(lines), "web", f"zh/{number}", "MIT", "test"))
    outputs = {"output": tmp_path / "curated", "ledger": tmp_path / "ledger.parquet"}
    curate.run({"documents": tmp_path / "raw", "work": tmp_path / "work"}, outputs, Params(), Tracker())
    assert len(list(read_documents(tmp_path / "curated"))) == 20
