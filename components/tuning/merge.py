"""`python -m components.tuning.merge`: add an adapter in peft's format to its checkpoint; the result is a normal checkpoint."""

from typing import Any

import torch

from components.errors import StepError
from components.files import atomic_directory, sha256_file
from components.foreign.confined import refuse_links_out
from components.params import Params
from components.phi import checkpoint
from components.phi.template import QUESTIONS, TEMPLATE, read_template
from components.phi.weights import CheckpointWeights, state_shapes
from components.running.cli import Argument, Command, Paths, main
from components.tracking import Tracker, weights_sha256
from components.training.records import origin_of
from components.tuning.adapters import WEIGHTS, merged_state, read_adapter
from components.tuning.tune import ADAPTER, write_checkpoint


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write the merged checkpoint, with the chat template of the tuned one that the adapter is from, if it is.

    Raises:
        StepError: the adapter is not in peft's format, or doesn't fit the checkpoint by names or shapes.
    """
    folder, adapter = inputs["model"], inputs["adapter"]
    adapter = adapter / ADAPTER if (adapter / ADAPTER).is_dir() else adapter
    refuse_links_out(adapter)
    config = checkpoint.read_config(folder)
    state, scale = read_adapter(adapter, config)
    own = adapter.parent if (adapter.parent / TEMPLATE).is_file() and adapter.name == ADAPTER else folder
    origin = origin_of(folder)
    tuned = checkpoint.read_lineage(own) if own != folder else {}
    if tuned and (expected := tuned["initial"]["weights_sha256"]) != origin["weights_sha256"]:
        raise StepError(
            f"{folder} has the weights {origin['weights_sha256'][:12]}; expected {expected[:12]}, on which {adapter} was "
            "trained; name that checkpoint"
        )
    lineage = tuned or {"step": "tuning", "initial": origin, "torch": torch.__version__}
    weights = CheckpointWeights(folder, config)
    base = {name: weights[name] for name in state_shapes(config)}
    with atomic_directory(outputs["output"]) as made:
        template = read_template(own) or QUESTIONS
        write_checkpoint(made, folder, merged_state(base, state, scale), template, lineage)
    return {
        "adapter_sha256": sha256_file(adapter / WEIGHTS),
        "tensors": len(state),
        "checkpoint_sha256": weights_sha256(outputs["output"]),
    }


COMMAND = Command(
    step="tuning.merge",
    description="Add an adapter in peft's format to its checkpoint, and write the result as a normal checkpoint.",
    run=run,
    inputs=(
        Argument("model", "checkpoint on which the adapter was trained"),
        Argument("adapter", "folder of the adapter, or of the tuned checkpoint that has it"),
    ),
    outputs=(Argument("output", "directory for the merged checkpoint", holds="lineage.json"),),
)

if __name__ == "__main__":
    main(COMMAND)
