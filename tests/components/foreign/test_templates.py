"""Templates from elsewhere: rendered as their libraries render them, with no way out and within bounds."""

import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from jinja2 import TemplateError, UndefinedError

from components.errors import StepError
from components.foreign import templates
from components.foreign.templates import Renderer, render_chat, render_prompt


@pytest.fixture(scope="module")
def quick() -> Iterator[Renderer]:
    """A renderer with little time."""
    renderer = Renderer("prompt", seconds=1)
    yield renderer
    renderer.close()


ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ self.__init__.__globals__ }}",
    "{{ ('{0.__class__.__mro__}').format('') }}",
    "{{ ''|attr('__class__') }}",
    "{{ [].append.__self__.__class__ }}",
    "{{ lipsum.__globals__['os'].system('id') }}",
    "{% set x = namespace(f=joiner) %}{{ x.f.__init__.__globals__ }}",
    "{% include '/etc/passwd' %}",
    "{% import '/etc/passwd' as x %}",
]
BOMBS = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% set x = range(99999)|list %}{% for i in x %}{% for j in x %}{% for k in x %}{% endfor %}{% endfor %}{% endfor %}",
    "{{ 'a' * 10**11 }}",
    "{% set x = namespace(t='aaaaaaaa') %}{% for i in range(40) %}{% set x.t = x.t ~ x.t %}{% endfor %}{{ x.t }}",
    "{{ 9**(9**9) }}",
    "{{ '%99999999999d' % 1 }}",
    "{{ 'x'.ljust(10**11) }}",
    "{{ 'x'|center(10**11) }}",
    "{{ 'a' * 2_000_001 }}",
    "{{ ('a' * 50)|regex_replace('(a+)+$', '') ~ ('a' * 50 ~ 'b')|regex_replace('^(a+)+$', '') }}",
]


@pytest.mark.parametrize("template", ESCAPES)
def test_a_template_has_no_way_to_pythons_objects(template: str) -> None:
    with pytest.raises(TemplateError):
        render_prompt(template, {"x": "y"})


@pytest.mark.parametrize("template", BOMBS)
def test_a_template_that_takes_too_much_is_ended_in_one_sentence(template: str, quick: Renderer) -> None:
    with pytest.raises(StepError) as caught:
        quick.render(pickle.dumps((template, {})))
    assert str(caught.value).startswith("the template ")
    assert "1 s of CPU, 1 GiB of memory or 2,000,000 characters; simplify it" in str(caught.value)
    assert quick.render(pickle.dumps(("{{ x }}", {"x": 1}))) == "1"  # the next one is rendered


@pytest.mark.parametrize(
    "template", ["{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", "{{ " + "(" * 5_000 + " }}"]
)
def test_a_template_that_nests_too_deep_is_refused(template: str, quick: Renderer) -> None:
    with pytest.raises((TemplateError, StepError), match=r"RecursionError|TemplateSyntaxError|cannot be rendered"):
        quick.render(pickle.dumps((template, {})))


def test_a_process_that_does_not_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "components.py").write_text("raise SystemExit(1)")
    monkeypatch.setattr(templates, "ROOT", tmp_path)
    with pytest.raises(StepError, match="the process that renders templates does not start; run `"):
        Renderer("prompt").render(pickle.dumps(("x", {})))


@pytest.mark.parametrize(
    "template",
    [
        "{{question.strip()}}\nA. {{choices[0]}}\nAnswer:\n",
        "{{choices}}",
        "{{ (label|int) - 1 }}",
        "{{choices.index('b')}}{% for c in choices %} {{'ABC'[loop.index0]}}. {{c}}\n{% endfor %}",
        "{{question.replace('a', '_').split('_')[-1]|upper}}",
        "{{question|regex_replace('[aeiou]', '*')}}",
        "{% if none is defined %}x{% else %}{{nested.text[0]}}{% endif %}",
        "{{nested|tojson}} {{'%05.2f'|format(3.14159)}} {{range(3)|list}}",
    ],
)
def test_a_prompt_is_what_lm_eval_renders(template: str) -> None:
    from lm_eval.utils import apply_template, env

    row = {"question": " What\n is a? ", "choices": ["a", "b", "ü"], "label": "2", "nested": {"text": ["x"]}}
    genuine = env.from_string(template).render(**row)
    assert render_prompt(template, row) == genuine
    assert callable(apply_template)


def test_a_missing_value_is_told_apart() -> None:
    with pytest.raises(UndefinedError, match="'goal' is undefined"):
        render_prompt("{{ goal }}", {"x": 1})
    with pytest.raises(TemplateError, match="TemplateSyntaxError"):
        render_prompt("{% for %}", {})


def test_an_answer_of_a_broken_process_is_not_loaded_as_a_program(tmp_path) -> None:
    """What comes back is JSON: pickled bytes are refused."""

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "mark"), "w"))

    renderer = templates.Renderer("prompt")
    ours, theirs = multiprocessing.Pipe()
    renderer._process, renderer._connection = SimpleNamespace(kill=lambda: None, wait=lambda: None), ours
    theirs.send_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match=r"decode|Expecting"):
        renderer.render(pickle.dumps(("x", {})))
    assert not (tmp_path / "mark").exists()


def test_a_chat_template_is_rendered_as_transformers_does_and_within_bounds() -> None:
    messages = [{"role": "user", "content": "Hi"}]
    template = "{% for m in messages %}{{ m.role|upper }}: {{ m.content|tojson }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}go{% endif %}"
    assert render_chat(template, messages, {"eos_token": "<e>"}) == 'USER: "Hi"<e>go'
    with pytest.raises(TemplateError, match=r"SecurityError|is unsafe|undefined"):
        render_chat(ESCAPES[0], messages, {})
    slow = Renderer("chat", seconds=1)
    with pytest.raises(StepError, match="1 s of CPU"):
        slow.render(pickle.dumps((BOMBS[0], {"messages": messages, "tokens": {}, "ask": True})))
    slow.close()
