"""What a model or its tokenizer may do wrong: each is said in one sentence, and the other tasks go on."""

import json
import shutil

import pytest

from components.benchmarking import checkpoint as opener
from components.benchmarking.benchmark import Job, benchmark
from components.benchmarking.checkpoint import open_scorer
from components.errors import StepError
from components.params import BenchmarkingParams

PARAMS = BenchmarkingParams(threads=1)
ICE = {
    "id": "1",
    "question_stem": "Ice is",
    "choices": {"text": ["hot", "cold"], "label": ["A", "B"]},
    "answerKey": "B",
}
SHOES = [
    {"question": f"Ann has {n} shoes and buys {n}. How many?", "answer": f"She has {2 * n}.\n#### {2 * n}"}
    for n in (2, 3)
]


@pytest.fixture
def folder(tmp_path):
    for name, rows in (("openbookqa/test", [ICE] * 2), ("gsm8k/test", SHOES)):
        path = tmp_path / "data" / f"{name}.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return tmp_path / "data"


def run(checkpoint, folder, tmp_path, capsys):
    summary = benchmark(Job(checkpoint, "phi2", folder), tmp_path / "s", PARAMS)
    said = [line for line in capsys.readouterr().err.splitlines() if "data is missing" not in line]
    return summary["phi2"], json.loads((tmp_path / "s" / "scores.json").read_text()), said


def test_long_prompts_are_cut_counted_and_reported(checkpoint, folder, tmp_path, capsys):
    summary, scores, said = run(checkpoint, folder, tmp_path, capsys)
    assert summary["truncated_prompts"] == 2
    assert scores["protocols"]["gsm8k"]["truncated_prompts"] == 2
    assert scores["protocols"]["openbookqa"]["truncated_prompts"] == 0
    assert "prompts longer than the context of 64 tokens were cut at the start: gsm8k (2 of 2)" in "\n".join(said)


def test_empty_completions_are_wrong_answers_counted_and_reported(checkpoint, folder, tmp_path, capsys, monkeypatch):
    def ends_at_once(directory, batch_size, *_):
        scorer = open_scorer(directory, batch_size)
        head = scorer.head

        def always_end(states):
            logits = head(states)
            logits[..., scorer.eot_token_id] = 1e6
            return logits

        scorer.head = always_end
        return scorer

    monkeypatch.setattr(opener, "open_scorer", ends_at_once)
    summary, scores, said = run(checkpoint, folder, tmp_path, capsys)
    assert summary["tasks"]["gsm8k"] == 0.0
    assert scores["empty_completions"] == 2
    assert scores["protocols"]["gsm8k"]["empty_completions"] == 2
    assert "empty completions, counted as wrong answers: gsm8k (2 of 2)" in "\n".join(said)


@pytest.mark.parametrize("spoilt", ["rated", "written"])
def test_a_model_that_gives_nan_is_named_and_the_other_tasks_go_on(
    checkpoint, folder, tmp_path, capsys, monkeypatch, spoilt
):
    """NaN for the tasks whose answers are rated, or for those whose answers are written."""

    def sometimes(directory, batch_size, *_):
        scorer = open_scorer(directory, batch_size)
        name = "_score" if spoilt == "rated" else "_generate"
        real, head = getattr(scorer, name), scorer.head

        def spoil(*arguments):
            scorer.head = lambda states: head(states) * float("nan")
            try:
                return real(*arguments)
            finally:
                scorer.head = head

        setattr(scorer, name, spoil)
        return scorer

    monkeypatch.setattr(opener, "open_scorer", sometimes)
    _, scores, said = run(checkpoint, folder, tmp_path, capsys)
    bad, good = ("openbookqa", "gsm8k") if spoilt == "rated" else ("gsm8k", "openbookqa")
    assert set(scores["tasks"]) == {good}
    assert "the model gives NaN for the prompt" in scores["failed"][bad]
    assert "its training has diverged: lower the learning rate" in "\n".join(said)


def test_a_model_that_gives_nothing_but_nan_is_refused(checkpoint, exam, tmp_path):
    from components.phi.checkpoint import load, save

    model = load(checkpoint)
    model.head.weight.data *= 1e38  # finite, so that it can be saved; its logits are not
    save(model, tmp_path / "m", checkpoint, {})
    with pytest.raises(
        StepError,
        match=(
            r"no task could be scored: addition: the model gives (NaN|a probability of 0, NaN or infinity) for "
            r"the prompt"
        ),
    ):
        benchmark(Job(tmp_path / "m", "exam", exam), tmp_path / "s", PARAMS)
    assert not (tmp_path / "s").exists()


def test_a_tokenizer_without_an_end_of_text(checkpoint, folder, tmp_path, capsys):
    """Choices are still scored; generated answers end only at stop strings, and a message says so."""
    import shutil

    copy = tmp_path / "model"
    shutil.copytree(checkpoint, copy)
    path = copy / "tokenizer.json"
    content = json.loads(path.read_text())
    content["added_tokens"] = []
    path.write_text(json.dumps(content))
    assert open_scorer(copy, 4).endless
    _, scores, said = run(copy, folder, tmp_path, capsys)
    assert set(scores["tasks"]) == {"gsm8k", "openbookqa"}
    assert "the tokenizer has no end-of-text token: continuations end only at a task's stop strings" in "\n".join(said)
    with pytest.raises(StepError, match="has no end-of-text token, so an empty prompt cannot be scored"):
        open_scorer(copy, 4).score_pairs([("", "What")])


def test_a_device_that_is_not_there_is_named(checkpoint, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(StepError, match=r"benchmarking.device is 'cuda', but torch finds no usable GPU"):
        open_scorer(checkpoint, 4, "cuda")


def test_a_tokenizer_whose_ids_have_gaps_beyond_the_model_is_refused(checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "gaps")
    path = tmp_path / "gaps" / "tokenizer.json"
    values = json.loads(path.read_text())
    values["model"]["vocab"]["zz"] = 2**31
    path.write_text(json.dumps(values))
    with pytest.raises(StepError, match="the tokenizer has 2,147,483,649 tokens"):
        open_scorer(tmp_path / "gaps", 4)
