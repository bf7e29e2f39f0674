"""Tokens to a given validation loss: the default optimizer and schedule against AdamW with a cosine, tuned alike.

    python -m bench.optimizers FOLDER [--tokens 1000000] [--threads 2] [--seeds 1 2 3]

FOLDER keeps the corpus, which is made once: the running Python's own library (source and documentation) through our
ingestion, curation and tokenization. Every run is `python -m components.training`, from tokens to checkpoint.

- Tuning: both get the same number of learning rates, tried with the first seed: AdamW at its whole budget, ours at the
  largest of its horizons. The best is kept for all seeds. Everything else is the project's default for both.
- A loss with WSD counts only after its decay, so ours is run to its end at several horizons, as shares of AdamW's
  tokens; the share at which it reaches AdamW's final loss lies between two of them, interpolated in the logarithm.
- A seed sets the initial weights and the order of the data, for both alike.
"""

import itertools
import math
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.common import Report, Row, machine, parser, step

ADAMW = {"optimizer": "adamw", "schedule": "cosine"}


@dataclass(frozen=True)
class Run:
    """A training with its settings; `ours` takes the project's defaults."""

    ours: bool
    tokens: int
    learning_rate: float
    seed: int


def main() -> int:
    options = parser(__doc__, threads=2)
    options.add_argument("folder", type=Path, help="where the corpus is kept")
    options.add_argument("--tokens", type=int, default=1_000_000, help="AdamW's budget")
    options.add_argument("--shares", type=float, nargs="+", default=[0.3, 0.4, 0.6], help="ours, of AdamW's tokens")
    options.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options.add_argument("--adamw-rates", type=float, nargs="+", default=[2e-3, 4e-3, 8e-3], help="tried with AdamW")
    options.add_argument("--our-rates", type=float, nargs="+", default=[7e-3, 1.4e-2, 2.8e-2], help="tried with ours")
    options.add_argument("--width", type=int, default=128, help="width of the model")
    options.add_argument("--layers", type=int, default=4, help="layers of the model")
    options.add_argument("--vocabulary", type=int, default=2048, help="size of the vocabulary")
    options.add_argument("--set", dest="overrides", nargs="*", default=[], help="further settings of both")
    arguments = options.parse_args()
    if len(arguments.adamw_rates) != len(arguments.our_rates):
        options.error("give both as many learning rates: equal effort")
    report = Report("Tokens to a loss", settings_of(arguments))
    with tempfile.TemporaryDirectory() as scratch:
        train = trainer(arguments, Path(scratch))
        compare(train, arguments, report)
    return report.finish(arguments)


def settings_of(arguments: Any) -> Row:
    chosen = {"width": arguments.width, "layers": arguments.layers, "vocabulary": arguments.vocabulary}
    return machine(arguments.threads) | chosen | {"AdamW's tokens": f"{arguments.tokens:,}"}


def trainer(arguments: Any, scratch: Path) -> Callable[[Run], Row]:
    """A function that trains each `Run` once."""
    from bench.corpus import library_tokens

    tokens = library_tokens(arguments.folder.resolve(), arguments.vocabulary)
    shape = {"hidden_size": arguments.width, "intermediate_size": 4 * arguments.width}
    shape |= {"num_hidden_layers": arguments.layers}
    done: dict[Run, Row] = {}

    def train(run: Run) -> Row:
        if run not in done:
            settings = {f"small.model.{key}": value for key, value in shape.items()}
            settings |= {"small.tokens": run.tokens, "small.learning_rate": run.learning_rate, "seed": run.seed}
            settings |= {"training.threads": arguments.threads, "training.validations": 1}
            settings |= {} if run.ours else {f"training.{key}": value for key, value in ADAMW.items()}
            done[run] = train_once(settings, arguments.overrides, tokens, scratch)
            print(f"  {run}: {done[run]['validation_loss']:.4f}", file=sys.stderr, flush=True)
        return done[run]

    train.done = done  # type: ignore[attr-defined]
    return train


def train_once(settings: Row, overrides: list[str], tokens: Path, scratch: Path) -> Row:
    """The summary of one training step."""
    words = [word for text in overrides for word in ("--set", text)]
    outputs = {"output": scratch / "checkpoint", "state": scratch / "state"}
    return step("training", settings, *words, model="small", tokens=tokens, **outputs)


def compare(train: Callable[[Run], Row], arguments: Any, report: Report) -> None:
    """Tune both with the first seed, run all seeds, write tables and verdict."""
    first, budget, shares = arguments.seeds[0], arguments.tokens, sorted(arguments.shares)

    def loss(ours: bool, share: float, rate: float, seed: int) -> float:
        return train(Run(ours, round(share * budget), rate, seed))["validation_loss"]

    tuning = [["AdamW, cosine", 1.0, rate, loss(False, 1.0, rate, first)] for rate in arguments.adamw_rates]
    tuning += [["ours", shares[-1], rate, loss(True, shares[-1], rate, first)] for rate in arguments.our_rates]
    report.table(
        "Learning rates tried, first seed", ["", "share of tokens", "learning rate", "validation loss"], tuning
    )
    best = {name: min((row for row in tuning if row[0] == name), key=lambda row: row[3])[2] for name, *_ in tuning}
    table, reached = [], []
    for seed in arguments.seeds:
        target = loss(False, 1.0, best["AdamW, cosine"], seed)
        losses = [loss(True, share, best["ours"], seed) for share in shares]
        reached.append(share_at(target, shares, losses))
        table.append([str(seed), *(f"{value:.4f}" for value in (target, *losses)), reached[-1]])
    columns = ["seed", "AdamW, cosine at 1.0", *(f"ours at {share:g}" for share in shares), "share of tokens needed"]
    report.table(f"Validation loss; learning rates {best['AdamW, cosine']:g} and {best['ours']:g}", columns, table)
    for name, rates in (("AdamW, cosine", arguments.adamw_rates), ("ours", arguments.our_rates)):
        if best[name] in (min(rates), max(rates)):
            report.note(f"{name}: the best learning rate is at the edge of the tried ones.")
    if any(found is None for found in reached):
        report.note("Where no share is given, ours reaches the loss at none of the horizons.")
    if any(found == shares[0] for found in reached):
        report.note(f"A share of {shares[0]:g} is a bound: ours is below the loss at its first horizon already.")
    known = [found for found in reached if found is not None]
    whole = max(known) if len(known) == len(reached) else None
    report.target("share of AdamW-cosine's tokens, the worst of the seeds", whole, 0.6, at_least=False)
    runs = train.done.items()  # type: ignore[attr-defined]
    report.measurements = [run.__dict__ | {"validation_loss": row["validation_loss"]} for run, row in runs]


def share_at(target: float, shares: list[float], losses: list[float]) -> float | None:
    """Share of the tokens at which the losses fall to `target`, on the line between two horizons over the logarithm of the
    tokens. The first horizon, if it is below the target already (an upper bound); None if the last is still above."""
    if losses[0] <= target:
        return shares[0]
    for (s0, l0), (s1, l1) in itertools.pairwise(zip(shares, losses, strict=True)):
        if l1 <= target < l0:
            return math.exp(math.log(s0) + (l0 - target) / (l0 - l1) * math.log(s1 / s0))
    return None


if __name__ == "__main__":
    sys.exit(main())
