"""Python text as a syntax tree."""

import ast
import textwrap
import threading
import warnings

NO_PYTHON = (
    SyntaxError,
    ValueError,
    RecursionError,
    MemoryError,
)  # what `parse` raises of a text that is none, or too deep

# CPython counts how deep a tree is in one place for all threads of a process, so two of them that parse at once may make each
# other fail (SystemError: recursion depth mismatch); and filters of warnings belong to the process as well.
_ALONE = threading.Lock()


def parse(text: str) -> ast.Module:
    """The tree of a text, which may be indented as a whole.

    Raises:
        NO_PYTHON: it doesn't parse.
    """
    with _ALONE, warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        return ast.parse(textwrap.dedent(text) if text[:1].isspace() else text)
