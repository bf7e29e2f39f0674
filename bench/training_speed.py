"""Training speed on the CPU: ours compared with transformers' Trainer and litgpt's model; same shapes, weights, tokens, threads.

    python -m bench.training_speed [--sizes 1.3M 10M] [--threads 2] [--rounds 20] [--by wall]

Each system takes real steps with AdamW (forward, backward, clipping, update) on the same batches from the same weights:

- `transformers, as it comes`: `Trainer` with the defaults of its TrainingArguments, float32, the process's own allocator
- `transformers, best`: the fastest of a grid over dtype, compilation, attention and allocator, in `Trainer`, and the same
  setting in a bare loop without overhead
- `litgpt, best`: litgpt's GPT as a Phi in a bare loop, over the same grid (it has one attention)
- `ours`: the whole `python -m components.training` with Lightning and callbacks; also with torch.compile, and with its default
  optimizer (Muon)

The grid is measured first, then the best of each system and ours: one step each in turn, `--rounds` times. A check ensures
equal work: equal numbers of parameters, the same loss at the first step and, except for rounding, after the last. Weights are
always float32: weights in bfloat16 without a float32 copy lose quality, and are not compared.
"""

import contextlib
import itertools
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.common import (
    RATE,
    Contender,
    Report,
    Row,
    Steps,
    allocator,
    lockstep,
    machine,
    missing_peer,
    parse,
    parser,
    rates,
    times_faster,
)

MODULE = "bench.training_speed"
LEARNING_RATE = 1e-3
SETTLE = 4  # steps that are not counted: caches fill, compilation happens
GRID_ROUNDS = 6


@dataclass(frozen=True)
class Variant:
    """A system with its settings."""

    system: str  # trainer, transformers (bare loop), litgpt (bare loop), ours
    dtype: str = "autocast"  # float32, or bfloat16 activations of float32 weights
    compile: bool = False
    attention: str = "sdpa"  # of transformers
    allocator: str = "default"  # ours sets its own
    optimizer: str = "adamw"

    def __str__(self) -> str:
        parts = [{"float32": "fp32", "autocast": "bf16"}[self.dtype]]
        parts += ["compile"] if self.compile else []
        parts += [self.attention] if self.system in ("trainer", "transformers") else []
        parts += [self.allocator] if self.system != "ours" else [self.optimizer]
        loop = {"trainer": "Trainer", "transformers": "loop", "litgpt": "loop", "ours": "Lightning"}[self.system]
        return ", ".join([loop, *parts])


AS_IT_COMES = Variant("trainer", dtype="float32")


def main() -> int:
    options = parser(__doc__, threads=2, rounds=20)
    options.add_argument("--sizes", nargs="+", default=["1.3M", "10M"], help="models")
    options.add_argument("--sequences", type=int, default=8, help="sequences per step")
    options.add_argument("--by", choices=("wall", "cpu"), default="wall", help="time for ratios and the grid")
    options.add_argument("--grid", choices=("full", "none"), default="full", help="none: take settings that did well")
    arguments = parse(options, child)
    settings = machine(arguments.threads) | {"tokens per step": f"{arguments.sequences} sequences", "by": arguments.by}
    report = Report("Training speed", settings)
    report.measurements = {}
    if absent := missing_peer("litgpt"):
        report.note(absent)
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.sizes:
            report.measurements[size] = compare(size, Path(folder), arguments, report)
    return report.finish(arguments)


def compare(size: str, folder: Path, arguments: Any, report: Report) -> Row:
    """Measure one size and write its table."""
    from bench.corpus import random_tokens
    from bench.models import SIZES

    batch = arguments.sequences * SIZES[size].positions
    longest = SETTLE + max(arguments.rounds, GRID_ROUNDS) + 2
    tokens = random_tokens(folder / size, SIZES[size].vocabulary, (longest + 1) * batch, validation=2 * batch)
    common = {"size": size, "tokens": str(tokens), "threads": arguments.threads, "sequences": arguments.sequences}

    def run(variants: dict[str, Variant], rounds: int) -> dict[str, Row]:
        spec = common | {"steps": SETTLE + rounds + 1}
        started = {name: Contender(spec | {"variant": asdict(v)}, environment(v)) for name, v in variants.items()}
        rows = lockstep(MODULE, started, rounds, SETTLE)
        rates(rows, batch)
        return rows

    systems = ["trainer"] + ([] if missing_peer("litgpt") else ["litgpt"])
    tried = {system: best_of(system, run, arguments) for system in systems}
    named = contenders({system: found[0][0] for system, found in tried.items()})
    rows = run(named, arguments.rounds)
    check_equal_work(rows)
    write(size, named, rows, arguments.by, report)
    grid = {system: [{"variant": str(v)} | row for v, row in found] for system, found in tried.items()}
    return {"grid": grid, "contenders": rows, "variants": {name: str(v) for name, v in named.items()}}


def environment(variant: Variant) -> dict[str, str]:
    """Ours is started unchanged and sets its allocator itself."""
    return {} if variant.system == "ours" else allocator(variant.allocator)


def best_of(system: str, run: Any, arguments: Any) -> list[tuple[Variant, Row]]:
    """All settings of a system, fastest first: the grid with one allocator, then the fastest with the others."""
    if arguments.grid == "none":
        return [(Variant(system, "autocast", True, "eager" if system == "trainer" else "sdpa", "jemalloc"), {})]
    attentions = ("sdpa", "eager") if system == "trainer" else ("sdpa",)
    grid = [
        Variant(system, dtype, compiled, attention, "keeping")
        for dtype, compiled, attention in itertools.product(("float32", "autocast"), (False, True), attentions)
    ]

    def trial(variants: list[Variant]) -> list[tuple[Variant, Row]]:
        rows = run({str(v): v for v in variants}, GRID_ROUNDS)
        return sorted(((v, rows[str(v)]) for v in variants), key=lambda pair: -pair[1][RATE[arguments.by]])

    found = trial(grid)
    best = asdict(found[0][0])
    again = trial([Variant(**best | {"allocator": name}) for name in ("keeping", "jemalloc", "default")])
    return [*again, *found[1:]]


def contenders(best: dict[str, Variant]) -> dict[str, Variant]:
    """The contenders, by name in the table."""
    named = {"transformers, as it comes": AS_IT_COMES, "transformers, best": best["trainer"]}
    named["transformers, best, bare loop"] = Variant(**asdict(best["trainer"]) | {"system": "transformers"})
    if "litgpt" in best:
        named["litgpt, best"] = best["litgpt"]
    named["ours"] = Variant("ours")
    named["ours, compiled"] = Variant("ours", compile=True)
    named["ours, Muon"] = Variant("ours", optimizer="muon")
    return named


def check_equal_work(rows: dict[str, Row]) -> None:
    """Raise AssertionError unless all have trained the same model on the same tokens."""
    assert len({row["parameters"] for row in rows.values()}) == 1, {n: r["parameters"] for n, r in rows.items()}
    for key in ("first_loss", "last_loss"):
        losses = {name: row[key] for name, row in rows.items() if key == "first_loss" or "Muon" not in name}
        assert max(losses.values()) - min(losses.values()) < 0.05, (key, losses)
    for name, row in rows.items():
        assert row["last_loss"] < row["first_loss"], (name, row)


def write(size: str, named: dict[str, Variant], rows: dict[str, Row], by: str, report: Report) -> None:
    ours = min(("ours", "ours, compiled"), key=lambda name: -rows[name][RATE[by]])
    for name, row in rows.items():
        row |= {"setting": str(named[name]), "peak": round(row["peak_mb"])}
        row |= {"ours": times_faster(rows, "ours", name, by), "best": times_faster(rows, ours, name, by)}
    columns = {"setting": "setting", "tokens_per_second": "tokens/s", "tokens_per_cpu_second": "tokens/CPU-s"}
    columns |= {"wall_ms": "ms", "cpu_ms": "CPU ms", "peak": "peak MB"}
    columns |= {"ours": "ours is x", "best": "ours, best is x", "last_loss": "loss"}
    report.table_of(f"{size}: {rows['ours']['parameters']:,} parameters", columns, rows)

    def over(*names: str) -> float | None:
        known = [times_faster(rows, ours, name, by) for name in names if name in rows]
        return min(known) if known else None

    report.target(f"{size}: ours over transformers as it comes", over("transformers, as it comes"), 2.7)
    best = over("transformers, best", "transformers, best, bare loop")
    report.target(f"{size}: ours over transformers' best", best, 1.2)
    report.target(f"{size}: ours over litgpt's best", over("litgpt, best"), 1.15)


def child(spec: Row) -> Row:
    """One measurement: `steps` steps of a variant, in this process."""
    variant = Variant(**spec["variant"])
    if variant.system == "ours":
        from components.phi import machine as ours_machine

        ours_machine.prepare(spec["threads"])
    import torch

    torch.set_num_threads(spec["threads"])
    run = {"ours": run_ours, "trainer": run_trainer}.get(variant.system, run_loop)
    with contextlib.redirect_stdout(sys.stderr):  # the last line of stdout is the result
        steps, losses, parameters = run(variant, spec)
    return steps.row() | {"first_loss": losses[0], "last_loss": losses[-1], "parameters": parameters}


def loader_of(spec: Row, steps: Steps | None = None) -> Any:
    """Our loader over the tokens, with a border before each batch; all systems get the same batches in the same order."""
    from bench.models import SIZES
    from bench.ours import bordered, open_loader

    loader = open_loader(Path(spec["tokens"]), SIZES[spec["size"]], spec["sequences"], spec["steps"])
    return loader if steps is None else bordered(loader, steps.border)


def run_ours(variant: Variant, spec: Row) -> tuple[Steps, list[float], int]:
    """As `python -m components.training` does it, from tokens to checkpoint."""
    import torch

    from bench.models import SIZES, ours, parameters
    from bench.ours import run_training, settings_of

    size = SIZES[spec["size"]]
    # As Trainer's defaults, at a constant learning rate.
    plain = {"beta2": 0.999, "weight_decay": 0.0, "warmup_fraction": 0.0, "decay_fraction": 0.0}
    precision = "float32" if variant.dtype == "float32" else "auto"
    chosen = {"optimizer": variant.optimizer, "compile": variant.compile, "precision": precision}
    settings = settings_of(size, spec["sequences"], spec["threads"], **plain, **chosen)
    steps = Steps()
    trained = run_training(Path(spec["tokens"]), size, settings, spec["steps"], LEARNING_RATE, steps.border)
    with torch.no_grad():
        losses = [float(ours(size, trained.dtype).loss(*_batch(spec, 0))), float(trained.loss(*_batch(spec, -1)))]
    return steps, losses, parameters(trained)


def _batch(spec: Row, place: int) -> tuple[Any, Any]:
    """Tokens and targets of the first (0) or the last (-1) batch."""
    batch = list(loader_of(spec))[place]
    return batch.tokens, batch.targets


def run_loop(variant: Variant, spec: Row) -> tuple[Steps, list[float], int]:
    """A bare loop: autocast, fused AdamW, clipping, nothing else."""
    import torch

    from bench.models import SIZES, litgpt_model, loss_function, parameters, transformers_model

    size = SIZES[spec["size"]]
    model = litgpt_model(size) if variant.system == "litgpt" else transformers_model(size, variant.attention)
    model.train()
    step = torch.compile(model, dynamic=False) if variant.compile else model
    loss_of = loss_function(variant.system, step)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    steps = Steps()
    cast = torch.autocast("cpu", torch.bfloat16, enabled=variant.dtype == "autocast")
    with cast:
        losses = [float(loss_of(*_batch(spec, 0)))]
    for batch in loader_of(spec, steps):
        with cast:
            loss = loss_of(batch.tokens, batch.targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
    with torch.no_grad(), cast:
        losses.append(float(loss_of(*_batch(spec, -1))))
    return steps, losses, parameters(model)


def run_trainer(variant: Variant, spec: Row) -> tuple[Steps, list[float], int]:
    """transformers' Trainer with its defaults, except for the given options, the learning rate and the number of steps."""
    import torch

    from bench.common import add_peers
    from bench.models import SIZES, loss_function, parameters, transformers_model

    add_peers()  # accelerate, which Trainer needs
    from transformers import Trainer, TrainerCallback, TrainingArguments

    steps = Steps()

    class Stamp(TrainerCallback):
        def on_step_begin(self, *unused: Any, **ignored: Any) -> None:
            steps.border()

    model = transformers_model(SIZES[spec["size"]], variant.attention)
    cast = torch.autocast("cpu", torch.bfloat16, enabled=variant.dtype == "autocast")
    with torch.no_grad(), cast:
        first = float(loss_function("transformers", model)(*_batch(spec, 0)))
    # A user's labels are the tokens themselves; transformers shifts them, which leaves out one target a sequence.
    rows = [{"input_ids": row, "labels": row} for batch in loader_of(spec) for row in batch.tokens]
    chosen: Row = {"bf16": True, "use_cpu": True} if variant.dtype == "autocast" else {}  # otherwise it requires a GPU
    chosen |= {"torch_compile": True} if variant.compile else {}
    with tempfile.TemporaryDirectory() as folder:
        training = TrainingArguments(
            output_dir=folder,
            report_to="none",
            per_device_train_batch_size=spec["sequences"],
            max_steps=spec["steps"],
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            **chosen,
        )
        trainer = Trainer(model=model, args=training, train_dataset=rows, callbacks=[Stamp()])
        trainer._get_train_sampler = lambda *unused: torch.utils.data.SequentialSampler(rows)  # the same order for all
        trainer.train()
    with torch.no_grad(), cast:
        last = float(loss_function("transformers", model)(*_batch(spec, -1)))
    return steps, [first, last], parameters(model)


if __name__ == "__main__":
    sys.exit(main())
