"""HumanEval and MBPP: completions become programs, which the sandbox runs against the benchmark's tests.

`pass@1` takes a completion as lm-eval does: cut at its stop strings, put behind the prompt (HumanEval) or taken as it is (MBPP).
`pass@1_extracted` takes a fenced block out of the text around it, and removes trailing lines until the rest compiles.
The two are different protocols; published scores differ by 30 points for that alone.

MBPP's `test_setup_code` runs before its tests, which lm-eval leaves out (test 367 cannot pass there).
"""

import ast
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.benchmarking.suites import Task
from components.errors import StepError
from components.results.statistics import pass_at_k

if TYPE_CHECKING:
    from components.sandbox import Job, Sandbox, Verdict

METRICS = ("pass@1", "pass@1_extracted")
DRAWN = (10, 100)  # k of pass@k, if as many programs were sampled
TOP_P = 0.95  # sampled at a temperature, as for Codex (Chen et al. 2021, arXiv 2107.03374)
_FENCED = re.compile(r"```(?:[A-Za-z0-9_+-]*)\n(.*?)(?:\n```|\Z)", re.DOTALL)


def jobs(row: Mapping[str, Any], completion: str) -> list["Job"]:
    """The programs of a completion, one for each of METRICS, with the tests of its problem.

    Raises:
        StepError: the row is neither HumanEval's nor MBPP's.
    """
    from components.sandbox import Job

    names: tuple[str, ...]
    try:
        if "entry_point" in row:
            name = row["entry_point"]
            tests, names = f"{row['test']}\ncheck({name})", (name,)
            programs = [row["prompt"] + completion, extract(completion, row["prompt"], name)]
        else:
            tests = "\n".join([row.get("test_setup_code") or "", *row["test_list"]])
            names = _defined(row["code"])
            programs = [completion, extract(completion, "", names[0] if names else "")]
    except (KeyError, TypeError, SyntaxError) as error:
        raise StepError(
            f"a row is neither HumanEval's nor MBPP's: {type(error).__name__} {error}; correct the file in the data folder (--data-dir)"
        ) from error
    return [Job(program, tests, names=names) for program in programs]


def reference(row: Mapping[str, Any]) -> str:
    """The completion that is the benchmark's own solution."""
    return row["canonical_solution"] if "entry_point" in row else row["code"]


def extract(completion: str, prompt: str, name: str) -> str:
    """The program in a completion: its first fenced block that defines `name`, or all of it, cut until it compiles."""
    for block in _FENCED.findall(completion):
        if name and re.search(rf"^[ \t]*(?:async\s+)?(?:def|class)\s+{re.escape(name)}\b", block, re.MULTILINE):
            return _compiling(block, 0) or block
    whole = prompt + completion
    return _compiling(whole, prompt.count("\n")) or whole


def _compiling(program: str, least: int) -> str | None:
    """The longest beginning of a program, in whole lines and at least `least`, that compiles."""
    lines = program.replace("\r\n", "\n").split("\n")
    for end in range(len(lines), least, -1):
        text = "\n".join(lines[:end])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a model's strange escapes
                ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        return text
    return None


def _defined(code: str) -> tuple[str, ...]:
    """Names that a solution defines: the tests mean the program's, even if Python has one of that name."""
    return tuple(node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef | ast.ClassDef))


def metrics(samples: int) -> tuple[str, ...]:
    """The metrics of a problem for this number of sampled programs."""
    return METRICS + tuple(f"pass@{k}" for k in DRAWN if k <= samples)


def drawn(task: Task, samples: int, temperature: float) -> Task:
    """A task that samples programs instead of greedy decoding: another protocol, which its form states."""
    if task.kind != "code" or samples == 1:
        return task
    choices = {"do_sample": True, "temperature": temperature, "top_p": TOP_P}
    given = task.config.get("generation_kwargs") or {}
    form = f"{samples} draws at temperature {temperature:g}"
    return replace(task, form=form, config=task.config | {"repeats": samples, "generation_kwargs": given | choices})


class Judge:
    """Scores completions instead of lm-eval, and keeps the verdict on each problem's first.

    Used as a task's `process_results`; `verdicts` has one entry per problem, in the order asked. With several programs per problem
    its scores are the unbiased estimates of pass@k.
    """

    def __init__(self, sandbox: "Sandbox") -> None:
        self.sandbox = sandbox
        self.verdicts: list[Verdict] = []

    def __call__(self, doc: Mapping[str, Any], results: list[Any]) -> dict[str, float]:
        completions = results[0] if isinstance(results[0], list) else results[:1]
        judged = {completion: self._judged(doc, completion) for completion in dict.fromkeys(completions)}
        self.verdicts.append(judged[completions[0]][0])
        n = len(completions)
        plain = sum(judged[completion][0].passed for completion in completions)
        extracted = sum(judged[completion][1].passed for completion in completions)
        scores = {
            name: float(pass_at_k(n, passed, 1)) for name, passed in zip(METRICS, (plain, extracted), strict=True)
        }
        return scores | {f"pass@{k}": float(pass_at_k(n, plain, k)) for k in DRAWN if k <= n}

    def _judged(self, doc: Mapping[str, Any], completion: str) -> tuple["Verdict", "Verdict"]:
        """Verdicts on the completion as it is, and on the extracted program."""
        asked = jobs(doc, completion)
        plain = self.sandbox.run_job(asked[0])
        again = plain.passed or asked[1].program == asked[0].program
        return plain, plain if again else self.sandbox.run_job(asked[1])


def worked_examples(definition: str, functions: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The worked examples that a definition of lm-eval names by a function, read from its source.

    Importing that module runs a program and asks the network for a metric, so the list is read as a literal.

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
