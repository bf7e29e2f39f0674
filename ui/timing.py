"""How far a run is, and how long it will take, from its own progress and from how long its stages took before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flows.client import StageRun

Figures = Mapping[str, Mapping[str, float] | None]


@dataclass(frozen=True)
class Standing:
    """A run's progress: ended and all stages, the running ones, and the seconds left (None: unknown)."""

    done: int
    total: int
    running: tuple[str, ...]
    left: float | None

    @property
    def share(self) -> float:
        return self.done / self.total if self.total else 0.0


def standing(stages: Sequence[StageRun], figures: Figures, usual: Mapping[str, float]) -> Standing:
    """The progress of an active run.

    Args:
        figures: of the last progress line of each running stage.
        usual: seconds that each stage took when it last ran.
    """
    open_stages = [stage for stage in stages if stage.kind not in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")]
    left = [remaining(stage, figures.get(stage.name), usual.get(stage.name)) for stage in open_stages]
    known = [seconds for seconds in left if seconds is not None]
    return Standing(
        len(stages) - len(open_stages),
        len(stages),
        tuple(stage.name for stage in stages if stage.running),
        sum(known) if stages and len(known) == len(left) else None,
    )


def remaining(stage: StageRun, figures: Mapping[str, float] | None, usual: float | None) -> float | None:
    """The seconds that a stage still needs; None if nothing is known."""
    if stage.running and figures and figures["done"]:
        return stage.seconds * max(figures["total"] - figures["done"], 0) / figures["done"]
    return None if usual is None else max(usual - (stage.seconds if stage.running else 0.0), 0.0)
