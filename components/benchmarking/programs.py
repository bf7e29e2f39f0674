"""HumanEval and MBPP: turns completions into programs, which the sandbox runs against the benchmark's tests.

`pass@1` treats a completion as lm-eval does: it is cut at the stop strings, and appended to the prompt (HumanEval) or used
alone (MBPP). `pass@1_extracted` takes the last fenced block that defines the function, with the prompt's imports and
helpers, or else the cut completion without trailing lines that do not compile. The two are different protocols; published
scores differ by 30 points for that reason alone.

A stop string that begins with a line break, such as `\ndef`, may also occur within a fenced program. So the model writes
until it ends by itself, and the completion is cut afterwards.

MBPP's `test_setup_code` runs before its tests, which lm-eval leaves out (test 367 cannot pass there).
"""

import ast
import re
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.benchmarking.suites import Task
from components.errors import StepError
from components.results.statistics import pass_at_k

if TYPE_CHECKING:
    from components.sandbox import Job, Sandbox, Verdict

METRICS = ("pass@1", "pass@1_extracted")
MORE_K = (10, 100)  # further k of pass@k, if at least k programs were sampled
TOP_P = 0.95  # for sampled programs, as for Codex (Chen et al. 2021, arXiv 2107.03374)
_FENCED = re.compile(  # with its indentation and any tag; a fence in a docstring is indented by more than 3 and closes nothing
    r"^(?P<indent>[ \t]*)[^\n`~]*(?P<fence>`{3,}|~{3,})[^\n`]*\n(?P<block>.*?)"
    r"(?:^(?:(?P=indent))? {0,3}(?P=fence)[`~]*[ \t]*$|\Z)",
    re.DOTALL | re.MULTILINE,
)


def jobs(row: Mapping[str, Any], completion: str, until: Sequence[str] = ()) -> list["Job"]:
    """The programs of a completion, one for each of METRICS, with the tests of its problem.

    Args:
        until: stop strings at which the completion has not been cut yet.

    Raises:
        StepError: the row has neither HumanEval's fields nor MBPP's.
    """
    from components.benchmarking.scorer import cut_at_stops
    from components.sandbox import Job

    names: tuple[str, ...]
    prompt, cut = "", cut_at_stops(completion, until)
    try:
        if "entry_point" in row:
            prompt, name = row["prompt"], row["entry_point"]
            tests, names = f"{row['test']}\ncheck({name})", (name,)
        else:
            tests = "\n".join([row.get("test_setup_code") or "", *row["test_list"]])
            names = _tested(row["code"], "\n".join(row["test_list"]))
        programs = [prompt + cut, extract(completion, prompt, names[0] if names else "", until)]
    except (KeyError, TypeError, SyntaxError) as error:
        raise StepError(
            f"a row is neither HumanEval's nor MBPP's: {type(error).__name__} {error}; correct the file in the data folder (--data-dir)"
        ) from error
    return [Job(program, tests, names=names) for program in programs]


def reference(row: Mapping[str, Any]) -> str:
    """The completion that is the benchmark's own solution."""
    return row["canonical_solution"] if "entry_point" in row else row["code"]


def extract(completion: str, prompt: str, name: str, until: Sequence[str] = ()) -> str:
    """The program in a completion that defines `name`, without trailing lines that do not compile.

    It is the last fenced block that defines the name, after the prompt's lines before its own `def` and the definitions of
    earlier blocks. Without such a block it is the completion up to its first stop string; if that has no code, a fenced block
    that continues the prompt, or a definition outside a fence.
    """
    from components.benchmarking.scorer import cut_at_stops

    text = completion.replace("\r\n", "\n")
    escaped = re.escape(name)
    defines = re.compile(
        rf"^[ \t]*(?:(?:async[ \t]+)?(?:def|class)[ \t]+{escaped}\b|{escaped}[ \t]*=(?!=))", re.MULTILINE
    ).search
    own = defines(prompt) if name else None
    preamble = prompt[: own.start()] if own else ""
    blocks = [_dedented(found["block"], found["indent"]) for found in _FENCED.finditer(text)]
    defining = [i for i, block in enumerate(blocks) if name and defines(block)]
    for i in reversed(defining):
        program = _compiling(blocks[i], 0)
        if program is not None and defines(program):
            helpers = [_definitions(block) for k, block in enumerate(blocks[:i]) if k not in defining]
            return _joined([*helpers, preamble, program])
    if defining:
        return blocks[defining[-1]]
    cut = prompt + cut_at_stops(text, until)
    program = _compiling(cut, prompt.count("\n")) or ""
    if program.removeprefix(prompt).strip() or not name:
        return program or cut
    for block in reversed(blocks):
        for body in (block, textwrap.indent(block, "    ")):
            if prompt and not _compiles(block) and _compiles(prompt + body):
                return prompt + body
    if found := defines(text):
        imports = re.search(r"^(?:import|from) ", text[: found.start()], re.MULTILINE)
        for start in (imports.start() if imports else found.start(), found.start()):
            written = _compiling(text[start:], 0)
            if written and defines(written):
                return _joined([preamble, written])
    return program or cut


def _dedented(block: str, indent: str) -> str:
    """A fenced block without its fence's indentation, and a definition in it without its own."""
    text = "\n".join(line.removeprefix(indent) for line in block.rstrip("\n").split("\n"))
    return textwrap.dedent(text) if re.match(r"\s+(?:async|class|def|from|import|@)\b", text) else text


def _joined(parts: Sequence[str]) -> str:
    """The parts joined into one program, without the first ones if they do not compile together (`from __future__`)."""
    wholes = ["\n".join(part for part in parts[start:] if part.strip()) for start in range(len(parts))]
    return next((whole for whole in wholes if _compiles(whole)), wholes[-1])


def _definitions(block: str) -> str:
    """The imports, functions and classes of a block, without its other statements."""
    kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return "\n".join(
        ast.unparse(node) for node in ast.parse(_compiling(block, 0) or "").body if isinstance(node, kinds)
    )


def _compiles(program: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a model's invalid escapes
            compile(program, "<program>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _compiling(program: str, least: int) -> str | None:
    """The longest beginning of a program, in whole lines and at least `least`, that compiles."""
    lines = program.replace("\r\n", "\n").split("\n")
    beginnings = ("\n".join(lines[:end]) for end in range(len(lines), least, -1))
    return next((text for text in beginnings if _compiles(text)), None)


def _tested(code: str, tests: str) -> tuple[str, ...]:
    """Names that the tests use and a solution defines, in the order of the tests. The program's own objects are tested, even
    if Python has a built-in of the same name."""
    defined = set()
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign):
            defined.update(target.id for target in node.targets if isinstance(target, ast.Name))
    used = (node.id for node in ast.walk(ast.parse(tests)) if isinstance(node, ast.Name))
    return tuple(name for name in dict.fromkeys(used) if name in defined)


def metrics(samples: int) -> tuple[str, ...]:
    """The metrics of a problem for this number of sampled programs."""
    return METRICS + tuple(f"pass@{k}" for k in MORE_K if k <= samples)


def with_samples(task: Task, samples: int, temperature: float) -> Task:
    """A task that samples programs instead of greedy decoding: another protocol, which its form states."""
    if task.kind != "code" or samples == 1:
        return task
    choices = {"do_sample": True, "temperature": temperature, "top_p": TOP_P}
    given = task.config.get("generation_kwargs") or {}
    form = f"{samples} draws at temperature {temperature:g}"
    return replace(task, form=form, config=task.config | {"repeats": samples, "generation_kwargs": given | choices})


class Judge:
    """Scores completions in place of lm-eval, and keeps the verdict on each problem's first completion.

    It is used as a task's `process_results`; `verdicts` has one entry per problem, in the order of the requests. With several
    programs per problem, its scores are unbiased estimates of pass@k.
    """

    def __init__(self, sandbox: "Sandbox") -> None:
        self.sandbox = sandbox
        self.verdicts: list[Verdict] = []

    def __call__(self, doc: Mapping[str, Any], results: list[Any], until: Sequence[str] = ()) -> dict[str, float]:
        completions = results[0] if isinstance(results[0], list) else results[:1]
        judged = {completion: self._judged(doc, completion, until) for completion in dict.fromkeys(completions)}
        self.verdicts.append(judged[completions[0]][0])
        n = len(completions)
        plain = sum(judged[completion][0].passed for completion in completions)
        extracted = sum(judged[completion][1].passed for completion in completions)
        scores = {
            name: float(pass_at_k(n, passed, 1)) for name, passed in zip(METRICS, (plain, extracted), strict=True)
        }
        return scores | {f"pass@{k}": float(pass_at_k(n, plain, k)) for k in MORE_K if k <= n}

    def _judged(self, doc: Mapping[str, Any], completion: str, until: Sequence[str]) -> tuple["Verdict", "Verdict"]:
        """Verdicts on the unchanged completion and on the extracted program."""
        asked = jobs(doc, completion, until)
        plain = self.sandbox.run_job(asked[0])
        again = plain.passed or asked[1].program == asked[0].program
        return plain, plain if again else self.sandbox.run_job(asked[1])


def worked_examples(definition: str, functions: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The worked examples that a function of an lm-eval definition returns, read from its source.

    Importing the module would run a program and download a metric, so the list is read as a literal.

    Raises:
        StepError: the function does not return one literal.
    """
    named = (functions.get("fewshot_config") or {}).get("samples")
    if not isinstance(named, str):
        return None
    module, _, name = named.rpartition(".")
    tree = ast.parse(Path(f"{module}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        last = node.body[-1] if isinstance(node, ast.FunctionDef) and node.name == name else None
        if isinstance(last, ast.Return) and last.value:
            try:
                return ast.literal_eval(last.value)
            except ValueError:
                break
    raise StepError(f"the worked examples of lm-eval's {definition} are not a literal list; its version has changed")
