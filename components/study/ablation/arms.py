"""The arms of the ablation: each is one set of documents. First the recipe, one ingredient at a time; then the documents
that were rewritten, repeated or rephrased."""

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
        sources: only the curated documents that the teacher has rewritten. Such arms are compared with one another.
        rewrites: their rewrites are added.
    """

    name: DataArm
    meaning: str
    textbooks: bool = False
    exercises: bool = False
    sources: bool = False
    rewrites: bool = False


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
        Arm("sources_repeated", "the documents that the teacher rewrote, repeated", sources=True),
        Arm("sources_rephrased", "the same documents with their rewrites", sources=True, rewrites=True),
    )
}
