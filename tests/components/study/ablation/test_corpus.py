"""The documents and tokens of an arm: only what belongs to it, and nothing that is held out."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.documents import Document, DocumentWriter, read_batches
from components.errors import StepError
from components.params import Params, check_params
from components.study.ablation import corpus
from components.study.ablation.arms import ARMS
from components.tokenization import tokenize
from components.tokens import Tokens
from components.tracking import Tracker
from tests.documents import read_documents

WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "omicron",
    "pi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
]
TOKENS = 20_000


def params(**changes: Any) -> Params:
    settings = {"vocab_size": 320, "validation_fraction": 0.15, "epochs": {"code": 0.25, "prose": 1, "exercise": 2}}
    return check_params(
        {
            "tokenization": settings | changes,
            "ablation": {"tokens": TOKENS},
            "engine": {"kind": "serial"},
        }
    )


def text(number: int, size: int = 40) -> str:
    draw = random.Random(number)
    return f"Item {number}: {' '.join(draw.choice(WORDS) for _ in range(size))}.\n"


def write(folder: Path, documents: list[Document]) -> Path:
    with DocumentWriter(folder, rows_per_shard=50) as writer:
        for document in documents:
            writer.write(document)
    return folder


def document(content: str, kind: str, source: str, **metadata: Any) -> Document:
    return Document(content, kind, source, "MIT", "test", metadata=metadata)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The pipeline's documents and tokens: curation drops a tenth, and changes every text a little, so every id."""
    folder = tmp_path_factory.mktemp("project")
    raw = [document(text(n) + "  \n", "code" if n % 3 else "prose", f"raw/{n}") for n in range(200)]
    nearly = [document("A copy. " + r.text, r.kind, f"copy/{n}") for n, r in enumerate(raw)]
    curated = [document(r.text.strip() + "\n", r.kind, r.source, raw_id=r.id) for n, r in enumerate(raw) if n % 10 != 9]
    written = [document(text(n), "textbook", f"textbook/{n}") for n in range(300, 340)]
    written += [document(text(n, 12), "exercise", f"exercise/{n}") for n in range(400, 460)]
    written += [
        document(text(1000 + n), "textbook", d.source, format="rephrased_faq", seed_document=d.id)
        for n, d in enumerate(curated)
        if d.kind == "prose"
    ]
    places: dict[str, Any] = {
        "raw": write(folder / "raw", raw + nearly),
        "curated": write(folder / "curated", curated),
        "textbooks": write(folder / "textbooks", written),
        "tokens": folder / "tokens",
        "horizon": 1.0,
    }
    documents = {"documents": [places["curated"], places["textbooks"]]}
    tokenize.run(documents, {"output": places["tokens"]}, params(), Tracker())
    return places


@pytest.fixture
def within(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder to work in, where the steps run in this process: what they do is theirs to test."""

    def step(name: str, words: list[str], file: Path) -> int:
        from components.running import cli
        from components.tokenization import __main__ as tokenization

        assert name == "tokenization"
        arguments = cli._parser(tokenization.COMMAND).parse_args([*words, "--params", str(file)])
        assert cli.execute(tokenization.COMMAND, arguments) == 0
        return 0

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(corpus, "run_step", step)
    return tmp_path


def ids(tokens: Path, split: str) -> set[str]:
    return set(Tokens.open(tokens).split(split).documents["id"].to_pylist())


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_has_its_own_documents_and_the_pipelines_held_out_ones(
    arm: str, project: dict[str, Any], within: Path
) -> None:
    output = within / "tokens"
    summary = corpus.write_tokens({"arm": arm, **project}, {"output": output}, params(), Tracker())
    assert not list((within / ".phiforge" / "study").iterdir())
    made, pipeline = Tokens.open(output), Tokens.open(project["tokens"])
    held_out = ids(project["tokens"], "validation")
    for name in ("shard-00000.bin", "documents.parquet"):
        kept, given = (path / "validation" / name for path in (output, project["tokens"]))
        assert kept.read_bytes() == given.read_bytes()
    assert made.manifest.tokenizer_sha256 == pipeline.manifest.tokenizer_sha256
    assert made.manifest.vocab_size == pipeline.manifest.vocab_size
    trained = made.split("train").documents
    assert not held_out & set(trained["id"].to_pylist())
    assert len(made.split("train")) > TOKENS
    kinds = set(trained["kind"].to_pylist())
    assert ("textbook" in kinds, "exercise" in kinds) == (
        ARMS[arm].textbooks or ARMS[arm].rewrites,
        ARMS[arm].exercises,
    )
    assert summary["documents"] == len(set(trained["id"].to_pylist()))
    sources = {source.partition("/")[0] for source in trained["source"].to_pylist()}
    assert ("copy" in sources) == (arm == "random")


def test_the_arms_of_rewrites_have_the_same_documents(project: dict[str, Any], within: Path) -> None:
    trained = {}
    for arm in ("sources_repeated", "sources_rephrased"):
        corpus.write_tokens({"arm": arm, **project}, {"output": within / arm}, params(), Tracker())
        trained[arm] = {row["id"]: row for row in Tokens.open(within / arm).split("train").documents.to_pylist()}
    repeated, rephrased = trained.values()
    assert repeated.keys() < rephrased.keys()
    rewrites = {d.id: d.metadata for d in read_documents(project["textbooks"]) if "format" in d.metadata}
    added = rephrased.keys() - repeated.keys()
    assert added <= rewrites.keys()
    assert {rewrites[name]["seed_document"] for name in added} == repeated.keys()


def test_an_arm_of_rewrites_needs_some(project: dict[str, Any], within: Path) -> None:
    none = write(within / "textbooks", [document(text(1), "textbook", "textbook/1")])
    inputs = {"arm": "sources_repeated", **project, "textbooks": none}
    with pytest.raises(StepError, match=r"holds no rewrites of documents.*set synthesis\.rephrase"):
        corpus.write_tokens(inputs, {"output": within / "t"}, params(), Tracker())


def test_kinds_stand_to_each_other_as_in_the_pipeline(project: dict[str, Any], within: Path) -> None:
    """Passes rise by one factor, no further than the tokens that are trained on need."""
    summary = corpus.write_tokens({"arm": "curated", **project}, {"output": within / "t"}, params(), Tracker())
    passes = summary["passes"]
    assert passes["code"] / passes["prose"] == pytest.approx(0.25, rel=1e-4)
    assert TOKENS < summary["tokens"] < 1.1 * TOKENS
    assert passes["prose"] > 1


def test_a_further_budget_has_a_stream_of_its_length(project: dict[str, Any], within: Path) -> None:
    inputs = {"arm": "random", **project, "horizon": 2.0}
    summary = corpus.write_tokens(inputs, {"output": within / "t"}, params(), Tracker())
    assert 2 * TOKENS < summary["tokens"] < 2.2 * TOKENS


def test_the_last_arm_is_the_pipelines_own_stream_where_that_is_long_enough(
    project: dict[str, Any], within: Path
) -> None:
    few = params().model_copy(update={"ablation": params().ablation.model_copy(update={"tokens": 1_000})})
    inputs = {"arm": "curated_textbooks_exercises", **project}
    corpus.write_tokens(inputs, {"output": within / "t"}, few, Tracker())
    train = within / "t" / "train" / "shard-00000.bin"
    assert train.read_bytes() == (project["tokens"] / "train" / "shard-00000.bin").read_bytes()


def test_weights_and_phases_of_kinds_that_an_arm_lacks_are_left_out(project: dict[str, Any], within: Path) -> None:
    weighted = params(
        weights={"code": 1, "prose": 1, "exercise": 2},
        curriculum=[["exercise"], ["code", "prose", "textbook"]],
    )
    summary = corpus.write_tokens({"arm": "curated", **project}, {"output": within / "t"}, weighted, Tracker())
    assert summary["by_kind"].keys() == {"code", "prose"}
    assert summary["by_kind"]["code"] == pytest.approx(summary["by_kind"]["prose"], rel=0.05)


def test_raw_documents_of_held_out_ones_are_known_by_id_and_by_text(project: dict[str, Any]) -> None:
    held_out = ids(project["tokens"], "validation")
    kin = corpus.HeldOutKin(project["curated"], held_out)
    numbers = {int(d.source[4:]) for d in read_documents(project["curated"]) if d.id in held_out}
    assert numbers
    (batch, *_) = read_batches(project["raw"], batch_size=10_000)
    found, number = [], 0
    for batch in read_batches(project["raw"], batch_size=10_000):
        found += [batch["source"][row].as_py() for row in np.flatnonzero(kin.among(batch)).tolist()]
        number += batch.num_rows
    assert number == 400
    assert sorted(found) == sorted(f"{name}/{n}" for name in ("raw", "copy") for n in numbers)


def test_no_held_out_document_of_curation_takes_none_out(project: dict[str, Any]) -> None:
    kin = corpus.HeldOutKin(project["curated"], {"0" * 32})
    assert not any(kin.among(batch).any() for batch in read_batches(project["raw"]))


def test_similarity_is_jaccards(tmp_path: Path) -> None:
    """Against sets, for texts that share more and less."""
    held = text(1, 60)
    (kept, *_) = (document(held, "prose", "a"),)
    kin = corpus.HeldOutKin(write(tmp_path / "c", [kept]), {kept.id})
    for share in (0, 20, 45, 60):
        other = " ".join(held.split()[:share] + text(2, 60).split()[share:]) or "nothing"
        own, theirs = ({*found.tolist()} for found in corpus.shingle_sets([other, held]))
        expected = len(own & theirs) / len(own | theirs)
        assert kin._similarity(corpus.shingle_sets([other])[0]) == pytest.approx(expected)


def test_an_arm_that_would_train_on_held_out_text_is_refused(project: dict[str, Any], within: Path) -> None:
    """As where the pipeline's tokens were made with another split."""
    fewer = params(validation_fraction=0.02)
    with pytest.raises(StepError, match=r"arm 'curated' would train on document .*, which is held out"):
        corpus.write_tokens({"arm": "curated", **project}, {"output": within / "t"}, fewer, Tracker())
    assert not (within / "t").exists()


def test_tokens_of_another_vocabulary_are_refused(project: dict[str, Any], within: Path) -> None:
    padded = params(pad_vocab_to_multiple=1024)
    with pytest.raises(StepError, match=r"the arm's tokens have vocab_size 1024, .* has 320;"):
        corpus.write_tokens({"arm": "curated", **project}, {"output": within / "t"}, padded, Tracker())
