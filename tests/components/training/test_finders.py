"""Finders give a setting that the training takes, and keep within the memory."""

import contextlib
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from components.errors import StepError
from components.params import Params, TrainingParams
from components.phi import checkpoint
from components.phi.memory import estimate
from components.phi.model import Phi, PhiConfig
from components.tokens import Tokens
from components.tracking import Tracker
from components.training import capacity, finders
from components.training.data import BatchLoader
from components.training.finders import Trial, best, on_one_device, predicted, steepest

Find = Callable[..., dict[str, Any]]


@pytest.fixture
def find(tokens: Path, settings: dict[str, Any]) -> Find:
    def make(what: str) -> dict[str, Any]:
        inputs = {"what": what, "model": "small", "tokens": tokens}
        return finders.run(inputs, {}, Params.model_validate(settings), Tracker())

    return make


def test_the_range_test_finds_a_rate_at_which_the_model_learns(find: Find, capsys: Any) -> None:
    found = find("learning-rate")
    rates = [rate for rate, _ in found["curve"]]
    assert rates == sorted(rates)
    assert rates[0] == finders.LOWEST
    assert found["learning_rate"] in rates
    assert 1e-4 < found["learning_rate"] < 0.3
    assert min(loss for _, loss in found["curve"]) < math.log(61) - 0.3
    assert "small.learning_rate=" in capsys.readouterr().out


def test_micro_batches_are_tried_up_to_a_steps_tokens(find: Find, settings: dict[str, Any]) -> None:
    found = find("batch-size")
    assert [trial["micro_batch_tokens"] for trial in found["trials"]] == [32, 64, 128, 256]
    assert found["micro_batch_tokens"] in (32, 64, 128, 256)
    assert all(trial["tokens_per_second"] > 0 and trial["peak_bytes"] > 0 for trial in found["trials"])


def test_memory_ends_the_search(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linear memory of 1 GB and 10 MB per token, and 5 GB: 256 tokens would need 3.56 GB, more than 80% of 4.4."""
    monkeypatch.setattr(finders, "memory_per_device", lambda settings: 4.4e9)

    def trial(model: Phi, loss_of: Any, optimizer: Any, loader: BatchLoader, z_loss: float) -> Trial:
        size = loader.sequences * loader.length
        return Trial(size, 1.0, int(1e9 + 1e7 * size))

    monkeypatch.setattr(finders, "measure", trial)
    assert [trial["micro_batch_tokens"] for trial in find("batch-size")["trials"]] == [32, 64, 128]


def test_a_size_that_does_not_fit_costs_no_other_trial(
    find: Find, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def trial(model: Phi, loss_of: Any, optimizer: Any, loader: BatchLoader, z_loss: float) -> Trial:
        size = loader.sequences * loader.length
        if size > 64:
            raise torch.OutOfMemoryError
        return Trial(size, 1.0, size)

    monkeypatch.setattr(finders, "measure", trial)
    assert [trial["micro_batch_tokens"] for trial in find("batch-size")["trials"]] == [32, 64]
    assert "note: 128 tokens do not fit into the memory" in capsys.readouterr().out


def test_predictions_are_linear() -> None:
    assert predicted([Trial(32, 1, 100)], 96) == 300
    assert predicted([Trial(32, 1, 1032), Trial(64, 1, 1064)], 192) == 1192


@pytest.mark.parametrize(
    ("batch", "devices", "expected"),
    [
        (256, 1, [32, 64, 128, 256]),
        (256, 2, [32, 64, 128]),
        (7 * 5 * 32, 1, [32, 160, 1120]),
        (6 * 32, 1, [32, 64, 96, 192]),
    ],
)
def test_only_what_training_takes_is_tried(batch: int, devices: int, expected: list[int]) -> None:
    given = {"context_length": 32, "batch_tokens": batch, "devices": devices}
    settings = TrainingParams(micro_batch_tokens=32, **given)
    assert finders.sizes(settings) == expected
    for size in expected:
        TrainingParams(micro_batch_tokens=size, **given)


def test_the_search_asks_for_what_training_will_do(
    find: Find, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings["training"] |= {"document_mask": True, "recompute": True, "batch_tokens": 64, "micro_batch_tokens": 64}
    seen = []
    loss = Phi.loss

    def spy(self: Phi, tokens: Any, targets: Any, documents: Any, *more: Any) -> Any:
        seen.append((self.recompute, documents is not None))
        return loss(self, tokens, targets, documents, *more)

    monkeypatch.setattr(Phi, "loss", spy)
    find("batch-size")
    find("learning-rate")
    assert set(seen) == {(True, True)}


def test_of_several_devices_the_range_test_takes_the_whole_batch(
    find: Find, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings["training"] |= {"devices": 2, "micro_batch_tokens": 64}
    monkeypatch.setattr(finders, "RANGE_STEPS", 3)
    seen = []
    loss = Phi.loss
    monkeypatch.setattr(
        Phi, "loss", lambda self, tokens, *more: seen.append(tokens.numel()) or loss(self, tokens, *more)
    )
    with contextlib.suppress(StepError):  # three steps may find nothing
        find("learning-rate")
    assert seen[:4] == [64] * 4
    assert len(seen) in (4, 8, 12)
    assert sum(seen) % 256 == 0


def test_every_size_is_compiled_where_training_is(
    find: Find, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch stops to compile a function after some shapes, and says nothing."""
    settings["training"] |= {"compile": True, "batch_tokens": 32 * 12, "micro_batch_tokens": 32}
    monkeypatch.setattr(finders, "check_compilable", lambda settings: None)
    compiled = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled.append(inputs)
        return graph.forward

    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **more: compile_(f, backend=backend, **more))
    try:
        with torch._dynamo.config.patch(recompile_limit=2):
            found = find("batch-size")
        assert torch.are_deterministic_algorithms_enabled() or torch.cuda.is_available()  # they cost time
    finally:
        torch.use_deterministic_algorithms(False)
    assert [trial["micro_batch_tokens"] for trial in found["trials"]] == [32, 64, 96, 192, 384]
    assert len(compiled) >= 5


def test_a_search_refuses_what_training_refuses(
    find: Find, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings["training"] |= {"batch_tokens": 8192, "micro_batch_tokens": 32}
    with pytest.raises(StepError, match="less than one batch"):
        find("batch-size")
    settings["training"]["batch_tokens"] = 256
    monkeypatch.setattr(capacity, "available_memory", lambda: 1e5)
    with pytest.raises(StepError, match="training needs"):
        find("batch-size")


@pytest.mark.parametrize("what", ["learning-rate", "batch-size"])
def test_a_model_that_only_several_devices_hold_is_refused_before_it_is_tried(
    what: str, find: Find, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shared out it fits; the finders have it whole."""
    settings["training"] |= {"devices": 4, "strategy": "fsdp2", "batch_tokens": 128, "micro_batch_tokens": 32}
    settings["training"] |= {"optimizer": "adamw"}
    params = Params.model_validate(settings)
    config = PhiConfig.from_shape(params.small.model, 61, 32)
    needed = [
        estimate(config, asked, torch.float32).total for asked in (params.training, on_one_device(params.training))
    ]
    assert needed[0] < 0.9 * needed[1]
    monkeypatch.setattr(finders, "memory_per_device", lambda settings: sum(needed) / 2)
    monkeypatch.setattr(capacity, "memory_per_device", lambda settings: sum(needed) / 2)
    with pytest.raises(StepError, match="the whole model on one device, which needs"):
        find(what)


def test_a_batch_size_is_found_with_the_teacher_that_training_has(
    find: Find, settings: dict[str, Any], tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings["training"] |= {"distillation_weight": 0.5, "batch_tokens": 64, "micro_batch_tokens": 32}
    with pytest.raises(StepError, match="distillation_weight needs a teacher"):
        find("batch-size")
    params = Params.model_validate(settings)
    config = PhiConfig.from_shape(params.small.model, 61, 32)
    checkpoint.save(Phi(config).initialize(0), tmp_path / "teacher", Tokens.open(tokens).tokenizer_dir, {})
    asked = []
    hidden = Phi.hidden
    monkeypatch.setattr(Phi, "hidden", lambda self, *more: asked.append(torch.is_grad_enabled()) or hidden(self, *more))
    inputs = {"what": "batch-size", "model": "small", "tokens": tokens, "teacher": tmp_path / "teacher"}
    found = finders.run(inputs, {}, params, Tracker())
    assert [trial["micro_batch_tokens"] for trial in found["trials"]] == [32, 64]
    assert asked == [True, False] * (len(asked) // 2)
    assert len(asked) == 2 * 2 * (finders.REPEATS + 1)
    asked.clear()
    with contextlib.suppress(StepError):
        finders.run(inputs | {"what": "learning-rate"}, {}, params, Tracker())
    assert len(asked) > 4
    assert asked == [True, False] * (len(asked) // 2)
    settings["training"]["distillation_weight"] = 0
    with pytest.raises(StepError, match="distillation_weight is 0, so nothing would be learned from it"):
        finders.run(inputs, {}, Params.model_validate(settings), Tracker())


@pytest.mark.skipif(not capacity.CLEAR.exists(), reason="needs Linux's /proc/self/clear_refs")
def test_the_peak_begins_anew() -> None:
    """The bytes of a tensor that is long gone count no more, though the allocator keeps them."""
    code = (
        "from components.phi import machine; machine.prepare(1)\n"
        "import torch; from components.training import capacity\n"
        "cpu = torch.device('cpu'); torch.ones(50_000_000); before = capacity.peak_memory(cpu)\n"
        "capacity.reset_peak_memory(cpu); print(before - capacity.peak_memory(cpu))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 150e6


def test_a_peak_that_cannot_begin_anew_is_that_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox may deny both files."""
    monkeypatch.setattr(capacity, "CLEAR", tmp_path)
    monkeypatch.setattr(capacity, "STATUS", tmp_path)
    capacity.reset_peak_memory(torch.device("cpu"))
    assert capacity.peak_memory(torch.device("cpu")) > 10e6


def test_the_smallest_of_equals_is_chosen() -> None:
    assert best([Trial(1, 10, 0), Trial(2, 96, 0), Trial(4, 100, 0), Trial(8, 97, 0)]) == 2


def test_a_loss_that_never_falls_is_said() -> None:
    assert steepest([(1e-3, 4.0), (1e-2, 3.0), (1e-1, 2.9)]) == 1e-3
    with pytest.raises(StepError, match="did not fall at any learning rate"):
        steepest([(1e-3, 4.0), (1e-2, 4.1)])


def test_the_command(settings: dict[str, Any], tokens: Path, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(json.dumps(settings))
    words = ["--what", "batch-size", "--model", "small", "--tokens", str(tokens)]
    files = ["--params", str(tmp_path / "params.yaml"), "--summary", str(tmp_path / "found.json")]
    command = [sys.executable, "-m", "components.training.find", *words, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "training.micro_batch_tokens=" in done.stdout
    assert json.loads((tmp_path / "found.json").read_text())["micro_batch_tokens"] >= 32


def test_a_model_that_cannot_fit_is_refused_before_it_trains(
    call: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    call()
    assert "estimated memory per device: " in capsys.readouterr().out
    monkeypatch.setattr(capacity, "available_memory", lambda: 1e5)
    with pytest.raises(StepError, match=r"training needs .* MB: .*, but 0\.0 GB are available; lower training\.micro"):
        call("other")
