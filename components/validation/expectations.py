"""The interface to Great Expectations: from rules to suites, from data frames to batches, from results to outcomes."""

import logging
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

from components.validation.deferred import light_imports
from components.validation.outcome import EXAMPLES, Outcome
from components.validation.suites import Rule

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations.expectation import Expectation


class Validator:
    """Checks the tables of one asset in memory, without files or reports to a server."""

    def __init__(self) -> None:
        with warnings.catch_warnings(), light_imports():
            warnings.simplefilter("ignore")
            import great_expectations as gx
            from great_expectations.data_context.types.base import ProgressBarsConfig

        # A failed metric is logged with its traceback, but the result has the error too.
        logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
        self._gx = gx
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        # One asset for all batches, because each is stored.
        asset = self._context.data_sources.add_pandas("memory").add_dataframe_asset("table")
        self._definition = asset.add_batch_definition_whole_dataframe("batch")

    def check(
        self, table: str, rules: list[Rule], batches: Iterable["pd.DataFrame"], where: tuple[str, ...] = ()
    ) -> list[Outcome]:
        """Validate the batches of a table against its rules.

        Args:
            table: name of the table.
            rules: all rules of this table.
            batches: data frames, which are not stored.
            where: columns that identify an example.

        Returns:
            One outcome per rule, in the order of `rules`, with counts and examples over all batches.
        """
        expectations = [self._build(rule, number) for number, rule in enumerate(rules)]
        suite = self._gx.ExpectationSuite(name=table, expectations=expectations)
        outcomes = [Outcome(rule, made.expectation_type) for rule, made in zip(rules, expectations, strict=True)]
        result_format = {"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES}
        if where:
            result_format["unexpected_index_column_names"] = list(where)
        for frame in batches:
            if len(frame):
                batch = self._definition.get_batch({"dataframe": frame})
                for result in batch.validate(suite, result_format=result_format).results:
                    outcomes[result.expectation_config.meta["rule"]].add(result, where)
        return outcomes

    def _build(self, rule: Rule, number: int) -> "Expectation":
        arguments = {**rule.arguments, "meta": {"rule": number}}
        if rule.mostly < 1:
            arguments["mostly"] = rule.mostly
        return getattr(self._gx.expectations, rule.expectation)(**arguments)
