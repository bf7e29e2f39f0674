"""Turn our rows into lm-eval tasks and run its evaluation, offline and without its slow habits.

Three habits of lm-eval 0.4.13 are avoided: the scan of 14,683 task names (task objects are handed over instead), the
compilation of the prompt template for each row (compiled once), the bootstrap of standard errors (the mean has a
closed form, which any positive `bootstrap_iters` selects for it).
"""

import functools
import logging
from collections.abc import Sequence
from typing import Any

from components.benchmarking.exam import TaskData

METRICS = ("acc", "acc_norm")


def build_tasks(suite: Sequence[TaskData]) -> dict[str, Any]:
    """lm-eval's ConfigurableTask for each task, zero-shot, over rows in memory."""
    import lm_eval.utils
    from datasets import Dataset, disable_progress_bars
    from lm_eval.api.task import ConfigurableTask

    disable_progress_bars()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns of every dataset that is not on the hub
    if not hasattr(lm_eval.utils.env.from_string, "cache_info"):
        lm_eval.utils.env.from_string = functools.lru_cache(maxsize=None)(lm_eval.utils.env.from_string)

    tasks = {}
    for data in suite:
        dataset = Dataset.from_list([dict(row) for row in data.rows])
        config = {
            "task": data.name,
            "custom_dataset": lambda dataset=dataset, **_: {"test": dataset},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": data.prompt,
            "doc_to_choice": "choices",  # a column's name gives the column's list as it is
            "doc_to_target": "answer",
            "target_delimiter": data.delimiter,
            "num_fewshot": 0,
            "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in METRICS],
            "metadata": {"version": 1},
        }
        tasks[data.name] = ConfigurableTask(config=config)
    return tasks


def run_tasks(model: Any, tasks: dict[str, Any], limit: int) -> dict[str, Any]:
    """lm-eval's evaluation of a model on tasks: its `results` and its logged `samples`."""
    from lm_eval.evaluator import evaluate

    return evaluate(
        lm=model,
        task_dict={"tasks": tasks, "groups": {}, "group_map": {}},
        limit=limit or None,
        bootstrap_iters=1,
        log_samples=True,
    )
