"""The time around the training step: Lightning's own time per step, and the loader's speed alone.

    python -m bench.overhead [--size 1.3M] [--threads 2] [--rounds 100]

Three ways to take the same steps at one sequence per batch, in turn: a bare loop (loss, backward, clipping, optimizer,
schedule), Lightning's Trainer around the same module without our callbacks, and `python -m components.training` unchanged.
Lightning's overhead is the second less the first, CPU milliseconds per step. The loader is then read with nothing behind it,
and compared with the tokens per second that a training at the default batch reaches.
"""

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.common import Contender, Report, Row, Steps, lockstep, machine, parse, parser, rates

MODULE = "bench.overhead"
SETTLE = 10
LEARNING_RATE = 1e-3
WAYS = {
    "bare": "bare loop",
    "lightning": "Lightning's Trainer",
    "ours": "components.training",
    "full": "at 8 sequences",
}


def main() -> int:
    options = parser(__doc__, threads=2, rounds=100)
    options.add_argument("--size", default="1.3M", help="model")
    arguments = parse(options, child)
    from bench.corpus import random_tokens
    from bench.models import SIZES

    size = SIZES[arguments.size]
    report = Report("Overhead", machine(arguments.threads) | {"model": arguments.size})
    with tempfile.TemporaryDirectory() as folder:
        tokens = random_tokens(Path(folder) / "tokens", size.vocabulary, 2000 * size.positions)
        spec = {"size": arguments.size, "tokens": str(tokens), "threads": arguments.threads}
        few = spec | {"steps": SETTLE + arguments.rounds + 1, "sequences": 1}
        rows = lockstep(MODULE, {w: Contender(few | {"way": w}) for w in list(WAYS)[:3]}, arguments.rounds, SETTLE)
        rates(rows, size.positions)
        rounds = max(4, arguments.rounds // 8)
        many = spec | {"steps": SETTLE + rounds + 1, "sequences": 8, "way": "ours"}
        full = lockstep(MODULE, {"full": Contender(many)}, rounds, SETTLE)
        rates(full, 8 * size.positions)
        loader = loader_alone(tokens, size)
    write(report, rows | full, loader)
    report.measurements = rows | full | {"loader": loader}
    return report.finish(arguments)


def write(report: Report, rows: dict[str, Row], loader: Row) -> None:
    base = rows["bare"]["cpu_ms"]
    over = {way: rows[way]["cpu_ms"] - base for way in rows if way != "full"}
    columns = {"tokens_per_second": "tokens/s", "wall_ms": "ms", "cpu_ms": "CPU ms", "over": "CPU ms over the loop"}
    shown = {WAYS[way]: row | {"over": over.get(way)} for way, row in rows.items()}
    report.table_of("Steps of one sequence", columns, shown)
    rate = loader["tokens_per_second"]
    report.table("Loader with nothing behind it", ["", "tokens/s"], [["loader", rate]])
    report.target("Lightning over a bare loop, CPU ms per step", over["lightning"], 3.0, at_least=False)
    report.target("loader over the training's rate", rate / rows["full"]["tokens_per_second"], 20.0)


def loader_alone(tokens: Path, size: Any, batches: int = 400) -> Row:
    """Tokens a second of the loader at the default batch: the median of five passes."""
    import statistics
    import time

    from bench.ours import open_loader

    seconds = []
    for _ in range(5):
        loader = open_loader(tokens, size, 8, batches)
        started = time.perf_counter()
        count = sum(batch.tokens.numel() for batch in loader)
        seconds.append((time.perf_counter() - started) / count)
    return {"tokens_per_second": 1 / statistics.median(seconds)}


def child(spec: Row) -> Row:
    """One way to take the steps, in this process."""
    from components.phi import machine as ours_machine

    ours_machine.prepare(spec["threads"])
    steps = Steps()
    with contextlib.redirect_stdout(sys.stderr):
        if spec["way"] == "ours":
            _by_the_step(spec, steps)
        else:
            _by_hand(spec, steps, lightning=spec["way"] == "lightning")
    return steps.row()


def _by_the_step(spec: Row, steps: Steps) -> None:
    from bench.models import SIZES
    from bench.ours import run_training, settings_of

    size = SIZES[spec["size"]]
    settings = settings_of(size, spec["sequences"], spec["threads"], optimizer="adamw")
    run_training(Path(spec["tokens"]), size, settings, spec["steps"], LEARNING_RATE, steps.border)


def _by_hand(spec: Row, steps: Steps, lightning: bool) -> None:
    """The module's own optimizer, schedule and loss: under Lightning's Trainer, or in a loop."""
    import torch

    from bench.models import SIZES, ours
    from bench.ours import bordered, open_loader, settings_of
    from components.phi.machine import activation_dtype
    from components.training.module import PhiTraining
    from components.training.start import Start
    from components.training.trainer import quiet_trainer

    size = SIZES[spec["size"]]
    settings = settings_of(size, spec["sequences"], spec["threads"], optimizer="adamw")
    loader = bordered(open_loader(Path(spec["tokens"]), size, spec["sequences"], spec["steps"]), steps.border)
    model = ours(size, activation_dtype("auto")).train()
    module = PhiTraining(Start(model), settings, LEARNING_RATE, spec["steps"], str)
    if lightning:
        quiet_trainer(settings).fit(module, train_dataloaders=loader)
        return
    made = module.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    for batch in loader:
        loss = model.loss(batch.tokens, batch.targets)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
        assert bool(torch.isfinite(loss)), loss  # the module looks at both as well
        assert bool(torch.isfinite(norm)), norm
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()


if __name__ == "__main__":
    sys.exit(main())
