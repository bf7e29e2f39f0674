"""Python text as a syntax tree."""

import ast
import textwrap
import warnings
from concurrent.futures import ThreadPoolExecutor

# Errors that `parse` raises for a text that is not Python, or is nested too deeply.
NO_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)

# One thread of the process parses, for two reasons. CPython counts the depth of a tree in one place for all threads, so two
# that parse at once may make each other fail (SystemError: recursion depth mismatch). And it starts from the caller's depth,
# so the same text would parse in one engine and not in another.
_PARSER = ThreadPoolExecutor(1, "parser")


def parse(text: str) -> ast.Module:
    """The tree of a text, which may be indented as a whole.

    Raises:
        NO_PYTHON: it doesn't parse.
    """
    return _PARSER.submit(_parse, text).result()


def _parse(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        return ast.parse(textwrap.dedent(text) if text[:1].isspace() else text)
