"""Training learns, repeats itself bit by bit, and refuses what it cannot work with."""

import csv
import hashlib
import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from components.errors import StepError
from components.files import write_json
from components.phi import checkpoint
from components.phi.model import Phi
from components.running.progress import parse
from components.tokens import Tokens
from components.tracking import weights_sha256
from components.training import module as module_file
from components.training.callbacks import CURVE
from components.training.start import sequences_read

Call = Callable[..., dict[str, Any]]


def test_a_run_learns_and_leaves_its_records(call: Call, tmp_path: Path, recorder: Any, capsys: Any) -> None:
    summary = call(tracker=recorder)
    assert (summary["steps"], summary["tokens"]) == (12, 3072)
    assert summary["validation_loss"] < summary["first_validation_loss"] - 0.5
    assert summary["first_validation_loss"] == pytest.approx(math.log(61), abs=0.1)
    # four bytes per token
    assert summary["bits_per_byte"] == pytest.approx(summary["validation_loss"] / math.log(2) / 4)
    weights = (tmp_path / "model" / "model.safetensors").read_bytes()
    assert summary["checkpoint_sha256"] == hashlib.sha256(weights).hexdigest()

    rows = list(csv.DictReader((tmp_path / "model.csv").open()))
    assert tuple(rows[0]) == CURVE
    assert [int(row["step"]) for row in rows] == [0, 4, 8, 12]
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())
    assert float(rows[0]["loss"]) == pytest.approx(math.log(61), abs=0.1)
    assert (
        int(rows[-1]["flops"])
        == summary["flops"]
        == 3072 * checkpoint.read_config(tmp_path / "model").flops_per_token()
    )
    assert float(rows[-1]["validation_loss"]) == summary["validation_loss"]

    lineage = checkpoint.read_lineage(tmp_path / "model")
    assert (lineage["seed"], lineage["training_tokens"], lineage["initial"]) == (3, 3072, None)
    assert len(lineage["tokens_fingerprint"]) == 64
    assert str(tmp_path) not in json.dumps([lineage, summary])

    assert [step for step, values in recorder.told if "validation_loss" in values] == [0, 4, 8, 12]
    by_tokens = [step for step, values in recorder.told if "validation_loss_by_tokens" in values]
    assert by_tokens == [0, 1024, 2048, 3072]
    assert sum("validation_loss_by_gigaflops" in values for _, values in recorder.told) == 4
    assert [step for step, values in recorder.told if "bits_per_byte.prose" in values] == [0, 4, 8, 12]
    assert summary["by_kind"]["prose"]["validation_loss"] == pytest.approx(summary["validation_loss"])
    assert 0 < summary["validation_loss_stderr"] < 1
    assert recorder.models == [(tmp_path / "model", "model")]
    lines = [line for line in map(parse, capsys.readouterr().out.splitlines()) if line]
    assert (lines[-1]["done"], lines[-1]["total"]) == (12, 12)
    assert {"loss", "lr", "tokens_per_second"} <= lines[-1].keys()


def test_metrics_are_told_every_twenty_steps(call: Call, settings: dict[str, Any], recorder: Any) -> None:
    settings["small"]["tokens"] = 45 * 256
    call(tracker=recorder)
    told = {step: values for step, values in recorder.told if "gradient_norm" in values}
    assert sorted(told) == [20, 40]
    speeds = {"tokens_per_second", "utilisation"}
    assert told[20].keys() == {"loss", "learning_rate", "gradient_norm", "tokens", "flops", *speeds}
    assert all(told[20][name] > 0 for name in speeds)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_equal_seeds_give_equal_bytes(call: Call, settings: dict[str, Any], tmp_path: Path, precision: str) -> None:
    settings["training"] |= {"precision": precision, "threads": 2}
    settings["small"]["tokens"] = 1000
    one, two = call("one"), call("two")
    assert one == two
    assert all(
        path.read_bytes() == (tmp_path / "two" / path.name).read_bytes() for path in (tmp_path / "one").iterdir()
    )
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    settings["seed"] += 1
    assert call("three")["checkpoint_sha256"] != one["checkpoint_sha256"]


def test_the_command_gives_the_same_bytes_in_another_process(
    call: Call, settings: dict[str, Any], tokens: Path, tmp_path: Path
) -> None:
    (tmp_path / "params.yaml").write_text(json.dumps(settings))  # JSON is YAML
    names = {
        "--tokens": tokens,
        "--state": tmp_path / "states",
        "--output": tmp_path / "there",
        "--curves": tmp_path / "there.csv",
    }
    words = [str(word) for pair in names.items() for word in pair]
    files = ["--params", str(tmp_path / "params.yaml"), "--summary", str(tmp_path / "there.json")]
    command = [sys.executable, "-m", "components.training", "--model", "small", *words, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert json.loads((tmp_path / "there.json").read_text()) == call("here")


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_fails_at_once_and_leaves_no_output(
    settings: dict[str, Any], tokens: Path, tmp_path: Path, stop: signal.Signals
) -> None:
    settings["small"]["tokens"] = 10**9
    settings["training"]["max_epochs"] = 1e6
    (tmp_path / "params.yaml").write_text(json.dumps(settings))
    words = ["--model", "small", "--tokens", str(tokens), "--output", str(tmp_path / "out")]
    words += ["--state", str(tmp_path / "states")]
    command = [sys.executable, "-m", "components.training", *words, "--params", str(tmp_path / "params.yaml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        next(line for line in process.stdout if parse(line))
        process.send_signal(stop)
        said = process.stdout.read()
        assert process.wait(60) == 128 + stop
    assert "the same command resumes there" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml", "states"]
    assert list((tmp_path / "states").glob("*/step-*/state.json"))  # a restart goes on from where it was stopped


def test_accumulation_changes_no_more_than_rounding(call: Call, settings: dict[str, Any], tmp_path: Path) -> None:
    settings["small"]["tokens"] = 1000
    # Muon orthogonalises in bfloat16, which turns a rounding of the gradient into one of 1e-3 of the update.
    settings["training"] |= {"micro_batch_tokens": 64, "optimizer": "adamw"}
    call("parts")
    settings["training"]["micro_batch_tokens"] = 256
    call("whole")
    parts, whole = (checkpoint.load(tmp_path / name) for name in ("parts", "whole"))
    for a, b in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_training_goes_on_in_the_order_of_its_start(
    call: Call, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control sees the same batches as the start did, a continued model the ones after those."""
    call("start")
    seen: list[list[tuple[int, ...]]] = []
    step = module_file.PhiTraining.training_step

    def spy(self: Any, batch: Any, batch_idx: int) -> torch.Tensor:
        seen[-1].append(batch.starts)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(module_file.PhiTraining, "training_step", spy)
    seen.append([])
    control = call("control")
    seen.append([])
    continued = call("continued", initial=tmp_path / "start")
    settings["small"]["tokens"] *= 2
    seen.append([])
    call("long")
    assert seen[0] + seen[1] == seen[2]
    assert len(seen[0]) == 24
    settings["small"]["tokens"] //= 2
    settings["seed"] += 1  # another order, which begins at its own start
    seen.append([])
    call("other", initial=tmp_path / "start")
    seen.append([])
    call("afresh")
    assert seen[3] == seen[4] != seen[0]
    settings["seed"] -= 1
    assert continued["first_validation_loss"] == json.loads(json.dumps(call("again")))["validation_loss"]
    assert continued["validation_loss"] < control["validation_loss"]
    initial = checkpoint.read_lineage(tmp_path / "continued")["initial"]
    assert initial["weights_sha256"] == weights_sha256(tmp_path / "start")
    assert initial["lineage"]["training_tokens"] == 3072


@pytest.mark.parametrize(
    ("changes", "read"),
    [
        ({}, 2 * 3072 // 32),
        ({"initial": None}, 3072 // 32),
        ({"initial": ["foreign"]}, 3072 // 32),
        ({"initial": {"lineage": ["foreign"]}}, 3072 // 32),
        ({"initial": {"lineage": {"step": "training", "seed": 3, "training_tokens": "many"}}}, 3072 // 32),
        ({"tokens_fingerprint": ["foreign"]}, 0),
        ({"seed": {}}, 0),
        *(({"training_tokens": number}, 0) for number in ("3072", [3072], None, -1, 1.5, 10**400)),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_foreign_lineage_moves_no_order(tokens: Path, tmp_path: Path, changes: dict[str, Any], read: int) -> None:
    opened = Tokens.open(tokens)
    own = {"step": "training", "seed": 3, "training_tokens": 3072, "tokens_fingerprint": opened.manifest.fingerprint}
    grown = {"step": "transfer", "tokens_fingerprint": None, "initial": {"lineage": own}}
    write_json(tmp_path / "lineage.json", own | {"initial": {"lineage": grown}} | changes)
    assert sequences_read(tmp_path, opened, 32, 3) == read


def test_compiling_from_a_folder_with_a_blank_is_refused_at_once(
    call: Call, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings["training"] |= {"compile": True}
    monkeypatch.setattr(torch, "__file__", "/a folder/torch/__init__.py")
    with pytest.raises(StepError, match=r"PyTorch is in /a folder/torch, .* move the project"):
        call("compiled")


@pytest.mark.parametrize(
    "option",
    [
        {"document_mask": True},
        {"z_loss": 0.01},
        {"ema_decay": 0.5},
        {"schedule": "cosine"},
        {"optimizer": "adamw"},
        {"recompute": True},
        pytest.param({"compile": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_options_change_the_training_and_it_still_learns(
    call: Call, settings: dict[str, Any], option: dict[str, Any]
) -> None:
    if "compile" in option and any(character.isspace() for character in torch.__file__):
        pytest.skip("PyTorch lies in a folder with a blank in its name, from which it compiles nothing")
    settings["small"]["tokens"] = 40 * 256
    plain = call("plain")
    settings["training"] |= option
    other = call("other")
    assert other["validation_loss"] < other["first_validation_loss"] - 0.5
    same_bits = "recompute" in option
    assert (other["checkpoint_sha256"] == plain["checkpoint_sha256"]) == same_bits
    if "compile" in option:
        assert other["validation_loss"] == pytest.approx(plain["validation_loss"], abs=0.05)


def test_the_average_is_what_is_validated_and_kept(call: Call, settings: dict[str, Any], tmp_path: Path) -> None:
    settings["training"] |= {"ema_decay": 0.5, "validation_tokens": 10**6}
    summary = call()
    settings["training"]["ema_decay"] = 0.0
    again = call("again", initial=tmp_path / "model")
    assert again["first_validation_loss"] == pytest.approx(summary["validation_loss"], abs=1e-6)


def test_too_few_tokens_are_refused(
    call: Call, make_tokens: Callable[..., Path], settings: dict[str, Any], tmp_path: Path
) -> None:
    few = make_tokens(tmp_path / "few", train=256)
    with pytest.raises(StepError, match=r"256 training tokens, less than one batch of training\.batch_tokens 256"):
        call(tokens=few)
    settings["small"]["tokens"] = 255
    with pytest.raises(StepError, match=r"small\.tokens is 255, less than one batch"):
        call()


def test_a_budget_of_too_many_passes_is_refused_with_one_that_fits(
    settings: dict[str, Any], call: Callable[..., dict[str, Any]]
) -> None:
    settings["training"]["max_epochs"] = 100
    settings["small"]["tokens"] = 4000 * 120
    with pytest.raises(StepError) as raised:
        call()
    assert "small.tokens: 480,000 are 121 passes over the 4,000 training tokens" in str(raised.value)
    assert "--set small.tokens=400000" in str(raised.value)


def test_another_initial_checkpoint_is_refused(
    call: Call, make_tokens: Callable[..., Path], settings: dict[str, Any], tmp_path: Path
) -> None:
    settings["small"]["tokens"] = 256
    call("start")
    with pytest.raises(StepError, match="vocabulary of 61, the tokens have one of 70"):
        call(tokens=make_tokens(tmp_path / "more", vocabulary=70), initial=tmp_path / "start")
    with pytest.raises(StepError, match="another tokenizer"):
        call(tokens=make_tokens(tmp_path / "fewer", vocabulary=60), initial=tmp_path / "start")
    settings["small"]["model"] |= {"hidden_size": 48, "num_hidden_layers": 3}
    with pytest.raises(StepError, match=r"hidden_size 32 \(expected 48\), num_hidden_layers 2 \(expected 3\)"):
        call("other", initial=tmp_path / "start")
    assert not (tmp_path / "other").exists()


def test_a_loss_that_is_not_a_number_stops_the_run(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, calls = Phi.loss, []

    def broken(self: Phi, *arguments: Any) -> torch.Tensor:
        value = loss(self, *arguments)
        calls.append(torch.is_grad_enabled())
        return value * torch.nan if calls.count(True) == 4 else value  # the second micro-batch of the second step

    monkeypatch.setattr(Phi, "loss", broken)
    with pytest.raises(StepError, match=r"loss is nan at step 2 of 12, in a batch that begins in: book/\d+, .*0\.01"):
        call()
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / "model.csv").exists()


def test_a_gradient_that_is_not_a_number_stops_the_run(call: Call, settings: dict[str, Any]) -> None:
    settings["small"]["learning_rate"] = 1.0
    settings["training"] |= {"gradient_clip": 0.0, "weight_decay": 0.0, "precision": "float32"}
    settings["small"]["model"]["initializer_range"] = 1.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module_file.torch.nn.utils, "clip_grad_norm_", lambda parameters, limit: torch.tensor(torch.inf))
        with pytest.raises(StepError, match=r"gradient norm is inf at step 1 of 12"):
            call()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_optimizers_state_is_kept_and_taken_up(
    call: Call, settings: dict[str, Any], tmp_path: Path, optimizer: str
) -> None:
    from safetensors.torch import load_file

    settings["training"] |= {"optimizer": optimizer, "keep_optimizer": True}
    call("kept")
    state = load_file(tmp_path / "kept" / "state" / "optimizer.safetensors")
    assert {name.rpartition(".")[2] for name in state} <= {"exp_avg", "exp_avg_sq", "momentum_buffer", "step"}
    assert float(state["embed.weight.step"]) == 12
    warm = call("warm", initial=tmp_path / "kept")
    assert float(load_file(tmp_path / "warm" / "state" / "optimizer.safetensors")["embed.weight.step"]) == 24
    (tmp_path / "kept" / "state" / "optimizer.safetensors").unlink()
    assert call("cold", initial=tmp_path / "kept")["checkpoint_sha256"] != warm["checkpoint_sha256"]
    (tmp_path / "kept" / "state" / "optimizer.safetensors").write_bytes(b"torn")
    with pytest.raises(StepError, match=r"optimizer\.safetensors cannot be read"):
        call("torn", initial=tmp_path / "kept")


@pytest.mark.parametrize("foreign", ["shape", "missing", "unknown", "integers", "adamw"])
def test_a_foreign_optimizer_state_is_refused(
    call: Call, settings: dict[str, Any], tmp_path: Path, foreign: str
) -> None:
    from safetensors.torch import load_file, save_file

    settings["training"]["keep_optimizer"] = True
    call("kept")
    path = tmp_path / "kept" / "state" / "optimizer.safetensors"
    state = load_file(path)
    if foreign == "shape":
        state["embed.weight.exp_avg"] = torch.zeros(3, 3)
    elif foreign == "missing":
        del state["head.bias.exp_avg_sq"]
    elif foreign == "unknown":
        state["blocks.99.norm.weight.exp_avg"] = torch.zeros(3)
    elif foreign == "integers":
        state["embed.weight.exp_avg"] = state["embed.weight.exp_avg"].int()
    else:
        settings["training"]["optimizer"] = "adamw"
    save_file(state, path)
    with pytest.raises(
        StepError, match=r"is not a state of the optimizer \w+ for this model: .*; set training\.optimizer"
    ):
        call("next", initial=tmp_path / "kept")
    assert not (tmp_path / "next").exists()
