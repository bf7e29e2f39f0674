"""flows.client against a real Prefect server and a real MLflow file."""

import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.params import Params, parse_overrides
from flows import client, run, tune
from flows.client import Launch, Record, Records, Refused, Runs, Unavailable
from flows.command import COMMANDS
from flows.definitions import TUNING

SIMPLE = st.none() | st.booleans() | st.integers(-99, 99) | st.floats(-9, 9) | st.text("ab'\"$ {}=é", max_size=6)
DEAD = "http://127.0.0.1:9/api"  # the discard port: nothing listens


@given(
    st.dictionaries(st.sampled_from(["seed", "training.beta1", "ingestion.sources"]), SIMPLE | st.lists(SIMPLE)),
    st.sampled_from([None, "laptop", "phi-1.5", "phi-2"]),
    st.text("ab'\"$ {}=é12,-", max_size=6).filter(lambda text: text != "--"),  # argparse takes it out of any value
    st.sampled_from(["", "auto", "3M"]),
    st.sampled_from(list(client.launchable())),
)
def test_the_command_means_the_same_as_the_launch(
    overrides: dict, profile: str | None, text: str, size: str, flow: str
) -> None:
    """The terminal's own parser reads from it what `launch` sends."""
    if flow == TUNING.flow:  # its command takes no text and no size
        text = size = ""
    wanted = Launch(overrides, profile, flow, text, size)
    cd, root, then, program, verb, *words = shlex.split(wanted.command)
    assert (cd, Path(root), then) == ("cd", client.project_root(), "&&")
    assert Path(root, program).resolve().name == "phiforge"
    entry = COMMANDS[verb]
    if flow == TUNING.flow:
        read = tune.parser().parse_args(words)
        given = {"profile": read.profile}
    else:
        read = run.parser(verb, **entry.options).parse_intermixed_args(words)
        given = {"profile": read.profile, "text": ", ".join(read.text), "size": read.size}
        assert entry.options["flow"] == flow
    given |= {"overrides": parse_overrides(read.set)}
    assert {name: value for name, value in given.items() if value} == wanted.parameters


def test_without_a_server_the_message_names_the_remedy() -> None:
    runs = Runs(DEAD)
    for ask in (runs.recent, runs.ready, lambda: runs.launch(Launch()), lambda: runs.get("0" * 32)):
        with pytest.raises(Unavailable, match=r"No Prefect server answers at http://127\.0\.0\.1:9\. .*make up"):
            ask()


def test_without_a_tracking_file_there_are_no_records_and_none_is_made(tmp_path: Path) -> None:
    records = Records(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert records.parents() == []
    assert records.parent_of("x") is None
    assert not list(tmp_path.iterdir())


def test_without_a_tracking_server_the_message_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Unavailable, match=r"MLflow at http://127\.0\.0\.1:9 .*make up"):
        Records("http://127.0.0.1:9").parents()


def test_recent_runs_come_newest_first(platform) -> None:
    runs = Runs(platform.api)
    found = {run.name: run for run in runs.recent()}
    assert set(platform.runs) <= set(found)
    failed = found["amber-lynx"]
    assert (failed.state, failed.active, failed.overrides) == ("Failed", False, {"synthesis.chapters": 1200})
    assert found["quiet-falcon"].active
    assert runs.get(platform.runs["amber-lynx"]) == failed
    assert runs.get("not-an-id") is None
    assert runs.get("00000000-0000-0000-0000-000000000000") is None


def test_planned_runs_do_not_crowd_out_those_that_were(platform) -> None:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.states import Scheduled

    with SyncPrefectClient(platform.api) as prefect:
        deployment = prefect.read_deployment_by_name("pipeline/local")
        later = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))
        planned = [prefect.create_flow_run_from_deployment(deployment.id, state=later) for _ in range(3)]
        names = {run.name for run in Runs(platform.api).recent(limit=3)}
        for run in planned:
            prefect.delete_flow_run(run.id)
    assert len(names) == 3
    assert not names & {run.name for run in planned}


def test_stages_come_in_the_pipelines_order(platform, root) -> None:
    runs, order = Runs(platform.api), client.pipeline_stages(root)
    stages = runs.stages(platform.runs["quiet-falcon"], order)
    assert [stage.name for stage in stages] == list(order)
    states = {stage.name: stage.state for stage in stages}
    assert states["ingest"] == "Cached"
    assert states["tokenize"] == "Completed"
    assert states["train_large"] == "Running"
    assert states["report"] == "Waiting"
    training = next(stage for stage in stages if stage.running)
    figures = runs.progress(training.task_run_id)
    assert figures["total"] == 366
    assert 0 < figures["done"] <= 366
    assert figures["loss"] > 2


def test_logs_leave_progress_lines_out(platform, root) -> None:
    runs = Runs(platform.api)
    run_id = platform.runs["quiet-falcon"]
    lines = runs.logs(run_id)
    assert lines == sorted(lines, key=lambda line: line.time)
    assert not any(line.text.startswith("progress") for line in lines)
    training = next(s for s in runs.stages(run_id, client.pipeline_stages(root)) if s.name == "train_small")
    own = runs.logs(run_id, training.task_run_id, limit=2)
    assert [line.text for line in own][1].startswith("train_small: done")
    assert {line.task_run_id for line in own} == {training.task_run_id}


def test_launch_starts_the_deployment_and_cancel_ends_it(platform) -> None:
    runs = Runs(platform.api)
    assert runs.ready() is False  # nothing listens here
    run = runs.launch(Launch({"seed": 7, "ingestion.sources": [{"path": "python"}]}, "laptop"))
    found = runs.get(run.id)
    assert found.kind == "SCHEDULED"
    assert found.overrides == {"seed": 7, "ingestion.sources": [{"path": "python"}]}
    assert found.profile == "laptop"
    runs.cancel(run.id)
    assert runs.get(run.id).state == "Cancelled"
    runs.cancel(run.id)  # already ended: no harm


def test_a_run_has_labels_that_people_change_until_they_delete_it(platform) -> None:
    runs = Runs(platform.api)
    run = runs.launch(Launch({"seed": 7}, name="wider", note="a note", tags=("mine", "wide")))
    assert (run.name, run.note, run.tags, run.archived) == ("wider", "a note", ("mine", "wide"), False)
    runs.change(replace(run, name="widest", note="", tags=("archived",)))
    found = runs.get(run.id)
    assert (found.name, found.note, found.tags, found.archived) == ("widest", "", ("archived",), True)
    with pytest.raises(Refused, match=r"widest has not ended, so it cannot be deleted\. Cancel it first"):
        runs.delete(run.id)
    runs.cancel(run.id)
    runs.delete(run.id)
    assert runs.get(run.id) is None


def test_records_of_models_are_read_renamed_and_deleted(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    writer, records = MlflowClient(uri), Records(uri)
    experiment = writer.create_experiment("phiforge", artifact_location=str(tmp_path / "artifacts"))
    tags = {"pipeline.source": "prefect", "prefect.flow_run_id": "one"}
    parent = writer.create_run(experiment, tags=tags, run_name="before")
    for stage in ("curate", "train_large", "benchmark@large"):
        writer.create_run(experiment, tags={"stage": stage, "mlflow.parentRunId": parent.info.run_id})
    assert {record.stage for record in records.measured()} == {"train_large", "benchmark@large"}
    scored = next(record for record in records.measured() if record.stage == "benchmark@large")
    assert records.examples(scored, ["acc"]) == {}
    rows = {"task": ["a"], "id": ["1"], "acc": [1.0]}
    pq.write_table(pa.table(rows), tmp_path / "examples.parquet")
    writer.log_artifact(scored.id, str(tmp_path / "examples.parquet"), "scores")
    assert records.examples(scored, ["acc", "f1"]) == {"acc": {("a", "1"): (1.0, None)}}
    found = records.parent_of("one")
    assert found
    records.rename(found, "after")
    assert [record.name for record in records.parents()] == ["after"]
    records.delete(found)
    assert records.parents() == []
    assert len(records.measured()) == 2, "other runs may have taken these stages from the cache"


def test_a_run_that_works_is_asked_to_stop(platform) -> None:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.states import Running

    runs = Runs(platform.api)
    run = runs.launch(Launch())
    with SyncPrefectClient(platform.api) as prefect:
        prefect.set_flow_run_state(run.id, Running(), force=True)
    runs.cancel(run.id)
    assert runs.get(run.id).kind == "CANCELLING"


def test_a_missing_deployment_is_named(platform) -> None:
    with pytest.raises(Unavailable, match=r"no deployment 'growth-study/local'.*make up"):
        Runs(platform.api).launch(Launch(flow="growth-study"))


def test_the_growth_study_has_its_own_stages(root) -> None:
    stages = client.pipeline_stages(root, "growth-study")
    assert {"tokenize", "small@1", "trial@exact-1.0", "run@scratch-1.0-2", "equal_cost@continued-3"} < set(stages)
    assert list(stages)[-1] == "study"
    assert "train_large" not in stages


def test_the_data_ablation_has_its_own_stages(root) -> None:
    stages = client.pipeline_stages(root, "data-ablation")
    assert {"tokenize", "tokens@random", "train@curated_textbooks_exercises-3"} < set(stages)
    assert list(stages)[-1] == "ablation"
    assert not {"train_small", "study"} & set(stages)


def test_a_run_leads_to_its_record_and_curves(platform) -> None:
    records = Records(platform.mlflow)
    parent = records.parent_of(platform.runs["patient-heron"])
    assert parent.name == "patient-heron"
    assert parent.ended
    stages = records.stages(parent)
    curves = {(c.stage, c.figure): c for c in records.curves(stages["train_large"])}
    validation = curves["train_large", "validation_loss"]
    assert validation.unit == "tokens"
    batch = Params().training.batch_tokens
    assert (validation.x[0], validation.x[-1]) == (0, 1_500_000 // batch * batch)
    assert list(validation.x) == sorted(validation.x)
    assert validation.y[-1] < validation.y[0]
    assert records.curves(stages["tokenize"]) == []


def test_a_cached_stage_leads_to_the_run_that_made_it(platform) -> None:
    records = Records(platform.mlflow)
    first = records.stages(records.parent_of(platform.runs["patient-heron"]))
    second = records.stages(records.parent_of(platform.runs["bright-otter"]))
    assert second["train_small"].id == first["train_small"].id
    assert second["train_large"].id != first["train_large"].id
    all_cached = platform.runs["calm-wren"]
    assert records.parent_of(all_cached) is None
    third = records.stages(None, Runs(platform.api).outputs(all_cached))
    assert third["train_large"].id == second["train_large"].id


def test_parameters_and_scores_of_a_run(platform) -> None:
    records = Records(platform.mlflow)
    parent = records.parent_of(platform.runs["bright-otter"])
    stages = records.stages(parent)
    values = client.parameters(parent, stages)
    assert values["training.weight_decay"] == "0.2"
    assert values["small.model.hidden_size"] == "128"
    scores = {(s.model, s.group, s.name): s for s in client.scores(stages)}
    logic = scores["large", "categories", "logic"]
    assert (logic.metric, logic.n) == ("acc", 200)
    assert 0 < logic.stderr < 0.1


def record(**metrics: float) -> Record:
    return Record("1", "r", "FINISHED", None, "0", {}, {}, {k.replace("__", "."): v for k, v in metrics.items()})


def test_what_a_stage_left_as_a_file_is_read(platform) -> None:
    records = Records(platform.mlflow)
    parent = records.parent_of(platform.runs["patient-heron"])
    stage = records.stages(parent)["report"]
    board = records.document(stage, "report/leaderboard.json")
    assert [row["model"] for row in board["standings"]["rows"][:3]] == ["small", "large", "control"]
    assert records.document(stage, "report/nothing.json") is None
    assert records.document(records.stages(parent)["ingest"], "report/leaderboard.json") is None


def test_scores_of_a_steps_summary_are_read_too() -> None:
    found = client.scores(
        {
            "benchmark@small": record(
                exam__accuracy=0.5, exam__stderr=0.02, exam__examples=700.0, exam__categories__logic=0.4, seconds=3.0
            ),
            "train_small": record(exam__accuracy=0.9),
        }
    )
    assert [(s.group, s.name, s.value, s.stderr, s.n) for s in found] == [
        ("overall", "", 0.5, 0.02, 700),
        ("categories", "logic", 0.4, None, None),
    ]


def test_a_summary_at_step_zero_does_not_bend_the_curve(platform, tmp_path: Path) -> None:
    """A step's summary is logged at its end without a step, so at 0, where the curve has its first point."""
    from mlflow import MlflowClient

    mlflow = MlflowClient(tracking_uri=platform.mlflow)
    experiment = mlflow.get_experiment_by_name("phiforge").experiment_id
    run_id = mlflow.create_run(experiment, tags={"stage": "train_small"}).info.run_id
    for at, (step, loss) in enumerate([(0, 8.0), (10, 3.0), (0, 3.0)]):
        mlflow.log_metric(run_id, "validation_loss", loss, timestamp=1000 + at, step=step)
    mlflow.log_param(run_id, "training.batch_tokens", "8192")
    records = Records(platform.mlflow)
    made = next(r for r in records._search("tags.stage = 'train_small'", 50) if r.id == run_id)
    (curve,) = records.curves(made, ("validation_loss",))
    assert (curve.x, curve.y, curve.unit) == ((0.0, 81920.0), (8.0, 3.0), "tokens")
    mlflow.delete_run(run_id)
