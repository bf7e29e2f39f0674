"""Which functions of Python code are the same program: those of equal syntax trees, names and notes aside.

Parsing is what costs. Of most code the order of its keywords, which takes one regular expression, says already that it
holds none of the programs that are looked for: strings and comments aside, equal trees have equal keywords, but for `elif`,
`else` and `pass`.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCED = re.compile(r"^```(?:python|py|python3)?[ \t]*\n(.*?)^```", re.S | re.M)
# A string of Python. One without an end, which is no Python, goes to the end of its line or of the text, so that nothing is
# read twice.
STRING = (
    r""""{3}(?:[^"\\]|\\.|"(?!""))*+(?:"{3}|\\?\Z)|'{3}(?:[^'\\]|\\.|'(?!\'\'))*+(?:'{3}|\\?\Z)"""
    r"""|"(?:[^"\\\n]|\\.)*+(?:"|(?=\n)|\\?\Z)|'(?:[^'\\\n]|\\.)*+(?:'|(?=\n)|\\?\Z)"""
)
# Strings and comments, which are passed over; lines that begin without a blank, where a function may be over; keywords.
_KEYWORDS = re.compile(
    STRING + r"|#[^\n]*+"
    r"|(\n(?=[^\W\d])|\b(?:for|while|if|elif|return|def|try|with|lambda|yield|raise|break|continue|in|not|and|or|is|assert"
    r"|del)\b)",
    re.S,
)
_NAMES = "for while return try with lambda yield raise break continue in not and or is assert del"
_LETTERS = {"": "", "\n": "\n", "if": "i", "elif": "i", "def": "d"}
_LETTERS |= dict(zip(_NAMES.split(), "fwrtWlyRbcnNaoIAD", strict=True))
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Function:
    """A function: its name, its shape (arguments and kinds of statements, as text) and its tree."""

    name: str
    shape: str
    node: _Function


def functions(text: str, kind: str, openings: frozenset[str] | None = None) -> Iterator[Function]:
    """The functions of a text's modules and of their classes; none where a module is no Python.

    Args:
        kind: of the document. `code` is one module; of others each fenced block is one.
        openings: of the functions that are looked for; a module that can hold none of them is passed over.
    """
    if "def " not in text:
        return
    for source in [text] if kind == "code" else _FENCED.findall(text):
        if openings is not None and not _may_hold(source, openings):
            continue
        try:
            body = ast.parse(source).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        classes = [node.body for node in body if isinstance(node, ast.ClassDef)]
        for node in (node for part in (body, *classes) for node in part):
            if isinstance(node, _Function):
                yield Function(node.name, _shape(node), node)


def opening(function: Function) -> str:
    """The keywords of a function up to the next one in it, a letter each."""
    return _spelled(ast.unparse(function.node)).replace("\n", "").split("d")[1]


def _may_hold(source: str, openings: frozenset[str]) -> bool:
    """Whether the keywords after some `def` are an opening, to wherever that function may end."""
    classes = "class " in source
    for part in _spelled(source).split("d")[1:]:
        if classes:  # a method may end anywhere
            part = part.replace("\n", "")
            if any(part[:end] in openings for end in range(len(part) + 1)):
                return True
            continue
        keywords = ""
        for more in part.split("\n"):
            keywords += more
            if keywords in openings:
                return True
    return False


def _spelled(source: str) -> str:
    return "".join([_LETTERS[word] for word in _KEYWORDS.findall(source)])


def identity(function: Function) -> tuple[str, int]:
    """(Hex hash of the function's tree, number of its nodes).

    Variables and arguments are numbered as they come, the function's own name is one name; docstrings, annotations and
    decorators go. Names that it does not bind, such as `len`, stay.
    """
    tree = _Renamed(function.node).visit(function.node)
    dumped = ast.dump(tree, annotate_fields=False)
    return hashlib.sha256(dumped.encode("utf-8", "surrogatepass")).hexdigest()[:32], sum(1 for _ in ast.walk(tree))


def _arguments(node: _Function | ast.Lambda) -> list[ast.arg]:
    a = node.args
    return [*a.posonlyargs, *a.args, *([a.vararg] if a.vararg else []), *a.kwonlyargs, *([a.kwarg] if a.kwarg else [])]


def _statements(node: _Function) -> list[ast.stmt]:
    """The body without its docstring."""
    return node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body


def _shape(node: ast.AST) -> str:
    """Kinds of statements and of their values, and those within them; of equal trees equal."""
    if isinstance(node, _Function):
        return f"def{len(_arguments(node))}({_shapes(_statements(node))})"
    if isinstance(node, ast.AnnAssign):  # an assignment, of None where it has no value
        return f"Assign:{type(node.value or ast.Constant(None)).__name__}"
    kind = type(node).__name__
    if isinstance(node, (ast.Return, ast.Assign, ast.Expr)):
        return f"{kind}:{type(node.value).__name__}"
    parts = [getattr(node, name) for name in ("body", "handlers", "orelse", "finalbody") if hasattr(node, name)]
    return f"{kind}({';'.join(map(_shapes, parts))})" if parts else kind


def _shapes(nodes: list[ast.AST]) -> str:
    return ",".join(map(_shape, nodes))


class _Renamed(ast.NodeTransformer):
    """A copy of a function's tree in the form in which it is compared."""

    def __init__(self, function: _Function) -> None:
        self._names: dict[str, str] = {function.name: "<own>"}  # brackets stand in no name
        bound = {
            argument.arg for node in ast.walk(function) if isinstance(node, _SCOPES) for argument in _arguments(node)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                bound.add(node.id)
            elif isinstance(node, _Function) or (isinstance(node, ast.ExceptHandler) and node.name):
                bound.add(node.name)
        self._bound = bound - {function.name}

    def _renamed(self, name: str) -> str:
        if name in self._bound and name not in self._names:
            self._names[name] = f"<{len(self._names)}>"
        return self._names.get(name, name)

    def visit_FunctionDef(self, node: _Function) -> ast.AST:
        body = _statements(node)
        arguments = self.visit(node.args)
        name = self._renamed(node.name)
        return type(node)(name, arguments, [self.visit(statement) for statement in body], [], None, None)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        def plain(argument: ast.arg | None) -> ast.arg | None:
            return ast.arg(self._renamed(argument.arg), None, None) if argument else None

        positional = [plain(argument) for argument in node.posonlyargs + node.args]
        defaults = [self.visit(default) for default in node.defaults]
        only = [plain(argument) for argument in node.kwonlyargs]
        only_defaults = [self.visit(default) if default else None for default in node.kw_defaults]
        return ast.arguments([], positional, plain(node.vararg), only, only_defaults, plain(node.kwarg), defaults)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self._renamed(node.id), type(node.ctx)())

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        target = self.visit(node.target)
        value = self.visit(node.value) if node.value else ast.Constant(None, None)
        return ast.Assign([target], value, None)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        name = self._renamed(node.name) if node.name else None
        kind = self.visit(node.type) if node.type else None
        return ast.ExceptHandler(kind, name, [self.visit(statement) for statement in node.body])

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """As ast.NodeTransformer's, without a change of the tree that was given."""

        def made(value: object) -> object:
            if isinstance(value, ast.AST):
                return self.visit(value)
            return [made(part) for part in value] if isinstance(value, list) else value

        return type(node)(**{name: made(value) for name, value in ast.iter_fields(node)})


_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
