"""Python text as a syntax tree."""

import ast
import textwrap
import warnings
from concurrent.futures import ThreadPoolExecutor

# What `parse` raises of a text that is none, or too deep.
NO_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)

# One thread of the process parses, for two reasons. CPython counts how deep a tree is in one place for all threads, so two that
# parse at once may make each other fail (SystemError: recursion depth mismatch). And it counts from how deep the caller is, so
# that the same text would parse in one engine and not in another.
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
