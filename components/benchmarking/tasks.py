"""Build lm-eval's tasks over our rows and run its evaluation, offline and without its slow parts.

Three slow parts of lm-eval 0.4.13 are avoided: the scan of 14,683 task names (task objects are handed over instead),
the compilation of the prompt template for each row (compiled once), the bootstrap of standard errors (the mean has a
closed form, which any positive `bootstrap_iters` selects for it).
"""

import contextlib
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.benchmarking import squad
from components.benchmarking.definitions import check_metrics
from components.benchmarking.suites import BITS, Task, mean_metrics
from components.benchmarking.time_limit import bounded
from components.errors import StepError
from components.foreign.templates import render_prompt

if TYPE_CHECKING:
    from components.benchmarking.programs import Judge


def prepare() -> None:
    """Silence lm-eval and make it render prompts within limits; once per process is enough."""
    import lm_eval.utils
    from datasets import disable_progress_bars

    disable_progress_bars()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns about every local data set
    lm_eval.utils.apply_template = render_prompt  # its own is not sandboxed and compiles for every row


def build_tasks(tasks: Sequence[Task], judge: "Judge | None" = None) -> dict[str, Any]:
    """lm-eval's ConfigurableTask for each task, over rows in memory.

    Args:
        judge: scores programs; tasks of kind `code` need it.

    Raises:
        StepError: a metric is not one of lm-eval's own, or a row lacks a field that the prompt needs.
    """
    prepare()
    return {task.name: _build(task, judge) for task in tasks}


def _build(task: Task, judge: "Judge | None") -> Any:
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

    config, splits = configured(task, judge)
    if task.kind not in ("code", "squad"):  # these have our own metrics
        check_metrics(config, f"task {task.name!r}")
    with explained(task):
        held = {
            split: Dataset.from_list(with_all_fields(rows), on_mixed_types="use_json") for split, rows in splits.items()
        }
        config |= {"task": task.name, "test_split": task.asked, "custom_dataset": lambda **_: held}
        built = ConfigurableTask(config=config)
    if task.kind not in ("code", "squad"):  # these have our own patterns
        built.apply_filters = bounded(built.apply_filters, f"task {task.name!r}: its filters")
        built.process_results = bounded(built.process_results, f"task {task.name!r}: its metrics")
    return built


def with_all_fields(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the same fields each, None where one is missing, as in a file that lm-eval loads: `datasets` takes the
    fields of all rows from the first one."""
    fields = dict.fromkeys(field for row in rows for field in row)
    return [{field: row.get(field) for field in fields} for row in rows]


def configured(task: Task, judge: "Judge | None" = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """A task's configuration and rows in lm-eval's form, with the functions that its kind needs."""
    config, splits = dict(task.config), dict(task.splits)
    config.setdefault("num_fewshot", task.shots)
    _check_examples(task, config, splits)
    if task.kind == "code":
        from components.benchmarking.programs import metrics, worked_examples

        examples = worked_examples(task.name, config)
        generation = dict(config.get("generation_kwargs") or {})
        given = generation.get("until") or []
        given = [given] if isinstance(given, str) else given
        later = [stop for stop in given if stop.startswith("\n")]  # a program may contain these
        config["generation_kwargs"] = generation | {"until": [stop for stop in given if stop not in later]}
        # A function, since lm-eval copies its configuration deeply, and a sandbox cannot be copied.
        judged = (lambda doc, results: judge(doc, results, later)) if judge else None
        samples = config.get("repeats", 1)
        # lm-eval's own filter keeps only the first completion.
        every = [{"name": "none", "filter": [{"function": "take_first_k", "k": samples}]}]
        config |= {"metric_list": mean_metrics(*metrics(samples)), "process_results": judged, "unsafe_code": False}
        if judge is None and task.headline == BITS:
            config["metric_list"] = [{"metric": "bypass"}]  # lm-eval would look for the others on the hub
        config["filter_list"] = every if samples > 1 else None
        if examples is not None:
            config["fewshot_config"] = {"sampler": "first_n", "samples": examples}
    if task.kind == "squad":
        examples, splits[task.asked] = squad.split_examples(task.rows, task.shots)
        config |= {"metric_list": mean_metrics(*squad.METRICS), "process_results": squad.process_results}
        config["fewshot_config"] = {"sampler": "first_n", "samples": examples}
    return config, splits


def _check_examples(task: Task, config: dict[str, Any], splits: Mapping[str, Any]) -> None:
    """Remove the split of worked examples if the task uses none, since lm-eval would open it anyway.

    Raises:
        StepError: the task needs worked examples, and their split is missing.
    """
    given = dict(config.get("fewshot_config") or {})
    for place, key in ((config, "fewshot_split"), (given, "split")):
        if place.get(key) in (None, *splits):
            continue
        if config["num_fewshot"]:
            raise StepError(
                f"task {task.name!r}: its {config['num_fewshot']} worked examples come from the split {place[key]!r}, which is "
                "not among its files; add it to `files` in the suite (--suite), or set `shots` to 0"
            )
        del place[key]
        if place is given:
            config["fewshot_config"] = given or None


@contextlib.contextmanager
def explained(task: Task, only_rows: bool = False) -> Any:
    """Turn exceptions of lm-eval and templates about a row or a configuration into one sentence that names the task.

    Args:
        only_rows: convert only exceptions that a row is likely to cause.
    """
    from jinja2 import TemplateError, UndefinedError
    from pyarrow import ArrowException

    try:
        yield
    except (UndefinedError, KeyError) as error:
        fields = ", ".join(sorted({field for row in task.rows for field in row}))
        raise StepError(
            f"task {task.name!r}: its prompt needs a field that a row lacks ({error}); the rows have {fields}"
        ) from error
    except (TemplateError, ArrowException, TypeError, ValueError, IndexError, AttributeError, SyntaxError) as error:
        if only_rows and not isinstance(error, TemplateError):
            raise
        # A template's error names its own cause.
        kind = "" if isinstance(error, TemplateError) else f"{type(error).__name__}: "
        raise StepError(
            f"task {task.name!r} cannot be run: {kind}{' '.join(str(error).split())}; correct the suite (--suite)"
        ) from error


def definition_sha256(task: Task) -> str:
    """Hex SHA-256 of everything that the task's prompts and verdicts depend on, except its rows."""
    from importlib.metadata import version

    def plain(value: Any) -> str:
        if callable(value):
            source = Path(value.__code__.co_filename) if hasattr(value, "__code__") else None
            text = source.read_text(encoding="utf-8") if source and source.is_file() else ""
            return f"{value.__module__}.{value.__qualname__}:{hashlib.sha256(text.encode()).hexdigest()}"
        return str(value)

    content = [version("lm-eval"), task.name, task.kind, task.shots, task.asked, task.config]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=plain).encode()).hexdigest()


def run_tasks(model: Any, tasks: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """Run lm-eval's evaluation of a model on tasks; returns its `results` and its logged `samples`.

    `figures.aggregated` computes all aggregations except the mean: if one failed here, the task's answers would be lost, and
    lm-eval's bootstrap starts one process per core.
    """
    from lm_eval.api.metrics import mean
    from lm_eval.evaluator import evaluate

    theirs = {name: task.aggregation() for name, task in tasks.items()}
    for task in tasks.values():
        task._aggregation_list = {m: f if f is mean else _later for m, f in task.aggregation().items()}
    try:
        return evaluate(
            lm=model,
            task_dict={"tasks": dict(tasks), "groups": {}, "group_map": {}},
            limit=limit or None,
            bootstrap_iters=1,
            log_samples=True,
        )
    finally:
        for name, task in tasks.items():
            task._aggregation_list = theirs[name]


def asked_alone(built: Any, limit: int) -> list[dict[str, Any]]:
    """The samples that lm-eval would log of a task whose answers are generated, without any answer."""
    from lm_eval.utils import hash_string

    built.build_all_requests(limit=limit or None)
    return [
        {
            "doc_id": request.doc_id,
            "doc": request.doc,
            "target": built.doc_to_target(request.doc),
            "arguments": [request.args],
            "prompt_hash": hash_string(request.args[0]),
        }
        for request in built.instances
    ]


def _later(_: Any) -> str:
    return "N/A"
