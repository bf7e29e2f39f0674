"""Workspaces, states, work and journals: what is in use or was used lately stays, and so does what a person put there."""

import fcntl
import os
import time
from pathlib import Path

import pytest

from components.params import Limit
from flows import workspace as workspaces
from flows.housekeeping import files
from flows.housekeeping.plan import DAY, removable

OLD = time.time() - 20 * DAY
LIMITS = {kind: Limit(keep=0, days=14) for kind in files.MADE}


def tidy(home: Path, limits: dict[str, Limit]) -> list[str]:
    """Remove what is beyond the limits; names of what went."""
    going = removable(files.entries(home), limits, time.time())
    return [entry.name for entry in going if files.remove(home, entry)]


def make(home: Path, name: str, age_days: float = 20) -> Path:
    """A file of `.phiforge` that was last changed some days ago, as was its folder."""
    path = home / ".phiforge" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("content")
    then = time.time() - age_days * DAY
    for changed in (path, path.parent):
        os.utime(changed, (then, then))
    return path


def test_the_least_recently_used_workspaces_go(project, toy):
    places = []
    for seed in (2, 3, 4):
        with workspaces.workspace(project, {"seed": seed}, None, str) as place:
            places.append(place)
    for age, place in enumerate(reversed(places)):
        os.utime(project / ".phiforge" / "locks" / f"workspace-{place.key}.lock", (0, 1_000_000 - age))
    limits = {"workspaces": Limit(keep=1, days=0)}
    with workspaces.workspace(project, {"seed": 2}, None, str):  # in use
        assert tidy(project, limits) == [places[1].key]
    assert tidy(project, limits) == [places[2].key]  # the other one has just been used
    assert [path.name for path in (project / "workspaces").iterdir()] == [places[0].key]
    assert [path.stem for path in (project / ".phiforge" / "workspaces").iterdir()] == [places[0].key]
    assert toy.git(project, "worktree", "list").count("\n") == 2


def test_a_workspace_that_was_used_since_it_was_listed_stays(project):
    with workspaces.workspace(project, {"seed": 2}, None, str):
        pass
    listed = list(files.entries(project))
    time.sleep(0.02)
    with workspaces.workspace(project, {"seed": 2}, None, str):
        pass
    assert [files.remove(project, entry) for entry in listed] == [False]
    assert len(list((project / "workspaces").iterdir())) == 1


def test_folders_that_a_person_put_among_the_workspaces_stay(project, toy, tmp_path):
    """A checkout by hand, and a link to one: the first call makes their locks, from which on they would grow old."""
    toy.git(project, "worktree", "add", "--quiet", "--detach", "workspaces/mine")
    toy.git(project, "worktree", "add", "--quiet", "--detach", str(tmp_path / "elsewhere"))
    work = [project / "workspaces" / "mine" / "work.txt", tmp_path / "elsewhere" / "work.txt"]
    for file in work:
        file.write_text("not committed")
    (project / "workspaces" / "0123456789ab").symlink_to(tmp_path / "elsewhere")
    assert [tidy(project, {"workspaces": Limit(keep=0, days=0)}) for _ in range(2)] == [[], []]
    assert all(file.exists() for file in work)


STALE = [
    f"training/{'a' * 20}/step-00000001/state.json",
    f"study/{'a' * 16}/model.safetensors",
    f"curation/clean-{'0' * 20}/unit/whole.json",
    f"curation/classifier-{'b' * 20}.npz",
    f"curation/increment-{'0' * 20}/{'1' * 20}/part-00000.parquet",
    f"ingestion/increment-{'0' * 20}/{'1' * 20}/part-00000.parquet",
    f"benchmarking/{'c' * 64}.jsonl",
]
FOREIGN = [
    "training/precious/lock",
    "curation/my-thesis/unit/page",
    f"curation/clean-{'0' * 21}/unit/page",
    "curation/classifier-of-mine.npz",
    "ingestion/my-crawl/part-00000.parquet",
    "benchmarking/notes.jsonl",
    "synthesis/answers.jsonl",
    "dvc-remote/files/md5/ab/cd",
]


@pytest.mark.parametrize("name", STALE)
def test_what_nobody_has_used_for_long_goes(project, name):
    path = make(project, name)
    top = project / ".phiforge" / "/".join(name.split("/")[:2])
    if top != path:
        os.utime(top, (OLD, OLD))
    assert tidy(project, LIMITS) == [top.name]
    assert not top.exists()
    path = make(project, name, age_days=10)
    if top != path:
        os.utime(top, (OLD, OLD))
    assert tidy(project, LIMITS) == []
    assert path.exists()


def test_what_a_person_put_there_stays(project):
    for name in FOREIGN:
        make(project, name)
    assert tidy(project, LIMITS) == []
    assert all((project / ".phiforge" / name).exists() for name in FOREIGN)


@pytest.mark.parametrize(
    "name", [f"training/{'a' * 20}", f"curation/clean-{'a' * 20}", f"benchmarking/{'a' * 64}.jsonl"]
)
def test_what_a_link_leads_to_stays(project, tmp_path, name):
    elsewhere, link = tmp_path / "elsewhere", project / ".phiforge" / name
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    for path in (elsewhere / "file", elsewhere):
        os.utime(path, (OLD, OLD))
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere)
    assert tidy(project, LIMITS) == []
    assert (elsewhere / "file").exists()


def test_a_unit_of_older_text_goes_from_a_phase_in_use(project):
    old, used = (make(project, f"curation/score-{'1' * 20}/{unit}/whole.json") for unit in ("old", "used"))
    os.utime(used.parent)
    assert tidy(project, LIMITS) == [f"score-{'1' * 20}/old"]
    assert used.exists()
    assert not old.parent.exists()


def test_the_state_of_a_training_that_runs_stays(project):
    lock = make(project, f"training/{'a' * 20}/lock")
    os.utime(lock.parent, (OLD, OLD))
    with open(lock) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert tidy(project, LIMITS) == []
    assert tidy(project, LIMITS) == ["a" * 20]


def test_uploads_and_sweeps_stay_as_long_as_a_run_that_names_them(tmp_path, prefect_api):
    from prefect import flow, get_client
    from prefect.states import Completed

    from flows.definitions import PIPELINE
    from flows.housekeeping.flow_runs import FlowRuns

    @flow(name=PIPELINE.flow)
    def train(overrides: dict) -> None:
        pass

    named = make(tmp_path, "uploads/0123456789abcdef/notes.txt", 200).parent
    orphan = make(tmp_path, "uploads/fedcba9876543210/notes.txt", 200).parent
    mine = make(tmp_path, "uploads/mine/notes.txt", 200)
    with get_client(sync_client=True) as client:
        source = {"ingestion.sources": [{"path": str(named)}]}
        run = client.create_flow_run(train, parameters={"overrides": source}, state=Completed())
    swept, other = (
        make(tmp_path, f"sweeps/{run.id}.json", 200),
        make(tmp_path, f"sweeps/{'0' * 8}{str(run.id)[8:]}.json", 200),
    )
    assert not [entry for entry in files.entries(tmp_path) if entry.kind in files.GIVEN], (
        "a run's end knows no Prefect run"
    )
    limits = {kind: Limit(keep=0, days=14) for kind in (*files.GIVEN, "prefect")}
    going = removable([*files.given(tmp_path), *FlowRuns().entries()], limits, time.time())
    for entry in going:
        assert files.remove(tmp_path, entry)
    assert [path.exists() for path in (named, swept, mine, orphan, other)] == [True, True, True, False, False]
