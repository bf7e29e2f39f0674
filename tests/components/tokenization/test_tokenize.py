"""Tokenization as a whole: each document comes out as it went in, the figures add up, equal inputs give equal bytes."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.documents import KINDS, Document
from components.errors import StepError
from components.files import sha256_file
from components.params import EngineParams, IngestionParams, Params, Source, TokenizationParams
from components.tokenization import encode, shards, tokenize
from components.tokenization.corpus import SEED
from components.tokenization.tokenizer import Encoder
from components.tokens import Tokens, TokenSplit
from components.tracking import Tracker
from tests.documents import read_documents


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


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_every_engine_gives_the_same_bytes(
    done: Any, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setattr(encode, "PART_BYTES", 2_000)  # several parts, so that several processes work
    summary, output = done
    assert run([corpus], tmp_path / "again", engine, epochs={"prose": 1, "code": 2.5, "textbook": 0.5}) == summary
    names = sorted(p.relative_to(output) for p in output.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file())
    assert all((output / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


def test_weights_and_curriculum_hold_in_what_is_written(corpus: Path, tmp_path: Path, capsys: Any) -> None:
    weights = {"prose": 0.5, "code": 0.3, "textbook": 0.2}
    curriculum = [["textbook"], ["code", "prose"]]
    summary = run([corpus], tmp_path / "tokens", weights=weights, curriculum=curriculum, epochs={"prose": 1.5})
    split = Tokens.open(tmp_path / "tokens").split("train")
    table, longest = split.documents, int(split.documents["length"].to_numpy().max())
    for kind, share in weights.items():
        got = split.counts["by_kind"][kind]["tokens"]
        assert abs(got - share * len(split)) < 2 * longest  # its own document, and what the others lack of theirs
    assert summary["passes"][summary["limited_by"]] == {"prose": 1.5}.get(summary["limited_by"], 1)
    assert f"limited by the cap of {summary['limited_by']}" in capsys.readouterr().out
    names, codes = split.kinds
    for number, kinds in enumerate(curriculum):
        begin, end = split.phases[number], split.phases[number + 1]
        rows = split.rows_at(np.arange(begin, end))
        assert {names[code] for code in codes[rows]} == set(kinds)
        assert split.counts["phases"][number]["documents"] == len(set(rows.tolist()))
        assert table["start"][int(rows[0])].as_py() == begin
    assert split.phases[-1] == len(split)


def test_the_held_out_stream_is_the_same_whatever_the_mixture(
    done: Any, corpus: Path, trained: Path, tmp_path: Path
) -> None:
    given = {"tokenizer": str(trained)}
    run([corpus], tmp_path / "one", **given)
    run([corpus], tmp_path / "two", seed=7, weights={"code": 1, "prose": 3}, curriculum=[["code"], ["prose"]], **given)
    for path in sorted((tmp_path / "one" / "validation").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / "validation" / path.name).read_bytes()


def test_what_quotes_a_document_is_held_out_with_it(made: Any, write_set: Any, tmp_path: Path) -> None:
    """A chapter that was written from a document is in the same stream as that document."""
    documents = made(60)
    chapters = [
        Document(f"On this text: {d.text}", "textbook", f"chapter/{d.source}", "MIT", "test", metadata={SEED: d.id})
        for d in documents
    ]
    run([write_set(documents), write_set(chapters)], tmp_path / "t", validation_fraction=0.3)
    where = {}
    for name in ("train", "validation"):
        split = Tokens.open(tmp_path / "t").split(name)
        where |= dict.fromkeys(split.documents["id"].to_pylist(), name)
    assert len(set(where.values())) == 2
    for document, chapter in zip(documents, chapters, strict=True):
        assert where[chapter.id] == where[document.id]


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


def test_a_word_that_is_learnt_from_in_pieces_is_said(made: Any, write_set: Any, tmp_path: Path, capsys: Any) -> None:
    long = [
        Document(f"{number} {'ACGT' * 50} between\n", "prose", f"dna/{number}", "MIT", "test") for number in range(40)
    ]
    run([write_set([*made(40), *long])], tmp_path / "tokens")
    assert "words of more than 128 characters (such as DNA" in capsys.readouterr().out


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
    assert "does not restore 120 of 120 documents" in capsys.readouterr().out


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


def test_a_pinned_tokenizer_that_changed_is_refused(corpus: Path, trained: Path, tmp_path: Path) -> None:
    pin = sha256_file(trained / "tokenizer.json")
    summary = run([corpus], tmp_path / "tokens", tokenizer=str(trained), tokenizer_sha256=pin)
    assert summary["tokenizer_sha256"] == pin
    with pytest.raises(StepError, match=rf"has the SHA-256 {pin}; tokenization\.tokenizer_sha256 is {'0' * 64}"):
        run([corpus], tmp_path / "other", tokenizer=str(trained), tokenizer_sha256="0" * 64)


def test_a_vocabulary_beyond_every_model_is_refused(corpus: Path, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "sparse")
    path = tmp_path / "sparse" / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["model"]["vocab"]["zz"] = 2_000_000_000
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(StepError, match=r"highest id is 2,000,000,000, so a model would need .* at most 1,048,576"):
        run([corpus], tmp_path / "tokens", tokenizer=str(tmp_path / "sparse"))


LIMITED = """
import resource, sys, traceback
from pathlib import Path
from components.errors import StepError
from components.params import EngineParams, IngestionParams, Params, Source, TokenizationParams
from components.tokenization import tokenize
from components.tracking import Tracker

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
    params = Params(tokenization=TokenizationParams(vocab_size=300), engine=EngineParams(kind=sys.argv[4], workers=2))
    try:
        tokenize.run({"documents": [Path(sys.argv[1])]}, {"output": Path(sys.argv[2])}, params, Tracker())
    except StepError as error:
        print(error, *traceback.format_exception(error))
"""


@pytest.mark.parametrize(
    ("limit", "engine", "where"),
    [
        (500, "serial", "_names_file"),
        (7_500, "serial", "_save"),
        (50_000, "serial", "encode_part"),
        (50_000, "threads", "encode_part"),
        (50_000, "processes", "encode_part"),
    ],
)
def test_a_full_disk_is_said_and_nothing_half_written_is_left(
    made: Any, write_set: Any, root: Path, tmp_path: Path, limit: int, engine: str, where: str
) -> None:
    """A limit on the size of files fails a write as a full disk does."""
    documents = [Document(f"{n} " + d.text * 100, d.kind, d.source, "MIT", "test") for n, d in enumerate(made(60))]
    (tmp_path / "script.py").write_text(LIMITED)
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "old").touch()
    command = [sys.executable, tmp_path / "script.py", write_set(documents), tmp_path / "tokens", str(limit), engine]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert f"disk full while writing {tmp_path / 'tokens'}" in done.stdout, done.stdout + done.stderr
    assert f"in {where}\n" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["script.py", "tokens"]
    assert [path.name for path in (tmp_path / "tokens").iterdir()] == ["old"]


@pytest.mark.parametrize("where", ["write_shard", "_write_index"])
def test_a_disk_that_fills_up_while_the_streams_are_written_is_said(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shards, where, full)
    with pytest.raises(
        StepError, match=r"disk full while writing .*tokens \(No space left on device; [\d,]+ MB are free now\)"
    ):
        run([corpus], tmp_path / "tokens")
    assert not list(tmp_path.iterdir())


def test_another_failure_of_the_disk_stays_what_it_is(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(shards, "write_shard", broken)
    with pytest.raises(OSError, match="Input/output error"):
        run([corpus], tmp_path / "tokens")
    assert not list(tmp_path.iterdir())


def test_an_empty_corpus_is_refused(write_set: Any, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"no document in .*; earlier steps dropped everything: add text"):
        run([write_set([]), write_set([])], tmp_path / "tokens")


def test_what_is_not_a_document_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"has no part-\*\.parquet"):
        run([tmp_path], tmp_path / "tokens")


def test_the_command_starts_light_and_names_its_arguments(root: Path) -> None:
    from components.tokenization.__main__ import COMMAND

    assert [argument.name for argument in COMMAND.inputs + COMMAND.outputs] == ["documents", "output"]
    assert COMMAND.sections == ("seed", "ingestion", "tokenization")


@pytest.fixture(scope="module")
def mixed(made: Any, write_set: Any) -> list[Path]:
    """Prose of the user's beside ten times as many textbooks and exercises."""
    prose = [document for document in made(300) if document.kind == "prose"]
    generated = [
        Document(document.text.replace("Item", f"{kind} of"), kind, "s", "MIT", "procedural/1:x")
        for document in made(400)
        for kind in ("textbook", "exercise")
    ]
    return [write_set(prose), write_set(generated)]


def sourced(path: str, **own: Any) -> dict[str, Any]:
    return {"ingestion": IngestionParams(sources=[Source(path=path)]), **own}


def test_a_users_text_has_most_of_the_tokens(mixed: list[Path], tmp_path: Path) -> None:
    """On three megabytes of a user's text, 63% of the tokens were generated exercises."""
    settings = TokenizationParams(vocab_size=300, validation_fraction=0.1)
    found = {}
    for path in ("python", "my texts"):
        given = Params(tokenization=settings, engine=EngineParams(kind="serial"), **sourced(path))
        found[path] = tokenize.run({"documents": mixed}, {"output": tmp_path / path}, given, Tracker())
    own, library = found["my texts"], found["python"]
    assert 0.7 <= own["shares"]["prose"] < 0.75
    assert own["by_kind"]["prose"]["train"]["distinct_documents"] == library["by_kind"]["prose"]["train"]["documents"]
    held_out = {
        kind: counts["validation"]["tokens"] for kind, counts in own["by_kind"].items() if "validation" in counts
    }
    assert held_out["prose"] >= 0.7 * sum(held_out.values())
    assert library["shares"]["prose"] < 0.2
    assert sum(library["shares"].values()) == pytest.approx(1, abs=1e-3)
    assert library["passes"] == {"prose": 1, "textbook": 1, "exercise": 3}
    assert library["warnings"] == own["warnings"] == []


def test_english_exercises_step_aside_in_a_corpus_of_another_language(
    mixed: list[Path], write_set: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    german = write_set(
        [replace(document, metadata={"language": "de"}) for document in read_documents(mixed[0])]
        + [Document("A line in English.\n", "web", "s", "MIT", "test", metadata={"language": "en"})]
    )
    summary = run([german, mixed[1]], tmp_path / "german", epochs={})
    assert summary["shares"].keys() == {"prose", "web"}
    assert "validation" not in summary["by_kind"].get("exercise", {})
    (warning,) = summary["warnings"]
    assert "the corpus is in de" in warning
    assert "--set tokenization.own_share=0.7" in warning
    assert f"note: {warning}" in capsys.readouterr().out
    asked = run([german, mixed[1]], tmp_path / "asked", epochs={}, own_share=0.7)
    assert "exercise" in asked["shares"]
