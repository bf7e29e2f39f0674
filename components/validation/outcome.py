"""The outcome of a rule over the batches of its table."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.validation.suites import Rule

EXAMPLES = 3
MAX_EXAMPLE_CHARS = 120


@dataclass
class Outcome:
    """One rule with its counts: `rows` of the table, and `checked` ones with a value."""

    rule: Rule
    name: str  # name of the expectation in Great Expectations
    rows: int = 0
    checked: int = 0
    unexpected: int = 0
    examples: list[Any] = field(default_factory=list)
    error: str = ""  # of the expectation itself; the data was not checked

    def add(self, result: Any, where: tuple[str, ...]) -> None:
        """Count one validation result of Great Expectations."""
        raised = exception_message(result.exception_info)
        if raised:
            self.error = self.error or raised
            return
        found: Mapping[str, Any] = result.result
        self.rows += found["element_count"]
        self.checked += found["element_count"] - (found.get("missing_count") or 0)
        self.unexpected += found["unexpected_count"]
        values = found.get("partial_unexpected_list") or []
        places = found.get("partial_unexpected_index_list") or []
        for position, value in enumerate(values[: EXAMPLES - len(self.examples)]):
            place = places[position] if position < len(places) else {}
            named = {name: plain(place[name]) for name in where if name in place}
            self.examples.append({"value": plain(value), **named})

    @property
    def state(self) -> str:
        """passed, failed, or error."""
        if self.error:
            return "error"
        # Over all batches, because a single batch may exceed the tolerated share.
        return "failed" if self.unexpected > (1 - self.rule.mostly) * self.checked * (1 + 1e-9) else "passed"

    @property
    def column(self) -> str:
        return ", ".join(self.rule.columns)

    @property
    def percent(self) -> float:
        """Unexpected rows of those checked, in percent."""
        return 100 * self.unexpected / self.checked if self.checked else 0.0

    def sentence(self) -> str:
        """`text: expect_… - 3 of 20,431 rows (0.01%), e.g. [...] (expected: …)`."""
        if self.error:
            return f"{self.column}: {self.name} could not be evaluated, so the data is unchecked: {self.error}"
        values = [example["value"] for example in self.examples]
        return (
            f"{self.column}: {self.name} - {self.unexpected:,} of {self.checked:,} rows ({format_percent(self.percent)}), "
            f"e.g. {values} (expected: {self.rule.meaning}{self._remedy()})"
        )

    def _remedy(self) -> str:
        """A fix, with the value of the parameter that accepts this asset."""
        if not self.rule.parameter:
            return ""
        if self.rule.mostly < 1:
            found: Any = math.ceil(self.unexpected / max(1, self.checked) * 1e4) / 1e4
        else:
            found = self.examples[0]["value"] if self.examples else 0
        # A threshold of 0 is never advised.
        ways = [self.rule.advice, f"--set {self.rule.parameter}={found}" if found else ""]
        return "; " + ", or ".join(way for way in ways if way)

    def record(self) -> dict[str, Any]:
        """The outcome as a JSON object."""
        return {
            "table": self.rule.table,
            "column": self.column,
            "expectation": self.name,
            "arguments": self.rule.arguments,
            "meaning": self.rule.meaning,
            "mostly": round(self.rule.mostly, 9),
            "parameter": self.rule.parameter,
            "state": self.state,
            "rows": self.rows,
            "checked": self.checked,
            "unexpected": self.unexpected,
            "unexpected_percent": round(self.percent, 6),
            "examples": self.examples,
            "error": self.error,
        }


def exception_message(info: Mapping[str, Any] | None) -> str:
    """The error of an expectation, or an empty string. The record is flat or has one entry per metric."""
    info = info or {}
    records = [info] if "raised_exception" in info else [value for value in info.values() if isinstance(value, Mapping)]
    messages = [str(r.get("exception_message") or "no message") for r in records if r.get("raised_exception")]
    return " ".join(messages[0].split())[:400] if messages else ""


def format_percent(percent: float) -> str:
    """Two decimals; <0.01% for small numbers above zero."""
    return "<0.01%" if 0 < percent < 0.005 else f"{percent:.2f}%"


def plain(value: Any) -> Any:
    """A cell as JSON: numpy scalars become numbers, pairs become lists, NaN becomes null, and long texts are cut."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if value is None or isinstance(value, int | bool):
        return value
    text = str(value)
    return text if len(text) <= MAX_EXAMPLE_CHARS else text[: MAX_EXAMPLE_CHARS - 1] + "…"
