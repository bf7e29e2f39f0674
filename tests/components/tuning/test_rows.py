"""Rows are read in the usual forms; each malformed one is refused by file, line and field."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.errors import StepError
from components.tuning.rows import read_rows

USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}


@pytest.mark.parametrize(
    ("row", "preferences", "prompt", "answers"),
    [
        ({"messages": [USER, ANSWER], "source": "x"}, False, None, ([USER, ANSWER],)),
        ({"prompt": "2 + 2?", "completion": "4"}, False, "2 + 2?", ("4",)),
        ({"prompt": [USER], "completion": [ANSWER]}, False, [USER], ([ANSWER],)),
        ({"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}, True, "2 + 2?", ("4", "5")),
    ],
    ids=["chat", "prompt-completion", "messages-as-prompt", "preference"],
)
def test_the_usual_forms_are_read(
    write_rows: Callable[[list[Any]], Path], row: Any, preferences: bool, prompt: Any, answers: Any
) -> None:
    (found,) = read_rows([write_rows([row])], preferences)
    assert (found.prompt, found.answers) == (prompt, answers)


@pytest.mark.parametrize(
    ("line", "preferences", "said"),
    [
        ("{", False, "line 1: not JSON"),
        ("[]", False, "line 1: a list; expected an object with messages or prompt and completion"),
        ('{"instruction": "a", "output": "b"}', False, "line 1: 'instruction', 'output'; expected"),
        ('{"prompt": "a", "completion": ""}', False, "`completion` is empty"),
        ('{"prompt": "a", "completion": 4}', False, "`completion` is 4; expected text or a list of messages"),
        (
            '{"prompt": "a", "completion": [{"role": "assistant", "content": "b"}]}',
            False,
            "partly text, partly messages",
        ),
        ('{"messages": [{"role": "bot", "content": "b"}]}', False, "message 1: role is 'bot'; expected system, user"),
        ('{"messages": [{"role": "user", "content": null}]}', False, "message 1: content is None; expected text"),
        ('{"messages": [{"role": "user", "content": "a"}]}', False, "ends with a message of the user"),
        ('{"messages": "a"}', False, "`messages` is 'a'; expected a list of messages"),
        ('{"prompt": "a", "chosen": "b", "rejected": "b"}', True, "`chosen` and `rejected` are equal"),
        ('{"prompt": "a", "completion": "b"}', True, "expected an object with prompt, chosen and rejected"),
        ("", False, "no rows"),
    ],
)
def test_a_malformed_row_is_refused_by_its_place(tmp_path: Path, line: str, preferences: bool, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(StepError) as error:
        read_rows([path], preferences)
    assert str(path) in str(error.value)
    assert said in str(error.value)
