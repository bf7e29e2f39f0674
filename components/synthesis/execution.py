"""Evaluate expressions in one separate process for many of them.

The process is isolated from this one's environment (-I), knows no network address, and has limits on CPU time, memory,
file size and open files. That is enough for expressions that come from the generators' allow-list. It is no sandbox for
code of unknown origin: of what a model wrote, only the part of Python that `restricted` lets through may come here, and
it runs with those built-ins alone.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

from components.synthesis.restricted import BUILTINS

SECONDS = 20  # for one batch; an expression takes microseconds
RESTRICTED_SECONDS = 1.0  # for one program of a teacher
Value = tuple[bool, str]
_WORKER = """
import builtins, json, signal, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
except ImportError:
    pass
class Overtime(BaseException):
    pass
def stop(*_):
    raise Overtime
signal.signal(signal.SIGALRM, stop)
modules = {}
for line in sys.stdin:
    program, expression, imports, allowed, seconds = json.loads(line)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        scope = {name: modules.setdefault(name, __import__(name)) for name in imports}
        if allowed:
            scope["__builtins__"] = {name: getattr(builtins, name) for name in allowed}
            scope["__builtins__"]["print"] = lambda *values, **options: None
        exec(program, scope)
        answer = [True, repr(eval(expression, scope))]
        if len(answer[1]) > 10_000:
            answer = [False, "a value of over 10,000 characters"]
    except (Exception, Overtime) as error:
        answer = [False, type(error).__name__]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    sys.stdout.write(json.dumps(answer) + "\\n")
    sys.stdout.flush()
"""


def evaluate(expressions: Sequence[tuple[str, tuple[str, ...]]], seconds: float = SECONDS) -> list[Value]:
    """Evaluate (expression, modules that it needs) pairs.

    Statements may stand before the expression, which is the last line.

    Returns:
        For each, (True, repr of the value) or (False, what went wrong). If the process dies or runs out of time on an
        expression, that one fails and the rest goes on in a new process.
    """
    return _all([[*_split(program), imports, [], seconds] for program, imports in expressions], seconds)


def evaluate_restricted(programs: Sequence[tuple[str, str]], seconds: float = RESTRICTED_SECONDS) -> list[Value]:
    """Run (program, expression) pairs that `restricted.fault` has let through; results as those of `evaluate`.

    Each runs twice, in two processes that hash differently; a value that changes is no answer.
    """
    jobs = [[program, expression, [], BUILTINS, seconds] for program, expression in programs]
    first, second = _all(jobs, SECONDS), _all(jobs[::-1], SECONDS)[::-1]
    return [a if a == b else (False, f"once {a[1]}, then {b[1]}") for a, b in zip(first, second, strict=True)]


def _split(program: str) -> tuple[str, str]:
    statements, _, expression = program.rpartition("\n")
    return statements, expression


def _all(jobs: Sequence[list], seconds: float) -> list[Value]:
    results: list[Value] = []
    while len(results) < len(jobs):
        results += _batch(jobs[len(results) :], seconds)
    return results


def _batch(jobs: Sequence[list], seconds: float) -> list[Value]:
    """As many results as one process gives; one that did not answer counts as failed, so there is at least one."""
    lines = "".join(json.dumps(job) + "\n" for job in jobs)
    command = [sys.executable, "-I", "-S", "-c", _WORKER]
    try:
        done = subprocess.run(
            command,
            input=lines,
            capture_output=True,
            text=True,
            timeout=seconds,
            env={},
            check=False,
        )
        output, reason = done.stdout, f"the process ended with status {done.returncode}"
    except subprocess.TimeoutExpired as error:
        output, reason = (error.stdout or b"").decode(), f"no answer in {seconds:g} s"
    results = [tuple(json.loads(line)) for line in output.split("\n")[:-1]]
    if len(results) < len(jobs):
        results.append((False, reason))
    return results
