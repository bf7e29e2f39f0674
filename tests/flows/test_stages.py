"""The graph, and what is read from the lines of a stage."""

import random

import pytest

from components.errors import StepError
from flows import graph, settings
from flows.stages import StageFailed, StageRunner, failure


def test_graph_is_that_of_dvc(project):
    stages = {stage.name: stage for stage in graph.load_graph(project)}
    assert list(stages) == ["inventory", "prepare", "train", "check", "report"]
    assert stages["report"].deps == ("check", "train")
    assert stages["inventory"].always_changed
    assert (stages["train"].limit, stages["train"].timeout_s, stages["train"].retries) == ("device", 300, 0)


def test_each_stage_of_the_project_follows_what_it_needs():
    seen = set()
    for stage in graph.load_graph(settings.project_root()):
        assert set(stage.deps) <= seen
        seen.add(stage.name)


def names_in(lock: str) -> list[str]:
    return [line.strip(" :") for line in lock.splitlines() if line.startswith("  ") and line[2] != " "]


@pytest.mark.parametrize(
    ("committed", "ended", "settled"),
    [
        # A failed run has left what had ended; the next one adds the rest.
        (
            [],
            ["inventory", "prepare", "check", "train", "report"],
            ["inventory", "prepare", "train", "check", "report"],
        ),
        ([], ["check", "prepare", "inventory"], ["inventory", "prepare", "check"]),
        # What people have committed stays where it is, as with `dvc repro`; a stage that is gone goes last.
        (
            ["report", "prepare"],
            ["report", "train", "old", "prepare", "check"],
            ["report", "prepare", "train", "check", "old"],
        ),
    ],
)
def test_a_lock_has_one_order_however_its_stages_ended(project, toy, committed, ended, settled):
    def write(names):
        stages = "".join(f"  {name}:\n    cmd: {name}\n" for name in names)
        (project / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n{stages}")

    if committed:
        write(committed)
        toy.git(project, "add", "dvc.lock")
        toy.git(project, "commit", "--quiet", "--message", "results")
    write(ended)
    graph.settle_lock_order(project, graph.load_graph(project))
    assert names_in((project / "dvc.lock").read_text()) == settled


def test_the_shipped_lock_has_one_order_though_dvcs_own_changes(root, tmp_path, toy):
    home = toy.make_shipped(root, tmp_path / "my project")
    stages = graph.load_graph(home)
    names = [stage.name for stage in stages]
    benchmarks = ["benchmark@small", "benchmark@large", "benchmark@control", "benchmark_set_back"]
    assert names[-6:-1] == [*benchmarks, "interpret"]
    for seed in range(5):
        ended = random.Random(seed).sample(names, len(names))
        text = "".join(f"  {name}:\n    cmd: {name}\n" for name in ended)
        (home / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n{text}")
        graph.settle_lock_order(home, stages)
        assert graph.lock_order(home) == names


def test_a_definition_beside_the_pipelines_brings_what_it_needs(project, toy):
    """A second dvc.yaml has its own lock file, its stages their file before their names, and only what they need is run."""
    folder = project / "studies" / "toy"
    folder.mkdir(parents=True)
    (folder / "dvc.yaml").write_text(
        "stages:\n  weigh:\n    wdir: ../..\n    matrix: {size: [1, 2]}\n"
        "    cmd: python step.py weigh reports/weigh/${item.size}.txt data/prepared.txt\n"
        "    deps: [step.py, data/prepared.txt]\n    outs: ['reports/weigh/${item.size}.txt']\n"
    )
    stages = graph.load_graph(project, "studies/toy/dvc.yaml")
    assert [stage.name for stage in stages] == ["inventory", "prepare", "weigh@1", "weigh@2"]
    assert [stage.address for stage in stages[1:3]] == ["prepare", "studies/toy/dvc.yaml:weigh@1"]
    assert "weigh@1" not in {stage.name for stage in graph.load_graph(project)}
    toy.dvc(project, "repro", "studies/toy/dvc.yaml")
    assert not graph.outdated(project, stages[2:3])
    assert set(graph.locked_outputs(project, "weigh@1", stages[2].file)) == {"reports/weigh/1.txt"}
    assert graph.locked_outputs(project, "weigh@1") == {}
    assert graph.lock_order(project, stages[2].file) == ["weigh@1", "weigh@2"]
    runner = StageRunner(project, settings.stage_environment(project))
    (project / "reports" / "weigh" / "1.txt").unlink()
    assert graph.outdated(project, stages[2:3])
    assert runner.run(stages[2], print, {}).kind in ("ran", "restored")
    with pytest.raises(StepError, match=r"studies/none/dvc\.yaml has no stages"):
        graph.load_graph(project, "studies/none/dvc.yaml")


def test_broken_pipeline_is_said_in_words(project):
    (project / "dvc.yaml").write_text("stages: {a: {cmd: [}}")
    with pytest.raises(StepError, match="DVC cannot read the pipeline"):
        graph.load_graph(project)


def test_a_stage_past_its_timeout_is_stopped(project, toy):
    from dataclasses import replace

    toy.dvc(project, "repro", "prepare")
    (project / "trace" / "slow").touch()
    stage = next(stage for stage in graph.load_graph(project) if stage.name == "train")
    runner = StageRunner(project, settings.stage_environment(project))
    lines = []
    with pytest.raises(StageFailed, match=r"stopped after 4 s, the timeout_s in its meta") as caught:
        runner.run(replace(stage, meta={"timeout_s": 4}), lines.append, {})
    assert caught.value.permanent
    assert any(line.startswith("progress done=1 ") for line in lines)


BEGIN = ["Running stage 'train':", "> python -m components.training"]
END = ["ERROR: failed to reproduce 'train': failed to run: python, exited with {}"]


@pytest.mark.parametrize(
    ("lines", "permanent", "reason"),
    [
        ([*BEGIN, "step 1", "error: training: no tokens", END[0].format(1)], True, "failed with exit status 1"),
        (
            [*BEGIN, "Traceback (most recent call last):", "  File", "error: training: OSError", END[0].format(1)],
            False,
            "",
        ),
        ([*BEGIN, "step 1", END[0].format(-9)], False, "killed by signal 9"),
        (["ERROR: failed to reproduce 'train': missing data 'source': x"], True, "DVC refused to run it"),
        (["ERROR: Unable to acquire lock. Most likely another"], False, "DVC refused to run it"),
        (["ERROR: failed to reproduce 'train': [Errno 12] Cannot allocate memory"], False, "DVC refused to run it"),
        (["ERROR: unexpected error"], False, "DVC refused to run it"),
        (["Traceback (most recent call last):", "MemoryError"], False, "before its command started"),
    ],
)
def test_what_an_exit_means(lines, permanent, reason):
    error = failure("train", 255, lines)
    assert error.permanent is permanent
    assert reason in error.reason
    assert not any(line.startswith(("Running stage", "> ")) for line in error.lines)


@pytest.mark.parametrize(("status", "reason"), [(-9, "signal 9"), (137, "signal 9"), (143, "signal 15")])
def test_a_dvc_that_is_killed_before_the_stage_starts_is_tried_again(status, reason):
    for lines in ([], ["Running stage 'train':"]):
        error = failure("train", status, lines)
        assert not error.permanent
        assert error.reason == f"killed by {reason} before its command started"


def test_a_dvc_that_dies_of_the_memory_it_lacks_is_told_from_one_that_refuses(project, monkeypatch):
    """As the kernel kills it: while it imports, long before it names the command."""
    stage = next(stage for stage in graph.load_graph(project) if stage.name == "prepare")
    runner = StageRunner(project, settings.stage_environment(project))
    start = runner._start

    def start_and_kill(*arguments):
        child = start(*arguments)
        child.kill()
        return child

    monkeypatch.setattr(runner, "_start", start_and_kill)
    with pytest.raises(StageFailed, match=r"killed by signal 9 before its command started") as caught:
        runner.run(stage, print, {})
    assert not caught.value.permanent


def test_a_failed_stage_shows_how_far_it_came_in_one_line():
    progress = ["progress done=1 total=9", "progress done=2 total=9"]
    killed = failure("train", 255, [*BEGIN, "reading", *progress, END[0].format(-9)])
    assert killed.lines == ["reading", progress[-1]]
    explained = failure("train", 255, [*BEGIN, *progress, "error: training: no tokens", END[0].format(1)])
    assert explained.lines == ["error: training: no tokens"]
