"""What counts as a comment or docstring, and that neither can raise the score of bad code."""

import ast
import inspect
import io
import itertools
import json.decoder
import statistics
import time
import tokenize

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.curation.education.guard import guarded, without_comments

LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT}


def tokens(source: str, drop_statements: bool) -> list[str]:
    """The tokens of a source but layout and comments; also without strings that are statements, if so asked."""
    every = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type != tokenize.COMMENT]
    found, starts = [], True
    for token, following in itertools.pairwise(every):
        if drop_statements and token.type == tokenize.STRING and starts and following.type == tokenize.NEWLINE:
            continue
        if token.type != tokenize.NL:
            starts = token.type in LAYOUT
        if token.type not in LAYOUT:
            found.append(token.string)
    return found


@pytest.mark.parametrize(
    "module", [statistics, tokenize, ast, inspect, json.decoder], ids=lambda module: module.__name__
)
def test_a_module_loses_its_docstrings_and_nothing_else(module) -> None:
    source = inspect.getsource(module)
    left = without_comments(source)
    assert tokens(left, False) == tokens(source, True)
    assert len(left) < len(source)
    assert all(t.type != tokenize.COMMENT for t in tokenize.generate_tokens(io.StringIO(left).readline))
    assert "\n\n" not in left


def test_what_only_looks_like_a_comment_stays() -> None:
    code = 'a = "# no"\nb = \'// no\'\nc = f("""# no\n// no""")\nd = 7 // 2\ne = x("/*", "*/")\n'
    assert without_comments(code) == code


def test_other_languages_lose_theirs() -> None:
    assert without_comments("int a; /* one\ntwo */ int b;\n// three\n  // four\nc();\n") == "int a;  int b;\nc();\n"


def test_a_string_as_an_argument_stays_and_as_a_statement_goes() -> None:
    assert without_comments('f(\n    """text"""\n)\n') == 'f(\n    """text"""\n)\n'
    assert '"' not in without_comments('x = 1\n"""chatter"""\ny = 2\n"""more"""\n')
    assert '"' not in without_comments('def f():  # why\n    # and how\n    r"raw"\n    return 1\n')


@given(st.text(alphabet="ab \n\t#\"'/*\\:()rR", max_size=300))
def test_any_text_is_taken_and_only_loses(text: str) -> None:
    left = without_comments(text)
    remaining = iter(text)
    assert all(character in remaining for character in left)


@pytest.mark.parametrize("piece", ['"', "'", '"""', "'''", "#", "/*", "\\", '"\\', ":\n", '\n"', '\n"""a"""', "x"])
def test_the_scan_is_linear(piece: str) -> None:
    def seconds(times: int) -> float:
        text, least = piece * times, float("inf")
        for _ in range(3):
            started = time.process_time()
            without_comments(text)
            least = min(least, time.process_time() - started)
        return least

    assert seconds(40_000) < 40 * seconds(4_000) + 0.05  # ten times the text; a square law gives a hundred


def test_comments_add_the_allowance_at_most() -> None:
    values = guarded(np.array([4.0, 1.0, 2.0, 5.0], np.float32), np.array([1.0, 3.0, 1.8, 0.0], np.float32), 0.5)
    assert values.tolist() == [1.5, 1.0, 2.0, 0.0]
    assert values.dtype == np.float32
