"""The results as one self-contained HTML page without network or script."""

import json
from pathlib import Path
from typing import Any

from components.results.pages import render
from components.validation.outcome import format_percent

TEMPLATE = Path(__file__).with_name("page.html.j2")
TITLES = {
    "rows": ("Each document", "documents"),
    "splits": ("Train and validation", "splits"),
    "shards": ("Each file", "files"),
    "facts": ("The whole", "values"),
}
WORST_FIRST = {"error": 0, "failed": 1, "passed": 2}


def html_page(results: dict[str, Any]) -> str:
    """The page of one gate's results."""
    found = results["expectations"]
    sections = [
        {"title": title, "unit": unit, "rows": sorted(rows, key=lambda row: WORST_FIRST[row["state"]])}
        for table, (title, unit) in TITLES.items()
        if (rows := [row for row in found if row["table"] == table])
    ]
    return render(
        TEMPLATE,
        {"number": number, "percent": format_percent, "shown": shown, "words": words},
        results=results,
        bad=[row for row in found if row["state"] != "passed"],
        sections=sections,
        shards=results["shards"],
        shard_columns=[name for name in (results["shards"] or [{}])[0] if not name.startswith("expected_")],
    )


def number(value: Any) -> str:
    """A number with separated thousands and at most four decimals; other values unchanged."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    return "-" if value is None else str(value)


def shown(value: Any) -> str:
    """An example in quotes, so that empty texts and blanks are visible."""
    return json.dumps(value, ensure_ascii=False)


def words(name: str) -> str:
    """`mean_characters` as `mean characters`."""
    return name.replace("_", " ")
