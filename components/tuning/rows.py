"""Reads rows of fine-tuning data from JSONL and checks each one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import StepError, short
from components.files import open_file, parse_json

Messages = list[dict[str, str]]
Part = str | Messages  # text, or messages of a conversation
ROLES = ("system", "user", "assistant")
FORMS = {  # answer fields by form; a form is recognised by its fields
    "messages": ("messages",),
    "prompt and completion": ("prompt", "completion"),
    "prompt, chosen and rejected": ("prompt", "chosen", "rejected"),
}
ANSWERS, PREFERENCES = ("messages", "prompt and completion"), ("prompt, chosen and rejected",)
MOST = 1 << 24  # maximum bytes of a line


@dataclass(frozen=True)
class Row:
    """One row: a prompt and its answers, or a conversation whose answers are all learned.

    Attributes:
        where: file and line, for messages.
        prompt: None for a conversation.
        answers: the completion, or the chosen and the rejected one; the conversation.
    """

    where: str
    prompt: Part | None
    answers: tuple[Part, ...]


def read_rows(paths: Sequence[Path], preferences: bool) -> list[Row]:
    """The rows of JSONL files.

    Args:
        preferences: whether each row has a chosen and a rejected answer.

    Raises:
        StepError: a file cannot be read or a row is malformed; names the file, the line and the field.
    """
    forms = PREFERENCES if preferences else ANSWERS
    rows = [_row(values, where, forms) for path in paths for where, values in _lines(path)]
    if not rows:
        raise StepError(f"{', '.join(map(str, paths))}: no rows; expected JSON objects with {' or '.join(forms)}")
    return rows


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with open_file(path) as file:
            number = 0
            while line := file.readline(MOST + 1):
                number += 1
                where = f"{path}, line {number}"
                if len(line) > MOST:
                    raise StepError(f"{where}: longer than {MOST:,} bytes; expected one JSON object per line; split it")
                if not line.strip():
                    continue
                try:
                    yield where, parse_json(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                except ValueError as error:
                    raise StepError(f"{where}: not JSON ({error}); expected one JSON object per line") from error
    except OSError as error:
        raise StepError(f"{path} cannot be read: {error}; name a JSONL file") from error


def _row(values: Any, where: str, forms: Sequence[str]) -> Row:
    expected = f"expected an object with {' or '.join(forms)}"
    if not isinstance(values, Mapping):
        raise StepError(f"{where}: a {type(values).__name__}; {expected}")
    form = next((form for form in forms if values.keys() >= set(FORMS[form])), None)
    if form is None:
        fields = ", ".join(map(short, values)) or "no fields"
        raise StepError(f"{where}: {fields}; {expected}")
    parts = {name: _part(values[name], f"{where}: `{name}`", name) for name in FORMS[form]}
    prompt = parts.pop("prompt", None)
    if any(isinstance(part, list) != isinstance(prompt, list) for part in parts.values() if prompt is not None):
        raise StepError(f"{where}: prompt and answers are partly text, partly messages; expected one of both")
    if len(parts) == 2 and parts["chosen"] == parts["rejected"]:
        raise StepError(f"{where}: `chosen` and `rejected` are equal; expected two different answers")
    return Row(where, prompt, tuple(parts.values()))


def _part(value: Any, where: str, name: str) -> Part:
    if name != "messages" and isinstance(value, str):
        if not value:
            raise StepError(f"{where} is empty; expected text")
        return value
    if not isinstance(value, list) or not value:
        raise StepError(
            f"{where} is {short(value)}; expected {'' if name == 'messages' else 'text or '}a list of messages"
        )
    for number, message in enumerate(value, 1):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            role = short(message.get("role") if isinstance(message, dict) else message)
            raise StepError(f"{where}, message {number}: role is {role}; expected {', '.join(ROLES)}")
        if not isinstance(message.get("content"), str) or not message["content"]:
            raise StepError(f"{where}, message {number}: content is {short(message.get('content'))}; expected text")
    if name != "prompt" and value[-1]["role"] != "assistant":
        raise StepError(
            f"{where} ends with a message of the {value[-1]['role']}; expected one of the assistant, to learn from"
        )
    return [{"role": message["role"], "content": message["content"]} for message in value]
