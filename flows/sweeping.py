"""The flow of a sweep: its child runs, by hand or on a schedule, and the folded comparison in MLflow and in a file."""

import json
import sys
from typing import Annotated, Any

from flows.children import Parent, parent_run
from flows.pipeline import flow_of

# isort: split
from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run as this_flow_run
from prefect.states import Completed, State
from pydantic import Field

from components.files import write_json
from components.params import PARAMS_FILE, Params, load_params
from components.trials.figures import Measurement
from components.trials.folding import table
from components.trials.forms import OPEN, PART
from components.trials.sweep import Configuration, Sweep, carry_out, name_of, read_sweep
from flows import settings
from flows.client.trials import sweep_file
from flows.definitions import SWEEP
from flows.sweeps import advice


@flow_of(SWEEP, "Try configurations of parameters, stop the worse ones early, and compare the rest over seeds.")
def sweep(question: Annotated[dict[str, Any], Field(json_schema_extra=Sweep.model_json_schema())]) -> State:
    """Carry out a sweep.

    Args:
        question: what is tried; at least `over`, dotted keys to their values.

    Raises:
        StepError: a value is refused, or a run failed; finished runs are kept, and the same sweep takes them from the cache.
    """
    home, logger = settings.project_root(), get_run_logger()
    asked = read_sweep(question)
    params = load_params(home / PARAMS_FILE, asked.base, asked.profile)

    def say(text: str) -> None:
        logger.info(text)
        print(text, file=sys.stderr, flush=True)

    with parent_run(home, SWEEP.flow, f"sweep of {', '.join(asked.over)}"[:200], asked.over) as parent:

        def measure(one: Configuration, seed: int, share: float) -> Measurement:
            overrides = {**asked.base, **one, "seed": seed, PART: OPEN} | budget(asked, params, share)
            name = f"{name_of(one)}, seed {seed}" + ("" if share == 1 else f", {share:.3g} of the budget")
            return parent.measure(name[:200], asked.of, overrides, asked.profile)

        found = carry_out(asked, params.seed, measure, say)
        write_json(sweep_file(home, this_flow_run.id), found | {"name": this_flow_run.name})
        log(parent, found)
    text = table(found["folded"])
    create_markdown_artifact(key="results", markdown=f"{text}\n\n{advice(found)}")
    return Completed(message=f"best: {name_of(found['best'])}")


def budget(asked: Sweep, params: Params, share: float) -> dict[str, int]:
    """The parameter of a rung's budget; the learning rate decays to its end within it."""
    if share == 1:
        return {}
    section, _, key = asked.budget_key.partition(".")
    return {asked.budget_key: max(1, round(getattr(getattr(params, section), key) * share))}


def log(parent: Parent, found: dict[str, Any]) -> None:
    """The folded metrics of each arm, the table, and the data."""
    parent.fold(found["folded"])
    parent.tags({"best": name_of(found["best"])[:5000]})
    parent.client.log_text(parent.run_id, json.dumps(found, indent=2), "sweep.json")
