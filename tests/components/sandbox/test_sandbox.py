"""What the sandbox says of honest and of faulty programs, and how it starts, refuses and ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from components.errors import StepError
from components.sandbox import Job, Limits, Outcome, Sandbox, Verdict
from components.sandbox import client as client_module

ROOT = Path(__file__).parents[3]


def test_a_script_passes_when_it_runs_to_its_end(box: Sandbox) -> None:
    verdict = box.run("print('hello', __name__)")
    assert verdict == Verdict(Outcome.PASSED, "hello __main__\n")
    assert verdict.passed
    assert 0 < verdict.cpu_seconds < 2


def test_a_script_waits_for_its_threads_and_runs_its_exit_handlers(box: Sandbox) -> None:
    program = """
import atexit, threading, time
atexit.register(print, "last")
threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
print("first")
"""
    assert box.run(program).stdout == "first\nthread\nlast\n"


@pytest.mark.parametrize(
    ("program", "outcome", "error"),
    [
        ("x = 1\n1 / 0", Outcome.FAILED, "ZeroDivisionError: division by zero (program, line 2)"),
        ("assert 1 == 2, 'no'", Outcome.FAILED, "AssertionError: no (program, line 1)"),
        ("assert False", Outcome.FAILED, "AssertionError (program, line 1)"),
        ("def f(:", Outcome.FAILED, "SyntaxError: invalid syntax (<program>, line 1)"),
        ("import no_such_module", Outcome.FAILED, "ModuleNotFoundError: No module named 'no_such_module' (program, line 1)"),
        ("import numpy", Outcome.FAILED, "ModuleNotFoundError: No module named 'numpy' (program, line 1)"),
        ("import components", Outcome.FAILED, "ModuleNotFoundError: No module named 'components' (program, line 1)"),
        ("import sys; sys.exit(0)", Outcome.EXITED, "the program called sys.exit"),
        ("import os; os._exit(0)", Outcome.EXITED, "the program ended itself with status 0"),
        ("import os; os.abort()", Outcome.CRASHED, "the program was ended by SIGABRT"),
        ("import os; os.fork()", Outcome.FORBIDDEN, "PermissionError: [Errno 1] Operation not permitted (program, line 1)"),
        ("while True: pass", Outcome.TIMEOUT, "ran for 2 s of cpu time"),
        ("raise Exception('two\\nlines')", Outcome.FAILED, "Exception: two lines (program, line 1)"),
    ],
)  # fmt: skip
def test_what_a_faulty_script_is_told(box: Sandbox, program: str, outcome: Outcome, error: str) -> None:
    assert box.run(program) == Verdict(outcome, "", error)


def test_output_is_kept_up_to_the_limit(box: Sandbox) -> None:
    most = box.limits.file_bytes
    verdict = box.run(f"print('x' * {most - 2})")
    assert verdict.passed
    assert len(verdict.stdout) == most - 1
    verdict = box.run(f"print('x' * {most + 2})")
    assert verdict.outcome is Outcome.OUTPUT
    assert verdict.stdout == "x" * most


def test_output_of_any_bytes(box: Sandbox) -> None:
    assert box.run("import os; os.write(1, b'a\\0\\xff' + 'é'.encode())").stdout == "a\0\\xffé"


def test_output_is_kept_when_the_program_fails(box: Sandbox) -> None:
    assert box.run("print('before')\n1 / 0").stdout == "before\n"
    assert box.run("print('before')\ndef f(): print('inside')", "f()\nassert False").stdout == "before\ninside\n"


def test_input(box: Sandbox) -> None:
    assert box.run("import sys\nprint(input() * 2, sys.stdin.read())", stdin="ab\ncd\n").stdout == "abab cd\n\n"
    assert box.run("input()").error == "EOFError: EOF when reading a line (program, line 1)"


def test_equal_programs_have_equal_verdicts(box: Sandbox) -> None:
    program = "import random\nprint(random.random(), {'a', 'b', 'c'}, hash('x'))"
    assert len({box.run(program).stdout for _ in range(3)}) == 1


def test_a_program_may_use_threads_files_and_an_event_loop(box: Sandbox) -> None:
    program = """
import asyncio, os, pathlib, sqlite3, tempfile, hashlib, zoneinfo
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool: print(sum(pool.map(len, ["a", "bc"])))
async def work():
    await asyncio.sleep(0)
    return 3
print(asyncio.run(work()))
pathlib.Path("folder").mkdir()
pathlib.Path("folder/x").write_text("text")
os.replace("folder/x", "y")
print(open("y").read(), sqlite3.connect("base").execute("select 1 + 3").fetchone())
with tempfile.NamedTemporaryFile() as file: file.write(b"x")
print(hashlib.sha256(b"").hexdigest()[:4], os.cpu_count() > 0)
"""
    assert box.run(program).stdout == "3\n3\ntext (4,)\ne3b0 True\n"


def test_programs_do_not_see_each_others_files_and_changes(box: Sandbox) -> None:
    assert box.run("open('left', 'w').close()\nimport math\nmath.pi = 3").passed
    assert box.run("import math, os\nprint(os.listdir('.'), math.pi > 3.1)").stdout == "[] True\n"


def test_the_environment_is_empty_of_ours(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIFORGE_SECRET", "secret")
    with Sandbox(box.limits) as sandbox:
        found = sandbox.run("import os, sys; print(sorted(os.environ), sys.argv, sys.flags.no_site)").stdout
    assert found == "['HOME', 'LANG', 'PATH', 'TMPDIR'] ['program.py'] 1\n"


def test_no_open_file_but_its_own(box: Sandbox) -> None:
    program = """
import os
def open_files():
    found = []
    for number in range(4096):
        try: os.fstat(number)
        except OSError: continue
        found.append(number)
    return len(found)
print(open_files())
"""
    assert box.run(program).stdout == "4\n"  # input, output, errors, and where a script's result goes
    assert box.run(program, "assert open_files() == 4").passed  # the same, the channel to its tests instead


def test_the_order_of_many_is_kept(box: Sandbox) -> None:
    jobs = [Job(f"import time; time.sleep({(7 - i) % 3 / 100}); print({i})") for i in range(20)]
    assert [int(v.stdout) for v in box.run_many(iter(jobs), workers=3)] == list(range(20))
    assert len(box._all) <= 3
    with pytest.raises(StepError, match="at least 1"):
        next(box.run_many(jobs, workers=0))


def test_results_do_not_depend_on_the_number_of_workers(box: Sandbox) -> None:
    jobs = [Job("def f(x): return x % 3", f"assert f({i}) == 0") for i in range(12)]
    assert list(box.run_many(jobs)) == list(box.run_many(jobs, workers=4))


def test_many_takes_jobs_as_they_are_needed(box: Sandbox) -> None:
    taken = []

    def jobs():
        for number in range(1000):
            taken.append(number)
            yield Job("pass")

    verdicts = box.run_many(jobs(), workers=2)
    assert next(verdicts).passed
    assert len(taken) < 50
    verdicts.close()


def test_a_limit_of_cpu_time_counts_all_threads_and_not_sleep() -> None:
    with Sandbox(Limits(cpu_seconds=0.2, wall_seconds=1.0)) as sandbox:
        spin = "import threading\ndef spin():\n    while True: pass\nthreading.Thread(target=spin).start()\n"
        assert sandbox.run(spin).error == "ran for 0.2 s of cpu time"
        assert sandbox.run("import time; time.sleep(0.5)").passed
        assert sandbox.run("import time; time.sleep(60)").error == "ran for 1 s of wall time"
        assert sandbox.run("", "while True: pass").error == "ran for 0.2 s of cpu time"


def test_it_refuses_to_run_what_it_cannot_isolate() -> None:
    with pytest.raises(StepError, match=r"cannot be isolated.*start a process.*seccomp: left out.*allow_unisolated"):
        Sandbox(without=["seccomp"])
    with pytest.raises(StepError, match="take all memory"):
        Sandbox(without=["limits"])
    with pytest.raises(StepError, match="no layer wall"):
        Sandbox(without=["wall"])
    if os.geteuid() == 0:
        with pytest.raises(StepError, match="be root"):
            Sandbox(without=["user"])


def test_the_flag_runs_it_anyway() -> None:
    with Sandbox(
        without=["seccomp", "landlock", "namespaces", "user", "limits"], allow_unisolated_execution=True
    ) as sandbox:
        assert "a program can start a process" in sandbox.faults
        assert sandbox.run("import os\nassert os.fork() >= 0").passed
        assert sandbox.run("def f(): return 1", "assert f() == 1").passed
        assert not sandbox.run("def f(): return 1", "assert f() == 2").passed


@pytest.mark.parametrize("without", [["seccomp"], ["seccomp", "namespaces", "user"]], ids=["namespaces", "nothing"])
def test_what_a_program_started_is_ended_even_without_seccomp(without: list[str]) -> None:
    daemon = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                open("alive", "a").write("x")
                time.sleep(0.01)
        os._exit(0)
"""
    with Sandbox(Limits(wall_seconds=2), without=without, allow_unisolated_execution=True) as sandbox:
        server = psutil.Process(sandbox._all[0]._process.pid)
        before = {p.pid for p in server.children(recursive=True)}
        assert sandbox.run(daemon).passed
        assert {p.pid for p in server.children(recursive=True)} == before
        assert sandbox.run("import os; print(os.listdir())").stdout == "[]\n"


def test_a_server_that_died_is_replaced() -> None:
    with Sandbox() as sandbox:
        server = sandbox._all[0]
        for process in [*psutil.Process(server._process.pid).children(recursive=True), server._process]:
            os.kill(process.pid, signal.SIGKILL)
        verdict = sandbox.run("pass")
        assert verdict == Verdict(Outcome.CRASHED, error="the sandbox's server ended with the program")
        assert sandbox.run("print(1)").passed


@pytest.mark.parametrize("without", [(), ("namespaces", "user")], ids=["inside", "outside"])
def test_closing_ends_the_servers_and_removes_the_folders(without: tuple[str, ...]) -> None:
    sandbox = Sandbox(without=without, allow_unisolated_execution=True)
    list(sandbox.run_many([Job("pass")] * 4, workers=2))
    processes = [psutil.Process(s._process.pid) for s in sandbox._all]
    processes += [p for process in processes for p in process.children(recursive=True)]
    folders = [Path(s._folder) for s in sandbox._all if s._folder]
    assert bool(folders) == bool(without)
    sandbox.close()
    sandbox.close()
    assert not any(p.is_running() for p in processes)
    assert not any(f.exists() for f in folders)


def test_a_caller_that_is_killed_leaves_nothing() -> None:
    caller = """
import sys
from components.sandbox import Sandbox
sandbox = Sandbox(without=["namespaces", "user"], allow_unisolated_execution=True)
print(sandbox._all[0]._process.pid, sandbox._all[0]._folder, flush=True)
sandbox.run("import time; time.sleep(3600)")
"""
    process = subprocess.Popen([sys.executable, "-c", caller], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid, folder = process.stdout.readline().split()
    server = psutil.Process(int(pid))
    deadline = time.monotonic() + 30
    while len(server.children(recursive=True)) < 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    family = [server, *server.children(recursive=True)]
    process.kill()
    process.wait()
    process.stdout.close()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]
    assert not Path(folder).exists()


def test_the_tests_are_nowhere_in_the_programs_memory() -> None:
    """Without the layers that hide /proc, the program reads all of its own memory; the tests and others' programs are not there."""
    program = """
import re
said = "control: this line is in memory"
def answer(n):
    # Written so that the marks themselves are not in this program's memory.
    marks = [re.compile(b"[m]arks_alone_in_the_tests"), re.compile(b"[a]lone_in_an_other_program")]
    marks.append(re.compile(b"[c]ontrol: this line is in memory"))
    found = []
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            first, last = (int(x, 16) for x in line.split()[0].split("-"))
            if "r" not in line.split()[1] or "[v" in line: continue
            memory.seek(first)
            try: data = memory.read(last - first)
            except OSError: continue
            found += [m for m in marks if m.search(data)]
    return sorted({m.pattern[:3] for m in found})
"""
    without = ["namespaces", "landlock", "user"]
    with Sandbox(Limits(cpu_seconds=10), without=without, allow_unisolated_execution=True) as sandbox:
        assert sandbox.run(
            "alone_in_an_other_program = 1", "alone_in_an_other_program + 1\nassert False, 'alone_in_an_other_program'"
        )
        verdict = sandbox.run(
            program, "# marks_alone_in_the_tests\nmarks_alone_in_the_tests = 1\nassert answer(1) == [b'[c]'], answer(1)"
        )
        if "PermissionError" in verdict.error:
            pytest.skip("not readable for this user")
        assert verdict.passed, verdict


def test_a_report_of_a_child_never_means_passed() -> None:
    answer = {"judge": 43, "program": None, "limit": None, "seconds": 0.1, "cpu_seconds": 0.1}
    for result in (b'{"outcome": "passed", "error": ""}', b"", b"[", b"[" * 100000, b'{"outcome": "won"}'):
        for tested in (True, False):
            assert not client_module.judge(answer, b"", result, Limits(), tested).passed


def test_the_report_of_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "components.sandbox"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    for layer in ("namespaces", "user", "landlock", "seccomp", "limits"):
        assert layer in done.stdout
    assert ("is isolated here" in done.stdout) == (done.returncode == 0)
