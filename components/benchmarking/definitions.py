"""Limits what a suite may take from lm-eval: its definitions, with the functions that it ships, and plain values over them.

lm-eval treats many fields as names of something to load: a metric as a program on the Hugging Face hub or in a folder,
a prompt as a file, a data set as a path. A suite may come from anyone, so the allowed fields are listed here.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import StepError, short, shortened
from components.foreign.confined import inside

FIELDS = frozenset(
    {
        "output_type",
        "doc_to_text",
        "doc_to_target",
        "doc_to_choice",
        "description",
        "target_delimiter",
        "fewshot_delimiter",
        "fewshot_split",
        "fewshot_config",
        "gen_prefix",
        "generation_kwargs",
        "metric_list",
        "filter_list",
        "repeats",
        "should_decontaminate",
        "doc_to_decontamination_query",
        "metadata",
    }
)
MOST_REPEATS = 1_000  # maximum completions per example, each of which is a separate request
CLEARED = ("process_docs", "process_results")  # functions of a definition, which a suite may remove with null
EXAMPLES = ("sampler", "split", "samples", "fewshot_indices")  # allowed in fewshot_config, with the prompt's fields


def read_definition(name: str, programs: bool) -> dict[str, Any]:
    """lm-eval's own definition, without the location of its data.

    Args:
        name: name of a file in lm-eval's folder of tasks.
        programs: whether the sandbox runs the answers. If so, no function is imported, since those modules run a program on
            import.

    Raises:
        StepError: lm-eval has no such definition, or it runs answers as programs outside the sandbox.
    """
    from lm_eval.tasks._yaml_loader import load_yaml

    path = inside(tasks_folder(), name, "the suite's definition")
    if not path.is_file() or path.suffix != ".yaml":  # the folder also contains programs and notes
        raise StepError(f"lm-eval {_version()} has no task definition {name!r}; correct the suite (--suite)")
    config = load_yaml(path, resolve_func=False)
    if not programs:
        if config.get("unsafe_code"):
            raise StepError(
                f"lm-eval's definition {name!r} runs the model's answers as programs with your rights; expected a "
                "task in HumanEval's or MBPP's form with kind: code, whose programs run in the sandbox"
            )
        try:
            config = load_yaml(path)
        except ImportError as error:
            reason = re.sub(r" \(/[^)]*\)", "", str(error))  # without the path of the module
            raise StepError(
                f"lm-eval's definition {name!r} needs a package that is not installed: {shortened(reason)}; leave the task out "
                "of the suite (--suite)"
            ) from error
        if "class" in config:
            raise StepError(
                f"lm-eval's definition {name!r} is a Python class without a prompt and metrics; expected a definition with "
                "output_type and metric_list"
            )
        if config.get("output_type") == "multiple_choice" and config.get("process_results") is None:
            # lm-eval scores choices itself, so loading the hub's metric of that name would be useless.
            config["metric_list"] = [
                {key: value for key, value in entry.items() if key != "hf_evaluate"}
                for entry in config.get("metric_list") or ()
            ] or None
    config["hub"] = {"path": config.pop("dataset_path", ""), "name": config.pop("dataset_name", None)}
    for key in ("tag", "task", "task_alias", "dataset_kwargs", "training_split", "validation_split", "test_split"):
        config.pop(key, None)
    return config


def tasks_folder() -> Path:
    """The folder with the installed lm-eval's definitions and the functions that they name."""
    import lm_eval

    return Path(lm_eval.__file__).parent / "tasks"


def _version() -> str:
    from importlib.metadata import version

    return version("lm-eval")


def check_changes(config: Mapping[str, Any], origin: str) -> None:
    """Refuse fields that a suite may not set.

    Raises:
        StepError: a field is unknown or loads something, or there are too many repeats.
    """
    for name, value in config.items():
        if name in FIELDS or (name in CLEARED and value is None):
            continue
        if name in CLEARED:
            raise StepError(f"{origin}: config.{name} is {value!r}; expected null, since a suite brings no functions")
        nearest = difflib.get_close_matches(name, FIELDS, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; expected some of {', '.join(sorted(FIELDS))}"
        raise StepError(
            f"{origin}: its configuration has the field {name!r}, which a suite cannot set{hint}; correct the suite (--suite)"
        )
    repeats = config.get("repeats", 1)
    if not isinstance(repeats, int) or not 1 <= repeats <= MOST_REPEATS:
        raise StepError(
            f"{origin}: config.repeats is {short(repeats)}; expected a whole number from 1 to {MOST_REPEATS:,}"
        )
    examples = config.get("fewshot_config") or {}
    if not isinstance(examples, Mapping):
        raise StepError(f"{origin}: fewshot_config is a {type(examples).__name__}; expected an object")
    if wrong := sorted(set(examples) - FIELDS - {*EXAMPLES}):
        raise StepError(
            f"{origin}: fewshot_config has the field {wrong[0]!r}, which a suite cannot set; take it out of the suite (--suite)"
        )
    if not isinstance(examples.get("samples", []), list):
        raise StepError(f"{origin}: fewshot_config.samples is {examples['samples']!r}; expected a list of examples")


def check_metrics(config: Mapping[str, Any], origin: str) -> None:
    """Refuse metrics that lm-eval does not ship, since it would download and run them as programs.

    Raises:
        StepError: lm-eval does not ship a metric.
    """
    from lm_eval.api import metrics  # noqa: F401 - registers them
    from lm_eval.api.registry import aggregation_registry, metric_registry

    for entry in config.get("metric_list") or ():
        if not isinstance(entry, Mapping):
            raise StepError(f"{origin}: metric_list holds a {type(entry).__name__}; expected objects with `metric`")
        metric = entry.get("metric")
        scored_by_function = config.get("process_results") is not None  # then a metric is a key of its result
        own = scored_by_function or callable(metric) or (isinstance(metric, str) and metric in metric_registry)
        if not own or entry.get("hf_evaluate"):
            raise StepError(
                f"{origin}: the metric {metric!r} is not one of lm-eval's own, and those of the Hugging Face hub are programs, "
                f"which are not loaded; expected one of {', '.join(sorted(metric_registry))}"
            )
        aggregation = entry.get("aggregation")
        if isinstance(aggregation, str) and aggregation not in aggregation_registry:
            raise StepError(
                f"{origin}: the aggregation {aggregation!r} is not one of lm-eval's own; expected one of "
                f"{', '.join(sorted(aggregation_registry))}"
            )
