"""Tokenization as a whole: each document comes out as it went in, the figures add up, equal inputs give equal bytes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.documents import KINDS, Document
from components.errors import StepError
from components.files import sha256_file
from components.params import EngineParams, Params, TokenizationParams
from components.tokenization import encode, shards, tokenize
from components.tokenization.tokenizer import Encoder
from components.tokens import Tokens, TokenSplit
from components.tracking import Tracker


def run(sets: list[Path], output: Path, engine: str = "threads", seed: int = 1, **params: Any) -> dict[str, Any]:
    defaults = {"vocab_size": 300, "validation_fraction": 0.1, "epochs": dict.fromkeys(KINDS, 1)}
    tokenization = TokenizationParams(**defaults | params)
    given = Params(seed=seed, tokenization=tokenization, engine=EngineParams(kind=engine, workers=2))
    return tokenize.run({"documents": sets}, {"output": output}, given, Tracker())


def texts(split: TokenSplit, encoder: Encoder) -> list[tuple[str, str]]:
    """(id, text) of a stream, decoded from its tokens."""
    found = []
    for row in split.documents.to_pylist():
        ids = split.read(row["start"], row["length"]).tolist()
        assert ids[-1] == encoder.eos_token_id
        found.append((row["id"], encoder.decode(ids[:-1])))
    return found


@pytest.fixture(scope="module")
def corpus(made: Callable[[int], list[Document]], write_set: Callable[[list[Document]], Path]) -> Path:
    return write_set(made(120))


@pytest.fixture(scope="module")
def done(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    output = tmp_path_factory.mktemp("done") / "tokens"
    return run([corpus], output, epochs={"prose": 1, "code": 2.5, "textbook": 0.5}), output


def test_every_document_of_both_streams_comes_out_as_it_went_in(done: Any, made: Any) -> None:
    _, output = done
    tokens, encoder = Tokens.open(output), Encoder(output / "tokenizer")
    originals = {document.id: document.text for document in made(120)}
    for name in ("train", "validation"):
        found = texts(tokens.split(name), encoder)
        assert found
        assert all(originals[name] == text for name, text in found)


def test_the_figures_add_up(done: Any) -> None:
    summary, output = done
    tokens = Tokens.open(output)
    ids = {name: tokens.split(name).documents["id"].to_pylist() for name in ("train", "validation")}
    assert not set(ids["train"]) & set(ids["validation"])
    distinct = {name: len(set(found)) for name, found in ids.items()}
    assert summary["documents_read"] == 120 == sum(distinct.values()) + summary["left_out"] + summary["duplicates"]
    assert summary["left_out"] > 0  # half of the textbooks
    for name, split in tokens.manifest.splits.items():
        table = tokens.split(name).documents
        assert split["distinct_documents"] == distinct[name]
        assert split["documents"] == table.num_rows == summary[name]["documents"]
        assert split["bytes"] == sum(table["bytes"].to_pylist())
        assert split["tokens"] == sum(kind["tokens"] for kind in split["by_kind"].values()) == len(tokens.split(name))
        assert [shard["sha256"] for shard in split["shards"]] == [
            sha256_file(output / name / shard["file"]) for shard in split["shards"]
        ]
    train = tokens.manifest.splits["train"]
    assert summary["bytes_per_token"] == round(train["bytes"] / (train["tokens"] - train["documents"]), 4)


def test_equal_inputs_give_equal_bytes_and_another_seed_another_order(done: Any, corpus: Path, tmp_path: Path) -> None:
    summary, output = done
    mixture = {"prose": 1, "code": 2.5, "textbook": 0.5}
    assert run([corpus], tmp_path / "again", epochs=mixture) == summary
    for path in sorted(p for p in output.rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(output)).read_bytes(), path.name
    run([corpus], tmp_path / "other", seed=2, epochs=mixture)
    one, two = Tokens.open(output), Tokens.open(tmp_path / "other")
    ids = [tokens.split("train").documents["id"].to_pylist() for tokens in (one, two)]
    assert ids[0] != ids[1]
    assert sorted(ids[0]) == sorted(ids[1])
    assert one.split("validation").documents.equals(two.split("validation").documents)
    assert one.manifest.fingerprint != two.manifest.fingerprint


def test_small_shards_hold_the_same_stream(
    done: Any, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_TOKENS", 257)
    monkeypatch.setattr(shards, "WINDOW_TOKENS", 61)
    monkeypatch.setattr(shards, "INDEX_ROWS", 7)
    monkeypatch.setattr(encode, "BATCH_BYTES", 500)
    monkeypatch.setattr(encode, "PART_BYTES", 2_000)
    monkeypatch.setattr(encode, "ROWS_AT_ONCE", 5)
    run([corpus], tmp_path / "cut", "serial", epochs={"prose": 1, "code": 2.5, "textbook": 0.5})
    whole, cut = Tokens.open(done[1]).split("train"), Tokens.open(tmp_path / "cut").split("train")
    sizes = [shard["tokens"] for shard in cut.counts["shards"]]
    assert len(sizes) > 3
    assert set(sizes[:-1]) == {257}
    assert np.array_equal(whole.read(0, len(whole)), cut.read(0, len(cut)))
    assert whole.documents.equals(cut.documents)


def test_a_document_that_two_sets_hold_counts_once(made: Any, write_set: Any, tmp_path: Path) -> None:
    documents = made(60)
    twins = [Document(d.text, "textbook", "elsewhere", "MIT", "test") for d in documents[:10]]
    summary = run([write_set(documents), write_set(twins + documents[:5])], tmp_path / "tokens")
    assert summary["documents_read"] == 75
    assert summary["duplicates"] == 15
    assert summary["train"]["documents"] + summary["validation"]["documents"] == 60
    assert "elsewhere" not in Tokens.open(tmp_path / "tokens").split("train").documents["source"].to_pylist()


def test_a_text_that_spells_end_of_text_is_one_document(made: Any, write_set: Any, tmp_path: Path) -> None:
    spelled = Document("before <|endoftext|> after\n", "prose", "spelled", "MIT", "test")
    run([write_set([*made(40), spelled])], tmp_path / "tokens")
    tokens = Tokens.open(tmp_path / "tokens")
    for name, split in tokens.manifest.splits.items():
        stream = tokens.split(name).read(0, split["tokens"])
        assert int((stream == 0).sum()) == split["documents"]


def test_a_vocabulary_that_the_text_does_not_support_is_said(corpus: Path, tmp_path: Path, capsys: Any) -> None:
    summary = run([corpus], tmp_path / "tokens", vocab_size=5_000)
    assert 300 < summary["vocab_size"] < 5_000
    assert (
        f"note: the text supports {summary['vocab_size']:,} vocabulary entries, not the 5,000"
        in capsys.readouterr().out
    )


def test_an_existing_tokenizer_is_used(done: Any, corpus: Path, trained: Path, tmp_path: Path) -> None:
    summary = run([corpus], tmp_path / "tokens", tokenizer=str(trained), vocab_size=1_000)
    assert summary["vocab_size"] == 300
    assert summary["tokenizer_sample_bytes"] == summary["lossy_documents"] == 0
    assert (tmp_path / "tokens" / "tokenizer" / "tokenizer.json").read_bytes() == (
        trained / "tokenizer.json"
    ).read_bytes()


def test_a_large_vocabulary_takes_four_bytes_a_token_and_loss_is_said(
    corpus: Path, trained: Path, tmp_path: Path, capsys: Any
) -> None:
    from tokenizers import Tokenizer, normalizers

    shutil.copytree(trained, tmp_path / "large")
    large = Tokenizer.from_file(str(trained / "tokenizer.json"))
    large.add_tokens([f"\u00a7{n}\u00a7" for n in range(2**16)])
    large.normalizer = normalizers.Lowercase()
    large.save(str(tmp_path / "large" / "tokenizer.json"))
    summary = run([corpus], tmp_path / "tokens", tokenizer=str(tmp_path / "large"))
    assert Tokens.open(tmp_path / "tokens").manifest.dtype == "uint32"
    assert summary["lossy_documents"] == 120
    assert "does not give back 120 of 120 documents" in capsys.readouterr().out


def test_an_end_of_text_token_that_texts_contain_is_refused_and_nothing_is_left(
    corpus: Path, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "odd")
    config = tmp_path / "odd" / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"eos_token": ":"}))
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "old").touch()
    with pytest.raises(StepError, match=r"gives its end-of-text token .* within document"):
        run([corpus], tmp_path / "tokens", tokenizer=str(tmp_path / "odd"))
    assert [path.name for path in tmp_path.iterdir() if "tokens" in path.name] == ["tokens"]
    assert (tmp_path / "tokens" / "old").exists()


def test_an_empty_corpus_is_refused(write_set: Any, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"no document in .*; the steps before dropped everything"):
        run([write_set([]), write_set([])], tmp_path / "tokens")


def test_what_is_no_document_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"has no part-\*\.parquet"):
        run([tmp_path], tmp_path / "tokens")


def test_the_command_starts_light_and_names_its_arguments(root: Path) -> None:
    from components.tokenization.__main__ import COMMAND

    assert [argument.name for argument in COMMAND.inputs + COMMAND.outputs] == ["documents", "output"]
    assert COMMAND.sections == ("seed", "tokenization")
