"""The flow of a try: its child runs, and its verdict in MLflow and in the ledger."""

import sys
from pathlib import Path
from typing import Any

from flows.children import Parent, parent_run
from flows.pipeline import flow_of

# isort: split
from prefect import get_run_logger
from prefect.states import Completed, State

from components.params import PARAMS_FILE, load_params
from components.running.locks import exclusive
from components.trials.figures import Measurement
from components.trials.ledger import Try
from components.trials.tries import BASE, OURS, Asked, Question, carry_out
from flows import settings
from flows.client.trials import ledger_of
from flows.definitions import TRY


@flow_of(TRY, "Test a hypothesis about parameters seed by seed, until it is told apart or hopeless.")
def try_out(number: int) -> State:
    """Carry out the try of this number, which is registered in the ledger.

    Raises:
        StepError: there is no such open try, or a run failed; the try stays open.
    """
    home, logger = settings.project_root(), get_run_logger()
    ledger = ledger_of(home)
    one = next(found for found in ledger.tries() if found.number == number)
    question = Question.model_validate(one.question)
    first = load_params(home / PARAMS_FILE, question.base, question.profile).seed

    def say(text: str) -> None:
        logger.info(text)
        print(text, file=sys.stderr, flush=True)

    with parent_run(home, TRY.flow, f"try {number}: {question.hypothesis}"[:200], question.set) as parent:
        parent.tags({"try": str(number), "hypothesis": question.hypothesis, "metric": question.metric})

        def measure(asked: Asked) -> Measurement:
            overrides = question.overrides(asked.arm, asked.seed, asked.part)
            name = f"try {number}, seed {asked.seed}, {asked.arm}"
            return parent.measure(f"{name}, {asked.part} half", asked.metric, overrides, question.profile)

        busy = f"try {number} is being carried out by another process; waiting for it"
        with exclusive(settings.lock_file(home, f"try-{number}"), lambda: say(busy)):
            done = carry_out(ledger, number, first, measure, say)
        log_verdict(parent, done, ledger.book)
    return Completed(message=f"{(done.verdict or {})['outcome']}: {(done.verdict or {})['text']}")


def log_verdict(parent: Parent, done: Try, book: Path) -> None:
    """The folded metrics of a try, seed by seed and as a whole, and its page of the lab book."""
    verdict: dict[str, Any] = done.verdict or {}
    for step, row in enumerate(done.seeds, 1):
        figures = {BASE: row["base"], OURS: row["ours"], "improvement": row["improvement"]}
        state = row["judgement"]
        folded = {name: state[name] for name in ("mean", "low", "high", "evidence", "against")}
        parent.metrics({f"seed/{name}": value for name, value in figures.items()} | folded, step)
    if paired := verdict.get("paired"):
        parent.metrics({f"paired/{name}": paired[name] for name in ("mean", "low", "high", "n")}, len(done.seeds))
    parent.tags({"verdict": verdict["outcome"], "mlflow.note.content": verdict["text"]})
    parent.client.log_artifact(parent.run_id, str(book))
