"""The guard and the locks: what they hold is free when its holder is gone, however it went."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from components.running import locks
from flows import processes

REPOSITORY = Path(__file__).parents[2]
# Runs inside the guard, and starts a child that will not hear SIGTERM.
STEP = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", '''
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("child.pid", "w").close()
time.sleep(60)
'''])
time.sleep(60)
"""
# A parent that starts a guarded tree, as a flow does, and then does nothing.
PARENT = """
import subprocess, sys, time
from flows.processes import guarded, start
child = start(guarded("step", tree=True))
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal at the parent's death is Linux")
def test_a_tree_that_ignores_sigterm_goes_with_a_killed_parent(tmp_path):
    (tmp_path / "step.py").write_text(STEP)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(tmp_path)])}
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    guard = psutil.Process(int(parent.stdout.readline()))
    assert processes.wait_until(lambda: (tmp_path / "child.pid").exists(), 60)
    tree = [guard, *guard.children(recursive=True)]
    assert len(tree) == 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs(tree, timeout=10)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_a_guard_whose_parent_is_gone_already_does_not_start():
    command = [sys.executable, "-P", str(processes.GUARD), "1", "this"]
    if os.getpid() == 1:
        pytest.skip("this process is the one that the guard is told")
    assert subprocess.run(command, check=False, capture_output=True).returncode == 143


def test_a_lock_is_free_once_its_holder_is_killed(tmp_path):
    path = tmp_path / "device.lock"
    holder = (
        "import sys, time; from pathlib import Path; from components.running.locks import exclusive\n"
        "with exclusive(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", holder, str(path)], cwd=REPOSITORY, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    assert not locks.is_free(path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    waited = []
    with locks.exclusive(path, lambda: waited.append(time.monotonic())):
        assert waited == []
        assert not locks.is_free(path)
    assert locks.is_free(path)


def test_a_stopped_run_gives_up_waiting(tmp_path):
    import threading

    stopped = threading.Event()
    stopped.set()
    path = tmp_path / "a.lock"
    with (
        locks.exclusive(path),
        pytest.raises(locks.WaitStopped, match="waiting for a"),
        locks.exclusive(path, None, stopped),
    ):
        pass
