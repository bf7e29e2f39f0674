"""Jupyter notebooks, formats 3 and 4: text cells unchanged, code cells fenced; outputs are left out."""

import json
from typing import Any

from components.ingestion.parsing import Refusal


def parse(text: str) -> dict[str, Any]:
    try:
        notebook = json.loads(text)
    except ValueError as error:
        raise Refusal(f"is not a notebook ({error})") from error
    if not isinstance(notebook, dict):
        raise Refusal(f"holds a {type(notebook).__name__}; a notebook is an object with cells")
    cells = _list(notebook.get("cells")) or [
        cell for sheet in _list(notebook.get("worksheets")) for cell in _list(_object(sheet).get("cells"))
    ]
    facts = _object(notebook.get("metadata"))
    language = _object(facts.get("language_info")).get("name") or _object(facts.get("kernelspec")).get("language")
    language = language if isinstance(language, str) else "python"
    texts = [_cell(_object(cell), language) for cell in cells]
    return {
        "text": "\n\n".join(filter(None, texts)),
        "title": next((line[2:].strip() for text in texts for line in text.splitlines()[:1] if line[:2] == "# "), ""),
        "programming_language": language,
    }


def _cell(cell: dict[str, Any], language: str) -> str:
    source = cell.get("source", cell.get("input", ""))
    text = source if isinstance(source, str) else "".join(part for part in _list(source) if isinstance(part, str))
    text = text.strip("\n")
    if not text.strip():
        return ""
    if cell.get("cell_type") == "code":
        return f"```{language}\n{text}\n```"
    if cell.get("cell_type") == "heading":  # of format 3
        level = cell.get("level")
        return f"{'#' * (level if isinstance(level, int) and level in range(1, 7) else 1)} {text}"
    return text


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
