"""One gate: the tables of an asset against its suite. The results are written before a failure stops the run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import StepError
from components.files import atomic_directory, write_json
from components.params import Params
from components.results.remedies import causes
from components.tracking import Tracker
from components.validation.document_tables import WHERE, DocumentTables
from components.validation.outcome import EXAMPLES, Outcome
from components.validation.page import html_page
from components.validation.suites import Rule, suite
from components.validation.token_tables import TokenTables

if TYPE_CHECKING:
    from components.validation.expectations import Validator

Tables = TokenTables | DocumentTables
RESULTS, PAGE = "results.json", "index.html"


def run(inputs: dict[str, Any], outputs: dict[str, Any], params: Params, tracker: Tracker) -> dict[str, Any]:
    """Check `inputs["input"]` as the asset `inputs["asset"]`.

    Raises:
        StepError: the input is not such an asset, or an expectation failed; then the results are still written.
    """
    asset, directory, output = inputs["asset"], Path(inputs["input"]), Path(outputs["output"])
    results = validate(asset, directory, suite(asset, params.validation))
    with atomic_directory(output) as folder:
        write_json(folder / RESULTS, results)
        (folder / PAGE).write_text(html_page(results), encoding="utf-8")
    for name in (RESULTS, PAGE):
        tracker.artifact(output / name, f"validation/{asset}")
    if not results["passed"]:
        raise StepError(failure_message(results, output, causes(inputs["ledger"]) if inputs.get("ledger") else ""))
    return summary(results)


def validate(asset: str, directory: Path, rules: list[Rule]) -> dict[str, Any]:
    """The results of an asset as a JSON object; equal data give equal results."""
    from components.validation.expectations import Validator

    tables: Tables = TokenTables(directory) if asset == "tokens" else DocumentTables(directory)
    validator = Validator()
    outcomes: list[Outcome] = []
    if isinstance(tables, DocumentTables):
        outcomes += validator.check("rows", _of(rules, "rows"), tables.rows(), WHERE)
    return _results(asset, directory, tables, outcomes + _whole(validator, tables, rules))


def _whole(validator: "Validator", tables: Tables, rules: list[Rule]) -> list[Outcome]:
    """Outcomes of the small tables."""
    import pandas as pd

    outcomes = validator.check("shards", _of(rules, "shards"), [tables.shards()], ("file",))
    if isinstance(tables, TokenTables):
        outcomes += validator.check("splits", _of(rules, "splits"), [tables.splits()], ("split",))
    facts = validator.check("facts", _of(rules, "facts"), [pd.DataFrame([tables.facts()])])
    for outcome in facts:
        if outcome.state == "failed" and outcome.examples:
            cases = [{"value": case} for case in tables.examples(outcome.column)]
            outcome.examples = (outcome.examples + cases)[:EXAMPLES]  # the value, then examples
    return outcomes + facts


def _of(rules: list[Rule], table: str) -> list[Rule]:
    return [rule for rule in rules if rule.table == table]


def _results(asset: str, directory: Path, tables: Tables, outcomes: list[Outcome]) -> dict[str, Any]:
    states = [outcome.state for outcome in outcomes]
    return {
        "asset": asset,
        "input": directory.name if directory.is_absolute() else directory.as_posix(),
        "passed": set(states) <= {"passed"},
        "counts": {state: states.count(state) for state in ("passed", "failed", "error")},
        "facts": tables.facts(),
        "shards": tables.shards().to_dict("records"),
        "expectations": [{**outcome.record(), "sentence": outcome.sentence()} for outcome in outcomes],
    }


def failure_message(results: dict[str, Any], output: Path, causes: str = "") -> str:
    """One line: each failed expectation with column, rows and examples, the causes of dropped documents, and the page with
    details."""
    bad = [found["sentence"] for found in results["expectations"] if found["state"] != "passed"]
    return "; ".join([f"{results['input']}: {bad[0]}", *bad[1:], *([causes] if causes else []), f"see {output / PAGE}"])


def summary(results: dict[str, Any]) -> dict[str, Any]:
    """The metrics for DVC."""
    return {
        "asset": results["asset"],
        "expectations": results["counts"],
        "unexpected_rows": sum(found["unexpected"] for found in results["expectations"] if found["table"] == "rows"),
        "shards": len(results["shards"]),
        **{name: value for name, value in results["facts"].items() if not isinstance(value, str)},
    }
