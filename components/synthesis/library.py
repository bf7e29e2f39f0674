"""Writes chapters about real library functions, seeded from the curated corpus.

There are two kinds. For a function in the allow-list APIS, the chapter shows its documentation and calls that were
executed. For any other function with a docstring, it describes the source: parameters, defaults, exceptions. Code from
the corpus is never executed; a chapter about source compares the syntax tree with the compiled code object, which are
independent of each other.
"""

import ast
import heapq
import inspect
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import CodeType

from components.documents import Document, Drop, read_batches
from components.synthesis.drafts import question_hash
from components.synthesis.execution import evaluate
from components.synthesis.plan import Job
from components.synthesis.questions import STEP, child_rng, created_by

CALLS_PER_CHAPTER = 5
MAX_SOURCE_LINES = 18
_HEAD = re.compile(r"^(?:@[^\n]*\n)*(?:async )?def \w+")


def _word(rng: Random) -> str:
    return rng.choice(("apple", "river", "stone", "window", "garden", "letter", "cloud", "music", "paper", "silver"))


def _words(rng: Random, count: int = 3) -> str:
    return " ".join(_word(rng) for _ in range(count))


def _list(rng: Random, low: int = 0, high: int = 20, size: int = 5) -> list[int]:
    return [rng.randint(low, high) for _ in range(size)]


def _path(rng: Random) -> str:
    return f"{_word(rng)}/{_word(rng)}.{rng.choice(('txt', 'py', 'csv', 'tar.gz'))}"


def _n(rng: Random, low: int = 1, high: int = 30) -> int:
    return rng.randint(low, high)


# Pure functions of the standard library, each with a function that makes an argument list. Only these are ever called.
APIS: dict[str, Callable[[Random], str]] = {
    "bisect.bisect_left": lambda r: f"{sorted(_list(r))}, {_n(r)}",
    "bisect.bisect_right": lambda r: f"{sorted(_list(r))}, {_n(r)}",
    "calendar.isleap": lambda r: f"{_n(r, 1890, 2040)}",
    "calendar.leapdays": lambda r: f"{_n(r, 1900, 1950)}, {_n(r, 1951, 2030)}",
    "calendar.weekday": lambda r: f"{_n(r, 1990, 2030)}, {_n(r, 1, 12)}, {_n(r, 1, 28)}",
    "colorsys.rgb_to_hsv": lambda r: f"{r.choice((0, 0.5, 1))}, {r.choice((0, 0.5, 1))}, {r.choice((0.25, 0.5, 1))}",
    "difflib.get_close_matches": lambda r: f"{_word(r)[:-1]!r}, {['apple', 'river', 'stone', 'letter', 'paper']}",
    "fnmatch.fnmatchcase": lambda r: f"{_path(r)!r}, {r.choice(('*.py', '*.txt', 'a*', '*/*', '?????'))!r}",
    "fnmatch.translate": lambda r: f"{r.choice(('*.', 'a?', '[ab]', '')) + _word(r)!r}",
    "heapq.nlargest": lambda r: f"{_n(r, 1, 3)}, {_list(r)}",
    "heapq.nsmallest": lambda r: f"{_n(r, 1, 3)}, {_list(r)}",
    "html.escape": lambda r: repr(f"{_word(r)} {r.choice('<>&')} {_word(r)}"),
    "html.unescape": lambda r: repr(f"{_word(r)} {r.choice(('&lt;', '&gt;', '&amp;'))} {_word(r)}"),
    "keyword.iskeyword": lambda r: repr(r.choice(("for", "while", _word(r), "None", "print", "class"))),
    "ntpath.basename": lambda r: repr(_path(r)),
    "operator.add": lambda r: f"{_n(r)}, {_n(r)}",
    "operator.contains": lambda r: f"{_list(r)}, {_n(r, 0, 20)}",
    "operator.countOf": lambda r: f"{_list(r, 0, 4)}, {_n(r, 0, 4)}",
    "operator.floordiv": lambda r: f"{_n(r, 10, 60)}, {_n(r, 2, 9)}",
    "operator.ge": lambda r: f"{_n(r)}, {_n(r)}",
    "operator.indexOf": lambda r: (lambda v: f"{v}, {r.choice(v)}")(_list(r)),
    "operator.mod": lambda r: f"{_n(r, 10, 60)}, {_n(r, 2, 9)}",
    "operator.mul": lambda r: f"{_n(r, 2, 12)}, {_n(r, 2, 12)}",
    "operator.neg": lambda r: f"{_n(r, -20, 20)}",
    "operator.truth": lambda r: r.choice(("[]", "''", "0", f"{_n(r)}", repr(_word(r)))),
    "operator.xor": lambda r: f"{_n(r, 0, 15)}, {_n(r, 0, 15)}",
    "os.path.commonprefix": lambda r: f"{[_word(r)[:2] + _word(r), _word(r)]}",
    "posixpath.basename": lambda r: repr(_path(r)),
    "posixpath.dirname": lambda r: repr(_path(r)),
    "posixpath.isabs": lambda r: repr(r.choice(("/", "")) + _path(r)),
    "posixpath.join": lambda r: f"{_word(r)!r}, {r.choice(('', '/')) + _word(r)!r}, {_path(r)!r}",
    "posixpath.normpath": lambda r: repr(f"{_word(r)}/../{_word(r)}/./{_word(r)}"),
    "posixpath.split": lambda r: repr(_path(r)),
    "posixpath.splitext": lambda r: repr(_path(r)),
    "quopri.quote": lambda r: f"bytes([{_n(r, 65, 90)}])",
    "reprlib.repr": lambda r: f"list(range({_n(r, 3, 12)}))",
    "shlex.join": lambda r: f"{[_word(r), _words(r, 2)]}",
    "shlex.quote": lambda r: repr(_words(r, _n(r, 1, 2))),
    "shlex.split": lambda r: repr(f'{_word(r)} "{_words(r, 2)}" {_word(r)}'),
    "statistics.fmean": lambda r: f"{_list(r, size=4)}",
    "statistics.mean": lambda r: f"{_list(r, size=4)}",
    "statistics.median": lambda r: f"{_list(r)}",
    "statistics.median_high": lambda r: f"{_list(r, size=4)}",
    "statistics.median_low": lambda r: f"{_list(r, size=4)}",
    "statistics.mode": lambda r: f"{_list(r, 0, 3, 6)}",
    "statistics.multimode": lambda r: f"{_list(r, 0, 3, 6)}",
    "string.capwords": lambda r: repr(_words(r)),
    "textwrap.dedent": lambda r: repr(f"    {_word(r)}\n    {_word(r)}"),
    "textwrap.fill": lambda r: f"{_words(r, 5)!r}, {_n(r, 10, 20)}",
    "textwrap.indent": lambda r: f"{_word(r) + chr(10) + _word(r)!r}, {r.choice(('  ', '> ', '# '))!r}",
    "textwrap.shorten": lambda r: f"{_words(r, 5)!r}, {_n(r, 12, 24)}",
    "textwrap.wrap": lambda r: f"{_words(r, 5)!r}, {_n(r, 10, 20)}",
    "urllib.parse.quote": lambda r: repr(f"{_words(r, 2)}{r.choice('/?&=')}{_word(r)}"),
    "urllib.parse.unquote": lambda r: repr(f"{_word(r)}%20{_word(r)}"),
    "urllib.parse.urljoin": lambda r: f"'https://example.org/{_word(r)}/', {r.choice(('', '/', '../')) + _word(r)!r}",
}


@dataclass(frozen=True, slots=True)
class Seed:
    """A function from the corpus that a chapter is about."""

    id: str
    text: str
    source: str
    license: str

    @property
    def name(self) -> str:
        """Dotted name, which is the source without its scheme."""
        return self.source.rpartition(":")[2]

    @property
    def function(self) -> "Function | None":
        """The function that the text defines, if it has a docstring; otherwise None."""
        return parse_function(self.text)

    @property
    def short_name(self) -> str:
        """The function's name, with its class if it is a method."""
        parts = self.name.split(".")
        return ".".join(parts[-2:] if len(parts) > 1 and parts[-2][:1].isupper() else parts[-1:])


def find_seeds(directory: Path, count: int) -> tuple[list[Seed], list[Seed]]:
    """Functions of the allow-list, and `count` others with a docstring, chosen by id so that order does not matter."""
    apis: dict[str, Seed] = {}
    others: list[tuple[str, Seed]] = []
    for batch in read_batches(directory, columns=["id", "text", "kind", "source", "license"]):
        for row in batch.to_pylist():
            text = row["text"]
            if row["kind"] != "code" or not 150 <= len(text) <= 6_000 or '"""' not in text or not _HEAD.match(text):
                continue
            seed = Seed(row["id"], text, row["source"], row["license"])
            if seed.name in APIS:
                apis.setdefault(seed.name, seed)
            else:
                others.append((seed.id, seed))
    chosen = heapq.nsmallest(count, others, key=lambda pair: pair[0])
    return [apis[name] for name in sorted(apis)], [seed for _, seed in chosen]


class LibraryChapters:
    """Plans and writes the chapters, and counts their questions: drawn = passed + in the ledger."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.drops: list[Drop] = []
        self.drawn = self.passed = 0
        self._seeds: dict[str, Seed] = {}
        self._planned: Counter[str] = Counter()

    def plan(self, directory: Path, chapters: int) -> list[Job]:
        """At most `chapters` jobs: two per function of the allow-list, and the rest about source code."""
        apis, others = find_seeds(directory, 2 * chapters)
        rounds = [(seed, number) for number in range(2) for seed in apis][: max(chapters // 2, 1)]
        jobs = [self._job(seed, "executed") for seed, _ in rounds]
        for seed in others:
            if len(jobs) >= chapters:
                break
            if seed.function is not None:
                jobs.append(self._job(seed, "reading"))
        return jobs

    def _job(self, seed: Seed, form: str) -> Job:
        """The next job about a name; several functions of a corpus may have one name."""
        number = self._planned[seed.name]
        self._planned[seed.name] += 1
        self._seeds[seed.id] = seed
        return Job("library", seed.name, "code", form, number=number, seed_document=seed.id)

    def write(self, jobs: Sequence[Job]) -> Iterator[Document]:
        """Write one chapter per job, in order; a job whose calls could not be verified gives none."""
        yield from self._executed([(self._seeds[j.seed_document], j) for j in jobs if j.format == "executed"])
        for job in jobs:
            if job.format == "reading":
                yield self._reading(self._seeds[job.seed_document], job)

    def _executed(self, rounds: Sequence[tuple[Seed, Job]]) -> Iterator[Document]:
        """Chapters with calls that were run in two processes with different hash seeds; both results must agree."""
        calls = []
        for seed, job in rounds:
            rng = child_rng(self.seed, "library", seed.name, job.number)
            calls += [f"{seed.name}({APIS[seed.name](rng)})" for _ in range(CALLS_PER_CHAPTER)]
        jobs = [(call, (call.split(".")[0], call.partition("(")[0].rpartition(".")[0])) for call in calls]
        first, second = evaluate(jobs), evaluate(jobs[::-1])[::-1]
        seen: set[str] = set()
        for index, (seed, job) in enumerate(rounds):
            span = range(index * CALLS_PER_CHAPTER, (index + 1) * CALLS_PER_CHAPTER)
            kept = []
            for i in span:
                self.drawn += 1
                if calls[i] in seen:
                    self._drop(calls[i], "duplicate_question", "called before", seed)
                elif not first[i][0] or first[i] != second[i]:
                    self._drop(calls[i], "verification", f"first {first[i][1]!r}, then {second[i][1]!r}", seed)
                else:
                    seen.add(calls[i])
                    self.passed += 1
                    kept.append((calls[i], first[i][1]))
            if kept:
                text = _api_text(seed, kept, job.number)
                yield self._document(seed, job, text, [c for c, _ in kept], "executed twice")
            else:
                self.drops.append(Drop(job.id, STEP, "no_question_left", 0, 1, "no call was verified", seed.source))

    def _reading(self, seed: Seed, job: Job) -> Document:
        """A chapter about a function's source."""
        function = seed.function
        assert function is not None  # the plan chooses only such seeds
        rng = child_rng(self.seed, "library", seed.id)
        kept = []
        for question, answer, check in function.questions(seed.short_name):
            self.drawn += 1
            if answer == check:
                self.passed += 1
                kept.append((question, answer))
            else:
                self._drop(question, "verification", f"syntax tree {answer!r}, compiled code {check!r}", seed)
        text = _reading_text(seed, function, kept, rng)
        asked = [f"{seed.name}: {question}" for question, _ in kept]
        return self._document(seed, job, text, asked, "tree against compiled code")

    def _document(self, seed: Seed, job: Job, text: str, questions: list[str], method: str) -> Document:
        return Document(
            text=text,
            kind="textbook",
            source=seed.source,
            license=seed.license,  # the chapter quotes the function's documentation
            created_by=created_by(f"library-{job.format}"),
            metadata={
                "category": "code",
                "format": job.format,
                "job": job.id,
                "questions": [question_hash(question) for question in questions],
                "seed": self.seed,
                "seed_document": seed.id,
                "verification": {"method": method, "passed": len(questions)},
            },
        )

    def _drop(self, question: str, rule: str, detail: str, seed: Seed) -> None:
        row = Drop(question_hash(question), STEP, rule, None, None, f"{question} [{detail}]", seed.source)
        self.drops.append(row)


@dataclass(frozen=True, slots=True)
class Function:
    """Facts about a function from the syntax tree and the compiled code."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    code: CodeType
    docstring: str

    def parameters(self) -> list[str]:
        a = self.node.args
        return [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs)]

    def defaults(self) -> dict[str, str]:
        """Each parameter's default as source text, by parameter."""
        a = self.node.args
        positional = [*a.posonlyargs, *a.args]
        pairs = list(zip(positional[len(positional) - len(a.defaults) :], a.defaults, strict=True))
        pairs += [(p, d) for p, d in zip(a.kwonlyargs, a.kw_defaults, strict=True) if d is not None]
        return {p.arg: ast.unparse(d) for p, d in pairs}

    def exceptions(self) -> list[str]:
        """Names of the classes in the raise statements of the function's own body."""
        names = set()
        for node in ast.walk(self.node):
            if isinstance(node, ast.Raise) and node.exc is not None:
                target = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
                if isinstance(target, ast.Name) and target.id[:1].isupper():
                    names.add(target.id)
        return sorted(names)

    def open_ended(self) -> bool:
        """Whether it takes *args or **kwargs."""
        return bool(self.node.args.vararg or self.node.args.kwarg)

    def questions(self, name: str) -> Iterator[tuple[str, str, str]]:
        """(question about `name`, answer from the syntax tree, answer from the compiled code)."""
        parameters = self.parameters()
        compiled = self.code.co_varnames[: self.code.co_argcount + self.code.co_kwonlyargcount]
        if not self.open_ended():
            yield f"How many parameters does {name} have?", str(len(parameters)), str(len(compiled))
        if parameters:
            yield f"What is the first parameter of {name}?", parameters[0], compiled[0]
        if parameters and not self.open_ended():
            yield f"What is the last parameter of {name}?", parameters[-1], compiled[-1]
        exceptions = self.exceptions()
        if len(exceptions) == 1:
            loaded = [n for n in _all_names(self.code) if n == exceptions[0]]
            yield f"Which exception does {name} raise?", exceptions[0], loaded[0] if loaded else ""


def _all_names(code: CodeType) -> set[str]:
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    return set(code.co_names).union(*(_all_names(c) for c in inner))


def parse_function(text: str) -> Function | None:
    """The function that a text defines, if it is a single one with a docstring. It is compiled, but never executed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old string escapes in other people's code
            tree = ast.parse(text)
            module = compile(text, "<seed>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return None
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    node = tree.body[0]
    docstring = ast.get_docstring(node)
    codes = [c for c in module.co_consts if isinstance(c, CodeType) and c.co_name == node.name]
    if not docstring or not codes:
        return None
    return Function(node, codes[0], docstring)


def _first_paragraph(docstring: str, limit: int = 600) -> str:
    return inspect.cleandoc(docstring).split("\n\n")[0][:limit].strip()


def _api_text(seed: Seed, calls: Sequence[tuple[str, str]], number: int) -> str:
    function = seed.function
    about = _first_paragraph(function.docstring) if function else ""
    module = seed.name.rpartition(".")[0]
    if number % 2:
        pairs = [f"Question: What does Python give for {call}?\nAnswer: {value}" for call, value in calls]
        return "\n\n".join([f"# Practice with {seed.name}", about, *pairs]) + "\n"
    lines = "\n".join(f">>> {call}\n{value}" for call, value in calls)
    signature = f"{seed.name}({ast.unparse(function.node.args)})" if function else seed.name
    return f"# Using {seed.name}\n\n    {signature}\n\n{about}\n\nFirst import {module}, then try it:\n\n>>> import {module}\n{lines}\n"


def _reading_text(seed: Seed, function: Function, pairs: Sequence[tuple[str, str]], rng: Random) -> str:
    name, defaults = function.node.name, function.defaults()
    kind = "coroutine" if isinstance(function.node, ast.AsyncFunctionDef) else "function"
    parts = [
        rng.choice(("# Reading {n}", "# What does {n} do?", "# A closer look at {n}", "# Understanding {n}")).format(
            n=seed.name
        ),
        _first_paragraph(function.docstring),
        f"The {kind} is declared as\n\n    {name}({ast.unparse(function.node.args)})",
    ]
    parameters = function.parameters()
    if parameters:
        listed = ", ".join(parameters)
        parts.append(rng.choice(("Its parameters: {p}.", "It takes {p}.", "Its signature names {p}.")).format(p=listed))
    if defaults:
        told = "; ".join(f"{parameter} is {value}" for parameter, value in defaults.items())
        parts.append(
            rng.choice(("If left out, {d}.", "Defaults: {d}.", "Unless the caller says otherwise, {d}.")).format(d=told)
        )
    exceptions = function.exceptions()
    if exceptions:
        parts.append(f"It can raise {' or '.join(exceptions)}.")
    body = [ast.unparse(statement) for statement in function.node.body[1:]]
    lines = "\n".join(body).split("\n") if body else []
    if 0 < len(lines) <= MAX_SOURCE_LINES:
        parts.append("Without its documentation, the body is:\n\n" + "\n".join("    " + line for line in lines))
    if rng.random() < 0.5:
        parts += [f"Question: {question}\nAnswer: {answer}" for question, answer in pairs]
    else:
        parts.append("\n".join(f"- {question} {answer}" for question, answer in pairs))
    return "\n\n".join(part for part in parts if part) + "\n"
