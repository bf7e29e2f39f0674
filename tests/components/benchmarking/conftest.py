"""A small exam, and a random Phi with a tokenizer that knows its words."""

import json
from pathlib import Path

import pytest

PROMPT = "Question: {{question}}\nAnswer:"


def write_exam(directory: Path) -> Path:
    """Three tasks of two categories; choices of one token and of several."""
    tasks = {
        "addition": ("math", [(f"What is {a} + {b}?", [str(a + b + i) for i in range(4)]) for a, b in PAIRS]),
        "opposite": ("language", [(f"What is the opposite of {w}?", list(c)) for w, *c in OPPOSITES]),
        "sorting": (
            "math",
            [(f"Sort {n}, 2, 1.", [f"[1, 2, {n}]", f"[{n}, 2, 1]", "nothing at all"]) for n in range(3, 9)],
        ),
    }
    directory.mkdir(parents=True)
    about = {}
    for name, (category, items) in tasks.items():
        rows = [
            {"id": f"{name}-{i}", "task": name, "category": category, "question": q, "choices": c, "answer": i % len(c)}
            for i, (q, c) in enumerate(items)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (directory / f"{name}.jsonl").write_text(text, encoding="utf-8")
        about[name] = {"category": category, "examples": len(rows), "chance": 0.3, "majority": 0.4}
    content = {"format_version": 1, "prompt": PROMPT, "target_delimiter": " ", "tasks": about}
    (directory / "exam.json").write_text(json.dumps(content), encoding="utf-8")
    return directory


PAIRS = [(a, b) for a in range(3, 6) for b in range(7, 11)]
OPPOSITES = [("hot", "cold", "warm"), ("big", "small", "large"), ("up", "down", "over"), ("wet", "dry", "damp")]


@pytest.fixture
def exam(tmp_path: Path) -> Path:
    return write_exam(tmp_path / "exam")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Phi with 64 positions; larger initial weights than usual, so that its answers differ."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from components.phi.checkpoint import save
    from components.phi.model import Phi, PhiConfig

    root = tmp_path_factory.mktemp("checkpoint")
    exam = write_exam(root / "exam")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([path.read_text() for path in sorted(exam.glob("*.jsonl"))], trainer)
    (root / "tokenizer").mkdir()
    tokenizer.save(str(root / "tokenizer" / "tokenizer.json"))
    config = PhiConfig(
        vocab_size=384,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    save(Phi(config).initialize(3), root / "model", root / "tokenizer", {"step": 7, "training_tokens": 99})
    return root / "model"
