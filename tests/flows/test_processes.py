"""Runs as processes of their own: two at once, killed, cancelled, interrupted. Nothing may survive its run."""

import os
import signal
import time

import psutil
import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX")

GONE_S = 2  # what we promise
SLACK = 5  # a loaded machine's share of it


def training_of(project, toy, process) -> int:
    """Process id of the slow stage, once it works."""
    deadline = time.monotonic() + 120
    while not toy.starts(project, "train"):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "training did not start"
        time.sleep(0.05)
    return int((project / "trace" / "train.starts").read_text().split()[-1])


def survivors(processes) -> list[str]:
    """Processes that are still there after the promised time and the machine's share."""
    _, alive = psutil.wait_procs(processes, timeout=GONE_S * SLACK)
    return [" ".join(process.cmdline()) for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def family(process) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def mlflow_statuses(project) -> set[str]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{project / 'mlflow.db'}")
    return {run.info.status for run in client.search_runs([client.get_experiment_by_name("phiforge").experiment_id])}


def test_two_parameter_sets_at_once_in_two_workspaces(project, command, toy):
    (project / "note.py").write_text("not known to git\n")
    runs = [command("--set", f"seed={seed}") for seed in (2, 3)]
    texts = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], texts
    assert all("untracked files are not in workspace" in text and "note.py" in text for text in texts)

    workspaces = sorted((project / "workspaces").iterdir())
    assert len(workspaces) == 2
    assert {(w / "models" / "model.txt").read_text().split()[1] for w in workspaces} == {"seed=2", "seed=3"}
    assert toy.git(project, "status", "--porcelain").split() == ["??", "note.py"]
    assert not (project / "data").exists()
    assert "# Seed of everything" in (workspaces[0] / "params.yaml").read_text()
    saved = toy.git(project, "for-each-ref", "--format=%(refname:lstrip=-1)", "refs/exps").split()
    assert {f"run-{w.name}" for w in workspaces} <= set(saved)
    assert all(f"run-{w.name}" in toy.dvc(project, "exp", "show", "--csv") for w in workspaces)

    again = command("--set", "seed=3")
    text = again.communicate(timeout=300)[0]
    assert again.returncode == 0, text
    assert "Everything was cached: 5 stages" in text
    assert toy.starts(project, "train") == 2


def test_killed_run_leaves_no_process_and_the_next_goes_on(project, command, toy, prefect_api):
    (project / "trace" / "slow").touch()
    run = command()
    training = training_of(project, toy, run)
    processes = family(run)
    assert training in {process.pid for process in processes}
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert survivors(processes) == []

    (project / "trace" / "slow").unlink()
    again = command()
    text = again.communicate(timeout=300)[0]
    assert again.returncode == 0, text
    assert "was killed; its finished stages are kept" in text
    assert "prepare: cached" in text
    assert (toy.starts(project, "prepare"), toy.starts(project, "train")) == (1, 2)
    assert mlflow_statuses(project) == {"KILLED", "FINISHED"}


@pytest.mark.parametrize(
    ("number", "embedded", "status", "words"),
    [(signal.SIGTERM, False, 143, ""), (signal.SIGINT, True, 130, "Stopped. Finished stages are kept")],
    ids=["cancel, as Prefect's runner does", "Ctrl-C with the embedded server"],
)
def test_a_stopped_run_takes_its_stage_along(project, command, toy, number, embedded, status, words):
    (project / "trace" / "slow").touch()
    run = command(embedded=embedded)
    training = psutil.Process(training_of(project, toy, run))
    processes = family(run)
    run.send_signal(number)
    assert survivors([training]) == []
    text = run.communicate(timeout=120)[0]
    assert run.returncode == status, text
    assert words in text
    assert survivors(processes) == []
    assert mlflow_statuses(project) == {"KILLED"}
