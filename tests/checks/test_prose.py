"""The slips that the check of prose looks for, and what it must leave alone."""

from pathlib import Path

import pytest

from checks import prose
from checks.prose import faults


@pytest.mark.parametrize(
    "text",
    [
        "2.06 nats a token",
        "bits\n# a byte",
        "'tokens a '\n'second'",
        "one folder a step",
        "once an hour",
        "MB a CPU second",
        "a row that is no JSON",
        "they are no pages",
        "it is\nno checkpoint",
        "That was no number.",
    ],
)
def test_a_slip_is_found_with_its_line(text: str) -> None:
    [line] = faults(f"First.\n{text}\n", Path("page.md"))
    assert line.startswith("page.md:2: ")


@pytest.mark.parametrize(
    "text",
    [
        "2.06 nats per token",
        "It gives a model a second chance.",
        "a program that runs a process",
        "there is no checkpoint",
        "There are no pages.",
        "is no longer there, is no larger than, are no more",
        "it is not a checkpoint",
    ],
)
def test_ordinary_english_is_left_alone(text: str) -> None:
    assert not list(faults(text, Path("page.md")))


@pytest.mark.parametrize(
    ("code", "leans"),
    [
        ('add("--a", help="of the model")', True),
        ('Field(1, description="Such words, at most")', True),
        ('Argument("a", "as above, for the other one")', True),
        ('add("--a", help="width of the model; the same for both")', False),
        ('log("of the model")', False),
    ],
)
def test_a_help_text_stands_alone(code: str, leans: bool) -> None:
    assert bool(list(faults(code, Path("module.py")))) == leans


def test_the_check_reads_pages_docstrings_and_parameters_and_ends_with_1(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    for name in ("README.md", "params.yaml", "docs/a.md", "flows/b/c.py", "tests/d.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("# nats a token\n", encoding="utf-8")
    assert prose.main() == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in said] == ["README.md", "docs/a.md", "flows/b/c.py", "params.yaml"]
