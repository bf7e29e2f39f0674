"""A workspace with what the earlier steps write, in small: two models and a control."""

import csv
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SMALL_FLOPS, LARGE_FLOPS = 9e5, 3e6  # a token


def task_scores(value: float, n: int = 100) -> dict[str, Any]:
    """A task's or category's figures, as components.benchmarking writes them."""
    figures = {"acc": value, "acc_norm": value, "bits_per_byte": 2 - value, "chance": 0.25, "majority": 0.26}
    errors = {"acc": (value * (1 - value) / n) ** 0.5, "acc_norm": 0.05, "bits_per_byte": 0.1}
    return {name: {"value": v, "stderr": errors.get(name, 0.0), "n": n} for name, v in figures.items()}


def examples(name: str, tasks: dict[str, tuple[float, int]]) -> pa.Table:
    """Right and wrong answers that give the tasks' accuracies; the models differ in which they get right."""
    rows = []
    for task, (value, n) in tasks.items():
        right = round(value * n)
        for i in range(n):
            turned = (i + len(name)) % n
            rows.append({"task": task, "id": f"{task}-{i}", "acc": float(turned < right), "question": "?"})
    return pa.Table.from_pylist(rows)


def put_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def put_curve(path: Path, tokens: int, flops: float, losses: list[float]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "tokens", "flops", "loss", "learning_rate", "gradient_norm", "validation_loss"])
        for i, loss in enumerate(losses):
            seen = tokens * i // (len(losses) - 1)
            writer.writerow([i * 10, seen, seen * flops, loss + 0.01, 1e-3, 1.0, loss])
    return path


def inside_figures(weights: str) -> dict[str, Any]:
    """What components.interpretation writes for a model of two blocks, the second one new, with two heads each."""

    def part(block: int, head: int | None, loss: float, harm: float) -> dict[str, Any]:
        figures = {"block": block, "head": head, "inserted": block == 1, "loss": loss, "loss_stderr": 0.002}
        return figures | {"exam": harm / 2, "exam_stderr": 0.01, "families": {"addition": harm, "analogy": 0.0}}

    lens = [{"blocks": i, "logit_lens": 4.0 - i, "tuned_lens": 3.0 - i / 2} for i in range(3)]
    patch = [{"blocks": i, "small_blocks": min(i, 1), "map_error": 0.0} for i in range(3)]
    parts = [part(0, None, 1.25, -0.3), part(1, None, 0.0625, -0.01)]
    parts += [part(block, head, 0.01 * block + 0.02 * head, 0.0) for block in range(2) for head in range(2)]
    estimate = {"value": 0.05, "stderr": 0.002, "low": 0.045, "high": 0.055}
    return {
        "format_version": 1,
        "model": {"weights_sha256": weights},
        "held_out_tokens": 2048,
        "questions": 20,
        "layers": lens,
        "induction": {"first_loss": 5.0, "repeated_loss": 4.0, "heads": [[0.1, 0.2], [0.3, 0.4]]},
        "ablation": {"loss": 2.0, "exam": 0.6, "exam_stderr": 0.02, "parts": parts},
        "added": {"gain": estimate, "groups": {"new": {"entries": 1200, "damage": estimate, "share": 0.3125}}},
        "patching": {
            "small": 2.5,
            "large": 2.0,
            "places": [place | {"small_in_large": 2.25, "large_in_small": 2.125} for place in patch],
        },
        "streams": [{"known": 0.9, "linear": 0.95, "agreement": 0.99}] * 3,
    }


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, made the current one, with reports/ and models/ as the pipeline writes them.

    The control ends at 3.20; the grown model passes it halfway between its second and third validation.
    """
    monkeypatch.chdir(tmp_path)
    runs = {
        "small": (2_000_000, SMALL_FLOPS, [7.6, 5.0, 4.0, 3.5, 3.3]),
        "large": (1_500_000, LARGE_FLOPS, [3.3, 3.25, 3.15, 3.0, 2.9]),
        "control": (1_500_000, LARGE_FLOPS, [7.6, 4.5, 3.8, 3.4, 3.2]),
    }
    exam = {"small": (0.3, 0.4), "large": (0.5, 0.6), "control": (0.4, 0.26)}
    digests = {name: hashlib.sha256(f"weights of {name}".encode()).hexdigest() for name in runs}
    for name, (tokens, flops, losses) in runs.items():
        put_curve(tmp_path / f"reports/curves/{name}.csv", tokens, flops, losses)
        put_json(
            tmp_path / f"reports/train_{name}.json",
            {
                "parameters": 600_000 if name == "small" else 1_400_000,
                "tokens": tokens,
                "steps": 40,
                "flops": tokens * flops,
                "loss": losses[-1] + 0.01,
                "validation_loss": losses[-1],
                "bits_per_byte": losses[-1] / 2.5,
                "checkpoint_sha256": digests[name],
                "measured_on": {"tokenizer": "t", "documents": "d", "targets": "m"},
            },
        )
        first, second = exam[name]
        scores = {
            "suite": "exam",
            "tasks": {"addition": task_scores(first), "analogy": task_scores(second, 50)},
            "categories": {"reasoning": task_scores((first + second) / 2, 150)},
            "overall": task_scores((first + second) / 2, 150),
            "checkpoint": {"weights_sha256": digests[name]},
            "data": {"addition": "rows of addition", "analogy": "rows of analogy"},
        }
        put_json(tmp_path / f"reports/scores/{name}/scores.json", scores)
        table = examples(name, {"addition": (first, 100), "analogy": (second, 50)})
        pq.write_table(table, tmp_path / f"reports/scores/{name}/examples.parquet")
    put_json(
        tmp_path / "models/grown/transfer.json",
        {
            "operator": "exact",
            "seed": 1,
            "max_absolute_logit_difference": 3e-6,
            "max_relative_logit_difference": 4e-7,
            "max_relative_logit_difference_float64": 2e-15,
            "kl": 1e-12,
            "source_loss": 3.3,
            "target_loss": 3.3000001,
            "loss_delta": 1e-7,
            "proof_tokens": 4096,
            "proof_on": "held-out tokens",
            "source_sha256": digests["small"],
            "depth_map": [0, 1, 2, 2],
            "inserted_blocks": [3],
        },
    )
    model = tmp_path / "models/large"
    put_json(model / "config.json", {"model_type": "phi", "hidden_size": 160, "num_hidden_layers": 4})
    put_json(model / "lineage.json", {"seed": 1, "step": 40, "tokens_fingerprint": "abc", "initial": "def"})
    (model / "model.safetensors").write_bytes(b"weights of large")
    return tmp_path


@pytest.fixture
def whole(workspace: Path, home: Path) -> Path:
    """The workspace with real tokens and real models in place of the figures' names, and with the summaries of the data steps.

    What training says of held-out text is by training's own selection of it."""
    from components.tokens import Tokens
    from components.tracking import weights_sha256
    from components.training.data import HeldOut

    shutil.copytree(home / "data" / "tokens", workspace / "data" / "tokens")
    tokens = Tokens.open(workspace / "data" / "tokens")
    held_out = HeldOut.choose(tokens.split("validation"), 64, 10_000, 2048)
    digests = {}
    for number, name in enumerate(("small", "large", "control")):
        shutil.rmtree(workspace / "models" / name, ignore_errors=True)
        shutil.copytree(home / "models" / name, workspace / "models" / name)
        digests[name] = weights_sha256(workspace / "models" / name)
        _change(workspace / f"reports/scores/{name}/scores.json", checkpoint={"weights_sha256": digests[name]})
        by_kind = {
            kind: {"tokens": int(count), "validation_loss": 2.0 + number + place, "bits_per_byte": 1.0}
            for place, (kind, count) in enumerate(zip(held_out.kinds, held_out.tokens, strict=True))
        }
        told = {"by_kind": by_kind, "validation_tokens": int(held_out.tokens.sum())}
        _change(workspace / f"reports/train_{name}.json", checkpoint_sha256=digests[name], **told)
    _change(workspace / "models/grown/transfer.json", source_sha256=digests["small"])
    shutil.copytree(workspace / "reports/scores/large", workspace / "reports/scores/set_back")
    put_json(workspace / "reports/interpretation.json", inside_figures(digests["large"]))
    put_json(workspace / "reports/ingest.json", {"documents": 61, "quarantined": 2})
    dropped = {"min_chars": 1}
    put_json(workspace / "reports/curate.json", {"documents_in": 61, "documents_kept": 60, "dropped": dropped})
    kinds = tokens.manifest.splits["train"]["by_kind"]
    by_kind = {kind: {"train": counts} for kind, counts in kinds.items()} | {"web": {"validation": {"tokens": 9}}}
    put_json(workspace / "reports/tokenize.json", {"by_kind": by_kind})
    return workspace


def _change(path: Path, **values: Any) -> None:
    put_json(path, json.loads(path.read_text(encoding="utf-8")) | values)


@pytest.fixture
def arguments(workspace: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs and outputs of the report stage in the workspace, as dvc.yaml gives them."""
    names = ("small", "large", "control")
    inputs = {
        "scores": [Path(f"reports/scores/{n}") for n in names],
        "training": [Path(f"reports/train_{n}.json") for n in names],
        "curves": [Path(f"reports/curves/{n}.csv") for n in names],
        "transfer": Path("models/grown/transfer.json"),
        "model": Path("models/large"),
    }
    return inputs, {"output": Path("reports/final")}
