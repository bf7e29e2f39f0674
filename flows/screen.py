"""The output of `make run`: the stages while they run, then the result and next steps."""

import json
import shlex
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markdown import Markdown
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from components.errors import StepError
from components.foreign.addresses import without_secrets
from components.foreign.terminal import printable, printable_text
from components.params import PARAMS_FILE, load_params
from components.results.comparability import NATS, SCORE
from components.results.power import difference_words, score_words
from components.running.progress import Pace, parse
from components.tracking import weights_sha256
from flows.client.registry import Registry
from flows.definitions import PIPELINE, Definition
from flows.events import Event
from flows.promotion import CANDIDATE_MODEL, standing
from flows.settings import mlflow_uri

LEADERBOARD = Path("reports/final/leaderboard.json")
MARKS = {
    "ran": ("done", "green"),
    "cached": ("cached", "blue"),
    "restored": ("restored", "blue"),
    "failed": ("failed", "red"),
}
ENDED = (*MARKS, "stopped")


@dataclass
class Row:
    """The state of one stage on the screen."""

    state: str = "waiting"  # waiting, running, or the kind of event that ended it
    since: float = 0.0
    seconds: float = 0.0
    progress: dict[str, float] = field(default_factory=dict)
    pace: Pace = field(default_factory=lambda: Pace(10.0))
    note: str = ""

    def elapsed(self) -> float:
        return time.monotonic() - self.since if self.state == "running" else self.seconds


class Screen:
    """A live list of stages on a terminal, otherwise one line per event."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self.rows: dict[str, Row] = {}
        self.place = Path()  # folder of the run: the main tree or its workspace
        self._spinner = Spinner("dots")
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> "Screen":
        if self.console.is_terminal:
            self._live = Live(self, console=self.console, refresh_per_second=8, transient=False)
            self._live.start()
        else:
            self.console.print("Starting")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def __rich__(self) -> Any:
        with self._lock:
            if not self.rows:
                self._spinner.text = f" starting  {time.monotonic() - self._started:.0f} s"
                return self._spinner
            return self._table()

    def on_event(self, event: Event) -> None:
        """Record an event of the run; any thread may call this."""
        with self._lock:
            self._note(event)
        if self._live is None:
            self._print(event)
        elif event.kind == "note":
            self._live.console.print(
                Text(printable_text(event.text), style="yellow" if "untracked" in event.text else "dim")
            )

    def _note(self, event: Event) -> None:
        if event.kind == "graph":
            self.rows, self.place = {name: Row() for name in event.names}, Path(event.text)
        row = self.rows.get(event.stage)
        if row is None:
            return
        if event.kind == "started":
            row.state, row.since, row.progress = "running", time.monotonic(), {}
        elif event.kind == "line":
            figures = parse(event.text.strip())
            row.progress = figures or row.progress
            row.note = event.text.strip() if event.text.startswith("waiting for") else ("" if figures else row.note)
        elif event.kind == "retry":
            row.note = f"{event.text}; trying again"
        elif event.kind in ENDED:
            row.state, row.seconds, row.note = event.kind, event.seconds, ""

    def _print(self, event: Event) -> None:
        plain = {
            "note": event.text,
            "started": "",  # shown when it ends, or with its first progress
            "line": "",
            "retry": f"{event.stage}: {event.text}; trying again",
        }
        if event.kind in MARKS:
            plain[event.kind] = f"{event.stage}: {MARKS[event.kind][0]} ({event.seconds:.1f} s)"
        if event.kind == "line" and (figures := parse(event.text.strip())):
            # Every task of a benchmark goes to 100%, several per second.
            shown = _tenth(figures) and self.rows[event.stage].pace.due()
            plain["line"] = f"{event.stage}: {figures_text(figures)}" if shown else ""
        elif event.kind == "line" and event.text.startswith("> "):
            plain["line"] = f"{event.stage}: started"
        if text := plain.get(event.kind):
            self.console.print(Text(printable_text(text)), soft_wrap=True)

    def _table(self) -> Any:
        table = Table.grid(padding=(0, 2))
        for name, row in self.rows.items():
            mark, style = MARKS.get(row.state, (row.state, "dim"))
            state = self._spinner_for(row) if row.state == "running" else Text(mark, style=style)
            seconds = f"{row.elapsed():.1f} s" if row.state != "waiting" else ""
            dim = "dim" if row.state in ("waiting", "stopped") else ""
            table.add_row(Text(name, style=dim), state, Text(seconds, justify="right"), _progress(row))
        return Group(table)

    def _spinner_for(self, _: Row) -> Spinner:
        self._spinner.text = " running"
        return self._spinner


def _progress(row: Row) -> Any:
    """A bar with metrics for a running stage with progress."""
    if row.state != "running" or not row.progress:
        return Text(row.note, style="yellow")
    grid = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=max(row.progress["total"], 1), completed=row.progress["done"], width=24)
    grid.add_row(bar, Text(figures_text(row.progress)))
    return grid


def figures_text(figures: dict[str, float]) -> str:
    """`37%  loss 2.31  41,200 tokens/s` of a progress line."""
    words = [f"{100 * figures['done'] / max(figures['total'], 1):.0f}%"]
    for name, value in figures.items():
        if name in ("done", "total"):
            continue
        if name.endswith(("_s", "_per_second")):
            unit = name.removesuffix("_per_second").removesuffix("_s")
            words.append(f"{value:,.0f} {unit}/s")
        else:
            words.append(f"{name.replace('_', ' ')} {value:.4g}")
    return "  ".join(words)


def _tenth(figures: dict[str, float]) -> bool:
    """Whether a plain log shows this progress: about ten lines per stage."""
    total = max(figures["total"], 1)
    return figures["done"] >= total or int(10 * figures["done"] / total) > int(10 * (figures["done"] - 1) / total)


def closing_screen(root: Path, definition: Definition, screen: Screen, seconds: float) -> None:
    """Print the result, wall time per stage, and next steps."""
    console = screen.console
    if screen.rows and all(row.state in ("cached", "restored") for row in screen.rows.values()):
        console.print(f"\nEverything was cached: {len(screen.rows)} stages, nothing to do ({seconds:.1f} s).")
    else:
        console.print()
        console.print(_times(screen.rows, seconds))
    for table in _results(screen.place, definition):
        console.print()
        console.print(table)
    if definition == PIPELINE and (sentence := registry_sentence(screen.place)):
        console.print()
        console.print(Text(printable_text(f"{sentence[0].upper()}{sentence[1:]}.")))
    console.print()
    for name, command in next_steps(root, screen.place / definition.page):
        console.print(Text(f"{name:<22}{command}"), soft_wrap=True)


def _results(place: Path, definition: Definition) -> list[Any]:
    if definition == PIPELINE:
        return result_tables(place)
    return [result_text(place / definition.result)] if definition.result else []


def _times(rows: dict[str, Row], seconds: float) -> Table:
    table = Table(title="Wall time", title_justify="left", box=None, padding=(0, 2))
    table.add_column("stage")
    table.add_column("outcome")
    table.add_column("seconds", justify="right")
    for name, row in rows.items():
        table.add_row(name, MARKS.get(row.state, (row.state, ""))[0], f"{row.seconds:.1f}")
    table.add_row("total", "", f"{seconds:.1f}")
    return table


def result_tables(place: Path) -> list[Any]:
    """The content of reports/final/leaderboard.json, sentences first; empty without a report."""
    path = place / LEADERBOARD
    if not path.is_file():
        return []
    report = json.loads(path.read_text(encoding="utf-8"))
    tables = own_text(report.get("text") or {})
    if models := report.get("models"):
        tables.append(_models(models))
    if report.get("transfer"):
        tables.append(_transfer(report))
    return tables + [Text(printable_text(sentence)) for sentence in report.get("not_compared") or []]


def own_text(facts: dict[str, Any]) -> list[Any]:
    """Facts about the text: sentences, then held-out texts with the continuations by each model."""
    shown: list[Any] = [Text(sentence) for sentence in facts.get("sentences") or []]
    for sample in facts.get("continuations") or []:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        texts = [("Start of a held-out text", sample["prompt"]), ("The actual continuation", sample["truth"])]
        for who, text in texts + [(f"{model['by']} continues", model["text"]) for model in sample["told"]]:
            table.add_row(Text(who, style="dim"), Text(printable(" ".join(text.split()))))
        shown.append(table)
    return shown


def _models(models: list[dict[str, Any]]) -> Table:
    table = Table(title="Models", title_justify="left", box=None, padding=(0, 2))
    headings = ("model", "parameters", "tokens", "loss", "bits/byte", "exam accuracy")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", no_wrap=True)
    for model in models:
        measure, score = model.get("loss_measure", NATS), model.get("exam_measure", SCORE)
        accuracy = _figure(model.get("exam_accuracy") if score else None, ".3f")
        if score:
            accuracy += "".join(
                form.format(model[key])
                for key, form in (("exam_stderr", " ± {:.3f}"), ("exam_clustered_stderr", " (± {:.3f})"))
                if model.get(key) is not None
            )
        table.add_row(
            str(model.get("name", "")),
            _figure(model.get("parameters"), ","),
            _figure(model.get("tokens"), ","),
            _figure(model.get("validation_loss") if measure == NATS else None, ".4f"),
            _figure(model.get("bits_per_byte") if measure else None, ".4f"),
            accuracy,
        )
    guess, majority = (_figure(models[0].get(name), ".3f") for name in ("chance", "majority"))
    clusters = models[0].get("exam_clusters")
    drawn = f" (of {clusters} families drawn at random)" if clusters else ""
    words = score_words(**(models[0].get("exam_detects") or {"chance": None, "another": None}))
    table.caption = (
        f"loss: held-out, nats per token; exam: ± one standard error{drawn}, chance {guess}, majority answer {majority}"
        + (f"; detects {words}" if words else "")
    )
    table.caption_justify = "left"
    return table


def _transfer(report: dict[str, Any]) -> Table:
    """The proof and the gain of knowledge transfer; unknown metrics are left out."""
    table = Table(title="Knowledge transfer", title_justify="left", box=None, padding=(0, 2), show_header=False)
    transfer = report["transfer"]
    inclusive = (transfer.get("flops") or {}).get("inclusive") or {}
    new = (transfer.get("growth") or {}).get("new") or {}
    rows = [
        ("preserved: relative logit difference", transfer.get("max_relative_logit_difference"), ".1e"),
        ("preserved: KL, nats per token", transfer.get("kl"), ".1e"),
        ("loss of the grown model before training", transfer.get("grown_start_loss"), ".4f"),
        ("loss difference to the control after equal tokens", transfer.get("loss_advantage_over_control"), ".4f"),
        ("share of the gain that new parameters carry", min(new["share"], 1.0) if new else None, ".0%"),
        ("share of the control's tokens to reach its loss", transfer.get("share_of_control_tokens"), ".0%"),
        ("share of its FLOPs, including the small model's", inclusive.get("share_of_control_flops"), ".0%"),
    ]
    for name, value, form in rows:
        if value is not None:
            table.add_row(name, _figure(value, form))
    for difference in report.get("exam_differences") or []:
        name = f"exam, {difference['of']} minus {difference['against']}, paired"
        table.add_row(name, difference_words(difference))
    return table


def registry_sentence(place: Path) -> str:
    """A sentence about the champion and the model of a run that worked here; empty without a model."""
    if not (place / CANDIDATE_MODEL / "config.json").is_file():
        return ""
    name = load_params(place / PARAMS_FILE).reporting.registered_model
    try:
        return standing(name, Registry().state(name), weights_sha256(place / CANDIDATE_MODEL))
    except StepError as error:  # the results are valid without the registry
        return str(error)


def _figure(value: Any, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else "-"


def result_text(path: Path) -> Markdown | str:
    """A result in Markdown."""
    return Markdown(path.read_text(encoding="utf-8")) if path.is_file() else ""


def next_steps(root: Path, report: Path) -> list[tuple[str, str]]:
    """Next steps, as commands that can be copied."""
    steps = [("Next steps", "")]
    if report.is_file():
        steps.append(("  the report", str(report.relative_to(root))))
    steps += [
        ("  talk to the model", "make chat"),
        ("  past champions", "python -m flows.champion"),
        ("  panel and services", "make up"),
        ("  curves and models", f"mlflow ui --backend-store-uri {shlex.quote(without_secrets(mlflow_uri(root)))}"),
        ("  metrics", "dvc metrics show; dvc metrics diff; dvc plots show"),
        ("  another run", "make run ARGS='--set seed=2'; dvc exp show"),
    ]
    return steps
