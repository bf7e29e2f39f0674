"""What a run would take, for a person who is about to start it."""

from dataclasses import dataclass, field
from pathlib import Path

from components.params import PARAMS_FILE, load_params
from flows.client.runs import Launch
from flows.client.text import Looked
from flows.definitions import DEFINITIONS
from flows.preview import planned


@dataclass(frozen=True)
class Outlook:
    """Named figures, and sentences."""

    facts: list[tuple[str, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def outlook(root: Path, wanted: Launch, looked: Looked) -> Outlook:
    """The plan of a run on a text.

    Raises:
        StepError: a parameter or the definition of the pipeline is refused.
    """
    definition = DEFINITIONS[wanted.flow]
    found = planned(
        root, load_params(root / PARAMS_FILE, looked.overrides, wanted.profile or None), definition, looked.bytes
    )
    return Outlook([("Time", found.time), ("Stages", str(len(found.stages)))], [found.sizes])
