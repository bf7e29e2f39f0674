"""Questions of the exam, scored in batches with shared inputs."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from components.errors import StepError
from components.files import write_json
from components.inside.questions import log_probabilities, read_questions
from components.phi.checkpoint import load

ASKED = [  # family, question, choices, answer
    ("colours", "w3 w4", ["w5", "w6", "w5 w7 w8"], 0),
    ("colours", "w9", ["w5", "w6"], 1),
    ("colours", "w1 w1 w1", ["w2 w3", "w2 w4"], 1),
    ("long", " ".join(["w7", "w8"] * 30), ["w9", "w2 w3"], 0),  # longer than the model's 40 positions
    ("sizes", "w8 w2", ["w9 w9 w9", "w1"], 0),
]


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    write_json(tmp_path / "scores.json", {"prompt": "Question: {{question}} Answer:"})
    rows = [
        {"task": task, "id": str(i), "question": question, "choices": choices, "answer": answer}
        for i, (task, question, choices, answer) in enumerate(ASKED)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "examples.parquet")
    return tmp_path


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    words = {f"w{i}": i for i in range(10)} | {"Question:": 50, "Answer:": 51}
    made = Tokenizer(models.WordLevel(words, unk_token="w0"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


@pytest.mark.parametrize("size", [1, 4, 64])
def test_log_probabilities_equal_those_of_each_choice_alone(
    family: Path, scores: Path, tokenizer: Tokenizer, size: int
) -> None:
    model, questions = load(family / "large"), read_questions(scores, tokenizer)
    found = log_probabilities(model, questions, size)
    for (_, asked, choices, _), row in zip(ASKED, found, strict=True):
        context = tokenizer.encode(f"Question: {asked} Answer:").ids
        for choice, value in zip(choices, row, strict=True):
            own = tokenizer.encode(choice).ids
            with torch.no_grad():
                logits = model(torch.tensor([(context + own)[-41:-1]]))[0].log_softmax(-1)
            expected = sum(float(logits[i - len(own), token]) for i, token in enumerate(own))
            assert value == pytest.approx(expected, abs=1e-5)


def test_the_first_questions_of_each_family_are_taken(scores: Path, tokenizer: Tokenizer) -> None:
    assert [q.family for q in read_questions(scores, tokenizer, per_family=2)] == [
        "colours",
        "colours",
        "long",
        "sizes",
    ]


def test_scores_without_the_exams_prompt_are_refused(scores: Path, tokenizer: Tokenizer) -> None:
    write_json(scores / "scores.json", {"prompt": None})
    with pytest.raises(StepError, match="score the checkpoint with --suite exam"):
        read_questions(scores, tokenizer)
    write_json(scores / "scores.json", {"prompt": "{{question}}"})
    (scores / "examples.parquet").write_bytes(b"no parquet")
    with pytest.raises(StepError, match=r"examples\.parquet cannot be read"):
        read_questions(scores, tokenizer)
