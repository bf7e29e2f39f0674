"""The arms of the ablation: each is one set of documents, in the order of the recipe, one ingredient at a time."""

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
