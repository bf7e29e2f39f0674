"""Renders a conversation by a checkpoint's own chat template, in a sandbox (components/foreign/templates.py)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.foreign.templates import render_chat
from components.phi.checkpoint import read_json

ROLES = ("bos", "eos", "unk", "pad")
Messages = Sequence[Mapping[str, str]]  # each with `role` and `content`
TEMPLATE = "chat_template.jinja"
# For tuning: the form of the exercises, which a base model knows, in its own vocabulary; the end-of-text token ends an
# answer, since that is what every program stops at.
QUESTIONS = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}{{ 'Question: ' + message['content'] + '\\nAnswer:' }}"
    "{%- elif message['role'] == 'assistant' -%}{{ ' ' + message['content'] + eos_token }}"
    "{%- else -%}{{ message['content'] + '\\n\\n' }}{%- endif -%}"
    "{%- endfor -%}"
)


def read_template(folder: Path) -> str | None:
    """The chat template of a checkpoint, or None: chat_template.jinja, else that of tokenizer_config.json.

    Raises:
        StepError: a file cannot be read, or is not a template.
    """
    if (path := folder / TEMPLATE).is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StepError(f"{path} cannot be read as text: {error}; copy the checkpoint again") from error
    template = _tokenizer_config(folder).get("chat_template")
    if isinstance(template, list):  # several by name
        named = {each.get("name"): each.get("template") for each in template if isinstance(each, Mapping)}
        template = named.get("default", next(iter(named.values()), None))
    if template is not None and not isinstance(template, str):
        raise StepError(
            f"{folder / 'tokenizer_config.json'}: chat_template is a {type(template).__name__}; expected a Jinja template as "
            "text; correct it, or remove it and let the model complete text"
        )
    return template


def render(folder: Path, messages: Messages) -> str:
    """The prompt that asks for the next answer of a conversation.

    Raises:
        StepError: the checkpoint has no template, or the template refuses the conversation, fails, or exceeds its
            limits.
    """
    from jinja2 import TemplateError

    template = read_template(folder)
    if template is None:
        raise StepError(f"{folder} has no chat template; let the model complete text instead (--complete)")
    try:
        return render_chat(template, messages, special_tokens(folder))
    except (TemplateError, StepError) as error:
        raise StepError(
            f"{folder}: the chat template cannot be used: {str(error)[:300]}; let the model complete text instead (--complete)"
        ) from error


def special_tokens(folder: Path) -> dict[str, str]:
    """The special tokens that a checkpoint's template may use, as text, by role (`eos_token`)."""
    config = _tokenizer_config(folder)
    tokens = {f"{role}_token": _content(config.get(f"{role}_token")) for role in ROLES}
    return {role: token for role, token in tokens.items() if token is not None}


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    return read_json(path) if path.is_file() else {}


def _content(token: Any) -> str | None:
    """A special token as text; in tokenizer_config.json it may be an object."""
    token = token.get("content") if isinstance(token, Mapping) else token
    return token if isinstance(token, str) else None
