"""Housekeeping as a whole: what it says, what it leaves, and that no run loses anything to it."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import graph
from flows.housekeeping import Report, tidy
from flows.processes import wait_until

REPOSITORY = Path(__file__).parents[3]
ALWAYS = Path(__file__).with_name("always.py")
NOTHING_KEPT = """
housekeeping:
  workspaces: {keep: 1, days: 0}
  experiments: {keep: 0, days: 0}
  runs: {keep: 1, days: 0}
  cache: {keep: 0, days: 0}
"""


@pytest.fixture
def greedy(project, toy) -> Path:
    """A toy project that keeps as little as can be."""
    (project / "params.yaml").write_text((project / "params.yaml").read_text() + NOTHING_KEPT)
    toy.git(project, "commit", "--quiet", "--all", "--message", "keep nothing")
    return project


def contents(home: Path) -> dict[str, str]:
    """Hashes of all files, but for locks, and databases, which reading opens."""
    found = [path for path in home.rglob("*") if path.is_file() and not path.is_symlink()]
    left_out = ("/.phiforge/locks/", "/.phiforge/prefect/", "mlflow.db", "/.dvc/tmp/", "/.phiforge/logs/")
    kept = [path for path in found if not any(part in str(path) for part in left_out)]
    return {str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def missing(home: Path) -> list[str]:
    """Outputs that a dvc.lock of the main folder or of a workspace names and the cache does not have."""
    places = [home, *(home / "workspaces").glob("*")]
    outs = [
        out
        for p in places
        for s in ("prepare", "train", "check", "report")
        for out in graph.locked_outputs(p, s).values()
    ]
    return [md5 for md5 in outs if not (home / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]).is_file()]


def test_the_report_names_each_kind_and_the_sum() -> None:
    report = Report(dry_run=True, remarks=["A remark."])
    report.add("workspaces", 2, 1_500_000)
    report.add("workspaces", 1, 500_000)
    report.add("databases, rewritten", 0, 3_000_000)
    first, *rows = report.text.splitlines()
    assert first == "Would free 5.0 MB:"
    assert [row.split() for row in rows] == [
        ["3", "workspaces", "2.0", "MB"],
        ["databases,", "rewritten", "3.0", "MB"],
        ["A", "remark."],
    ]
    assert Report(dry_run=False).text == "Freed 0.0 MB"


@pytest.mark.slow
def test_a_dry_run_says_what_a_real_one_removes_and_removes_nothing(greedy, run_flow, toy):
    for seed in (2, 3):
        assert run_flow(overrides={"seed": seed}).is_completed()
    assert len(list((greedy / "workspaces").iterdir())) == 1  # each run tidies what can be made again
    before = contents(greedy)
    said = tidy(greedy, dry_run=True)
    assert contents(greedy) == before
    done = tidy(greedy)
    assert {name: number for name, (number, _) in said.freed.items()} == {
        name: number for name, (number, _) in done.freed.items()
    }
    assert done.freed["DVC experiments"][0] == done.freed["MLflow runs"][0] == 1
    assert done.freed["Prefect runs"][0] >= 1  # other tests' runs are on the same server
    assert done.freed["objects in DVC's cache"][0] >= 2
    assert missing(greedy) == []
    assert tidy(greedy).freed == {}
    again = run_flow(overrides={"seed": 3})
    assert again.message == "all 5 stages were cached"


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_no_run_loses_anything_to_housekeeping_at_any_moment(greedy, prefect_api, command, tmp_path):
    """Runs in the main folder and in workspaces, while housekeeping that keeps nothing comes again and again."""
    ended, said = tmp_path / "ended", tmp_path / "passes"
    environment = os.environ | {"PREFECT_API_URL": prefect_api, "PYTHONPATH": str(REPOSITORY)}
    with open(said, "w") as passes:
        always = subprocess.Popen([sys.executable, ALWAYS, ended], env=environment, stdout=passes)
    try:
        for seed in (2, 3):
            processes = [command(), command("--set", f"seed={seed}")]
            assert wait_until(lambda: all(process.poll() is not None for process in processes), 600)  # noqa: B023
            assert [process.returncode for process in processes] == [0, 0], [p.stdout.read() for p in processes]
            assert missing(greedy) == []
            (greedy / "step.py").write_text((greedy / "step.py").read_text() + f"# {seed}\n")  # all stages run again
        ended.touch()
        assert always.wait(120) == 0
    finally:
        always.kill()
        always.wait()
    removed = [json.loads(line) for line in said.read_text().splitlines()]
    assert sum(freed.get("objects in DVC's cache", [0])[0] for freed in removed) > 0


@pytest.mark.slow
def test_the_deployment_says_what_it_would_free(running, toy, tmp_path):
    with running.platform(running.make_project(toy, tmp_path / "my project"), panel=False) as up:
        assert up.finished(up.launch(overrides={"seed": 2}))["type"] == "COMPLETED"
        deployment = up.deployment("housekeeping/local")
        with up.operator() as client:
            found = client.get(f"/deployments/{deployment}").json()
            assert [schedule["active"] for schedule in found["schedules"]] == [False]
            path = f"/deployments/{deployment}/create_flow_run"
            run = client.post(path, json={"parameters": {"dry_run": True}}).raise_for_status().json()["id"]
        state = up.finished(run)
        assert (state["type"], state["message"]) == ("COMPLETED", "Would free 0.0 MB")
