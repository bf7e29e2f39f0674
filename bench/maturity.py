"""Growth or more training: at which maturity of the small model does a larger one make better use of the same FLOPs?

    python -m bench.maturity --tokens data/tokens [--small-tokens 1.5 6 18] [--large-tokens 0.7 1.4 2.8] [--seeds 1]
                             [--rates 0.002 0.004] [--workers 2] [--work .phiforge/maturity]

A small model is trained to the end of its decay for each number of tokens of --small-tokens (millions): its maturity. From each
it continues in two ways, for each budget of --large-tokens: grown by `exact` and trained for that many tokens, or trained
further in its own shape for as many FLOPs. Both see the batches of their seed in the same order and end with their
schedule. Each way has the better of --rates, chosen by the loss with the first seed. The output is the validation loss after
growth minus that after more training, with a 95% interval if there are several seeds; below zero, growth is better.

Each training has one thread, and its result is stored in --work, so that a stopped run resumes, and more maturities,
budgets or seeds extend earlier results.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.common import ROOT, Report, Row, machine, parser, step

WIDTH_32 = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
WIDTH_128 = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4}
SMALL = WIDTH_32 | {"partial_rotary_factor": 0.5}  # 8 rotary dimensions of 16
LARGE = WIDTH_128 | {"partial_rotary_factor": 0.25}  # 8 rotary dimensions of 32
GROWN, TRAINED_ON = WAYS = ("grown", "trained on")


@dataclass(frozen=True)
class Cell:
    """One training after the small model's own.

    Attributes:
        way: GROWN or TRAINED_ON.
        maturity: tokens of the small model before.
        budget: tokens of the larger model; TRAINED_ON spends as many FLOPs.
    """

    way: str
    maturity: int
    budget: int
    seed: int
    rate: float


class Bench:
    """Trains missing models in `work`, and has the results.

    Args:
        tokens: folder of token shards.
        small_rate: peak learning rate of the small model's first training.
    """

    def __init__(self, tokens: Path, work: Path, small_rate: float) -> None:
        self.tokens, self.small_rate = tokens.resolve(), small_rate
        manifest = json.loads((tokens / "manifest.json").read_text(encoding="utf-8"))
        self.work = work.resolve() / _digest(manifest["fingerprint"], small_rate, SMALL, LARGE)
        self.work.mkdir(parents=True, exist_ok=True)

    def small(self, maturity: int, seed: int) -> Path:
        """The small model, trained for `maturity` tokens; its checkpoint."""
        checkpoint = self.work / f"small-{maturity}-{seed}"
        if not checkpoint.exists():
            self._train("small", maturity, self.small_rate, seed, checkpoint)
        return checkpoint

    def loss(self, cell: Cell) -> dict[str, Any]:
        """Summary of a training: `validation_loss`, `tokens`, `flops`."""
        kept = self.work / f"cell-{_digest(vars(cell))}.json"
        if kept.exists():
            return json.loads(kept.read_text(encoding="utf-8"))
        small = self.small(cell.maturity, cell.seed)
        scratch = self.work / f"scratch-{_digest(vars(cell))}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        if cell.way == GROWN:
            grown = scratch / "grown"
            paths = {"source": small, "target": "large", "operator": "exact", "output": grown}
            step("transfer", _settings(cell.seed, "large", {}), **paths)
            found = self._train("large", cell.budget, cell.rate, cell.seed, scratch / "model", initial=grown)
        else:
            tokens = round(cell.budget * flops_per_token(LARGE, small) / flops_per_token(SMALL, small))
            found = self._train("small", tokens, cell.rate, cell.seed, scratch / "model", initial=small)
        kept.write_text(json.dumps(found | vars(cell)), encoding="utf-8")
        shutil.rmtree(scratch)
        return found

    def _train(self, section: str, tokens: int, rate: float, seed: int, checkpoint: Path, **initial: Path) -> Row:
        settings = _settings(seed, section, {"tokens": tokens, "learning_rate": rate})
        return step("training", settings, model=section, tokens=self.tokens, output=checkpoint, **initial)


def flops_per_token(shape: dict[str, Any], like: Path) -> int:
    """Training FLOPs per token of a shape with the vocabulary and context of a checkpoint."""
    from components.params import ModelShape
    from components.phi import checkpoint
    from components.phi.model import PhiConfig

    config = checkpoint.read_config(like)
    found = PhiConfig.from_shape(ModelShape(**shape), config.vocab_size, config.max_position_embeddings)
    return found.flops_per_token()


def best_rates(bench: Bench, cells: Sequence[Cell], pool: ThreadPoolExecutor) -> dict[tuple[str, int, int], Cell]:
    """The cell with the lowest loss for each way, maturity and budget."""
    best: dict[tuple[str, int, int], tuple[float, Cell]] = {}
    for cell, found in zip(cells, pool.map(bench.loss, cells), strict=True):
        key, loss = (cell.way, cell.maturity, cell.budget), found["validation_loss"]
        if key not in best or loss < best[key][0]:
            best[key] = (loss, cell)
        print(f"{cell.way}, {cell.maturity / 1e6:g}M + {cell.budget / 1e6:g}M, {cell.rate:g}: {loss:.4f}", flush=True)
    return {key: cell for key, (_, cell) in best.items()}


def _settings(seed: int, section: str, more: Row) -> Row:
    values = {"seed": seed, "training.threads": 1, "transfer.threads": 1}
    values |= {"training.checkpoint_minutes": 0, "training.validations": 4}
    values |= {f"{section}.model.{name}": value for name, value in (SMALL if section == "small" else LARGE).items()}
    return values | {f"{section}.{name}": value for name, value in more.items()}


def _digest(*facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _interval(differences: Sequence[float]) -> str:
    from components.study.statistics import interval

    found = interval(differences)
    return f"{found.mean:+.4f}" + (f" ± {found.mean - found.low:.4f}" if found.low is not None else "")


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--tokens", type=Path, default=ROOT / "data" / "tokens", help="folder of token shards")
    arguments.add_argument("--small-tokens", type=float, nargs="+", default=[1.5, 6.0, 18.0], help="in millions")
    arguments.add_argument("--large-tokens", type=float, nargs="+", default=[0.7, 1.4, 2.8], help="in millions")
    arguments.add_argument("--seeds", type=int, nargs="+", default=[1], help="the first chooses the rates")
    arguments.add_argument("--rates", type=float, nargs="+", default=[0.002, 0.004], help="peaks after growth")
    arguments.add_argument("--small-rate", type=float, default=0.01, help="peak of the small model's own training")
    arguments.add_argument("--workers", type=int, default=2, help="concurrent trainings, one thread each")
    arguments.add_argument("--work", type=Path, default=ROOT / ".phiforge" / "maturity", help="where results are kept")
    options = arguments.parse_args()
    bench = Bench(options.tokens, options.work, options.small_rate)
    maturities = [round(1e6 * millions) for millions in options.small_tokens]
    places = [(maturity, round(1e6 * millions)) for maturity in maturities for millions in options.large_tokens]
    first = options.seeds[0]
    with ThreadPoolExecutor(options.workers) as pool:
        smalls = [(maturity, seed) for maturity in sorted(maturities, reverse=True) for seed in options.seeds]
        list(pool.map(lambda each: bench.small(*each), smalls))
        trials = [Cell(way, *at, first, rate) for at in places for way in WAYS for rate in options.rates]
        best = best_rates(bench, trials, pool)
        rows = [_row(bench, pool, [best[way, *at] for way in WAYS], options.seeds) for at in places]
    report = Report("Growth or more training, at equal added FLOPs", machine(threads=1))
    columns = ["small model's tokens", "larger model's tokens", *WAYS, "grown minus trained on", "rates"]
    report.table(f"validation loss at the end of the decay, seeds {options.seeds}", columns, rows)
    return report.finish(options)


def _row(bench: Bench, pool: ThreadPoolExecutor, chosen: Sequence[Cell], seeds: Sequence[int]) -> list[Any]:
    losses = []
    for cell in chosen:
        found = pool.map(bench.loss, [replace(cell, seed=seed) for seed in seeds])
        losses.append([each["validation_loss"] for each in found])
    differences = [ours - theirs for ours, theirs in zip(*losses, strict=True)]
    means = [f"{sum(each) / len(each):.4f}" for each in losses]
    rates = ", ".join(f"{cell.rate:g}" for cell in chosen)
    return [f"{chosen[0].maturity:,}", f"{chosen[0].budget:,}", *means, _interval(differences), rates]


if __name__ == "__main__":
    sys.exit(main())
