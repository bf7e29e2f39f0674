"""A spike is a loss far above the last ones, and nothing else is."""

import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.phi.model import Phi
from components.tokens import Tokens
from components.training.data import BatchLoader
from components.training.spikes import ENOUGH, WINDOW, SpikeDetector


@given(st.integers(0, 1000), st.floats(0.5, 8), st.floats(0.01, 0.2))
def test_noise_is_not_a_spike_and_a_jump_is(seed: int, level: float, noise: float) -> None:
    draw = random.Random(seed)
    detector = SpikeDetector(6.0)
    for step in range(900):
        loss = level * (1 + math.exp(-step / 50)) + draw.uniform(-noise, noise)  # a falling curve with bounded noise
        assert detector.look(loss) is None
    assert detector.look(level + 20 * noise)
    assert detector.look(level + 20 * noise)  # the first did not widen the window
    assert detector.look(level) is None
    assert len(detector.window) == WINDOW


def test_early_losses_and_a_switched_off_detector_say_nothing() -> None:
    early, off = SpikeDetector(6.0), SpikeDetector(0.0)
    assert not any(early.look(loss) for loss in [5.0] * (ENOUGH - 1) + [500.0])
    assert not any(off.look(loss) for loss in [5.0, 5.1] * 100 + [500.0])


@pytest.mark.parametrize("action", ["report", "skip"])
def test_a_spike_is_named_with_its_documents(
    call: Any, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: Any, action: str
) -> None:
    settings["small"]["tokens"] = 80 * 256
    settings["training"] |= {"micro_batch_tokens": 256, "spike_action": action}
    loss, calls = Phi.loss, []

    def jump(self: Phi, *arguments: Any) -> Any:
        calls.append(None)
        value = loss(self, *arguments)
        return value + 100 if len(calls) == 70 else value

    monkeypatch.setattr(Phi, "loss", jump)
    call()
    said = [line for line in capsys.readouterr().out.splitlines() if "is a spike" in line]
    assert len(said) == 1
    assert "step 70 is a spike: loss 10" in said[0]
    assert ("its update is skipped" in said[0]) == (action == "skip")
    assert "book/" in said[0]


def test_of_a_spikes_micro_batches_the_bad_one_is_named(
    call: Any, settings: dict[str, Any], tokens: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    settings["small"]["tokens"] = 80 * 256
    loss, calls = Phi.loss, []

    def jump(self: Phi, *arguments: Any) -> Any:
        calls.append(None)
        return loss(self, *arguments) + (100 if len(calls) == 2 * 70 else 0)

    monkeypatch.setattr(Phi, "loss", jump)
    call()
    said = next(line for line in capsys.readouterr().out.splitlines() if "is a spike" in line)
    split = Tokens.open(tokens).split("train")
    numbers = BatchLoader(split, 32, 4, 2 * 80, settings["seed"]).numbers(2 * 70 - 1)
    guilty = dict.fromkeys(split.locate(int(number) * 32)["source"] for number in numbers)
    assert said.endswith(f"; documents: {', '.join(guilty)}")


def test_a_new_level_is_taken_after_a_few_steps() -> None:
    """The next phase of a curriculum is another kind of text; with `skip` it would else never be trained on."""
    draw = random.Random(0)
    detector = SpikeDetector(6.0)
    for _ in range(200):
        detector.look(1.5 + draw.gauss(0, 0.05))
    spikes = [step for step in range(1000) if detector.look(4 * 0.999**step + draw.gauss(0, 0.05)) is not None]
    assert spikes == list(range(len(spikes)))
    assert len(spikes) < 32
