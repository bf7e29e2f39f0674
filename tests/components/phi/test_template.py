"""A chat template renders a conversation as transformers does, and cannot do anything else."""

from pathlib import Path

import pytest

from components.errors import StepError
from components.files import write_json
from components.phi import template
from components.phi.export import CHAT_TEMPLATE

TALK = [
    {"role": "system", "content": "Sums."},
    {"role": "user", "content": "What is 2 + 3?"},
    {"role": "assistant", "content": "5"},
    {"role": "user", "content": "And 1 + 1?"},
]


def put(folder: Path, text: str | list | int) -> Path:
    token = {"__type": "AddedToken", "content": "<|endoftext|>"}
    write_json(folder / "tokenizer_config.json", {"chat_template": text, "eos_token": token})
    return folder


@pytest.mark.parametrize(
    "text",
    [
        CHAT_TEMPLATE,
        "{% for m in messages %}{{ m.role|upper }}: {{ m.content|tojson }}{{ eos_token }}\n{% endfor %}",
        "{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
        "{{ messages|length }}{% if add_generation_prompt %} go{% endif %}",
    ],
)
def test_a_template_gives_what_transformers_gives(tokenizer_dir: Path, text: str) -> None:
    from transformers import AutoTokenizer

    put(tokenizer_dir, text)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    expected = tokenizer.apply_chat_template(TALK, chat_template=text, tokenize=False, add_generation_prompt=True)
    assert template.render(tokenizer_dir, TALK) == expected


def test_where_a_template_stands(tmp_path: Path) -> None:
    assert template.read_template(tmp_path) is None
    put(tmp_path, "one")
    assert template.read_template(tmp_path) == "one"
    put(tmp_path, [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "two"}])
    assert template.read_template(tmp_path) == "two"
    (tmp_path / "chat_template.jinja").write_text("three")
    assert template.read_template(tmp_path) == "three"
    with pytest.raises(StepError, match="has no chat template"):
        template.render(tmp_path / "nowhere", TALK)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
        ("{{ messages.append('x') }}", "SecurityError"),
        ("{{ raise_exception('only\nfor tools') }}", "TemplateError: only for tools"),
        ("{% for", "TemplateSyntaxError"),
        ("{{ 'x' * 3000000000 }}", "it takes more than"),
    ],
)
def test_a_hostile_or_broken_template_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(StepError, match=f"the chat template cannot be used: .*({said})") as refused:
        template.render(put(tmp_path, text), TALK)
    assert "\n" not in str(refused.value)


def test_a_template_of_another_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="chat_template is a int; expected a Jinja template"):
        template.read_template(put(tmp_path, 3))
