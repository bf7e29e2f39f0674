"""Tokens of a stage: those of the sampled texts, scaled up by bytes."""

import hashlib
import json
import random
from pathlib import Path

import pytest

from components.curation import tally as tally_module
from components.curation.tally import SAMPLED_OF_STAGE, Tally
from components.curation.token_rates import CHARACTERS, measure
from components.documents import Drop
from components.text import bpe
from tests.components.curation.test_curation import GOOD, curated, document, essays, functions


def test_what_is_sampled_whole_is_counted_exactly() -> None:
    texts = {("prose", "kept"): essays(20), ("code", "kept"): functions(30), ("prose", "rules"): ["née Böhm " * 9, ""]}
    others = [*essays(40)[20:], *functions(60)[30:]]
    rates = measure(others, texts, 400)
    tokenizer = bpe.train(others, 400)
    assert rates.vocab_size == tokenizer.get_vocab_size() <= 400
    assert rates.documents == 52
    for (kind, stage), own in texts.items():
        size = sum(len(text.encode()) for text in own)
        assert rates.tokens(kind, stage, size) == pytest.approx(sum(len(tokenizer.encode(text).ids) for text in own))
    assert rates.report()["bytes_per_token"]["prose"]["kept"] == round(1 / rates.tokens("prose", "kept", 1), 3)


def test_what_was_not_sampled_takes_the_rate_of_its_kind_then_of_all() -> None:
    prose, code = essays(20), functions(30)
    rates = measure(prose, {("prose", "kept"): prose, ("code", "rules"): code, ("web", "kept"): [""]}, 400)
    assert rates.tokens("prose", "language", 9) == rates.tokens("prose", "kept", 9)
    assert rates.tokens("code", "kept", 9) == rates.tokens("code", "rules", 9) > rates.tokens("prose", "kept", 9)
    assert rates.tokens("prose", "kept", 9) < rates.tokens("web", "kept", 9) < rates.tokens("code", "rules", 9)
    assert measure([], {}, 400).tokens("web", "kept", 9) == 0


def test_a_long_text_counts_by_its_beginning() -> None:
    text = "".join(essays(200))[: 3 * CHARACTERS]
    whole, start = (measure(essays(20), {("prose", "kept"): [one]}, 400) for one in (text, text[:CHARACTERS]))
    assert whole == start


def test_the_sample_of_a_stage_is_bounded_and_hangs_on_no_order() -> None:
    drops = [Drop(f"{n:032x}", "curation", rule, None, None, "", "x") for n in range(900) for rule in ("min_chars",)]
    drops += [Drop("f" * 32, "curation", "exact_duplicate", None, None, "", "x")]
    seen = []
    for order in (drops, random.Random(0).sample(drops, len(drops))):
        tally = Tally()
        for drop in order:
            tally.drop(drop, None)
        seen.append(tally.dropped_sample())
    assert seen[0] == seen[1]
    assert sorted(seen[0].values()) == ["duplicates", *["rules"] * SAMPLED_OF_STAGE]


def test_the_sample_at_the_borders_is_bounded_in_characters_and_hangs_on_no_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tally_module, "SAMPLED_CHARACTERS", 30_000)
    drawn = random.Random(1)
    documents = [document(f"{number} " + "x" * drawn.choice((10, 300, 9_000))) for number in range(200)]
    documents.append(document("y" * 30_001))  # never: it would displace all others
    seen = []
    for order in (documents, documents[::-1], drawn.sample(documents, len(documents))):
        tally = Tally()
        for one in order:
            tally.keep(one)
        seen.append([one.id for one in tally.sample()])
        assert len(tally.starts()) == len(documents)
        assert all(len(text) <= CHARACTERS for _, text in tally.starts())
    assert seen[0] == seen[1] == seen[2]
    lengths = {one.id: len(one.text) for one in documents}
    assert 0 < sum(lengths[name] for name in seen[0]) <= 30_000


def test_the_page_of_a_small_corpus_says_the_tokens_of_what_went(tmp_path: Path) -> None:
    short = "a text that is too short"
    rows = [*(document(text) for text in essays(30)), document(short), document(GOOD, "web")]
    _, kept, _ = curated(tmp_path, rows)
    content = json.loads((tmp_path / "report" / "curation.json").read_text())
    kept = [document.text for document in sorted(kept, key=lambda one: hashlib.sha256(one.id.encode()).digest()[:8])]
    count = len(bpe.train(kept, 2048).encode(short).ids)
    assert content["flow"]["prose"]["dropped"]["rules"] == [1, len(short), count]
    assert content["tokens"]["documents"] == len(rows)
    assert "Tokens are estimated" in (tmp_path / "report" / "index.html").read_text()
