"""Writes chapters of worked examples: doctests of the installed Python's library that pass when they are run again.

Each docstring's examples are taken in order, up to the first that cannot be verified: it prints, needs an option such as
ELLIPSIS, gives another value than shown, or gives different values in two processes with different hash seeds. Only the
listed modules are read, which neither write files nor use the network. Their examples are Python's own code, so they run
in the light process of the built-in generators (`execution`).
"""

import ast
import doctest
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from components.documents import Document, Drop
from components.synthesis.drafts import question_hash
from components.synthesis.execution import Value, evaluate
from components.synthesis.plan import Job
from components.synthesis.questions import STEP, created_by

FORMAT = "doctest"
MODULES = (
    *("collections", "difflib", "enum", "fractions", "heapq", "http.cookies", "ipaddress", "json", "statistics"),
    *("_pydecimal", "_threading_local", "pickletools", "random", "string", "textwrap", "uuid"),
)
LONGEST, FEWEST = 12, 2  # maximum and minimum examples per chapter


@dataclass(frozen=True, slots=True)
class Session:
    """The examples of one docstring before the first one with a form that cannot be checked.

    Attributes:
        name: dotted name of the object with the docstring.
        module: module to import, with all its public names.
        about: first paragraph of the docstring, or an empty string.
        examples: (source as typed, output as shown) pairs.
    """

    name: str
    module: str
    about: str
    examples: tuple[tuple[str, str], ...]

    def programs(self) -> list[tuple[int, str, str]]:
        """(index, program, expected value) of each example that shows a value."""
        begun, found = f"from {self.module} import *\nimport {self.module}", []
        for index, (source, shown) in enumerate(self.examples):
            if shown:
                found.append((index, f"{begun}\n{ast.unparse(ast.parse(source.strip(), mode='eval'))}", shown))
            begun += f"\n{source}"
        return found


def find_sessions(library: Path | None = None) -> Iterator[Session]:
    """Sessions of the listed modules, in the order of the list and of their text; only the first session of each name."""
    root = library or Path(sysconfig.get_path("stdlib"))
    for module in MODULES:
        path = root.joinpath(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if path.is_file():
            sessions = _sessions(module, ast.parse(path.read_text(encoding="utf-8")))
            names: set[str] = set()
            for session in sessions:
                if session.name not in names:
                    names.add(session.name)
                    yield session


def _sessions(module: str, tree: ast.Module) -> Iterator[Session]:
    for name, docstring in _docstrings(tree, module):
        try:
            parsed = doctest.DocTestParser().get_examples(docstring)
        except ValueError:  # doctest refuses the indentation of its examples
            continue
        examples = []
        for example in parsed[:LONGEST]:
            if not _checkable(example):
                break
            examples.append((example.source.rstrip("\n"), example.want.rstrip("\n")))
        while examples and not examples[-1][1]:
            examples.pop()
        if sum(bool(shown) for _, shown in examples) >= FEWEST:
            first = docstring.strip().partition("\n\n")[0]
            about = "" if ">>>" in first else " ".join(first.split())
            yield Session(name, module, about, tuple(examples))


def _docstrings(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
        if docstring := ast.get_docstring(node):
            yield name, docstring
        for child in node.body:
            yield from _docstrings(child, f"{name}.{getattr(child, 'name', '')}")


def _checkable(example: doctest.Example) -> bool:
    """Whether an example shows nothing, or a value of one expression on one line."""
    if example.exc_msg or example.options or "print" in example.source:
        return False
    shown = example.want.rstrip("\n")
    try:
        ast.parse(example.source.strip(), mode="eval" if shown else "exec")
    except SyntaxError:
        return False
    return "\n" not in shown and " at 0x" not in shown


class WorkedExamples:
    """Plans and writes the chapters, and counts their questions: drawn = passed + in the ledger."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.drops: list[Drop] = []
        self.drawn = self.passed = 0
        self._kept: dict[str, tuple[Session, int]] = {}  # by job id: the session, and the number of verified examples

    def plan(self, most: int, sessions: Iterator[Session] | None = None) -> list[Job]:
        """At most `most` jobs, one per session; the examples are run here, so that each job becomes a chapter."""
        jobs: list[Job] = []
        for session, values in _run(list(islice(sessions or find_sessions(), 2 * most))):
            if len(jobs) == most:
                break
            holds = self._holding(session, values)
            if holds:
                job = Job("library", session.name, "code", FORMAT)
                self._kept[job.id] = session, holds
                jobs.append(job)
        return jobs

    def _holding(self, session: Session, values: Sequence[tuple[Value, Value]]) -> int:
        """The number of a session's examples before the first failing one; 0 if there are too few."""
        programs, holds, fine = session.programs(), len(session.examples), []
        for (index, _, shown), (first, second) in zip(programs, values, strict=True):
            if first != (True, shown) or second != first:
                holds = index
                self._drop(session, index, f"shown {shown!r}, first {first[1]!r}, then {second[1]!r}")
                break
            fine.append(index)
        self.drawn += len(fine) + (holds < len(session.examples))
        if len(fine) >= FEWEST:
            self.passed += len(fine)
            return holds
        for index in fine:
            self._drop(session, index, "too few examples of the docstring hold")
        return 0

    def _drop(self, session: Session, index: int, detail: str) -> None:
        question = f"{session.name}: {session.examples[index][0]}"
        source = f"python:{session.name}"
        self.drops.append(
            Drop(question_hash(question), STEP, "verification", None, None, f"{question} [{detail}]", source)
        )

    def write(self, jobs: Sequence[Job]) -> Iterator[Document]:
        """Write one chapter per job, in order."""
        for job in jobs:
            session, holds = self._kept[job.id]
            shown = [source for source, value in session.examples[:holds] if value]
            yield Document(
                text=_text(session, holds),
                kind="textbook",
                source=f"python:{session.name}",
                license="PSF-2.0",
                created_by=created_by(f"library-{FORMAT}"),
                metadata={
                    "category": "code",
                    "format": FORMAT,
                    "job": job.id,
                    "questions": [question_hash(f"{session.name}: {n}: {source}") for n, source in enumerate(shown)],
                    "seed": self.seed,
                    "verification": {"method": "executed twice", "passed": len(shown)},
                },
            )


def _run(sessions: Sequence[Session]) -> Iterator[tuple[Session, list[tuple[Value, Value]]]]:
    """Each session with the values of its programs, from two processes with different hash seeds."""
    programs = [(program, ()) for session in sessions for _, program, _ in session.programs()]
    first, second = evaluate(programs), evaluate(programs[::-1])[::-1]
    pairs = iter(zip(first, second, strict=True))
    for session in sessions:
        yield session, [next(pairs) for _ in session.programs()]


def _text(session: Session, holds: int) -> str:
    lines = [f">>> from {session.module} import *"]
    if any(f"{session.module}." in source for source, _ in session.examples[:holds]):
        lines.append(f">>> import {session.module}")
    for source, shown in session.examples[:holds]:
        first, *rest = source.split("\n")
        lines += [f">>> {first}", *(f"... {line}".rstrip() for line in rest), *([shown] if shown else [])]
    parts = [f"# Worked examples: {session.name}", session.about, "\n".join(lines)]
    return "\n\n".join(part for part in parts if part) + "\n"
