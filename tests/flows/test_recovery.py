"""What is killed, and how the next start recovers from it."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

REPOSITORY = Path(__file__).parents[2]


def wait_until(ready, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def tree(process: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def named(process: subprocess.Popen, words: str) -> list[psutil.Process]:
    """Processes below one whose command line holds these words."""
    found = []
    for child in tree(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            if words in " ".join(child.cmdline()):
                found.append(child)
    return found


@pytest.mark.slow
def test_a_power_cut_blocks_nothing(running, toy, tmp_path):
    """Two runs under way and a third waiting; everything is killed; all three are settled after the next start."""
    root = running.make_project(toy, tmp_path / "my project")
    slow = root / "trace" / "slow"
    slow.write_text("6000")
    with running.platform(root, panel=False) as up:
        runs = [up.launch(overrides={"seed": seed}) for seed in (11, 12)]
        wait_until(lambda: toy.starts(root, "train") == 1)  # the other waits for the device
        wait_until(lambda: [up.state(run)["type"] for run in runs] == ["RUNNING", "RUNNING"])
        waiting = up.launch(overrides={"seed": 13})
        everything = [psutil.Process(up.process.pid), *tree(up.process)]
        running.kill(everything)
        wait_until(lambda: not any(process.is_running() for process in everything), 20)
    slow.unlink()
    with running.platform(root, panel=False) as up:
        assert [up.state(run)["type"] for run in runs] == ["CRASHED", "CRASHED"]
        assert up.finished(waiting)["type"] in {"COMPLETED", "CRASHED"}  # it may have been taken up already
        assert up.finished(up.launch(overrides={"seed": 11}))["type"] == "COMPLETED"
        assert "RUNNING" not in running.mlflow_states(root)
        with up.operator() as client:
            limit = client.get(f"/deployments/{up.deployment()}").json()["global_concurrency_limit"]
        assert limit["active_slots"] == 0


@pytest.mark.slow
def test_services_that_are_killed_are_started_again(running, toy, tmp_path):
    """A run dies with its worker, nothing of it is left, and it is closed; a server's end does not end a run."""
    root = running.make_project(toy, tmp_path / "my project")
    slow = root / "trace" / "slow"
    slow.write_text("6000")
    with running.platform(root, panel=False) as up:
        run = up.launch()
        wait_until(lambda: toy.starts(root, "train") == 1)
        [worker] = named(up.process, "flows.worker")
        below = worker.children(recursive=True)
        assert below
        [server] = named(up.process, "flows.serve prefect")
        assert min(process.nice() for process in below) > server.nice()  # it answers while runs use all cores
        running.kill([worker])
        wait_until(lambda: not any(process.is_running() for process in below), 20)
        assert up.finished(run)["type"] == "CRASHED"
        slow.unlink()
        assert up.finished(up.launch())["type"] == "COMPLETED"
        assert "worker ended with status -9; starting it again (1 of 5)" in up.output.read_text()
        assert "RUNNING" not in running.mlflow_states(root)

        slow.write_text("900")
        run = up.launch(overrides={"seed": 5})
        wait_until(lambda: toy.starts(root, "train") == 3)
        running.kill(named(up.process, "flows.serve prefect"))
        wait_until(lambda: "prefect ended with status -9; starting it again" in up.output.read_text())
        assert up.finished(run, 400)["type"] == "COMPLETED"


@pytest.mark.slow
def test_a_schedule_stays_as_a_person_set_it(running, toy, tmp_path):
    root = running.make_project(toy, tmp_path / "my project")
    for expected in (False, True):
        with running.platform(root, panel=False) as up, up.operator() as client:
            [schedule] = client.get(f"/deployments/{up.deployment()}").json()["schedules"]
            assert schedule["active"] is expected
            path = f"/deployments/{up.deployment()}/schedules/{schedule['id']}"
            client.patch(path, json={"active": True}).raise_for_status()


def run_alone(running, root: Path, *arguments: str) -> subprocess.Popen:
    """`make run` in a process of its own, with a server of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.run", *arguments],
        cwd=REPOSITORY,
        env=running.environment_of(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.slow
def test_a_run_survives_its_server(running, toy, tmp_path):
    root = toy.make_project(tmp_path / "my project")
    (root / "trace" / "slow").touch()
    run = run_alone(running, root)
    wait_until(lambda: toy.starts(root, "train") == 1)
    running.kill(named(run, "flows.serve prefect"))
    output, _ = run.communicate(timeout=240)
    assert run.returncode == 0, output
    assert "Traceback" not in output
    assert running.mlflow_states(root) <= {"FINISHED"}


@pytest.mark.slow
def test_first_runs_at_once_in_a_fresh_folder_all_succeed(running, toy, tmp_path):
    root = toy.make_project(tmp_path / "my project")
    runs = [run_alone(running, root, "--set", f"seed={seed}") for seed in (1, 2, 3)]
    outputs = [run.communicate(timeout=400)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], "\n".join(outputs)


def test_a_run_of_a_dead_worker_is_closed_and_its_slot_freed(project, prefect_api, toy):
    """The embedded way, on a server that has such a run: closed, unless its process is there."""
    from prefect import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
    from prefect.states import Pending, Running

    from flows import records, recovery
    from flows.pipeline import pipeline

    said = []
    with get_client(sync_client=True) as client:
        flow = client.create_flow(pipeline)
        deployment = client.create_deployment(flow, f"lost-{os.getpid()}", concurrency_limit=2)
        runs = [client.create_flow_run_from_deployment(deployment, parameters={}) for _ in range(3)]
        client.set_flow_run_state(runs[0].id, Pending(), force=True)
        client.set_flow_run_state(runs[1].id, Running(), force=True)
        client.set_flow_run_state(runs[2].id, Running(), force=True)
        records.write(project, str(runs[2].id))  # this process works on it
        recovery.close_orphans(project, said.append)
        kinds = [client.read_flow_run(run.id).state.type.value for run in runs]
        assert kinds == ["CRASHED", "CRASHED", "RUNNING"]
        assert len([line for line in said if "lost with its worker" in line]) >= 2
        records.remove(project, str(runs[2].id))
        limit = client.read_deployment(deployment).global_concurrency_limit
        client.update_global_concurrency_limit(limit.name, GlobalConcurrencyLimitUpdate(active_slots=2))
        recovery.close_orphans(project, said.append)
        assert client.read_flow_run(runs[2].id).state.is_crashed()
        assert client.read_deployment(deployment).global_concurrency_limit.active_slots == 0
        client.delete_deployment(deployment)


def test_a_task_whose_end_was_lost_is_closed_once_its_run_has_ended(project, prefect_api):
    """As after a full disk: the flow run's end is stored, its tasks' states are not."""
    from prefect import flow, get_client, task
    from prefect.states import Completed, Pending, Running

    from flows import recovery

    @flow
    def empty() -> None:
        pass

    @task
    def stage() -> None:
        pass

    with get_client(sync_client=True) as client:
        ended, under_way = (client.create_flow_run(empty, state=Running()) for _ in range(2))
        tasks = [
            client.create_task_run(stage, run.id, f"stage-{state.type}", state=state)
            for run in (ended, under_way)
            for state in (Pending(), Running(), Completed())
        ]
        client.set_flow_run_state(ended.id, Completed(), force=True)
        recovery.close_tasks_of_ended_runs()
        at_once = [client.read_task_run(task.id).state.type.value for task in tasks]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recovery, "LATE_S", -60)
            recovery.close_tasks_of_ended_runs()
        later = [client.read_task_run(task.id).state.type.value for task in tasks]
    states = ["PENDING", "RUNNING", "COMPLETED"]
    assert at_once == states * 2, "the server may still be storing them"
    assert later == ["CRASHED", "CRASHED", "COMPLETED", *states]


@pytest.mark.parametrize("left", [b"", b'{"write": {"/a', b"\0" * 40, b'{"write": {}, "read": {}}'])
def test_half_of_dvcs_list_of_locks_does_not_block_the_project(toy, tmp_path, left):
    """As a kill or a full disk leaves it: DVC itself refuses every command for good."""
    from flows.graph import repository

    root = toy.make_project(tmp_path / "my project")
    file = root / ".dvc" / "tmp" / "rwlock"
    file.parent.mkdir()
    file.write_bytes(left)
    with repository(root):
        pass
    toy.dvc(root, "repro", "--single-item", "inventory")
    assert toy.starts(root, "inventory") == 1
    assert not any(json.loads(file.read_text()).values())


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize(
    "left", [b"", b"schema: '2", b"stages:\n  inventory:\n    cmd: x\n    outs:\n    - pa", b"\0" * 40]
)
def test_half_of_a_dvc_lock_does_not_block_the_project(toy, tmp_path, caplog, left, committed):
    """As a kill or a full disk leaves it. Git's version comes back, and the run cache has the rest."""
    from flows.graph import locked_stages, repository

    root = toy.make_project(tmp_path / "my project")
    toy.dvc(root, "repro", "--single-item", "inventory")
    lock, stages = root / "dvc.lock", locked_stages(root)
    if committed:
        subprocess.run(["git", "add", "-f", "dvc.lock"], cwd=root, check=True)
        subprocess.run(["git", "commit", "-qm", "lock"], cwd=root, check=True)
    lock.write_bytes(left)
    with repository(root):
        pass
    assert lock.exists() == committed
    assert ("git's version again" if committed else "removed") in caplog.text
    assert (root / ".dvc" / "tmp" / "broken-dvc.lock").read_bytes() == left
    toy.dvc(root, "repro", "--single-item", "inventory")
    assert locked_stages(root) == stages


def test_a_run_whose_crash_the_server_could_not_store_is_closed_later(project, prefect_api, monkeypatch):
    """As on a full disk, where the state that Prefect's worker sends when a process has ended is lost."""
    import asyncio

    import httpx
    from prefect import flow, get_client
    from prefect.states import Completed, Running

    from flows import records, recovery, worker

    @flow
    def empty() -> None:
        pass

    asked = []

    def full_at_first(*arguments):
        asked.append(arguments)
        if len(asked) == 1:
            raise httpx.ConnectError("the server does not answer")
        return close_ended(*arguments)

    def no_log(*words, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    close_ended = recovery.close_ended
    monkeypatch.setattr(recovery, "close_ended", full_at_first)
    monkeypatch.setattr(worker, "print", no_log, raising=False)
    monkeypatch.setattr(worker, "TIDY_S", 0.01)
    with get_client(sync_client=True) as client:
        under_way, ended = (client.create_flow_run(empty, state=Running()) for _ in range(2))
        client.set_flow_run_state(ended.id, Completed(), force=True)
        records.write(project, str(ended.id))  # as a run leaves it that could not tell MLflow
        for run in (under_way, ended):
            asyncio.run(worker.settle(run))
        assert client.read_flow_run(under_way.id).state.is_crashed()
        assert client.read_flow_run(ended.id).state.is_completed()
    assert str(ended.id) not in dict(records.all_of(project))


def test_a_tidying_that_fails_does_not_end_the_worker(project, monkeypatch, capsys):
    import anyio

    from flows import recovery, worker

    def gone():
        raise RuntimeError("the task was deleted meanwhile")

    async def a_while() -> None:
        with anyio.move_on_after(0.5):
            await worker.tidy()

    monkeypatch.setattr(recovery, "close_tasks_of_ended_runs", gone)
    monkeypatch.setattr(worker, "TIDY_S", 0.01)
    anyio.run(a_while)
    assert capsys.readouterr().out.count("deleted meanwhile") >= 2
