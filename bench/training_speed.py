"""Training speed on the CPU: ours beside transformers' Trainer and litgpt's model, same shapes, weights, tokens, threads.

    python -m bench.training_speed [--sizes 1.3M 10M] [--threads 2] [--rounds 3] [--by wall]

Each system takes real steps with AdamW (forward, backward, clipping, update) on the same batches from the same weights:

- `transformers, as it comes`: `Trainer` with the defaults of its TrainingArguments, float32, the process's own allocator
- `transformers, best`: the fastest of a grid over dtype, compilation, attention and allocator, in `Trainer`, and the same
  setting in a bare loop, where it has no overhead at all
- `litgpt, best`: litgpt's GPT as a Phi in a bare loop, over the same grid (it has one attention)
- `ours`: what `python -m components.training` runs, Lightning and callbacks and all; with torch.compile, and with its
  default optimizer (Muon), too

The grid is measured once, then the best of each system and ours are measured in turn, `--rounds` times; medians count.
That the work is equal is checked: as many parameters, the same loss at the first step and, within rounding, after the
last. Weights are float32 throughout: weights in bfloat16 without a float32 copy lose quality, and are not counted.
"""

import contextlib
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.common import Report, Row, Stamps, allocator, interleave, machine, measure, median, missing_peer, parser

MODULE = "bench.training_speed"
LEARNING_RATE = 1e-3
SETTLE = 4  # steps that are not counted: caches fill, compilation happens
RATE = {"wall": "tokens_per_second", "cpu": "tokens_per_cpu_second"}


@dataclass(frozen=True)
class Variant:
    """A system with its settings."""

    system: str  # trainer, transformers (bare loop), litgpt (bare loop), ours
    dtype: str = "autocast"  # float32, or bfloat16 activations of float32 weights
    compile: bool = False
    attention: str = "sdpa"  # of transformers
    allocator: str = "default"  # for ours: whatever it sets itself
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
    options = parser(__doc__)
    options.add_argument("--sizes", nargs="+", default=["1.3M", "10M"], help="models (default %(default)s)")
    options.add_argument("--steps", type=int, default=16, help="steps that count (default %(default)s)")
    options.add_argument("--sequences", type=int, default=8, help="sequences a step (default %(default)s)")
    options.add_argument("--by", choices=("wall", "cpu"), default="wall", help="what ratios and the grid go by")
    options.add_argument("--grid", choices=("full", "none"), default="full", help="none: take settings that did well")
    arguments = options.parse_args()
    if arguments.child:
        print(json.dumps(child(json.loads(arguments.child))))
        return 0
    settings = machine(arguments.threads) | {"tokens a step": f"{arguments.sequences} sequences", "by": arguments.by}
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

    length, batch = SIZES[size].positions, arguments.sequences * SIZES[size].positions
    steps = SETTLE + arguments.steps
    tokens = random_tokens(folder / size, SIZES[size].vocabulary, (steps + 1) * batch + 1, validation=4 * length)
    common = {"size": size, "tokens": str(tokens), "steps": steps, "threads": arguments.threads}
    common["sequences"] = arguments.sequences

    def once(variant: Variant) -> Row:
        environment = {} if variant.system == "ours" else allocator(variant.allocator)
        return measure(MODULE, common | {"variant": asdict(variant)}, environment)

    systems = ["trainer"] + ([] if missing_peer("litgpt") else ["litgpt"])
    tried = {system: best_of(system, once, arguments) for system in systems}
    named = contenders({system: rows[0][0] for system, rows in tried.items()})
    rows = interleave(list(named), lambda name: once(named[name]), arguments.rounds)
    check_equal_work(rows)
    write(size, named, rows, arguments.by, report)
    grid = {system: [{"variant": str(v)} | row for v, row in found] for system, found in tried.items()}
    return {"grid": grid, "rounds": rows, "variants": {name: str(v) for name, v in named.items()}}


def best_of(system: str, once: Any, arguments: Any) -> list[tuple[Variant, Row]]:
    """All settings of a system, fastest first: the grid with one allocator, then the fastest with the others."""
    if arguments.grid == "none":
        return [(Variant(system, compile=system == "litgpt", allocator="jemalloc"), {})]
    attentions = ("sdpa", "eager") if system == "trainer" else ("sdpa",)
    grid = [
        Variant(system, dtype, compiled, attention, "keeping")
        for dtype, compiled, attention in itertools.product(("float32", "autocast"), (False, True), attentions)
    ]

    def rate(pair: tuple[Variant, Row]) -> float:
        return -pair[1][RATE[arguments.by]]

    def trial(variant: Variant) -> tuple[Variant, Row]:
        row = once(variant)
        print(f"  {system}: {variant}: {row[RATE[arguments.by]]:,.0f}", file=sys.stderr, flush=True)
        return variant, row

    found = sorted(map(trial, grid), key=rate)
    best = asdict(found[0][0])
    others = [Variant(**best | {"allocator": name}) for name in ("jemalloc", "default")]
    return sorted([*found, *map(trial, others)], key=rate)


def contenders(best: dict[str, Variant]) -> dict[str, Variant]:
    """What is measured in turn, by the name in the table."""
    named = {"transformers, as it comes": AS_IT_COMES, "transformers, best": best["trainer"]}
    named["transformers, best, bare loop"] = Variant(**asdict(best["trainer"]) | {"system": "transformers"})
    if "litgpt" in best:
        named["litgpt, best"] = best["litgpt"]
    named["ours"] = Variant("ours")
    named["ours, compiled"] = Variant("ours", compile=True)
    named["ours, Muon"] = Variant("ours", optimizer="muon")
    return named


def check_equal_work(rows: dict[str, list[Row]]) -> None:
    """Raise AssertionError unless all have trained the same model on the same tokens."""
    first = {name: found[0] for name, found in rows.items()}
    assert len({row["parameters"] for row in first.values()}) == 1, {n: r["parameters"] for n, r in first.items()}
    for key in ("first_loss", "last_loss"):
        losses = {name: row[key] for name, row in first.items() if key == "first_loss" or "Muon" not in name}
        assert max(losses.values()) - min(losses.values()) < 0.05, (key, losses)
    for name, row in first.items():
        assert row["last_loss"] < row["first_loss"], (name, row)


def write(size: str, named: dict[str, Variant], rows: dict[str, list[Row]], by: str, report: Report) -> None:
    rate = {name: median(found, RATE[by]) for name, found in rows.items()}
    ours = max(rate["ours"], rate["ours, compiled"])
    table = [
        [
            name,
            str(named[name]),
            *(median(found, key) for key in ("tokens_per_second", "tokens_per_cpu_second", "wall_ms", "cpu_ms")),
            round(median(found, "peak_mb")),
            rate["ours"] / rate[name],
            ours / rate[name],
            found[0]["last_loss"],
        ]
        for name, found in rows.items()
    ]
    columns = [
        "",
        "setting",
        "tokens/s",
        "tokens/CPU-s",
        "ms",
        "CPU ms",
        "peak MB",
        "ours is x",
        "ours, best is x",
        "loss",
    ]
    report.table(f"{size}: {rows['ours'][0]['parameters']:,} parameters", columns, table)
    transformers = max(rate["transformers, best"], rate["transformers, best, bare loop"])
    report.target(f"{size}: ours over transformers as it comes", ours / rate["transformers, as it comes"], 2.7)
    report.target(f"{size}: ours over transformers' best", ours / transformers, 1.2)
    report.target(
        f"{size}: ours over litgpt's best", ours / rate["litgpt, best"] if "litgpt, best" in rate else None, 1.15
    )


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
        stamps, losses, parameters = run(variant, spec)
    row = stamps.row(SETTLE, spec["sequences"] * _positions(spec))
    return row | {"first_loss": losses[0], "last_loss": losses[-1], "parameters": parameters}


def _positions(spec: Row) -> int:
    from bench.models import SIZES

    return SIZES[spec["size"]].positions


def loader_of(spec: Row) -> Any:
    """Our loader over the tokens; every system gets its batches, in its order."""
    from components.tokens import Tokens
    from components.training.data import BatchLoader

    split = Tokens.open(Path(spec["tokens"])).split("train")
    return BatchLoader(split, _positions(spec), spec["sequences"], spec["steps"], seed=1)


def run_ours(variant: Variant, spec: Row) -> tuple[Stamps, list[float], int]:
    """As `python -m components.training` does it, with a validation before and after the steps that count."""
    import torch

    from bench.models import SIZES, ours, parameters
    from components.params import ModelParams, TrainingParams
    from components.phi import machine as ours_machine
    from components.tokens import Tokens
    from components.tracking import Tracker
    from components.training import train
    from components.training.callbacks import Curve
    from components.training.data import HeldOut

    size = SIZES[spec["size"]]
    batch = spec["sequences"] * size.positions
    plain = {
        "beta2": 0.999,
        "weight_decay": 0.0,
        "warmup_fraction": 0.0,
        "decay_fraction": 0.0,
    }  # as Trainer's defaults
    settings = TrainingParams(
        context_length=size.positions,
        batch_tokens=batch,
        micro_batch_tokens=batch,
        optimizer=variant.optimizer,
        compile=variant.compile,
        threads=spec["threads"],
        validations=1,
        validation_tokens=size.positions,
        **plain,
    )
    section = ModelParams(model=size.shape, tokens=spec["steps"] * batch, learning_rate=LEARNING_RATE)
    tokens = Tokens.open(Path(spec["tokens"]))
    precision = "float32" if variant.dtype == "float32" else "bfloat16"
    model = ours(size, ours_machine.activation_dtype(precision))
    loader = loader_of(spec)
    stamps = Stamps()
    loader.__class__ = type(
        "Stamped", (type(loader),), {"__iter__": lambda self: _stamped(type(self).__mro__[1], self, stamps)}
    )
    held_out = HeldOut.choose(tokens.split("validation"), size.positions, size.positions, batch)
    curve = Curve(held_out, Tracker(), batch, model.config.flops_per_token())
    first = float(model.loss(*_first_batch(spec)))
    trained = train.fit(model, section, settings, tokens, spec["steps"], loader, curve, Tracker())
    with torch.no_grad():
        last = float(trained.loss(*_last_batch(spec)))
    return stamps, [first, last], parameters(trained)


def _stamped(loader: type, instance: Any, stamps: Stamps) -> Iterator[Any]:
    for batch in loader.__iter__(instance):
        stamps.stamp()
        yield batch


def _first_batch(spec: Row) -> tuple[Any, Any]:
    batch = next(iter(loader_of(spec)))
    return batch.tokens, batch.targets


def _last_batch(spec: Row) -> tuple[Any, Any]:
    *_, batch = loader_of(spec)
    return batch.tokens, batch.targets


def run_loop(variant: Variant, spec: Row) -> tuple[Stamps, list[float], int]:
    """A bare loop: autocast, fused AdamW, clipping, nothing else."""
    import torch

    from bench.models import SIZES, litgpt_model, loss_function, parameters, transformers_model

    size = SIZES[spec["size"]]
    model = litgpt_model(size) if variant.system == "litgpt" else transformers_model(size, variant.attention)
    model.train()
    step = torch.compile(model, dynamic=False) if variant.compile else model
    loss_of = loss_function(variant.system, step)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    stamps = Stamps()
    cast = torch.autocast("cpu", torch.bfloat16, enabled=variant.dtype == "autocast")
    with cast:
        losses = [float(loss_of(*_first_batch(spec)))]
    for batch in loader_of(spec):
        stamps.stamp()
        with cast:
            loss = loss_of(batch.tokens, batch.targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
    with torch.no_grad(), cast:
        losses.append(float(loss_of(*_last_batch(spec))))
    return stamps, losses, parameters(model)


def run_trainer(variant: Variant, spec: Row) -> tuple[Stamps, list[float], int]:
    """transformers' Trainer; but for the learning rate and the number of steps, what is not named is its default."""
    import torch

    from bench.common import add_peers
    from bench.models import SIZES, loss_function, parameters, transformers_model

    add_peers()  # accelerate, which Trainer needs
    from transformers import Trainer, TrainerCallback, TrainingArguments

    stamps = Stamps()

    class Stamp(TrainerCallback):
        def on_step_begin(self, *unused: Any, **ignored: Any) -> None:
            stamps.stamp()

    model = transformers_model(SIZES[spec["size"]], variant.attention)
    cast = torch.autocast("cpu", torch.bfloat16, enabled=variant.dtype == "autocast")
    with torch.no_grad(), cast:
        first = float(loss_function("transformers", model)(*_first_batch(spec)))
    # A user's labels are the tokens themselves; transformers shifts them, which leaves out one target a sequence.
    rows = [{"input_ids": row, "labels": row} for batch in loader_of(spec) for row in batch.tokens]
    chosen: Row = (
        {"bf16": True, "use_cpu": True} if variant.dtype == "autocast" else {}
    )  # without use_cpu it asks for a GPU
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
        trainer = Trainer(model=model, args=training, train_dataset=InOrder(rows), callbacks=[Stamp()])
        trainer._get_train_sampler = lambda *unused: torch.utils.data.SequentialSampler(rows)  # the same order for all
        trainer.train()
    with torch.no_grad(), cast:
        last = float(loss_function("transformers", model)(*_last_batch(spec)))
    return stamps, [first, last], parameters(model)


class InOrder:
    """A data set in memory."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]


if __name__ == "__main__":
    sys.exit(main())
