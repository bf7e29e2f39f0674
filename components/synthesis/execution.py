"""Evaluate many expressions of the built-in generators in one separate process.

The process is isolated from this one's environment (-I) and has limits on CPU time, memory, file size and open files.
That is enough for expressions from the generators' allow-list, but it is not a sandbox: nothing that a model wrote may
run here (see `sandboxed`). These expressions do not run in the sandbox for two reasons. First, a program there costs 5 ms
of CPU, and a default run evaluates about ten thousand, at 20 microseconds each here. Second, the default run must work on
a machine that cannot confine programs, since it runs only the project's own and Python's code.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

SECONDS = 20  # wall-clock limit of one batch; an expression takes microseconds
Value = tuple[bool, str]
_WORKER = """
import json, signal, sys
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
    program, expression, imports, seconds = json.loads(line)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        scope = {name: modules.setdefault(name, __import__(name)) for name in imports}
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

    The expression is the last line; statements may precede it.

    Returns:
        For each, (True, repr of the value) or (False, the error). If the process dies or runs out of time on an
        expression, that one fails and the rest continues in a new process.
    """
    return _all([[*_split(program), imports, seconds] for program, imports in expressions], seconds)


def _split(program: str) -> tuple[str, str]:
    statements, _, expression = program.rpartition("\n")
    return statements, expression


def _all(jobs: Sequence[list], seconds: float) -> list[Value]:
    results: list[Value] = []
    while len(results) < len(jobs):
        results += _batch(jobs[len(results) :], seconds)
    return results


def _batch(jobs: Sequence[list], seconds: float) -> list[Value]:
    """The results of one process, until it ends. The expression without a result counts as failed, so there is at least one."""
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
