"""The distance of `--size` from a swept optimum: the rule's learning rate and batch beside others, at equal tokens.

    python -m bench.sizing FOLDER CORPUS [CORPUS ...] [--sizes 0.3M 1M 3M] [--threads 2] [--share 1.0]

Each CORPUS is a file or folder of text. It is read, curated and tokenized with the vocabulary that the rule gives it, once; the
smaller model of each size is then trained from tokens to checkpoint by `python -m components.training`:

- with the rule's batch and each learning rate of `--rates`, as multiples of the rule's; while the best is the lowest or the
  highest tried, here or by an earlier run in FOLDER, the sweep goes on in that direction
- with half and twice the batch, at the best of these rates times the root of the change

FOLDER keeps the tokens and every loss (`losses.jsonl`), so a run that is stopped goes on from there. `--share` takes a part of
each budget, for a trial. The target is a gap of at most 0.02 nats per token at every size and corpus.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.common import Report, Row, machine, parser
from bench.corpus import text_tokens
from bench.optimizers import train_once
from components.params.sizing import WIDTHS, plan

GAP = 0.02  # nats per token over the best of the sweep, at most
STEP = 2**0.5  # from one learning rate to the next beyond those given
BATCHES = (0.5, 2.0)  # of the rule's
LOSSES = "losses.jsonl"


def main() -> int:
    options = parser(__doc__, threads=2)
    options.add_argument("folder", type=Path, help="where tokens and losses are kept")
    options.add_argument("corpora", type=Path, nargs="+", metavar="CORPUS", help="file or folder of text")
    options.add_argument("--sizes", nargs="+", choices=list(WIDTHS), default=["0.3M", "1M", "3M"])
    options.add_argument(
        "--rates", type=float, nargs="+", default=[0.7, 1.0, 1.4], help="learning rates to try, as shares of the rule's"
    )
    options.add_argument("--share", type=float, default=1.0, help="share of each budget to spend")
    options.add_argument("--seed", type=int, default=1)
    arguments = options.parse_args()
    if 1.0 not in arguments.rates:
        options.error("--rates: give 1.0 as well, which is the rule itself")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    report = Report(
        "Sizes against a swept optimum", machine(arguments.threads) | {"share of the budget": arguments.share}
    )
    rows = [
        row for corpus in arguments.corpora for size in arguments.sizes for row in [measure(corpus, size, arguments)]
    ]
    report.table("Held-out loss of the smaller model, nats per token", list(rows[0]), [[*row.values()] for row in rows])
    report.target("largest gap, nats per token", max(row["gap"] for row in rows), GAP, at_least=False)
    report.measurements = rows
    return report.finish(arguments)


def measure(corpus: Path, size: str, arguments: Any) -> Row:
    """The rule's loss on a corpus at a size, and the best of the sweep."""
    text_bytes = sum(
        path.stat().st_size for path in ([corpus] if corpus.is_file() else corpus.rglob("*")) if path.is_file()
    )
    rule = plan(text_bytes, arguments.threads, size).overlay
    name = f"{corpus.stem}-{size}"
    tokens = text_tokens(arguments.folder.resolve() / name, corpus.resolve(), rule["tokenization.vocab_size"])
    loss, known = trainer(rule, tokens, name, arguments)
    batch, rate = rule["training.batch_tokens"], rule["small.learning_rate"]
    by_rate = known(batch) | {times * rate: loss(batch, times * rate) for times in arguments.rates}
    while (best_rate := min(by_rate, key=by_rate.__getitem__)) in (min(by_rate), max(by_rate)):
        beyond = best_rate * (STEP if best_rate == max(by_rate) else 1 / STEP)
        by_rate[beyond] = loss(batch, beyond)
    losses = {(batch, tried): value for tried, value in by_rate.items()}
    for times in BATCHES:
        place = (int(times * batch), times**0.5 * best_rate)
        losses[place] = loss(*place)
    best = min(losses, key=losses.__getitem__)
    of_rule = losses[batch, 1.0 * rate]
    row = {"corpus": corpus.stem, "size": size, "tokens": int(arguments.share * rule["small.tokens"])}
    row |= {"rule: batch": batch, "rule: rate": rate, "rule: loss": of_rule}
    row |= {"best: batch": best[0], "best: rate": best[1], "best: loss": losses[best]}
    return row | {"gap": of_rule - losses[best]}


def trainer(
    rule: Row, tokens: Path, name: str, arguments: Any
) -> tuple[Callable[[int, float], float], Callable[[int], dict[float, float]]]:
    """Two functions: the held-out loss with a batch and a learning rate, trained once for each; and of a batch, the losses that
    are known by now, by learning rate."""
    kept = arguments.folder / LOSSES
    done = {}
    if kept.is_file():
        rows = map(json.loads, kept.read_text(encoding="utf-8").splitlines())
        done = {tuple(row["run"]): row["loss"] for row in rows}
    kept_as_ruled = ("small.model.", "training.weight_decay")
    settings = {key: value for key, value in rule.items() if key.startswith(kept_as_ruled)}
    settings |= {"small.tokens": int(arguments.share * rule["small.tokens"]), "training.validations": 1}
    settings |= {"seed": arguments.seed, "training.threads": arguments.threads, "training.validation_tokens": 10**6}

    def loss(batch: int, rate: float) -> float:
        run = (name, settings["small.tokens"], arguments.seed, batch, rate)
        if run not in done:
            own = {
                "small.learning_rate": rate,
                "training.batch_tokens": batch,
                "training.micro_batch_tokens": min(batch, 2048),
            }
            with tempfile.TemporaryDirectory() as scratch:
                done[run] = train_once(settings | own, [], tokens, Path(scratch))["validation_loss"]
            with open(kept, "a", encoding="utf-8") as file:
                file.write(json.dumps({"run": run, "loss": done[run]}) + "\n")
            print(f"  {run}: {done[run]:.4f}", file=sys.stderr, flush=True)
        return done[run]

    def known(batch: int) -> dict[float, float]:
        alike = (name, settings["small.tokens"], arguments.seed, batch)
        return {run[-1]: value for run, value in done.items() if run[:-1] == alike}

    return loss, known


if __name__ == "__main__":
    sys.exit(main())
