"""What one training of the ablation asks for and writes down."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.documents import Document, DocumentWriter
from components.params import Params, check_params
from components.running.cli import DIVERGED
from components.study.ablation import training
from components.study.ablation.record import read_record
from components.tokenization import tokenize
from components.tokens import Tokens
from components.tracking import Tracker

KINDS = {
    "code": {"tokens": 300, "validation_loss": 4.0},
    "textbook": {"tokens": 100, "validation_loss": 2.0},
    "exercise": {"tokens": 600, "validation_loss": 9.0},
}
SCORES = {
    "overall": {"acc": {"value": 0.5, "n": 40}, "chance": {"value": 0.25}, "majority": {"value": 0.3}},
    "categories": {"math": {"acc": {"value": 0.4}, "chance": {"value": 0.2}, "majority": {"value": 0.35}}},
    "tasks": {"sums": {"acc": {"value": 0.6}}, "shapes": {"acc": {"value": 0.4}}},
}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    with DocumentWriter(folder / "documents") as writer:
        for n in range(60):
            kind = "exercise" if n % 2 else "code"
            writer.write(Document(f"Text {n} of some words that stand for more.", kind, f"s/{n}", "MIT", "test"))
    settings = {"vocab_size": 300, "epochs": {"code": 1, "exercise": 3}}
    params = check_params({"tokenization": settings, "engine": {"kind": "serial"}})
    tokenize.run({"documents": [folder / "documents"]}, {"output": folder / "tokens"}, params, Tracker())
    return folder / "tokens"


class Steps:
    """The steps' commands, which write what a training and a benchmark write."""

    def __init__(self, read: dict[str, int], status: int = 0) -> None:
        self.read, self.status, self.asked = read, status, []

    def __call__(self, name: str, words: list[str], file: Path) -> int:
        options = dict(zip(words[::2], words[1::2], strict=True))
        self.asked.append((name, options, check_params(json.loads(file.read_text()))))
        if name == "training" and not self.status:
            model = Path(options["--output"])
            model.mkdir()
            (model / "lineage.json").write_text(json.dumps({"tokens_read_by_kind": self.read}))
            Path(options["--curves"]).write_text("tokens,flops,validation_loss\n0,0,7.5\n100,600,5.0\n")
            told = {"parameters": 7, "tokens": 100, "flops": 600, "validation_loss": 6.8, "by_kind": KINDS}
            Path(options["--summary"]).write_text(json.dumps(told))
        if name == "benchmarking":
            Path(options["--output"]).mkdir()
            (Path(options["--output"]) / "scores.json").write_text(json.dumps(SCORES))
        return self.status


def train(steps: Steps, tokens: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **checkpoint: Path) -> Any:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("components.study.steps.run_step", steps)
    inputs = {"arm": "curated", "seed": 5, "tokens": tokens, "exam": folder, "horizon": 2.0}
    params = Params(ablation={"tokens": 4_096, "threads": 3})
    return training.train_and_examine(inputs, {"output": folder / "r.json"} | checkpoint, params, Tracker())


def test_the_record_says_what_the_steps_measured(tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = Tokens.open(tokens).split("train")
    sizes = {kind: found["tokens"] for kind, found in split.counts["by_kind"].items()}
    steps = Steps({"code": 10, "exercise": 90})
    summary = train(steps, tokens, tmp_path, monkeypatch)
    record = read_record(tmp_path / "r.json")
    assert record.loss == pytest.approx((300 * 4 + 100 * 2) / 400)  # without the exercises
    assert record.whole_loss == 6.8
    assert record.losses == {"code": 4.0, "textbook": 2.0, "exercise": 9.0}
    assert record.read == {
        "code": {"tokens": 10, "distinct": sizes["code"]},
        "exercise": {"tokens": 90, "distinct": sizes["exercise"] // 3},  # three passes
    }
    assert record.exam == {
        "accuracy": 0.5,
        "chance": 0.25,
        "majority": 0.3,
        "examples": 40,
        "categories": {"math": {"accuracy": 0.4, "chance": 0.2, "majority": 0.35}},
        "tasks": {"sums": 0.6, "shapes": 0.4},
    }
    assert record.curve["loss"] == [7.5, 5.0]
    assert summary["exam_accuracy"] == 0.5
    for name, options, params in steps.asked:
        assert (params.seed, params.small.tokens) == (5, 8_192)
        assert getattr(params, name).threads == 3
        assert params.small.learning_rate == Params().small.learning_rate
        if name == "training":
            assert (options["--model"], options["--tokens"]) == ("small", str(tokens))
    assert not list((tmp_path / ".phiforge" / "study").iterdir())


def test_a_training_that_diverges_is_a_record_without_a_loss(
    tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps({}, DIVERGED)
    assert "loss" not in train(steps, tokens, tmp_path, monkeypatch)
    assert read_record(tmp_path / "r.json").loss is None
    assert [name for name, *_ in steps.asked] == ["training"]


def test_a_checkpoint_can_be_kept(tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(Steps({"code": 1}), tokens, tmp_path, monkeypatch, checkpoint=tmp_path / "kept")
    assert (tmp_path / "kept" / "lineage.json").is_file()


def test_held_out_exercises_alone_still_give_a_loss() -> None:
    assert training.loss_of_documents({"exercise": KINDS["exercise"]}) == 9.0
