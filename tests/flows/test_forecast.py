"""What a run would skip, restore and run is told without running it, and as the run then does it."""

import json
from pathlib import Path

import pytest

from flows import events, measured
from flows.definitions import PIPELINE
from flows.forecast import forecast
from flows.graph import locked_outputs

CACHED = dict.fromkeys(["inventory", "prepare", "train", "check", "report"], "cached")


@pytest.fixture
def done(project, toy, monkeypatch):
    """A toy project whose stages DVC has brought up to date."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    toy.dvc(project, "repro")
    return project


def states(project, overrides=None, profile=None) -> dict[str, str]:
    return {one.stage.name: one.state for one in forecast(project, PIPELINE, overrides or {}, profile)}


def test_before_the_first_run_everything_runs(project):
    assert states(project) == dict.fromkeys(CACHED, "runs")


def test_after_a_run_everything_is_cached_and_its_bytes_are_known(done):
    assert states(done) == CACHED
    assert {one.stage.name: one.bytes for one in forecast(done, PIPELINE, {}, None)}["train"] == len(
        (done / "models" / "model.txt").read_bytes()
    )


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        ({"seed": 2}, {"prepare": "restored", "train": "runs", "check": "restored", "report": "runs"}),
        ({"curation.min_chars": 90}, dict.fromkeys(["prepare", "train", "check", "report"], "runs")),
        ({"curation.min_chars": 80}, dict.fromkeys(["prepare", "train", "check", "report"], "restored")),
    ],
)
def test_a_run_with_its_own_parameters_restores_what_they_leave_and_nothing_is_made(done, toy, overrides, changed):
    before = (
        toy.git(done, "status", "--porcelain"),
        sorted(path for path in done.rglob("*") if ".phiforge" not in str(path)),
    )
    assert states(done, overrides) == CACHED | changed
    after = (
        toy.git(done, "status", "--porcelain"),
        sorted(path for path in done.rglob("*") if ".phiforge" not in str(path)),
    )
    assert before[0] == after[0]
    assert {
        path for path in set(after[1]) - set(before[1]) if ".git" not in path.parts and "tmp" not in path.parts
    } == set()


def test_a_profile_counts_like_its_values(done):
    assert states(done, {}, "tiny")["prepare"] == "runs"


def test_lost_outputs_are_restored_or_made_again(done):
    (done / "models" / "model.txt").unlink()
    assert states(done) == CACHED | {"train": "restored"}
    md5 = locked_outputs(done, "train")["models/model.txt"]
    (done / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]).unlink()
    assert states(done) == CACHED | {"train": "runs", "report": "runs"}


def test_an_earlier_result_is_found_in_the_run_cache(done, toy):
    first = (done / "params.yaml").read_text()
    (done / "params.yaml").write_text(first.replace("min_chars: 80", "min_chars: 90"))
    assert states(done) == CACHED | dict.fromkeys(["prepare", "train", "check", "report"], "runs")
    toy.dvc(done, "repro")
    (done / "params.yaml").write_text(first)
    assert states(done)["prepare"] == "restored"


def test_the_run_does_what_was_told_and_is_measured(project, run_flow):
    """A stage that has to run by the forecast may still be restored, if its new inputs turn out to be the old ones."""
    run_flow()
    overrides = {"curation.min_chars": 70}
    told, found = states(project, overrides), []
    with events.listen(found.append):
        run_flow(overrides=overrides)
    happened = {event.stage: event.kind for event in found if event.kind in ("cached", "restored", "ran")}
    assert told["prepare"] == "runs"
    assert happened["prepare"] == "ran"
    del happened["inventory"]  # which runs every time, here without a dvc.lock in git that tells its last output
    assert {told[name] for name, kind in happened.items() if kind == "ran"} == {"runs"}
    assert states(project, overrides) == CACHED
    lines = [json.loads(line) for line in measured.file_of(project).read_text().splitlines()]
    assert [line["stage"] for line in lines].count("prepare") == 2
    assert [line["stage"] for line in lines].count("train") == 1
    for line in lines:
        assert 0.1 < line["cpu_seconds"] < 60
        assert 20e6 < line["peak_bytes"] < 2e9
    known = {one.stage: one for one in measured.read(project)}
    assert set(known) == {"inventory", "report"}  # the pipeline's stages among the toy's
    assert known["report"].bytes == len((project / "reports" / "report.txt").read_bytes())


def test_losses_are_expected_only_for_the_mixture_of_the_law():
    """As in studies/law/dvc.yaml: with other shares of exercises and code, other losses are right."""
    from components.params import Params
    from flows.plan import LAW_EPOCHS, expected

    root = Path(__file__).parents[2]
    assert f"tokenization.epochs={json.dumps(LAW_EPOCHS)}" in (root / "studies" / "law" / "dvc.yaml").read_text()
    default = expected(root, Params())
    assert not default.of
    assert "mixture" in default.unknown
    like_the_law = Params.model_validate({"tokenization": {"epochs": LAW_EPOCHS}})
    assert sorted(expected(root, like_the_law).of) == ["control", "large", "small"]
