"""`python -m components.benchmarking`: score a checkpoint on a suite of benchmarks."""

import json
from typing import Any

from components.files import write_json
from components.params import Params
from components.running.cli import Argument, Command, Paths, main
from components.tracking import Tracker


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    from components.benchmarking.benchmark import Job, benchmark, check_limit, check_whole, tracked_figures
    from components.results.comparability import of_scores
    from components.tracking import state_folder

    given = params.benchmarking
    job = Job(
        inputs["checkpoint"],
        inputs["suite"] or given.suite,
        inputs["data_dir"],
        given.limit if inputs["limit"] is None else check_limit(inputs["limit"]),
        state_folder() / "benchmarking" if given.cache else None,
        inputs["corpus"] or (),
        inputs["set_back"],
    )
    summary = benchmark(job, outputs["output"], given)
    tracker.metrics(tracked_figures(outputs["output"]))
    tracker.tags(of_scores(json.loads((outputs["output"] / "scores.json").read_text(encoding="utf-8"))).tag())
    tracker.artifact(outputs["output"], "scores")
    if outputs["summary"]:
        write_json(outputs["summary"], summary)
    check_whole(outputs["output"])  # the scores of the other tasks are written, and the exit status is 1
    return summary


COMMAND = Command(
    step="benchmarking",
    description="Score a checkpoint on a suite of tasks; write scores with standard errors and every example's record.",
    run=run,
    inputs=(
        Argument("checkpoint", "Hugging Face checkpoint of a Phi"),
        Argument(
            "suite",
            "suite to run: exam, phi2, olmes, easy, safety, or a YAML file like theirs; overrides benchmarking.suite",
            required=False,
            type=str,
        ),
        Argument(
            "data_dir",
            "folder of the suite's data; for exam, the folder that synthesis wrote; overrides benchmarking.data_dir",
            required=False,
        ),
        Argument(
            "corpus",
            "folders of documents or tokens that the model was trained on, searched for the suite's examples",
            required=False,
            many=True,
        ),
        Argument(
            "set_back",
            "grown checkpoint that the model was trained from: the entries that growth added get their values in it",
            required=False,
        ),
        Argument("limit", "maximum examples per task; 0 = all; overrides benchmarking.limit", required=False, type=int),
    ),
    outputs=(Argument("output", "directory for scores.json and examples.parquet", holds="scores.json"),),
    sections=("benchmarking",),
)

if __name__ == "__main__":
    main(COMMAND)
