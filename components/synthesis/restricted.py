"""Checks on the syntax tree, before a program runs, that a teacher's exercise uses only a small part of Python.

The part has arithmetic, text, lists, dictionaries, loops, conditions, functions of the program's own and a few pure
built-ins. That is enough to compute the answer of an exercise, and cannot reach a file, a module, an attribute of the
interpreter or the network. Programs that pass still run confined, in `components.synthesis.sandboxed`.
"""

import ast
import builtins

MAX_CHARS = 4_000
MAX_DEPTH = 100  # levels of the syntax tree; `ast.unparse` exceeds Python's recursion limit at about 300
NOT_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)  # errors of `ast.parse`
MAX_NUMBER = 10**12
MAX_EXPONENT = 64
BUILTINS = (
    "abs", "all", "any", "bin", "bool", "chr", "dict", "divmod", "enumerate", "filter", "float", "frozenset", "hex",
    "int", "isinstance", "len", "list", "map", "max", "min", "oct", "ord", "pow", "print", "range", "repr", "reversed",
    "round", "set", "sorted", "str", "sum", "tuple", "zip", "ValueError", "TypeError", "KeyError", "IndexError",
    "ZeroDivisionError",
)  # fmt: skip
METHODS = (
    "add", "append", "capitalize", "clear", "copy", "count", "difference", "discard", "endswith", "extend",
    "find", "get", "index", "insert", "intersection", "isalnum", "isalpha", "isdigit", "islower", "isspace",
    "issubset", "issuperset", "isupper", "items", "join", "keys", "lower", "lstrip", "partition", "pop",
    "remove", "removeprefix", "removesuffix", "replace", "reverse", "rfind", "rpartition", "rsplit", "rstrip",
    "setdefault", "sort", "split", "splitlines", "startswith", "strip", "swapcase", "symmetric_difference",
    "title", "union", "update", "upper", "values", "zfill",
)  # fmt: skip
_FORBIDDEN = frozenset(dir(builtins)) - set(BUILTINS)
_NODES = (
    ast.Module, ast.Expression, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AugAssign,
    ast.AnnAssign, ast.For, ast.While, ast.If, ast.Expr, ast.Pass, ast.Break, ast.Continue, ast.Assert, ast.Raise,
    ast.Try, ast.ExceptHandler, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Lambda, ast.IfExp, ast.Dict, ast.Set,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension, ast.Compare, ast.Call, ast.keyword,
    ast.Constant, ast.Attribute, ast.Subscript, ast.Starred, ast.Name, ast.List, ast.Tuple, ast.Slice, ast.JoinedStr,
    ast.FormattedValue, ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip


def fault(source: str, mode: str = "exec") -> str:
    """The reason why a program (mode "exec") or an expression (mode "eval") may not run, or an empty string."""
    if len(source) > MAX_CHARS:
        return f"{len(source)} characters of code, more than {MAX_CHARS}"
    try:
        tree = ast.parse(source, mode=mode)
    except NOT_PYTHON as error:
        return f"not Python ({type(error).__name__})"
    level: list[ast.AST] = [tree]
    for _ in range(MAX_DEPTH):
        for node in level:
            if found := _fault_of(node):
                return f"{found} in line {node.lineno}" if hasattr(node, "lineno") else found
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return f"more than {MAX_DEPTH} levels of nesting are not allowed" if level else ""


def _fault_of(node: ast.AST) -> str:
    if not isinstance(node, _NODES):
        return f"{type(node).__name__} is not allowed"
    if isinstance(node, ast.Attribute) and (node.attr not in METHODS or not isinstance(node.ctx, ast.Load)):
        return f".{node.attr} is not allowed"
    if isinstance(node, ast.Name | ast.arg | ast.FunctionDef):
        name = {ast.Name: "id", ast.arg: "arg"}.get(type(node), "name")
        name = getattr(node, name)
        if name.startswith("_") or name in _FORBIDDEN or (name in BUILTINS and not _is_read(node)):
            return f"the name {name} is not allowed"
    if isinstance(node, ast.FunctionDef) and node.decorator_list:
        return "a decorator is not allowed"
    if isinstance(node, ast.ExceptHandler) and node.type is None:
        return "an except that names no exception is not allowed"  # it would catch its own timeout
    if isinstance(node, ast.Constant) and not isinstance(node.value, str | int | float | bool | None):
        return f"a constant of type {type(node.value).__name__} is not allowed"
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and abs(node.value) > MAX_NUMBER:
        return f"a number over {MAX_NUMBER:,} is not allowed"
    if isinstance(node, ast.LShift):
        return "<< is not allowed"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        power = node.right.value if isinstance(node.right, ast.Constant) else None
        if not isinstance(power, int) or abs(power) > MAX_EXPONENT:
            return f"an exponent other than a number up to {MAX_EXPONENT} is not allowed"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "pow" and len(node.args) < 3:
        return "pow without a modulus is not allowed"
    return ""


def _is_read(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)


def computes(expression: str) -> bool:
    """Whether an expression computes anything; a bare literal only repeats the answer."""
    tree = ast.parse(expression, mode="eval")
    return any(isinstance(n, ast.Call | ast.BinOp | ast.Compare | ast.BoolOp | ast.Subscript) for n in ast.walk(tree))
