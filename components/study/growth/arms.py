"""The arms of the growth study: each is one way to get a trained model."""

from dataclasses import dataclass

from components.params import GROWING

SCRATCH, CONTINUED = "scratch", "continued"
# The horizon at which scratch and continued may spend as many FLOPs as the arm that they are compared with.
EQUAL_COST = "equal-cost"


@dataclass(frozen=True)
class Arm:
    """One way to get a trained model.

    Attributes:
        section: section of params.yaml with the model's shape.
        operator: growth operator, if the model is grown from the small one.
        continued: training of the small model itself continues.
        taught: distilled from the small model at the beginning.
    """

    name: str
    section: str = "large"
    operator: str | None = None
    continued: bool = False
    taught: bool = False

    @property
    def starts_trained(self) -> bool:
        """Whether the arm starts from the small model, and so uses transfer.learning_rate."""
        return self.operator is not None or self.continued

    @property
    def uses_small(self) -> bool:
        """Whether the small model's cost counts for this arm."""
        return self.starts_trained or self.taught


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
    """A description of an arm."""
    arm = ARMS[name]
    if arm.operator:
        return f"grown by {arm.operator}" + (", follows the small model at first" if arm.taught else "")
    return MEANINGS[name]
