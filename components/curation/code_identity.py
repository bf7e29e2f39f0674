"""Which functions of Python code are the same program: those of equal syntax trees, names and notes aside.

Trees are walked without recursion, since a chain of a few hundred `elif` or `+` is as deep as it is long.

Parsing is what costs. Of most code the order of its keywords, which takes one regular expression, says already that it
holds none of the programs that are looked for: strings and comments aside, equal trees have equal keywords, but for `elif`,
`else` and `pass`.
"""

import ast
import hashlib
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from components.curation.syntax import NO_PYTHON, parse

_FENCED = re.compile(r"^```(?:python|py|python3)?[ \t]*\n(.*?)^```", re.S | re.M)
# A string of Python. One without an end, which is not Python, goes to the end of its line or of the text, so that nothing is
# read twice.
STRING = (
    r""""{3}(?:[^"\\]|\\.|"(?!""))*+(?:"{3}|\\?\Z)|'{3}(?:[^'\\]|\\.|'(?!\'\'))*+(?:'{3}|\\?\Z)"""
    r"""|"(?:[^"\\\n]|\\.)*+(?:"|(?=\n)|\\?\Z)|'(?:[^'\\\n]|\\.)*+(?:'|(?=\n)|\\?\Z)"""
)
# Strings and comments, which are skipped; lines that begin without a blank, where a function may be over; keywords.
_KEYWORDS = re.compile(
    STRING + r"|#[^\n]*+"
    r"|(\n(?:async )?def\b|\n(?=\S)|\b(?:for|while|if|elif|return|def|try|with|lambda|yield|raise|break|continue|in|not|and|or|is"
    r"|assert|del)\b)",
    re.S,
)
_NAMES = "for while return try with lambda yield raise break continue in not and or is assert del"
_LETTERS = {"": "", "\n": "\n", "if": "i", "elif": "i", "def": "d", "\ndef": "\nd^", "\nasync def": "\nd^"}
_LETTERS |= dict(zip(_NAMES.split(), "fwrtWlyRbcnNaoIAD", strict=True))
# A function or class of a module with its lines, which are indented or close a bracket.
_BLOCK = re.compile(r"^(?:async def|def|class)\b[^\n]*+\n(?:(?:[ \t)#][^\n]*+)?\n)*+", re.M)
UNKNOWN = "*"  # the opening of a function that cannot be written out; any module may hold it
SHAPE = 500  # statements that are looked at for a function's shape
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Function:
    """A function: its name, its shape (arguments and kinds of statements, as text) and its tree."""

    name: str
    shape: str
    node: _Function


def functions(text: str, kind: str, openings: frozenset[str] | None = None) -> Iterator[Function]:
    """The functions of a text's modules, also those within classes, functions and other statements, in order.

    Of a module that is not Python, those of its functions and classes that are, each for itself.

    Args:
        kind: of the document. `code` is one module; of others each fenced block is one. It may be indented as a whole.
        openings: of the functions that are looked for; a module that can hold none of them is skipped.
    """
    if "def " not in text:
        return
    longest = max(map(len, openings), default=0) if openings else 0
    for source in [text] if kind == "code" else _FENCED.findall(text):
        source = textwrap.dedent(source) if source[:1].isspace() else source
        if openings is not None and not _may_hold(source, openings, longest):
            continue
        for tree in _trees(source):
            for node in statements(tree):
                if isinstance(node, _Function):
                    yield Function(node.name, _shape(node), node)


def _trees(source: str) -> Iterator[ast.Module]:
    if (tree := _parsed(source)) is not None:
        yield tree
        return
    yield from (tree for block in _BLOCK.findall(f"{source}\n") if (tree := _parsed(block)) is not None)


def _parsed(source: str) -> ast.Module | None:
    try:
        return parse(source)
    except NO_PYTHON:
        return None


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """A tree's statements and what they stand in, in order; no expressions, which hold no statement."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for field in ("finalbody", "orelse", "handlers", "cases", "body"):
            inner = getattr(node, field, None)
            if isinstance(inner, list):
                waiting += reversed(inner)


def opening(function: Function) -> str:
    """The keywords of a function up to the next one in it, a letter each."""
    try:
        written = ast.unparse(function.node)
    except RecursionError:
        return UNKNOWN
    return _spelled(written).replace("\n", "").split("d")[1].removeprefix("^")


def _may_hold(source: str, openings: frozenset[str], longest: int) -> bool:
    """Whether the keywords after some `def` are an opening, to wherever that function may end."""
    if UNKNOWN in openings:
        return True
    for part in _spelled(source).split("d")[1:]:
        if not part.startswith("^"):  # one that is indented may end anywhere
            part = part.replace("\n", "")
            if any(part[:end] in openings for end in range(min(len(part), longest) + 1)):
                return True
            continue
        keywords = ""
        for more in part[1:].split("\n"):
            keywords += more
            if len(keywords) > longest:
                break
            if keywords in openings:
                return True
    return False


def _spelled(source: str) -> str:
    """Keywords, a letter each. `d^` is a function that isn't indented."""
    return "".join([_LETTERS[word] for word in _KEYWORDS.findall(f"\n{source}")])


def identity(function: Function) -> tuple[str, int]:
    """(Hex hash of the function's tree, number of its nodes).

    Variables and arguments are numbered as they come, the function's own name is one name; docstrings, annotations and
    decorators go. Names that it does not bind, such as `len`, stay.
    """
    bound, names = _bound(function.node), {function.name: "<own>"}  # brackets stand in no name
    written, nodes = [], 0
    waiting: list[object] = [function.node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, ast.AnnAssign):  # an assignment, of None where it has no value
            part = ast.Assign([part.target], part.value or ast.Constant(None, None), None)
        if isinstance(part, ast.AST):
            nodes += 1
            waiting += [_CLOSE, *reversed(_compared(part))]
            written.append(f"{type(part).__name__}(")
        elif isinstance(part, list):
            waiting += [_CLOSE, *reversed(part)]
            written.append("(")
        elif isinstance(part, _Name):
            if part in bound:
                names.setdefault(part, f"<{len(names)}>")
            written.append(names.get(part, part))
        else:
            written.append(")" if part is _CLOSE else hex(part) if type(part) is int else repr(part))
    return hashlib.sha256(" ".join(written).encode("utf-8", "surrogatepass")).hexdigest()[:32], nodes


class _Name(str):
    """A name that counts as its number, if the function binds it."""


_CLOSE = object()


def _bound(function: _Function) -> set[str]:
    """The names that a function and those in it bind, without its own."""
    bound = {argument.arg for node in ast.walk(function) if isinstance(node, _SCOPES) for argument in _arguments(node)}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, _Function | ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return bound - {function.name}


def _compared(node: ast.AST) -> list[object]:
    """What of a node is compared, in order."""
    if isinstance(node, _Function):
        return [node.args, _Name(node.name), _statements(node)]
    if isinstance(node, ast.arguments):
        positional = [*node.posonlyargs, *node.args]
        return [positional, node.defaults, node.kwonlyargs, node.kw_defaults, node.vararg, node.kwarg]
    if isinstance(node, ast.arg):
        return [_Name(node.arg)]
    if isinstance(node, ast.Name):
        return [_Name(node.id), node.ctx]
    if isinstance(node, ast.ExceptHandler):
        return [_Name(node.name) if node.name else None, node.type, node.body]
    return [value for _, value in ast.iter_fields(node)]


def _arguments(node: _Function | ast.Lambda) -> list[ast.arg]:
    a = node.args
    return [*a.posonlyargs, *a.args, *([a.vararg] if a.vararg else []), *a.kwonlyargs, *([a.kwarg] if a.kwarg else [])]


def _statements(node: _Function) -> list[ast.stmt]:
    """The body without its docstring."""
    return node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body


def _shape(function: _Function) -> str:
    """Kinds of the first statements and of their values, those within statements in brackets; of equal trees equal."""
    written: list[str] = []
    waiting: list[ast.AST | str] = [function]
    while waiting and len(written) < SHAPE:
        part = waiting.pop()
        if isinstance(part, str):
            written.append(part)
            continue
        kind, parts = _kind(part)
        written.append(kind)
        for inner in reversed(parts):
            waiting += [")", *reversed(inner[:SHAPE]), "("]
    return " ".join(written)


def _kind(node: ast.AST) -> tuple[str, list[Sequence[ast.AST]]]:
    """The kind of a statement, and the lists of statements in it."""
    if isinstance(node, _Function):
        return f"def{len(_arguments(node))}", [_statements(node)]
    if isinstance(node, ast.AnnAssign):
        return f"Assign:{type(node.value or ast.Constant(None)).__name__}", []
    kind = type(node).__name__
    if isinstance(node, (ast.Return, ast.Assign, ast.Expr)):
        return f"{kind}:{type(node.value).__name__}", []
    names = ("body", "handlers", "orelse", "finalbody")
    return kind, [getattr(node, name) for name in names if hasattr(node, name)]


_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
