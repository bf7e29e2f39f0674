"""Which runs are lost: those whose process is gone, whatever has become of its number."""

import json
import subprocess
import sys

import psutil

from flows import records, settings


def test_a_run_is_lost_when_its_process_is(project):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = psutil.Process(process.pid).create_time()

    def lost(started: float) -> bool:
        file = settings.state_folder(project) / "runs" / "run-1.json"
        file.write_text(json.dumps({"pid": process.pid, "started": started}))
        return "run-1" in dict(records.lost(project))

    records.write(project, "run-2")
    assert not lost(started)
    assert lost(started - 60)  # another process has its number now
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    assert lost(started)  # dead, though its parent has not asked what became of it
    process.communicate()
    assert lost(started)
    assert "run-2" not in dict(records.lost(project))
