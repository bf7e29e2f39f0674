"""Evaluate expressions that we generated, in one separate process for many of them.

The process is isolated from this one's environment (-I), knows no network address, and has limits on CPU time, memory,
file size and open files. That is enough for expressions that come from the generators' allow-list. It is no sandbox for
code of unknown origin: nothing that a user or a model wrote may come here.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

SECONDS = 20  # for one batch; an expression takes microseconds
_WORKER = """
import json, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
except ImportError:
    pass
modules = {}
for line in sys.stdin:
    expression, imports = json.loads(line)
    try:
        scope = {name: modules.setdefault(name, __import__(name)) for name in imports}
        answer = [True, repr(eval(expression, scope))]
    except Exception as error:
        answer = [False, type(error).__name__]
    sys.stdout.write(json.dumps(answer) + "\\n")
    sys.stdout.flush()
"""


def evaluate(expressions: Sequence[tuple[str, tuple[str, ...]]], seconds: float = SECONDS) -> list[tuple[bool, str]]:
    """Evaluate (expression, modules that it needs) pairs.

    Returns:
        For each, (True, repr of the value) or (False, what went wrong). If the process dies or runs out of time on an
        expression, that one fails and the rest goes on in a new process.
    """
    results: list[tuple[bool, str]] = []
    while len(results) < len(expressions):
        results += _batch(expressions[len(results) :], seconds)
    return results


def _batch(expressions: Sequence[tuple[str, tuple[str, ...]]], seconds: float) -> list[tuple[bool, str]]:
    """As many results as one process gives; one that did not answer counts as failed, so there is at least one."""
    lines = "".join(json.dumps([expression, list(imports)]) + "\n" for expression, imports in expressions)
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
    if len(results) < len(expressions):
        results.append((False, reason))
    return results
