"""What a run would take, for a person who is about to start it."""

from pathlib import Path
from typing import NamedTuple

from components.params import PARAMS_FILE, Params, load_params
from components.planning.plan import RUNS
from flows.client.runs import Launch
from flows.client.text import Looked
from flows.definitions import DEFINITIONS
from flows.plan import amount, duration, lines, plan_of, size


class Outlook(NamedTuple):
    """A plan as named figures, the rest of it as labelled lines, and what happens to each stage."""

    facts: list[tuple[str, str]]
    lines: list[tuple[str, str]]
    stages: list[tuple[str, str]]


MODELS = ("small", "large")
SHOWN = ("stages", *MODELS, "loss unknown", "calibrated by")  # of the plan's lines


def outlook(root: Path, wanted: Launch, looked: Looked) -> Outlook:
    """The plan of a run on a text, on this machine.

    Raises:
        StepError: a parameter, the repository or the pipeline's definition is refused.
    """
    made = plan_of(root, looked.overrides, wanted.profile or None, looked.bytes, definition=DEFINITIONS[wanted.flow])
    states = [one.state for one in made.stages]
    facts = [
        ("Runs", f"{states.count(RUNS)} of {len(states)} stages"),
        ("Time", "unknown" if made.seconds is None else duration(made.seconds)),
        ("Memory", size(made.device_bytes)),
        ("Disk", size(made.bytes)),
        ("Money", _money(load_params(root / PARAMS_FILE, looked.overrides, wanted.profile or None))),
        *(
            (f"{model.name.capitalize()} model", amount(model.parameters))
            for model in made.models
            if model.name in MODELS
        ),
    ]
    return Outlook(
        facts, [line for line in lines(made) if line[0] in SHOWN], [(one.name, one.state) for one in made.stages]
    )


def _money(params: Params) -> str:
    """What a paid teacher may cost; models are trained on this machine."""
    teacher = params.synthesis.teacher
    if teacher.kind != "openai":
        return "none"
    return (
        f"at most {teacher.budget_money:g} for the teacher"
        if teacher.budget_money
        else "unknown: the teacher has no budget"
    )
