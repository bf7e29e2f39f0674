"""What the terminal shows."""

import json

from rich.console import Console

from flows import events
from flows.definitions import PIPELINE
from flows.screen import Screen, closing_screen, figures_text


def screen(terminal=False):
    console = Console(force_terminal=terminal, width=120, record=True, highlight=False)
    return Screen(console), console


def play(target):
    target.on_event(events.Event("graph", names=("prepare", "train"), text="."))
    target.on_event(events.Event("started", "prepare"))
    target.on_event(events.Event("cached", "prepare", seconds=0.1))
    target.on_event(events.Event("started", "train"))
    target.on_event(events.Event("line", "train", "progress done=5 total=10 loss=2.31 tokens_per_second=41200"))


def test_progress_in_words():
    figures = {"done": 5, "total": 10, "loss": 2.3125, "tokens_per_second": 41200.0}
    assert figures_text(figures) == "50%  loss 2.312  41,200 tokens/s"


def test_plain_lines_without_a_terminal():
    target, console = screen()
    play(target)
    target.on_event(events.Event("failed", "train", "error: training: no tokens", 2.0))
    assert console.export_text().splitlines() == [
        "prepare: cached (0.1 s)",
        "train: 50%  loss 2.31  41,200 tokens/s",
        "train: failed (2.0 s)",
    ]


def test_a_stage_of_many_short_tasks_fills_no_plain_log(monkeypatch):
    clock = iter(range(0, 10_000))
    monkeypatch.setattr("components.running.progress.time.monotonic", lambda: next(clock) / 4)  # four tasks per second
    target, console = screen()
    target.on_event(events.Event("graph", names=("benchmark@small",), text="."))
    for _ in range(240):
        target.on_event(events.Event("line", "benchmark@small", "progress done=40 total=40"))
    assert console.export_text().splitlines() == ["benchmark@small: 100%"] * 6


def test_live_list_on_a_terminal():
    target, console = screen(terminal=True)
    with target:
        play(target)
        console.print(target)
    text = console.export_text()
    assert "prepare  cached" in text
    assert "running" in text
    assert "50%  loss 2.31" in text


def test_closing_screen_shows_results_and_next_steps(tmp_path):
    report = tmp_path / "reports" / "final" / "leaderboard.json"
    report.parent.mkdir(parents=True)
    model = {"name": "small", "parameters": 620000, "validation_loss": 2.5, "exam_accuracy": 0.41, "exam_stderr": 0.02}
    model |= {"exam_clusters": 31, "exam_clustered_stderr": 0.05, "exam_detects": {"chance": 0.03, "another": 0.079}}
    other = {"name": "other", "validation_loss": 1.23, "bits_per_byte": 0.77, "loss_measure": "bits_per_byte"}
    pair = {"of": "small", "against": "other", "value": 0.01, "low": -0.02, "high": 0.04, "detectable": 0.04}
    content = {
        "models": [model, other | {"exam_accuracy": 0.99, "exam_measure": ""}],
        "transfer": {"operator": "exact", "kl": 1e-12},
        "exam_differences": [pair | {"needed": 40_000}],
        "not_compared": [
            "Losses are shown in bits per byte, without a winner: other has another tokenizer than small."
        ],
    }
    report.write_text(json.dumps(content))
    target, console = screen()
    target.on_event(events.Event("graph", names=("report",), text=str(tmp_path)))
    target.on_event(events.Event("ran", "report", seconds=3.0))
    closing_screen(tmp_path, PIPELINE, target, 4.0)
    text = console.export_text()
    for words in (
        "620,000",
        "0.410 ± 0.020 (± 0.050)",
        "of 31 families drawn at random",
        "detects 0.030 from chance, 0.079 from another model",
        "+0.010 [-0.020, +0.040], detects 0.040; not distinguishable, would need about 40,000 questions",
        "other has another tokenizer than small",
        "0.7700",
        "KL, nats per token",
        "1.0e-12",
        "total",
        "make up",
        "mlflow ui",
        "dvc metrics",
    ):
        assert words in " ".join(text.split())
    assert "1.2300" not in text
    assert "0.990" not in text


def test_the_result_begins_with_the_text_in_plain_words(tmp_path):
    report = tmp_path / "reports" / "final" / "leaderboard.json"
    report.parent.mkdir(parents=True)
    sample = {"prompt": "The old\nmiller", "truth": " went down", "told": [{"by": "large", "text": " \x1b[2Jsang"}]}
    text = {"sentences": ["5 documents were read, 4 of them kept."], "continuations": [sample]}
    report.write_text(json.dumps({"models": [{"name": "large", "parameters": 7}], "transfer": None, "text": text}))
    target, console = screen()
    target.on_event(events.Event("graph", names=("report",), text=str(tmp_path)))
    closing_screen(tmp_path, PIPELINE, target, 4.0)
    shown = console.export_text()
    places = [
        shown.index(words)
        for words in ("5 documents were read", "The old miller", "went down", "\\x1b[2Jsang", "parameters", "make chat")
    ]
    assert places == sorted(places)


def test_everything_cached_is_said(tmp_path):
    target, console = screen()
    target.on_event(events.Event("graph", names=("a", "b"), text=str(tmp_path)))
    target.on_event(events.Event("cached", "a"))
    target.on_event(events.Event("restored", "b"))
    closing_screen(tmp_path, PIPELINE, target, 4.0)
    assert "Everything was cached: 2 stages" in console.export_text()
