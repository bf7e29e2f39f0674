"""The plan of a run: what each stage takes, on this machine or another, and what that costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from components.params import Params
from components.planning.costs import Cost, Costs
from components.planning.machines import LAUNCHES, Machine
from components.planning.published import mean_utilisation, published
from components.planning.work import FORWARD, TRAINED, Model, amounts, memory, micro_batches, model_of, validated_tokens

RUNS = "runs"
RESUME_BYTES = 36  # per parameter while a training run saves: two states that are kept and one that is written


@dataclass(frozen=True)
class Step:
    """A stage that the plan is asked about.

    Attributes:
        state: cached (skipped), restored (from DVC's caches) or runs.
        needs: stages that it waits for.
        device: it uses the device alone.
        bytes: of its outputs last time; 0 if they are not known.
    """

    name: str
    state: str
    needs: tuple[str, ...] = ()
    device: bool = False
    bytes: float = 0.0


@dataclass(frozen=True)
class StagePlan:
    """What a stage is expected to take; `cost` is None where it does not run, or nothing is known.

    Attributes:
        flops: of training and validation; 0 for other stages.
        device_bytes: memory of a training step on one device of the machine that `--on` names; 0 for other stages.
    """

    name: str
    state: str
    cost: Cost | None
    flops: float = 0.0
    device_bytes: float = 0.0


@dataclass(frozen=True)
class ModelPlan:
    """A model of the pair: its size, and its expected loss in nats per token with a 90% interval, if the growth law knows it."""

    name: str
    parameters: int
    tokens: int
    flops: float
    loss: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Utilisation:
    """The share of the devices' peak that training is taken to reach, and the range of published runs."""

    used: float
    low: float
    high: float


@dataclass(frozen=True)
class Plan:
    """The plan of a run.

    Attributes:
        stages: in the order of the pipeline.
        seconds: wall-clock of the stages that run, some at once; None if one of them is unknown.
        bytes: that remain on the disk.
        peak_disk_bytes: needed at once while the largest model trains.
        machine: the one that trains; None is this one.
        seconds_range: with the least and the most utilisation of published runs; None on this machine.
        dollars: for the time of the stages on devices; None if there is no price.
        unknown_loss: why a loss is not known; empty if it is.
    """

    stages: list[StagePlan]
    models: list[ModelPlan]
    seconds: float | None
    bytes: float
    peak_disk_bytes: float
    flops: float
    machine: Machine | None = None
    utilisation: Utilisation | None = None
    seconds_range: tuple[float, float] | None = None
    dollars: float | None = None
    unknown_loss: str = ""
    basis: list[str] = field(default_factory=list)

    @property
    def device_bytes(self) -> float:
        """Memory of the largest stage: on one device of the other machine, or of a process here."""
        here = max((stage.cost.peak_bytes for stage in self.stages if stage.cost), default=0.0)
        return max((stage.device_bytes for stage in self.stages), default=0.0) if self.machine else here


@dataclass(frozen=True)
class Losses:
    """Expected losses by model, or the reason why they are unknown."""

    of: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    unknown: str = ""


def plan(
    params: Params,
    text_bytes: float,
    steps: Sequence[Step],
    costs: Costs,
    concurrent: int,
    machine: Machine | None = None,
    losses: Losses = Losses(unknown="it was not asked"),
) -> Plan:
    """The plan of a run.

    Args:
        text_bytes: UTF-8 bytes of the text in the sources.
        steps: the stages, each after those it needs.
        concurrent: stages that may run at once.
        machine: trains the models; the other stages are taken to run on processors like this machine's.
    """
    work = amounts(params, text_bytes)
    used = _utilisation() if machine else None
    stages = [_stage(step, params, work, costs, machine, used.used if used else 0.0) for step in steps]
    seconds = makespan(steps, stages, concurrent, costs.cores)
    ends = None
    if machine and used and seconds is not None:
        ends = tuple(
            makespan(
                steps, [_stage(step, params, work, costs, machine, share) for step in steps], concurrent, costs.cores
            )
            or 0.0
            for share in (used.high, used.low)
        )
    running = [stage for stage in stages if stage.state == RUNS]
    on_device = sum(stage.cost.seconds for stage in running if stage.device_bytes and stage.cost)
    written = sum(stage.cost.bytes for stage in running if stage.cost)
    trained = [model_of(params, TRAINED[stage.name]).parameters for stage in running if stage.name in TRAINED]
    return Plan(
        stages=stages,
        models=[
            _model(name, section, params, losses)
            for name, section in (("small", "small"), ("large", "large"), ("control", "large"))
        ],
        seconds=seconds,
        bytes=written,
        peak_disk_bytes=written + RESUME_BYTES * max(trained, default=0),
        flops=sum(stage.flops for stage in running),
        machine=machine,
        utilisation=used,
        seconds_range=ends,  # type: ignore[arg-type]
        dollars=machine.dollars(on_device) if machine else None,
        unknown_loss=losses.unknown,
        basis=sorted({stage.cost.basis for stage in running if stage.cost}),
    )


def _model(name: str, section: str, params: Params, losses: Losses) -> ModelPlan:
    model = model_of(params, section)
    return ModelPlan(name, model.parameters, model.tokens, model.flops, losses.of.get(name))


def _utilisation() -> Utilisation:
    runs = published()
    shares = [run.utilisation for run in runs]
    return Utilisation(mean_utilisation(runs), min(shares), max(shares))


def _stage(
    step: Step,
    params: Params,
    work: Mapping[str, Mapping[str, float]],
    costs: Costs,
    machine: Machine | None,
    share: float,
) -> StagePlan:
    if step.state != RUNS:
        return StagePlan(step.name, step.state, None)
    training = step.name in TRAINED
    known = work.get(step.name)
    cost = costs.cost(step.name, known, params.training.threads if training else 0) if known else None
    if not training:
        return StagePlan(step.name, step.state, cost)
    model = model_of(params, TRAINED[step.name])
    flops = model.flops + FORWARD * model.shape.flops_per_token() * validated_tokens(params)
    if machine is None:
        return StagePlan(step.name, step.state, cost, flops)
    start = costs.cost(step.name, {"run": 1.0})
    seconds = _on(machine, model, params, flops, share) + (start.seconds if start else 0.0)
    cost = Cost(seconds, 0.0, 0.0, 4.0 * model.parameters, "published runs")
    needed = memory(model, params, "cuda", step.name == "train_large", machine.devices).total
    return StagePlan(step.name, step.state, cost, flops, needed)


def _on(machine: Machine, model: Model, params: Params, flops: float, share: float) -> float:
    """Seconds of a training run: that of its FLOPs, or that of starting its kernels where these are too small to matter."""
    launches = micro_batches(model, params, machine.devices) * (model.shape.num_hidden_layers + 2) * LAUNCHES
    return max(machine.seconds(flops, share), launches)


def whole_seconds(params: Params, text_bytes: float, costs: Costs) -> float:
    """Seconds of all stages of the pipeline one after the other, a bound that needs no graph."""
    work = amounts(params, text_bytes)
    found = (costs.cost(name, known, params.training.threads if name in TRAINED else 0) for name, known in work.items())
    return sum(cost.seconds for cost in found if cost)


def makespan(steps: Sequence[Step], stages: Sequence[StagePlan], concurrent: int, cores: int) -> float | None:
    """Seconds until the last stage has ended, each started as soon as a run would start it; None if one is unknown.

    At least all CPU time shared out over the cores: stages at once slow each other down.
    """
    running = [(step, stage) for step, stage in zip(steps, stages, strict=True) if stage.state == RUNS]
    if any(stage.cost is None for _, stage in running):
        return None
    costs = {step.name: stage.cost for step, stage in running if stage.cost}
    ends: dict[str, float] = {}
    busy: list[float] = [0.0] * concurrent  # when each place is free again
    device = 0.0
    for step, _ in running:
        place = min(range(concurrent), key=busy.__getitem__)
        start = max([busy[place], *(ends.get(name, 0.0) for name in step.needs), device if step.device else 0.0])
        ends[step.name] = busy[place] = start + costs[step.name].seconds
        device = ends[step.name] if step.device else device
    return max([0.0, *ends.values(), sum(cost.cpu_seconds for cost in costs.values()) / cores])
