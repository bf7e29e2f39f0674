"""`phiforge plan`: what a run would do and take, before it starts: `phiforge plan [TEXT ...] [--on 8xh200] [--json]`.

Stages that would be skipped, restored or run (flows.forecast); their time, memory, disk, FLOPs and price, calibrated by past runs
on this machine (flows.measured, components.planning); the sizes of both models, and their expected losses where the growth law
covers them.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.params import PARAMS_FILE, Params, load_params
from components.planning.costs import Costs
from components.planning.machines import Machine
from components.planning.plan import RUNS, Losses, Plan, StagePlan, Step, plan
from components.planning.published import checks, published
from components.planning.work import model_of
from flows import measured, processes
from flows.definitions import PIPELINE, Definition
from flows.forecast import Forecast, forecast
from flows.settings import concurrent_stages
from flows.sizes import cores

GPU = Path("/dev/nvidiactl")
LAW = "study.growth.law.expect"
GRACE = 1.0  # seconds from asking the law to stop until it is killed
LAW_VOCABULARY = 2048
LAW_EPOCHS = {"web": 1, "prose": 1, "code": 1, "textbook": 1, "exercise": 3}  # as in studies/law/dvc.yaml


def plan_of(
    root: Path,
    overrides: Mapping[str, Any],
    profile: str | None,
    text_bytes: float,
    machine: Machine | None = None,
    definition: Definition = PIPELINE,
) -> Plan:
    """The plan of a run with these parameters.

    Args:
        text_bytes: UTF-8 bytes of the text in the sources.
        machine: trains the models; None is this machine.

    Raises:
        StepError: the parameters, the repository or the pipeline's definition are refused.
    """
    params = load_params(root / PARAMS_FILE, overrides, profile)
    steps = [_step(one) for one in forecast(root, definition, overrides, profile)]
    return plan(params, text_bytes, steps, costs(root), concurrent_stages(), machine, expected(root, params))


def costs(root: Path) -> Costs:
    return Costs(measured.read(root), cores(), has_gpu=GPU.exists())


def _step(one: Forecast) -> Step:
    stage = one.stage
    return Step(stage.address, one.state, stage.deps, bool(stage.limit), one.bytes)


def expected(root: Path, params: Params) -> Losses:
    """The expected losses by the growth law, which was fitted to one text, vocabulary and mixture."""
    if params.ingestion.names_own_text:
        return Losses(unknown="the growth law was fitted to the default text")
    if params.tokenization.vocab_size != LAW_VOCABULARY:
        return Losses(unknown=f"the growth law was fitted to a vocabulary of {LAW_VOCABULARY:,}")
    if params.tokenization.weights or params.tokenization.epochs != LAW_EPOCHS:
        return Losses(unknown=f"the growth law was fitted to the mixture tokenization.epochs={json.dumps(LAW_EPOCHS)}")
    small, large = model_of(params, "small"), model_of(params, "large")
    sizes = {"small": small.parameters, "small-tokens": small.tokens, "large": large.parameters, "tokens": large.tokens}
    arguments = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    with tempfile.TemporaryDirectory(prefix="phiforge-") as folder:
        summary = Path(folder, "losses.json")
        command = processes.guarded(f"components.{LAW}", *arguments, "--summary", str(summary), tree=True)
        status, output = processes.run(command, GRACE, cwd=root, env=os.environ | processes.CODE)
        if status:
            return Losses(unknown=processes.last_line(status, output))
        found = json.loads(summary.read_text(encoding="utf-8"))
    return Losses({name: (loss, low, high) for name, (loss, low, high) in found["losses"].items()}, found["unknown"])


def show(made: Plan, console: Console) -> None:
    """Print a plan."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("stage", "outcome", "time", "CPU", "memory", "disk"):
        table.add_column(name, justify="left" if name in ("stage", "outcome") else "right", no_wrap=True)
    for stage in made.stages:
        table.add_row(*_cells(stage, made.machine is not None))
    console.print(table)
    for label, text in lines(made):
        console.print(Text(f"{label + ':':<15}{text}"), soft_wrap=True)
    if made.machine:
        show_published(console)


def _cells(stage: StagePlan, elsewhere: bool) -> list[str]:
    if stage.cost is None:
        return [stage.name, stage.state, "unknown" if stage.state == RUNS else "", "", "", ""]
    cost = stage.cost
    used = stage.device_bytes or cost.peak_bytes
    cpu = "" if elsewhere and stage.device_bytes else duration(cost.cpu_seconds)
    return [stage.name, stage.state, duration(cost.seconds), cpu, size(used), size(cost.bytes)]


def lines(made: Plan) -> list[tuple[str, str]]:
    """The rest of a plan as labelled lines."""
    states = [stage.state for stage in made.stages]
    counted = ", ".join(f"{states.count(state)} {word}" for state, word in WORDS.items() if state in states)
    took = "unknown: a stage has no estimate" if made.seconds is None else duration(made.seconds)
    if made.seconds_range and duration(made.seconds_range[0]) != duration(made.seconds_range[1]):
        took += f" ({duration(made.seconds_range[0])} to {duration(made.seconds_range[1])} over the published runs)"
    found = [("stages", counted), ("time", took)]
    if made.basis:
        found.append(("calibrated by", "; ".join(made.basis)))
    for model in made.models:
        loss = (
            f"loss {model.loss[0]:.2f} ({model.loss[1]:.2f} to {model.loss[2]:.2f})" if model.loss else "loss unknown"
        )
        text = f"{amount(model.parameters)} parameters, {amount(model.tokens)} tokens, {model.flops:.2g} FLOPs, {loss}"
        found.append((model.name, text))
    if made.unknown_loss:
        found.append(("loss unknown", made.unknown_loss))
    found.append(("FLOPs", f"{made.flops:.3g} in training and validation"))
    found.append(("disk", f"{size(made.bytes)} of results; {size(made.peak_disk_bytes)} while training"))
    if made.machine:
        machine, used = made.machine, made.utilisation
        assert used is not None
        fits = (
            ""
            if made.device_bytes <= 0.9 * machine.memory_bytes
            else ", too much: lower training.micro_batch_tokens, or set training.recompute or training.strategy=fsdp2"
        )
        found.append(
            (
                "machine",
                f"{machine.devices} x {machine.name}; {size(made.device_bytes)} of {size(machine.memory_bytes)} per device{fits}",
            )
        )
        found.append(
            (
                "utilisation",
                f"{used.used:.0%} of the peak taken; published runs reached {used.low:.0%} to {used.high:.0%}",
            )
        )
    else:
        found.append(("memory", f"{size(made.device_bytes)} in the largest process"))
    found.append(("money", _money(made)))
    return found


WORDS = {RUNS: "run", "restored": "restored from the cache", "cached": "skipped"}


def _money(made: Plan) -> str:
    if made.machine is None:
        return "no price: this machine; --on names another"
    if made.dollars is None:
        return "no price: the machine's file has no dollars_per_hour"
    price = f"{made.machine.dollars_per_hour:.2f} per device and hour"
    priced = f" ({made.machine.priced})" if made.machine.priced else ""
    return f"{made.dollars:,.2f} US dollars for the training runs, at {price}{priced}"


def show_published(console: Console) -> None:
    """Print how far such a plan is from published runs."""
    console.print(Text("\nPublished runs, each planned with the utilisation of the others", style="bold"))
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("run", "machine", "tokens", "published", "implies", "planned", "error"):
        table.add_column(name, justify="left" if name in ("run", "machine") else "right", no_wrap=True)
    for check in checks(published()):
        run = check.run
        machine = f"{run.machine.devices} x {run.machine.name.removeprefix('NVIDIA ')}"
        figures = [amount(run.tokens), duration(3600 * run.hours), f"{run.utilisation:.0%}"]
        table.add_row(run.name, machine, *figures, duration(3600 * check.hours), f"{check.error:+.0%}")
    console.print(table)


def as_json(made: Plan) -> str:
    """A plan as JSON, with times in seconds and sizes in bytes."""
    facts = asdict(made) | {"device_bytes": made.device_bytes}
    if made.machine:
        facts["published"] = [
            asdict(check.run)
            | {"utilisation": check.run.utilisation, "planned_hours": check.hours, "error": check.error}
            for check in checks(published())
        ]
    return json.dumps(facts, indent=2)


def duration(seconds: float) -> str:
    """Seconds in readable form.

    >>> duration(0.4), duration(75), duration(5400), duration(1.2e6)
    ('0.4 s', '75 s', '90 min', '13.9 days')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 180:
        return f"{seconds:.0f} s"
    if seconds < 3 * 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 3 * 86400:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 86400:.1f} days"


def size(bytes_: float) -> str:
    """Bytes in readable form.

    >>> size(4_000), size(370e6), size(74.2e9)
    ('0.0 MB', '370 MB', '74.2 GB')
    """
    if bytes_ < 9.95e6:
        return f"{bytes_ / 1e6:.1f} MB"
    return f"{bytes_ / 1e6:.0f} MB" if bytes_ < 1e9 else f"{bytes_ / 1e9:.1f} GB"


def amount(number: float) -> str:
    """A count with a unit.

    >>> amount(704), amount(1.12e6), amount(1.4e12)
    ('704', '1.12M', '1.4T')
    """
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.0f}"
