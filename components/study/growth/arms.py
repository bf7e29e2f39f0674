"""What the study compares: each arm is one way to get a trained model."""

from dataclasses import dataclass

from components.params import GROWING

SCRATCH, CONTINUED = "scratch", "continued"
EQUAL_COST = "equal-cost"  # the horizon of the two arms that are also given what the comparison would let them spend


@dataclass(frozen=True)
class Arm:
    """One way to get a trained model.

    Attributes:
        section: of params.yaml: which shape is trained.
        operator: of growth, if the small model is the start.
        continued: the small model itself is trained on.
        taught: distilled from the small model at the beginning.
    """

    name: str
    section: str = "large"
    operator: str | None = None
    continued: bool = False
    taught: bool = False

    @property
    def starts_trained(self) -> bool:
        """Whether it starts from the small model, and so with transfer.learning_rate."""
        return self.operator is not None or self.continued

    @property
    def uses_small(self) -> bool:
        """Whether the small model's cost counts for this arm."""
        return self.operator is not None or self.continued or self.taught


ARMS = {
    arm.name: arm
    for arm in (
        Arm(SCRATCH),
        Arm(CONTINUED, section="small", continued=True),
        Arm("distilled", taught=True),
        *(Arm(operator, operator=operator) for operator in GROWING),
        *(Arm(f"{operator}_distilled", operator=operator, taught=True) for operator in GROWING),
    )
}
MEANINGS = {
    SCRATCH: "random start",
    CONTINUED: "the small model trained on",
    "distilled": "random start, follows the small model at first",
}


def meaning(name: str) -> str:
    """An arm in words."""
    arm = ARMS[name]
    if arm.operator:
        return f"grown by {arm.operator}" + (", follows the small model at first" if arm.taught else "")
    return MEANINGS[name]
