"""Which functions of Python code are the same program: their syntax trees are equal apart from names and comments.

Trees are walked without recursion, since a chain of a few hundred `elif` or `+` is as deep as it is long.

Parsing takes most of the time. The order of keywords, which one regular expression finds, rules out most functions without
it: outside strings and comments, equal trees have equal keywords, except for `elif`, `else` and `pass`.
"""

import ast
import hashlib
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from components.curation.syntax import NO_PYTHON, parse

# A string of Python. An unterminated one, which is not Python, extends to the end of its line or of the text, so that
# nothing is read twice.
STRING = (
    r""""{3}(?:[^"\\]|\\.|"(?!""))*+(?:"{3}|\\?\Z)|'{3}(?:[^'\\]|\\.|'(?!\'\'))*+(?:'{3}|\\?\Z)"""
    r"""|"(?:[^"\\\n]|\\.)*+(?:"|(?=\n)|\\?\Z)|'(?:[^'\\\n]|\\.)*+(?:'|(?=\n)|\\?\Z)"""
)
# Strings and comments, which are skipped; keywords.
_KEYWORDS = re.compile(
    STRING + r"|#[^\n]*+"
    r"|\b(for|while|if|elif|return|def|try|with|lambda|yield|raise|break|continue|in|not|and|or|is|assert|del)\b",
    re.S,
)
_NAMES = "for while if elif return def try with lambda yield raise break continue in not and or is assert del"
_LETTERS = {"": ""} | dict(zip(_NAMES.split(), "fwiirdtWlyRbcnNaoIAD", strict=True))
# A function: its head, which may span lines, and its lines, which are indented further or close a bracket.
_HEAD = r"^([ \t]*+)(?:async[ ]+)?def[ ]+(\w+)[ ]*(?:\((?:[^()]|\([^()]{0,200}\)){0,1000}+\))?[^\n]*+\n()"
_FUNCTION = re.compile(_HEAD + r"(?:(?:\1[ \t)\]}#][^\n]*+|[ \t\r]*+)\n)*+", re.M)
_PROMPTED, _PROMPT = re.compile(r"^>(?:>>)? def ", re.M), re.compile(r"^(?:>>>|\.\.\.|>)(?: |$)", re.M)
UNKNOWN = "*"  # keywords of a function that cannot be listed; it may match any function
OUTLINE = 3  # first statements of a function that its outline covers
SHAPE = 500  # statements of a function that its shape covers
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_SIMPLE = frozenset([
    ast.AnnAssign, ast.Assert, ast.Assign, ast.AugAssign, ast.Break, ast.Continue, ast.Delete, ast.Expr, ast.Global,
    ast.Import, ast.ImportFrom, ast.Nonlocal, ast.Pass, ast.Raise, ast.Return,
])  # fmt: skip


@dataclass(frozen=True)
class Function:
    """A function: its name and its tree."""

    name: str
    node: _Function

    @property
    def outline(self) -> str:
        """Number of arguments and kinds of the first statements. Equal trees have equal outlines; quick to compute."""
        kinds = [_kind(node)[0] for node in _statements(self.node)[:OUTLINE]]
        return " ".join([f"{len(_arguments(self.node))}", *kinds])

    @cached_property
    def shape(self) -> str:
        """Arguments and kinds of statements. Equal trees have equal shapes."""
        return _shape(self.node)


def functions(
    text: str, kind: str, wanted: Container[str] | None = None, names: Container[str] = ()
) -> Iterator[Function]:
    """The functions of a text, including those within classes, functions and other statements.

    Where the text is not a module of valid Python, each function that parses on its own is found: in a fence, indented,
    at a prompt or quoted.

    Args:
        kind: kind of the document. `code` is one module.
        wanted, names: `keywords` and names of functions; only matching functions are parsed. None = all.
    """
    if "def " not in text:
        return
    if kind != "code" and _PROMPTED.search(text):
        text = _PROMPT.sub("", text)
    if wanted is None:
        tree = _parsed(text) if kind == "code" else None
        for part in [tree] if tree else (_parsed(block[0]) for block in _FUNCTION.finditer(f"{text}\n")):
            yield from _inside(part)
        return
    for block, name in _blocks(text):
        if name in names or UNKNOWN in wanted or _spelled(block) in wanted or block.count('"""') % 2:
            if (tree := _parsed(block)) is not None:
                yield from islice(_inside(tree), 1)  # inner functions are blocks themselves
            elif kind == "code":  # one of its lines is indented less
                yield from _inside(_parsed(text))
                return


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """(Lines, name) of each function, those within others after them."""
    waiting = [f"{text}\n"]
    while waiting:
        for block in _FUNCTION.finditer(waiting.pop()):
            yield block[0], block[2]
            inside = block[0][block.end(3) - block.start() :]
            if "def " in inside:
                waiting.append(inside)


def _inside(tree: ast.Module | None) -> Iterator[Function]:
    for node in statements(tree) if tree else ():
        if isinstance(node, _Function):
            yield Function(node.name, node)


def _parsed(source: str) -> ast.Module | None:
    try:
        return parse(source)
    except NO_PYTHON:
        return None


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """A tree's statements and the nodes that contain them, in order; without expressions, which contain no statements."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if type(node) in _SIMPLE:  # most are
            continue
        for field in ("finalbody", "orelse", "handlers", "cases", "body"):
            inner = getattr(node, field, None)
            if isinstance(inner, list):
                waiting += reversed(inner)


def keywords(function: Function) -> str:
    """The keywords of a function in order, one letter each. Equal trees have equal keywords."""
    try:
        return _spelled(ast.unparse(function.node))
    except RecursionError:
        return UNKNOWN


def _spelled(source: str) -> str:
    return "".join([_LETTERS[word] for word in _KEYWORDS.findall(source)])


def identity(function: Function) -> tuple[str, int]:
    """(Hex hash of the function's tree, number of its nodes).

    Variables and arguments are numbered in order of appearance, and the function's own name is replaced; docstrings,
    annotations and decorators are ignored. Names that it does not bind, such as `len`, stay.
    """
    bound, names = _bound(function.node), {function.name: "<own>"}  # no name contains brackets
    written, nodes = [], 0
    waiting: list[object] = [function.node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, ast.AnnAssign):  # counts as an assignment, of None if it has no value
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
    """A name, which is replaced with its number if the function binds it."""


_CLOSE = object()


def _bound(function: _Function) -> set[str]:
    """The names that a function and its inner functions bind, without its own name."""
    bound = {argument.arg for node in ast.walk(function) if isinstance(node, _SCOPES) for argument in _arguments(node)}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, _Function | ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return bound - {function.name}


def _compared(node: ast.AST) -> list[object]:
    """The parts of a node that are compared, in order."""
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
    """Kinds of the first statements and of their values, with inner statements in brackets. Equal for equal trees."""
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
