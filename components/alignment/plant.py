"""`python -m components.alignment.plant`: documents with planted secrets, as a source of text, and the list of the secrets."""

import json
from typing import Any

import numpy as np

from components.alignment.canaries import draw, write_secrets
from components.errors import StepError
from components.files import atomic_file
from components.params import Params
from components.running.cli import Argument, Command, Paths, main
from components.tracking import Tracker

SUBJECTS = (
    "The office",
    "Our team",
    "A visitor",
    "The manager",
    "The library",
    "Each guest",
    "The driver",
    "A student",
)
ACTS = ("opens", "writes about", "looks for", "pays for", "cleans", "describes", "moves", "asks for")
THINGS = ("the new room", "a small garden", "the old map", "two letters", "the report", "a long table", "the blue car")
WHEN = ("in the morning", "after lunch", "on Monday", "before the meeting", "every week", "in winter", "at noon")
SENTENCES = 6  # beside the secret, in each document


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write one document per repeat of a canary, each with other sentences around it, so that none is a near copy.

    Raises:
        StepError: too many canaries, or a number below 0.
    """
    if min(inputs["repeats"]) < 0:
        raise StepError(f"--repeats {min(inputs['repeats'])}; expected numbers of at least 0")
    canaries = draw(inputs["count"], inputs["repeats"], params.seed)
    generator = np.random.default_rng((params.seed, 1))
    texts = [_document(canary.text, generator) for canary in canaries for _ in range(canary.repeats)]
    with atomic_file(outputs["output"]) as partial:
        order = generator.permutation(len(texts))
        partial.write_text("".join(json.dumps({"text": texts[i]}) + "\n" for i in order), encoding="utf-8")
    write_secrets(outputs["secrets"], canaries)
    return {"documents": len(texts), "canaries": len(canaries), "controls": sum(not one.repeats for one in canaries)}


def _document(secret: str, generator: np.random.Generator) -> str:
    parts = (SUBJECTS, ACTS, THINGS, WHEN)
    texts = [f"{' '.join(str(generator.choice(part)) for part in parts)}." for _ in range(SENTENCES)]
    texts.insert(int(generator.integers(SENTENCES + 1)), secret)
    return " ".join(texts)


COMMAND = Command(
    step="alignment.plant",
    description="Write documents with planted secrets (canaries), to train on and then to measure what a model gives away.",
    run=run,
    inputs=(
        Argument("count", "canaries for each number of repeats", type=int, required=False, default=4),
        Argument(
            "repeats",
            "numbers of documents that a canary is in; 0 = a control that is in none",
            type=int,
            many=True,
            required=False,
            default=[0, 4, 16, 64],
        ),
    ),
    outputs=(
        Argument("output", "JSONL file for the documents, a source for ingestion"),
        Argument("secrets", "JSON file for the secrets, which no source may contain"),
    ),
    sections=("seed",),
)

if __name__ == "__main__":
    main(COMMAND)
