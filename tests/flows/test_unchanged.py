"""A run with nothing to do is reported without Prefect; if anything is left to do, the flow starts."""

import json
import os
import sys

import pytest

from components.running.locks import exclusive
from flows import events, records
from flows.definitions import PIPELINE
from flows.graph import locked_outputs
from flows.settings import MAIN, lock_file
from flows.unchanged import all_cached

STAGES = ["inventory", "prepare", "train", "check", "report"]


@pytest.fixture
def done(project, toy, monkeypatch):
    """A toy project whose stages DVC has brought up to date, with no server anywhere."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    toy.dvc(project, "repro")
    return project


def told(project, *changes) -> list[tuple[str, str]]:
    """Kind and stage of the events of a look that finds everything cached; none where it does not."""
    found: list[events.Event] = []
    with events.listen(found.append):
        is_cached = all_cached(project, PIPELINE, *(changes or ({}, None)), None)
    assert is_cached == any(event.kind == "graph" for event in found)
    return [(event.kind, event.stage) for event in found]


def test_every_stage_is_told_as_cached_and_prefect_is_not_imported(done, toy):
    assert told(done) == [("graph", ""), *(("cached", stage) for stage in STAGES)]
    assert toy.starts(done, "inventory") == 2  # it always looks
    assert toy.starts(done, "train") == 1
    code = "import sys, flows.run; sys.exit('prefect' in sys.modules or 'mlflow' in sys.modules)"
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda project: (project / "params.yaml").write_text("seed: 1\ncuration:\n  min_chars: 90\n"),
        lambda project: (project / "models" / "model.txt").unlink(),
        lambda project: (project / "dvc.lock").unlink(),
        lambda project: (project / "trace" / "inventory.fail").write_text("error: no disk"),
        lambda project: records.write(project, "11111111-2222-3333-4444-555555555555"),
    ],
    ids=["a parameter", "a missing output", "no lock", "a stage that fails", "a run that was killed"],
)
def test_anything_left_to_do_goes_to_the_flow(done, change):
    change(done)
    assert told(done) == []


def test_a_cached_result_that_was_edited_is_named_and_made_anew(done):
    md5 = locked_outputs(done, "train")["models/model.txt"]
    cached = done / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    cached.chmod(0o644)
    cached.write_text("something else")
    cached.chmod(0o444)
    assert told(done) == [("note", "")]


def test_a_look_that_finds_something_new_says_so_and_goes_to_the_flow(done, toy):
    (done / "params.yaml").write_text("seed: 2\ncuration:\n  min_chars: 80\n")
    found: list[events.Event] = []
    with events.listen(found.append):
        assert not all_cached(done, PIPELINE, {}, None, None)
    assert [(event.kind, event.text) for event in found] == [("note", "inventory: inventory: done")]
    assert toy.starts(done, "inventory") == 2


def test_a_look_leaves_the_cache_as_it_is_where_outputs_are_links_to_it(done, toy):
    toy.dvc(done, "config", "cache.type", "hardlink")
    toy.dvc(done, "checkout", "--relink")
    [(path, md5)] = locked_outputs(done, "inventory").items()
    cached = done / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    assert (done / path).samefile(cached)
    before = cached.read_text()
    (done / "params.yaml").write_text("seed: 2\ncuration:\n  min_chars: 80\n")
    assert told(done) == [("note", "")]
    assert (done / path).read_text() != cached.read_text() == before


def test_a_look_waits_for_the_flow_where_a_dvc_of_ones_own_reads_the_files(done, toy):
    holder = {"pid": os.getppid(), "cmd": "dvc repro prepare"}
    held = {"read": {str(done / "data" / "inventory.txt"): [holder]}, "write": {}}
    (done / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(held))
    assert told(done) == []
    assert toy.starts(done, "inventory") == 1


def test_a_busy_folder_and_a_running_server_go_to_the_flow(done, monkeypatch):
    with exclusive(lock_file(done, MAIN)):
        assert told(done) == []
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert told(done) == []


def test_a_workspace_that_is_not_there_goes_to_the_flow(done):
    assert told(done, {"seed": 3}, None) == []
    assert not (done / "workspaces").exists()
