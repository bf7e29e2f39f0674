"""The running Python's own library as documents: the default corpus, which is real, licensed and on every machine.

Functions and classes become `code` documents with their docstrings, module documentation and the language reference
(`pydoc_data.topics`) become `prose`. Every line of a module lands in at most one code document. Tests are left out.
"""

import ast
import io
import platform
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from components.documents import Document

LIBRARY = Path(sysconfig.get_path("stdlib"))
CREATED_BY = "python-library/1"
LICENSE = "PSF-2.0"
LEFT_OUT = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__", "pydoc_data"})
MAX_CLASS_CHARS = 6_000  # a longer class is read method by method
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def library_files() -> list[Path]:
    """The library's own Python files in a fixed order, and the language reference last."""
    files = [path for path in LIBRARY.rglob("*.py") if not LEFT_OUT.intersection(path.relative_to(LIBRARY).parts)]
    topics = LIBRARY / "pydoc_data" / "topics.py"
    return sorted(files) + ([topics] if topics.is_file() else [])


def read_module(path: Path) -> Iterator[Document]:
    """Documents of one library file.

    Raises:
        SyntaxError, UnicodeDecodeError, ValueError: the file is not Python source of this version.
    """
    relative = path.relative_to(LIBRARY)
    if relative.as_posix() == "pydoc_data/topics.py":
        yield from _topics(path)
        return
    module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
    yield from module_documents(path.read_text(encoding="utf-8"), module, LICENSE)


def module_documents(text: str, module: str, license: str) -> Iterator[Document]:
    """Split a module's source into documents: its documentation, each definition, and the statements between."""
    tree = ast.parse(text)
    lines = list(io.StringIO(text))  # only at line ends, as ast counts; str.splitlines also cuts at form feeds

    def document(source_text: str, name: str, kind: str, line: int, has_docstring: bool) -> Document:
        return Document(
            text=source_text,
            kind=kind,
            source=f"python:{name}",
            license=license,
            created_by=CREATED_BY,
            metadata={"line": line, "docstring": has_docstring, "python": platform.python_version()},
        )

    docstring = ast.get_docstring(tree)
    if docstring:
        yield document(f"{module}\n\n{docstring}\n", module, "prose", 1, True)
    covered = [False] * len(lines)
    if docstring:
        _cover(covered, tree.body[0])
    for node in tree.body:
        if isinstance(node, Definition):
            _cover(covered, node)
            for part, name, defined in _definition(node, lines):
                has_docstring = ast.get_docstring(defined, clean=False) is not None
                yield document(part, f"{module}.{name}", "code", _first_line(defined), has_docstring)
    rest = "".join(line for line, done in zip(lines, covered, strict=True) if not done).strip()
    if rest:
        yield document(f"# module {module}\n{rest}\n", module, "code", 1, False)


def _definition(node: Definition, lines: list[str]) -> Iterator[tuple[str, str, Definition]]:
    """Source, name and node of a definition; for a long class, of its head and of each method."""
    source = _lines_of(node, lines)
    if not isinstance(node, ast.ClassDef) or len(source) <= MAX_CLASS_CHARS:
        yield source.rstrip() + "\n", node.name, node
        return
    methods = [n for n in node.body if isinstance(n, Definition)]
    inside = {i for method in methods for i in _span(method)}
    head = "".join(lines[i - 1] for i in _span(node) if i not in inside)
    yield head.rstrip() + "\n", node.name, node
    for method in methods:
        yield _dedent(_lines_of(method, lines)), f"{node.name}.{method.name}", method


def _dedent(source: str) -> str:
    """Like textwrap.dedent, but by the first line's indent, since docstrings and strings may start further left."""
    lines = source.removesuffix("\n").split("\n")
    indent = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(line[indent:] if not line[:indent].strip() else line for line in lines) + "\n"


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def _span(node: ast.stmt) -> range:
    """The lines of a statement, from 1, with its decorators."""
    return range(_first_line(node), (node.end_lineno or node.lineno) + 1)


def _lines_of(node: ast.stmt, lines: list[str]) -> str:
    return "".join(lines[i - 1] for i in _span(node))


def _cover(covered: list[bool], node: ast.stmt) -> None:
    for i in _span(node):
        covered[i - 1] = True


def _topics(path: Path) -> Iterator[Document]:
    """The language reference: a module that assigns one dict of texts, read without importing it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            for name, text in ast.literal_eval(node.value).items():
                yield Document(
                    text=text.strip() + "\n",
                    kind="prose",
                    source=f"python:pydoc_data.topics.{name}",
                    license=LICENSE,
                    created_by=CREATED_BY,
                    metadata={"python": platform.python_version(), "docstring": True},
                )
