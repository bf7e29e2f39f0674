"""What the stages take on this machine: seconds, CPU seconds, memory and bytes written.

A stage's CPU seconds are its amounts of work times the rates of `reference.yaml`, which were measured on one machine, times how
much slower this machine is. That factor is, in this order: the median of this stage's own past runs here, measured over
predicted; the median of all stages' runs here; the ratio of a matrix product's speed there and here. Memory is the reference's
sum plus the median difference of the stage's past runs. The wall-clock time assumes that nothing else runs.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from components.foreign import yaml_text
from components.planning.work import Amounts

REFERENCE = Path(__file__).with_name("reference.yaml")
TRAIN = "train"
LATEST = 5  # past runs of a stage that count
PROBE_SIZE, PROBE_SECONDS = 512, 0.1

Basis = Literal["past runs of this stage", "past runs of other stages", "a matrix product", "published runs"]


@dataclass(frozen=True)
class Measurement:
    """What a stage took once.

    Attributes:
        cpu_seconds: of all its processes, DVC's own included.
        peak_bytes: memory of its largest process.
        bytes: written as outputs.
    """

    stage: str
    work: Amounts
    seconds: float
    cpu_seconds: float
    peak_bytes: float
    bytes: float


@dataclass(frozen=True)
class Cost:
    """What a stage is expected to take.

    Attributes:
        seconds: wall-clock, on this machine at rest.
        basis: what the times follow from.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: float
    bytes: float
    basis: Basis


@dataclass(frozen=True)
class Rates:
    """The reference's figures of a kind of stage, per unit of each amount.

    Attributes:
        cpu: seconds.
        memory: bytes of the largest process.
        disk: bytes written.
        parallel: share of the CPU time that several cores share out.
    """

    cpu: Amounts
    memory: Amounts
    disk: Amounts
    parallel: float


@lru_cache
def reference() -> tuple[Mapping[str, Rates], float]:
    """The rates by kind of stage, and the FLOP/s of one core of the machine they were measured on."""
    given = yaml_text.read(REFERENCE)
    rates = {kind: Rates(**values) for kind, values in given["kinds"].items()}
    return rates, float(given["core_flops"])


def kind_of(stage: str) -> str:
    """The kind of a stage, whose rates it has: its name, but the training runs are one kind, and the benchmarks another."""
    name = stage.rpartition(":")[2]
    return next((kind for kind in (TRAIN, "benchmark") if name.startswith(kind)), name)


def total(rates: Amounts, work: Amounts) -> float:
    return sum(rate * work.get(name, 0.0) for name, rate in rates.items())


def probe() -> float:
    """FLOP/s of one core in a product of float32 matrices, by CPU time."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    left = np.full((PROBE_SIZE, PROBE_SIZE), 0.5, dtype=np.float32)
    with threadpool_limits(1):  # threads that wait for each other would count as work
        left @ left  # starts the library
        count, started = 0, time.process_time()
        while (spent := time.process_time() - started) < PROBE_SECONDS:
            left @ left
            count += 1
    return 2.0 * PROBE_SIZE**3 * count / spent


class Costs:
    """Predicts from the measurements of this machine.

    Args:
        measured: oldest first; only those whose work is known count.
        cores: of this machine.
        has_gpu: it trains on a GPU, whose speed is unknown without past runs.
        core_flops: called without measurements; the FLOP/s of one core.
    """

    def __init__(
        self,
        measured: Iterable[Measurement],
        cores: int,
        has_gpu: bool = False,
        core_flops: Callable[[], float] = probe,
    ) -> None:
        self.cores, self.has_gpu, self._core_flops = cores, has_gpu, core_flops
        self.rates, self._reference_flops = reference()
        self._of: dict[str, list[Measurement]] = {}
        for one in measured:
            if kind_of(one.stage) in self.rates:
                self._of.setdefault(kind_of(one.stage), []).append(one)

    def cost(self, stage: str, work: Amounts, threads: int = 0) -> Cost | None:
        """The cost of a stage; None if nothing is known of its kind.

        Args:
            threads: cores that it may use; 0 means all.
        """
        kind = kind_of(stage)
        if kind not in self.rates or (self.has_gpu and kind == TRAIN):
            return None
        rates, own = self.rates[kind], self._of.get(kind, [])[-LATEST:]
        factor, basis = self._factor(kind)
        cpu = factor * total(rates.cpu, work)
        cores = min(self.cores, threads or self.cores)
        missing = [one.peak_bytes - total(rates.memory, one.work) for one in own]
        written = [one.bytes / max(1.0, total(rates.disk, one.work)) for one in own]
        return Cost(
            seconds=cpu * (1 - rates.parallel + rates.parallel / cores),
            cpu_seconds=cpu,
            peak_bytes=max(0.0, total(rates.memory, work) + _median(missing, 0.0)),
            bytes=total(rates.disk, work) * _median(written, 1.0),
            basis=basis,
        )

    def _factor(self, kind: str) -> tuple[float, Basis]:
        if own := self._ratios(kind):
            return _median(own, 1.0), "past runs of this stage"
        if others := [_median(ratios, 1.0) for kind in self._of if (ratios := self._ratios(kind))]:
            return _median(others, 1.0), "past runs of other stages"
        return self._machine, "a matrix product"

    def _ratios(self, kind: str) -> Sequence[float]:
        """Measured over predicted CPU seconds of a kind's latest runs."""
        pairs = [(one.cpu_seconds, total(self.rates[kind].cpu, one.work)) for one in self._of.get(kind, [])[-LATEST:]]
        return [measured / predicted for measured, predicted in pairs if predicted > 0]

    @cached_property
    def _machine(self) -> float:
        return self._reference_flops / self._core_flops()


def _median(values: Sequence[float], otherwise: float) -> float:
    return statistics.median(values) if values else otherwise
