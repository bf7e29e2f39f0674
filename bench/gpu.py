"""Training speed on one GPU: Phi-1.5's and Phi-2's shapes in bfloat16, ours beside transformers' and litgpt's.

    python -m bench.gpu [--sizes 1.3B 2.7B] [--rounds 20] [--sequences 8]

Each system takes training steps (forward, backward, clipping, fused AdamW) on 2,048-token sequences, compiled, with
float32 weights and bfloat16 activations; ours under Lightning's Trainer, the others in a bare loop. litgpt's own default,
weights in bfloat16 without a float32 copy, is shown beside them. Each tries `--sequences` a step and halves them until
they fit. A process at a time has the GPU, in turn, `--repeats` times; medians count.

Model FLOPs utilisation: (6 N + 12 L D T) FLOPs per token, N the weights in matrix products (PaLM, appendix B: no discount
for causality, none for recomputation), over the published dense bfloat16 peak, 989 TFLOP/s for H100 and H200 (SXM).

Without a GPU the script says so and takes the same way with a tiny model on the CPU, so that it's known to run.
"""

import contextlib
import math
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.common import (
    BenchError,
    Contender,
    Report,
    Row,
    Steps,
    lockstep,
    machine,
    missing_peer,
    parse,
    parser,
    rates,
)

MODULE = "bench.gpu"
SETTLE = 4
LEARNING_RATE = 1e-4
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bfloat16 FLOP/s, from NVIDIA's data sheets
TARGET = 0.55


@dataclass(frozen=True)
class Variant:
    """A system with its settings."""

    system: str  # ours, transformers, litgpt
    narrow: bool = False  # weights in bfloat16 too, without a float32 copy
    recompute: bool = False  # of ours: activations again in the backward pass


VARIANTS = {
    "ours": Variant("ours"),
    "ours, recomputing": Variant("ours", recompute=True),
    "transformers": Variant("transformers"),
    "litgpt": Variant("litgpt"),
    "litgpt, bf16-true": Variant("litgpt", narrow=True),
}


def main() -> int:
    options = parser(__doc__, threads=2, rounds=20)
    options.add_argument("--sizes", nargs="+", help="models (default 1.3B 2.7B; tiny without a GPU)")
    options.add_argument("--sequences", type=int, default=16, help="sequences per step at first")
    options.add_argument("--repeats", type=int, default=1, help="processes a variant")
    options.add_argument("--only", nargs="+", choices=tuple(VARIANTS), help="variants")
    arguments = parse(options, child)
    import torch

    report = Report("Training speed on a GPU", machine())
    found = torch.cuda.is_available()
    if not found:
        report.note("No GPU here: a tiny model on the CPU took the same way; these figures mean nothing else.")
    if absent := missing_peer("litgpt"):
        report.note(absent)
    report.measurements = {}
    for size in arguments.sizes or (["1.3B", "2.7B"] if found else ["tiny"]):
        report.measurements[size] = compare(size, arguments, report)
    return report.finish(arguments)


def compare(size: str, arguments: Any, report: Report) -> Row:
    """Measure one size, a process at a time, and write its table."""
    from bench.corpus import random_tokens
    from bench.models import SIZES

    shape, steps = SIZES[size], SETTLE + arguments.rounds + 1
    names = [n for n in arguments.only or VARIANTS if VARIANTS[n].system != "litgpt" or not missing_peer("litgpt")]
    rows: dict[str, list[Row]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        wanted = (steps + 2) * arguments.sequences * shape.positions
        tokens = random_tokens(Path(folder) / "tokens", shape.vocabulary, wanted, validation=2 * shape.positions)
        spec = {"size": size, "tokens": str(tokens), "steps": steps, "threads": arguments.threads}
        for _ in range(arguments.repeats):
            for name in names:
                row = one(name, spec, arguments.sequences, arguments.rounds, report)
                rows[name] += [row] if row else []
    write(size, {name: found for name, found in rows.items() if found}, report)
    return rows


def one(name: str, spec: Row, sequences: int, rounds: int, report: Report) -> Row | None:
    """A variant with as many sequences per step as fit; None if not even one does."""
    from bench.models import SIZES

    while sequences:
        contender = Contender(spec | {"variant": asdict(VARIANTS[name]), "sequences": sequences})
        try:
            row = lockstep(MODULE, {name: contender}, rounds, SETTLE)
        except BenchError as error:
            if "OutOfMemoryError" not in str(error):
                raise
            sequences //= 2
            continue
        rates(row, sequences * SIZES[spec["size"]].positions)
        return row[name] | {"sequences": sequences}
    report.note(f"{name} doesn't fit at {spec['size']}, not even with one sequence per step.")
    return None


def write(size: str, rows: dict[str, list[Row]], report: Report) -> None:
    from bench.models import SIZES

    shape = SIZES[size]
    flops, peak = shape.config.flops_per_token(), peak_flops()
    table, utilisation = [], {}
    for name, found in rows.items():
        rate = statistics.median(row["tokens_per_second"] for row in found)
        utilisation[name] = rate * flops / peak if peak else None
        memory = max(row["gpu_gib"] for row in found)
        near = found[0]["first_loss"] / math.log(shape.vocabulary)  # of an untrained model
        assert 0.9 < near < 1.3, (name, found[0]["first_loss"])
        assert math.isfinite(found[0]["last_loss"]), name
        table.append([name, found[0]["sequences"], rate, utilisation[name], memory, found[0]["last_loss"]])
    columns = ["", "sequences per step", "tokens/s", "utilisation", "peak GiB", "loss"]
    report.table(f"{size}: {next(iter(rows.values()))[0]['parameters']:,} parameters", columns, table)
    ours = [utilisation[name] for name in rows if VARIANTS[name].system == "ours" and utilisation[name]]
    report.target(f"{size}: model FLOPs utilisation of ours", max(ours, default=None), TARGET)


def peak_flops() -> float | None:
    """The published peak of this GPU; None without one, or of one that isn't listed."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((peak for model, peak in PEAKS.items() if model in name), None)


def child(spec: Row) -> Row:
    """One measurement, in this process, which has the GPU for itself."""
    from components.phi import machine as ours_machine

    ours_machine.prepare(spec["threads"])
    import torch

    variant, gpu = Variant(**spec["variant"]), torch.cuda.is_available()
    steps = Steps(torch.cuda.synchronize if gpu else None)
    with contextlib.redirect_stdout(sys.stderr):
        run = run_ours if variant.system == "ours" else run_loop
        losses, parameters = run(variant, spec, steps, "cuda" if gpu else "cpu")
    memory = torch.cuda.max_memory_allocated() / 2**30 if gpu else 0.0
    told = {"gpu_gib": memory, "first_loss": losses[0], "last_loss": losses[-1], "parameters": parameters}
    return steps.row() | told


def run_ours(variant: Variant, spec: Row, steps: Steps, device: str) -> tuple[list[float], int]:
    """Our module under Lightning's Trainer."""
    import torch
    from lightning.pytorch import Callback

    from bench.models import SIZES, ours, parameters
    from bench.ours import bordered, open_loader, settings_of
    from components.training.module import PhiTraining
    from components.training.start import Start
    from components.training.trainer import quiet_trainer

    losses: list[Any] = []

    class Losses(Callback):
        def on_train_batch_end(self, trainer: Any, module: PhiTraining, *unused: Any) -> None:
            losses.append(module.step_loss)

    size, count = SIZES[spec["size"]], spec["sequences"]
    chosen = {"optimizer": "adamw", "compile": device == "cuda", "recompute": variant.recompute}
    chosen |= {"precision": "bfloat16"}
    settings = settings_of(size, count, spec["threads"], **chosen)
    model = ours(size, torch.bfloat16, device).train()
    model.recompute = variant.recompute
    module = PhiTraining(Start(model), settings, LEARNING_RATE, spec["steps"], str)
    loader = bordered(open_loader(Path(spec["tokens"]), size, count, spec["steps"]), steps.border)
    quiet_trainer(settings, callbacks=[Losses()]).fit(module, train_dataloaders=loader)
    return [float(losses[0]), float(losses[-1])], parameters(model)


def run_loop(variant: Variant, spec: Row, steps: Steps, device: str) -> tuple[list[float], int]:
    """A peer's model in a bare loop."""
    import torch

    from bench.models import SIZES, litgpt_model, loss_function, parameters, transformers_model
    from bench.ours import bordered, open_loader

    size = SIZES[spec["size"]]
    with torch.device(device):
        make = litgpt_model if variant.system == "litgpt" else transformers_model
        model = make(size, weights={}).train()
    model = model.to(torch.bfloat16) if variant.narrow else model
    loss_of = loss_function(variant.system, torch.compile(model, dynamic=False) if device == "cuda" else model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    cast = torch.autocast(device, torch.bfloat16, enabled=not variant.narrow)
    losses: list[Any] = []
    for batch in bordered(open_loader(Path(spec["tokens"]), size, spec["sequences"], spec["steps"]), steps.border):
        with cast:
            loss = loss_of(batch.tokens.to(device), batch.targets.to(device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())
    return [float(losses[0]), float(losses[-1])], parameters(model)


if __name__ == "__main__":
    sys.exit(main())
