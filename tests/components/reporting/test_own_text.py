"""What the report says of the run's text: training's own held-out tokens, honest baselines, real continuations."""

import json
import lzma
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from components.params import Params
from components.phi.text import TextModel, Wish
from components.reporting import report
from components.reporting.baselines import HeldOutText, token_counts, unigram_nats, xz_bits_per_byte
from components.reporting.words import sentences
from components.tokens import Tokens
from components.tracking import Tracker
from components.training.data import HeldOut

OWN = ("code", "prose")


@pytest.fixture
def told(whole: Path, arguments: Any) -> Any:
    """The arguments of the stage with all that it can be given."""
    inputs, outputs = arguments
    inputs |= {name: Path(f"reports/{file}.json") for name, file in (("ingestion", "ingest"), ("curation", "curate"))}
    inputs |= {"tokenization": Path("reports/tokenize.json"), "tokens": Path("data/tokens")}
    return inputs | {"checkpoints": [Path(f"models/{name}") for name in ("small", "large", "control")]}, outputs


def write(told: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    summary = report.run(*told, Params(), Tracker())
    return summary, json.loads((told[1]["output"] / "leaderboard.json").read_text(encoding="utf-8"))["text"]


@pytest.mark.parametrize("limit", [64, 640, 100_000])
def test_held_out_text_is_what_training_measures_without_what_was_generated(home: Path, limit: int) -> None:
    tokens = Tokens.open(home / "data" / "tokens")
    theirs = HeldOut.choose(tokens.split("validation"), 64, limit, 2048)
    ours = HeldOutText.read(tokens, 64, limit)
    kinds = set(theirs.kinds) & set(OWN) or set(theirs.kinds)  # of a small sample there may not behing else
    chosen = [place for place, kind in enumerate(theirs.kinds) if kind in kinds]
    assert set(ours.kinds) == kinds
    assert len(ours.targets) == theirs.tokens[chosen].sum()
    assert ours.utf8_bytes == pytest.approx(theirs.bytes[chosen].sum())
    flat = np.concatenate([batch.targets.numpy().ravel() for batch in theirs.batches])
    codes = np.concatenate([codes.numpy().ravel() for codes in theirs.codes])
    assert ours.targets.tolist() == flat[np.isin(codes, chosen)].tolist()
    assert abs(len(ours.text) - ours.utf8_bytes) < 0.1 * ours.utf8_bytes


def test_token_counts_are_those_of_the_stream(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = Tokens.open(home / "data" / "tokens").split("train")
    expected = np.bincount(split.read(0, len(split)), minlength=300)
    for chunk in (7, 1000, 1 << 24):
        monkeypatch.setattr("components.reporting.baselines.CHUNK", chunk)
        assert token_counts(split, 300).tolist() == expected.tolist()


def test_a_unigram_by_hand() -> None:
    counts = np.array([2, 0, 5])  # with one added: 3, 1 and 6 of 10
    assert unigram_nats(counts, np.array([0, 1, 2, 2])) == pytest.approx(-(math.log(0.3 * 0.1 * 0.6 * 0.6)) / 4)


@given(counts=st.lists(st.integers(0, 50), min_size=2, max_size=6), data=st.data())
def test_no_unigram_beats_the_entropy_of_what_it_predicts(counts: list[int], data: st.DataObject) -> None:
    targets = np.array(data.draw(st.lists(st.integers(0, len(counts) - 1), min_size=1, max_size=40)))
    shares = np.bincount(targets) / len(targets)
    entropy = -sum(share * math.log(share) for share in shares if share)
    assert unigram_nats(np.array(counts), targets) >= entropy - 1e-9


def test_xz_counts_every_bit_of_what_can_be_unpacked_again() -> None:
    text = ("the old miller went down to the river " * 50).encode()
    packed = lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)
    assert lzma.decompress(packed) == text
    assert xz_bits_per_byte(text) == 8 * len(packed) / len(text) < 1
    noise = np.random.default_rng(1).bytes(20_000)
    assert 8 < xz_bits_per_byte(noise) < 8.2


def test_the_report_tells_documents_shares_costs_and_continuations(told: Any) -> None:
    summary, text = write(told)
    assert text["documents"] == {"read": 61, "unreadable": 2, "kept": 60, "dropped": {"min_chars": 1}}
    tokens = Tokens.open(Path("data/tokens"))
    train = tokens.manifest.splits["train"]
    assert text["training"]["tokens"] == train["tokens"]
    assert summary["training_share_exercise"] == round(train["by_kind"]["exercise"]["tokens"] / train["tokens"], 4)
    costs = {cost["by"]: cost for cost in text["held_out"]["costs"]}
    assert list(costs) == ["nothing known", "token frequencies", "xz -9e", "small", "large", "control"]
    assert costs["nothing known"]["loss"] == pytest.approx(math.log(300))
    trained = json.loads(Path("reports/train_large.json").read_text())["by_kind"]
    expected = sum(trained[kind]["tokens"] * trained[kind]["validation_loss"] for kind in OWN)
    expected /= sum(trained[kind]["tokens"] for kind in OWN)
    assert costs["large"]["loss"] == pytest.approx(expected)
    held_out = text["held_out"]
    bits = expected * held_out["tokens"] / math.log(2) / HeldOutText.read(tokens, 64, 10_000).utf8_bytes
    assert summary["text_bits_per_byte_large"] == costs["large"]["bits_per_byte"] == pytest.approx(bits)
    assert costs["token frequencies"]["bits_per_byte"] < costs["nothing known"]["bits_per_byte"]
    assert len(text["continuations"]) == 3
    for sample in text["continuations"]:
        assert [told["by"] for told in sample["told"]] == ["small", "large", "control"]
        for told_by in sample["told"]:
            model = TextModel.load(Path("models") / told_by["by"])
            assert told_by["text"] == model.complete(sample["prompt"], Wish(40))
        assert sample["kind"] in OWN
    page = (told[1]["output"] / "index.html").read_text(encoding="utf-8")
    board = (told[1]["output"] / "leaderboard.md").read_text(encoding="utf-8")
    for sentence in text["sentences"]:
        assert sentence in board
        assert sentence in page
    assert "61 documents were read, 60 of them kept and 1 dropped: 1 too short; 2 could not be read." in board
    assert board.index("## Your text") < board.index("flows.champion")  # plain words first
    assert page.index("Your text") < page.index("flows.champion")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", page + board)


def test_equal_inputs_give_equal_bytes_of_it_too(told: Any) -> None:
    pages = []
    for _ in range(2):
        write(told)
        pages.append({path.name: path.read_bytes() for path in told[1]["output"].iterdir()})
    assert pages[0] == pages[1]


def test_figures_of_other_held_out_text_are_refused(told: Any) -> None:
    path = Path("reports/train_control.json")
    content = json.loads(path.read_text())
    content["by_kind"]["prose"]["tokens"] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(StepError, match=r"train_control\.json measured .* held-out tokens .* belong to different runs"):
        write(told)


def test_what_was_not_given_is_not_told(arguments: Any) -> None:
    _, text = write(arguments)
    assert text == {"documents": None, "training": None, "held_out": None, "continuations": [], "sentences": []}


def test_many_reasons_are_summed_up() -> None:
    dropped = {"near_duplicate": 5, "code.parses": 4, "min_chars": 9, "language": 1, "a": 1, "b": 1}
    facts = {
        "documents": {"read": 50, "unreadable": 0, "kept": 29, "dropped": dropped},
        "training": {"tokens": 200, "by_kind": {"exercise": 100, "textbook": 40, "web": 60}},
        "held_out": None,
    }
    assert sentences(facts, "large") == [
        "50 documents were read, 29 of them kept and 21 dropped: 9 too short, 5 nearly equal to another, 4 by the rule "
        "code.parses, 1 by the rule a, 2 by 2 other rules.",
        "Of 200 training tokens, 30% are of your text (30% web), 50% exercises, 20% textbooks.",
    ]
