"""What the ablation compares: each arm is one set of documents. The order is that of the recipe, one ingredient at a
time."""

from dataclasses import dataclass

from components.params import DataArm

RANDOM: DataArm = "random"
EXERCISE = "exercise"  # kind of documents


@dataclass(frozen=True)
class Arm:
    """One set of documents to train on.

    Attributes:
        meaning: in words.
        textbooks: textbooks are added to the curated documents.
        exercises: exercises are added as well.
    """

    name: DataArm
    meaning: str
    textbooks: bool = False
    exercises: bool = False

    @property
    def leaves_out(self) -> tuple[str, ...]:
        """Kinds of generated documents that the arm leaves out."""
        return () if self.exercises else (EXERCISE,)


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm(RANDOM, "raw documents at random, before curation"),
        Arm("curated", "curated documents"),
        Arm("curated_textbooks", "curated documents and textbooks", textbooks=True),
        Arm(
            "curated_textbooks_exercises",
            "curated documents, textbooks and exercises: the pipeline's own recipe",
            textbooks=True,
            exercises=True,
        ),
    )
}
