"""The shipped definitions and DVC's own commands: experiments, status, pull and push, with the studies beside the pipeline."""

import json
from pathlib import Path

import pytest

from flows import graph, workspace
from flows.definitions import CORPUS, GROWTH_STUDY, PIPELINE

REPOSITORY = Path(__file__).parents[2]
GROWTH = GROWTH_STUDY.file


@pytest.fixture
def shipped(tmp_path, toy, monkeypatch) -> Path:
    root = toy.make_shipped(REPOSITORY, tmp_path / "my project")
    monkeypatch.setenv("PHIFORGE_HOME", str(root))
    return root


def bring_up(root, toy, definition=PIPELINE) -> list[graph.Stage]:
    """Leave what a run of a definition would leave."""
    stages = graph.load_graph(root, definition.file, definition.last)
    graph.show(root, definition.file)
    toy.fabricate(root, stages)
    return stages


def run_in_workspace(root, toy, definition=PIPELINE) -> str:
    """Do what a run with `seed=2` does, its stages apart; returns the name of its experiment."""
    said = []
    with workspace.workspace(root, {"seed": 2}, None, said.append) as place:
        workspace.save_experiment(root, place, definition, bring_up(place.root, toy, definition), said.append)
    assert said == [f"saved as DVC experiment {place.experiment}; compare with: dvc exp show"]
    return place.experiment


def test_a_study_that_nobody_has_run_does_not_matter_to_dvc(shipped, toy):
    assert graph.load_graph(shipped, GROWTH)[-1].file == GROWTH  # the flow and the panel see it all the same
    bring_up(shipped, toy)
    assert toy.dvc(shipped, "status", "--json") == '{"inventory": ["always changed"]}\n'
    toy.dvc(shipped, "push")
    (shipped / "reports" / "report.json").unlink()
    toy.dvc(shipped, "pull")
    assert (shipped / "reports" / "report.json").is_file()
    toy.dvc(shipped, "exp", "save", "--name", "by-hand")


def test_a_spoilt_object_of_the_remote_is_not_pulled(shipped, toy):
    bring_up(shipped, toy)
    toy.dvc(shipped, "push")
    md5 = graph.locked_outputs(shipped, "report")["reports/report.json"]
    cached, remote = (
        shipped / folder / "files/md5" / md5[:2] / md5[2:] for folder in (".dvc/cache", ".phiforge/dvc-remote")
    )
    remote.chmod(0o644)
    remote.write_text("spoilt")
    remote.chmod(0o444)
    cached.unlink()
    (shipped / "reports" / "report.json").unlink()
    toy.dvc(shipped, "pull", "reports/report.json", status=1)
    assert not cached.exists()
    assert not (shipped / "reports" / "report.json").exists()


def test_a_run_with_parameters_is_listed_and_can_be_taken_over(shipped, toy):
    (shipped / "new.py").write_text("staged, not committed\n")
    toy.git(shipped, "add", "new.py")
    name = run_in_workspace(shipped, toy)
    assert run_in_workspace(shipped, toy) == name
    (experiment,) = toy.git(shipped, "for-each-ref", "--format=%(refname)", f"refs/exps/**/{name}").split()
    assert toy.git(shipped, "show", f"{experiment}:new.py") == "staged, not committed\n"
    toy.git(shipped, "rm", "--quiet", "--force", "new.py")
    assert name in toy.dvc(shipped, "exp", "show", "--csv")
    toy.dvc(shipped, "exp", "apply", name)
    assert json.loads((shipped / "reports" / "report.json").read_text()) == {"seed": 2}
    assert toy.dvc(shipped, "status", "--json") == '{"inventory": ["always changed"]}\n'


def test_a_corpus_with_parameters_is_listed(shipped, toy):
    """The stages after it have no outputs in its workspace."""
    name = run_in_workspace(shipped, toy, CORPUS)
    assert name in toy.dvc(shipped, "exp", "show", "--csv")
    (experiment,) = toy.git(shipped, "for-each-ref", "--format=%(refname)", f"refs/exps/**/{name}").split()
    assert "validate_curated" in toy.git(shipped, "show", f"{experiment}:dvc.lock")


@pytest.mark.slow
def test_a_study_with_parameters_is_listed_and_can_be_taken_over(shipped, toy):
    """It needs a part of the pipeline only: the rest has no outputs in its workspace, and DVC says so at the end."""
    name = run_in_workspace(shipped, toy, GROWTH_STUDY)
    assert "reports/study/result.json:seed" in toy.dvc(shipped, "exp", "show", "--csv")
    toy.dvc(shipped, "exp", "apply", name, status=255)
    assert json.loads((shipped / "reports" / "study" / "result.json").read_text()) == {"seed": 2}
    assert json.loads((shipped / "reports" / "tokenize.json").read_text()) == {"seed": 2}


@pytest.mark.slow
def test_a_study_that_was_run_here_is_kept_by_dvc(shipped, toy):
    bring_up(shipped, toy, GROWTH_STUDY)
    toy.dvc(shipped, "gc", "--workspace", "--force")
    (shipped / "reports" / "study" / "result.json").unlink()
    toy.dvc(shipped, "checkout", GROWTH)
    assert (shipped / "reports" / "study" / "result.json").is_file()
    assert toy.git(shipped, "status", "--porcelain").split() == ["??", "dvc.lock", "??", "studies/growth/dvc.lock"]


@pytest.mark.slow
def test_a_studys_run_with_parameters_ends_as_an_experiment(shipped, toy, prefect_api, monkeypatch):
    """The whole way, by the flow: every stage a process of DVC's."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shipped / 'mlflow.db'}")
    from flows.pipeline import growth_study

    state = growth_study(overrides={"seed": 2}, return_state=True)
    assert state.is_completed(), state.result(raise_on_failure=False)
    (place,) = (shipped / "workspaces").iterdir()
    assert toy.git(shipped, "for-each-ref", "--format=%(refname)", f"refs/exps/**/run-{place.name}")
    assert toy.git(shipped, "status", "--porcelain") == ""
    assert toy.dvc(shipped, "exp", "show", "--csv").count("reports/study/result.json:seed") == 1
