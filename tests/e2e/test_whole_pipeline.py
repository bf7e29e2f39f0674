"""The whole pipeline on real text, small: by DVC in one folder, by the Prefect flow in another, from nothing each time.

Both must leave the same dvc.lock, hash for hash: the same data, the same models, the same scores, whichever way and
whenever they were made.
"""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from components.documents import count_documents
from components.files import sha256_file
from components.reporting.records.bom import problem
from flows.certificate import verify
from flows.client.registry import Registry, State
from tests.documents import read_documents
from tests.e2e.project import SMALL, call, environment, make_project

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def template(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project before any run; both ways start from the same bytes."""
    return make_project(root, tmp_path_factory.mktemp("template"), SMALL)


@pytest.fixture(scope="module")
def both_ways(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The project after `dvc repro`, and after the flow. Both run at once: each works on one stage at a time."""
    ways = {"by dvc": ("dvc", "repro"), "by flow": ("flows.run",)}
    projects = {way: shutil.copytree(template, tmp_path_factory.mktemp(way) / "project") for way in ways}
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(call, projects[way], *words) for way, words in ways.items()]:
            done.result()
    return projects


@pytest.fixture(scope="module")
def by_dvc(both_ways: dict[str, Path]) -> Path:
    return both_ways["by dvc"]


@pytest.fixture(scope="module")
def by_flow(both_ways: dict[str, Path]) -> Path:
    return both_ways["by flow"]


def test_the_flow_and_dvc_leave_the_same_lock(by_dvc: Path, by_flow: Path) -> None:
    # Compared by content: where a repository has a second dvc.yaml with many stages, DVC's own order of stages that don't
    # depend on each other changes from process to process (networkx walks the smaller of two sets).
    by_dvc_lock, by_flow_lock = (YAML(typ="safe").load((p / "dvc.lock").read_text()) for p in (by_dvc, by_flow))
    assert by_dvc_lock == by_flow_lock
    assert sorted((by_dvc / "dvc.lock").read_text()) == sorted((by_flow / "dvc.lock").read_text())


def test_a_second_run_finds_everything_cached(by_flow: Path) -> None:
    before = (by_flow / "dvc.lock").read_bytes()
    said = call(by_flow, "flows.run")
    assert "cached" in said
    assert "training: done" not in said
    assert (by_flow / "dvc.lock").read_bytes() == before


def test_a_plan_knows_what_is_cached_and_what_past_runs_took(by_flow: Path) -> None:
    ready = json.loads(call(by_flow, "flows.command", "plan", "--json"))
    assert {stage["state"] for stage in ready["stages"]} == {"cached"}
    assert ready["seconds"] == 0
    changed = json.loads(call(by_flow, "flows.command", "plan", "--json", "--set", "small.tokens=60000"))
    states = {stage["name"]: stage["state"] for stage in changed["stages"]}
    after = ["train_small", "grow", "train_large", "benchmark@small", "benchmark@large", "benchmark_set_back"]
    after += ["interpret", "report"]
    assert [name for name, state in states.items() if state == "runs"] == after
    assert states["train_control"] == "restored"
    lines = (by_flow / ".phiforge" / "stages.jsonl").read_text().splitlines()
    took = {record["stage"]: record for record in map(json.loads, lines)}
    for stage in changed["stages"]:
        if stage["state"] == "runs":
            assert stage["cost"]["basis"] == "past runs of this stage"
            assert 0.6 < stage["cost"]["cpu_seconds"] / took[stage["name"]]["cpu_seconds"] < 1.7
            assert 0.8 < stage["cost"]["peak_bytes"] / took[stage["name"]]["peak_bytes"] < 1.25
    assert changed["models"][0]["tokens"] == 60_000


def test_every_ledger_balances(by_dvc: Path) -> None:
    summary = json.loads((by_dvc / "reports" / "curate.json").read_text())
    dropped = pq.read_metadata(by_dvc / "data" / "ledger" / "curation.parquet").num_rows
    assert count_documents(by_dvc / "data" / "raw") == count_documents(by_dvc / "data" / "curated") + dropped
    assert summary["documents_dropped"] == dropped
    questions = json.loads((by_dvc / "reports" / "synthesize.json").read_text())["questions"]
    rejected = pq.read_metadata(by_dvc / "data" / "ledger" / "synthesis.parquet").num_rows
    assert questions["ledger"] == rejected


def test_what_cannot_be_read_is_named(by_dvc: Path) -> None:
    summary = json.loads((by_dvc / "reports" / "ingest.json").read_text())
    assert [entry["file"] for entry in summary["quarantined_first"]] == ["broken.txt"]


def test_growth_preserved_the_function(by_dvc: Path) -> None:
    proof = json.loads((by_dvc / "models" / "grown" / "transfer.json").read_text())
    assert proof["max_relative_logit_difference"] <= 1e-5
    assert abs(proof["loss_delta"]) <= 1e-6


def test_the_report_tells_what_the_stages_measured(by_dvc: Path) -> None:
    models = json.loads((by_dvc / "reports" / "final" / "leaderboard.json").read_text())["models"]
    assert [model["name"] for model in models] == ["small", "large", "control"]
    for model in models:
        training = json.loads((by_dvc / "reports" / f"train_{model['name']}.json").read_text())
        scores = json.loads((by_dvc / "reports" / "scores" / model["name"] / "scores.json").read_text())
        assert model["validation_loss"] == pytest.approx(training["validation_loss"])
        assert model["exam_accuracy"] == pytest.approx(scores["overall"]["acc"]["value"])
        assert model["exam_stderr"] == pytest.approx(scores["overall"]["acc"]["stderr"])


def test_mlflow_leads_from_a_run_to_hashes_commit_and_flow_run(by_flow: Path) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{by_flow}/mlflow.db")
    experiment = client.get_experiment_by_name("phiforge")
    (train,) = client.search_runs([experiment.experiment_id], "tags.stage = 'train_large'")
    parent = client.get_run(train.data.tags["mlflow.parentRunId"])
    assert parent.data.tags["prefect.flow_run_id"] == train.data.tags["prefect.flow_run_id"]
    assert len(train.data.tags["git.commit"]) == 40
    lock = YAML(typ="safe").load((by_flow / "dvc.lock").read_text())
    locked = {out["path"]: out["md5"] for out in lock["stages"]["train_large"]["outs"]}
    assert json.loads(train.data.tags["dvc.outs"]) == locked
    assert train.data.params["large.model.hidden_size"] == "40"
    losses = client.get_metric_history(train.info.run_id, "validation_loss")
    assert len(losses) == 4
    assert {item.dataset.name for item in train.inputs.dataset_inputs} == {"data/tokens", "models/grown"}


TRACED = {  # what is traced, its kind, and the stage that its chain ends with
    "champion": ("version", "train_large"),
    "models:/phiforge/1": ("version", "train_large"),
    "models/small": ("checkpoint", "train_small"),
    "models/control": ("checkpoint", "train_control"),
    "reports/scores/large/scores.json": ("score", "benchmark@large"),
    "reports/final": ("report", "report"),
    "QUESTION": ("question", "synthesize"),
    "FLOW RUN": ("run", "report"),
}


@pytest.mark.parametrize("name", TRACED)
def test_a_result_traces_back_to_its_run_and_documents(name: str, by_flow: Path) -> None:
    from flows.client.origins import read_runs

    kind, last = TRACED[name]
    exam = (by_flow / "data/exam/letters.jsonl").read_text(encoding="utf-8")
    run = next(run for run in read_runs(by_flow).pipelines if run.outputs and "workspace" not in run.tags)
    given = {"QUESTION": json.loads(exam.splitlines()[0])["id"], "FLOW RUN": run.tags["prefect.flow_run_id"]}.get(
        name, name
    )
    found = json.loads(call(by_flow, "flows.trace", given, "--json"))
    assert found["start"]["kind"] == kind
    assert [one["stage"] for one in found["stages"]][:: len(found["stages"]) - 1] == ["inventory", last]
    assert found["run"]["pipeline_run"] == run.id
    assert found["run"]["started_by"]
    assert found["source"]["commit"] == run.tags["git.commit"]
    assert found["parameters"]["synthesis.exercises"] == 800
    assert all(gate["passed"] and not gate["failed"] for gate in found["gates"])
    counted = {one["lineage"].get("training_tokens") for one in found["checkpoints"]}
    assert {one["tokens"] for one in found["documents"]["links"]} <= counted


def test_documents_trace_to_the_tokens_that_training_counted(by_flow: Path) -> None:
    """The lineage has the tokens of each kind, counted by another way."""
    lineage = json.loads((by_flow / "models/small/lineage.json").read_text(encoding="utf-8"))
    found = json.loads(call(by_flow, "flows.trace", "procedural", "--json"))
    small = next(
        one for one in found["checkpoints"] if one["path"] == "models/small" and "main folder" in one["states"]
    )
    kinds = lineage["tokens_read_by_kind"]
    assert small["read"][0]["tokens"] == kinds.get("textbook", 0) + kinds.get("exercise", 0)
    assert set(small["scores"]) == {"benchmark@small exam"}


def test_a_text_traces_to_the_document_that_it_repeats(by_flow: Path, tmp_path: Path) -> None:
    index = pq.read_table(by_flow / "data/tokens/train/documents.parquet").to_pylist()
    chosen = {one["id"] for one in index if one["kind"] == "exercise"}
    shards = sorted((by_flow / "data/textbooks").glob("part-*.parquet"))
    row = next(row for row in pq.read_table(shards).to_pylist() if row["id"] in chosen)
    (tmp_path / "said.txt").write_text("I was told: " + row["text"][:300], encoding="utf-8")
    found = json.loads(
        call(by_flow, "flows.trace", "--text", str(tmp_path / "said.txt"), "--model", "models/large", "--json")
    )
    assert found["spans"][0]["length"] >= 40
    assert row["id"] in {one["id"] for one in found["spans"][0]["documents"]}


def test_a_logged_model_generates_text(by_flow: Path) -> None:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{by_flow}/mlflow.db")
    model = mlflow.pyfunc.load_model("models:/phiforge/1")
    (text,) = model.predict(["Question: What is the plural of cat?\nAnswer:"], params={"max_new_tokens": 5})
    assert isinstance(text, str)
    (longer,) = model.predict(["Question: What is the plural of cat?\nAnswer:"], params={"max_new_tokens": 20})
    assert longer.startswith(text[:1])


def registry(project: Path) -> State:
    return Registry(f"sqlite:///{project}/mlflow.db").state("phiforge")


def test_the_first_model_is_the_champion_and_a_cached_run_says_so_again(by_flow: Path) -> None:
    (first,) = registry(by_flow).decisions
    assert (first["by"], first["version"], registry(by_flow).champion) == ("rule", "1", "1")
    assert all(check["passed"] for check in first["checks"].values())
    assert json.loads((by_flow / "reports" / "promotion.json").read_text()) == first
    shutil.rmtree(by_flow / "reports" / "final")  # what an earlier run wrote says nothing of the champion
    assert "champion: version 1 of phiforge (rule" in call(by_flow, "flows.run")
    assert registry(by_flow).decisions == [first]


def test_dvc_alone_registers_and_promotes_nothing(by_dvc: Path) -> None:
    assert registry(by_dvc) == State()


@pytest.mark.slow
def test_a_trial_run_competes_only_if_asked_and_with_the_champion_of_the_day(by_flow: Path) -> None:
    (first,) = registry(by_flow).decisions
    trial = ["flows.run", "--set", "large.tokens=2048"]
    said = call(by_flow, *trial)
    assert "this run's model is version 2, a candidate that was not compared" in said
    assert registry(by_flow).champion == "1"
    assert registry(by_flow).decisions == [first]

    said = call(by_flow, *trial, "--promote")
    refusal = registry(by_flow).decisions[-1]
    assert "Everything was cached" in said
    assert refusal["reason"] in said
    assert refusal["reason"].startswith("the loss is not below the champion's")
    assert refusal["loss"]["value"] > refusal["loss"]["low"] > 0, "it is certainly worse"
    assert "scoring version 1 again: it has no records of held-out" in said
    assert "records of exam" not in said, "the champion's answers were kept"
    said = call(by_flow, *trial, "--promote")
    assert "scoring version" not in said, "the losses are kept too"
    assert registry(by_flow).decisions == [first, refusal]

    said = call(by_flow, *trial, "--set", "synthesis.exam_examples=12", "--promote")
    other = registry(by_flow).decisions[-1]
    assert (other["version"], other["champion"]) == ("2", "1"), "the same weights are the same version"
    assert "scoring version 1 again: it has no records of exam" in said
    assert other["accuracy"]["n"] > refusal["accuracy"]["n"], "both answered the new, longer exam"
    assert other["loss"] == refusal["loss"], "the held-out text is the same"

    call(by_flow, "flows.champion", "promote", "2", "--reason", "for its brevity")
    assert registry(by_flow).champion == "2"
    assert "a person replaced it (for its brevity)" in call(by_flow, "flows.run"), "no nightly run undoes that"
    call(by_flow, "flows.champion", "rollback", "--reason", "enough of that")
    assert registry(by_flow).champion == "1"
    history = call(by_flow, "flows.champion")
    for words in ("by rule: there was no champion", "by hand: for its brevity", "became the champion again"):
        assert words in history


def test_dvc_shows_metrics_and_plots(by_dvc: Path) -> None:
    metrics = json.loads(call(by_dvc, "dvc", "metrics", "show", "--json"))
    files = metrics[""]["data"]
    assert files["reports/report.json"]["data"]["large_validation_loss"] > 0
    call(by_dvc, "dvc", "plots", "show", "--out", "plots")
    page = (by_dvc / "plots" / "index.html").read_text()
    assert "validation_loss" in page


@pytest.mark.parametrize(("arm", "model"), [("exact", "large"), ("scratch", "control")])
def test_the_study_measures_what_the_pipeline_does(by_dvc: Path, tmp_path: Path, arm: str, model: str) -> None:
    """The same training by the study's command: equal to the last digit, exam included."""
    words = ["--arm", arm, "--rate", "1", "--seed", "1", "--small", "models/small", "--tokens", "data/tokens"]
    call(
        by_dvc, "components.study.growth.run", *words, "--exam", "data/exam", "--output", str(tmp_path / "record.json")
    )
    record = json.loads((tmp_path / "record.json").read_text())
    training = json.loads((by_dvc / "reports" / f"train_{model}.json").read_text())
    for name in ("validation_loss", "tokens", "flops", "parameters"):
        assert record[name] == training[name]
    scores = json.loads((by_dvc / "reports" / f"benchmark_{model}.json").read_text())
    assert record["exam"]["accuracy"] == scores["exam"]["accuracy"]
    small = json.loads((by_dvc / "reports" / "train_small.json").read_text())
    assert record["source_flops"] == (small["flops"] if arm == "exact" else 0)
    assert not list((by_dvc / ".phiforge" / "study").iterdir())  # its checkpoints are gone


def test_the_study_refuses_what_does_not_fit(by_dvc: Path, tmp_path: Path) -> None:
    words = ["components.study.growth.run", "--small", "models/small", "--tokens", "data/tokens", "--exam", "data/exam"]
    for arguments, sentence in (
        (["--arm", "exact", "--seed", "2", "--rate", "1"], "was trained with seed 1; expected seed 2"),
        (["--arm", "exact", "--seed", "1"], "give either --rate, for a trial, or --best"),
        (["--arm", "exact", "--seed", "1", "--rate", "1", "--horizon", "equal-cost"], "is for scratch and continued"),
        (["--arm", "exact", "--seed", "1", "--best", "params.yaml"], "params.yaml is not a record of the study"),
    ):
        command = [sys.executable, "-m", *words, *arguments, "--output", str(tmp_path / "record.json")]
        done = subprocess.run(command, cwd=by_dvc, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert sentence in done.stderr.splitlines()[-1]
        assert not (tmp_path / "record.json").exists()


@pytest.mark.slow
def test_the_growth_study_runs_as_a_flow(by_flow: Path) -> None:
    """From the command line, twice: the second run finds everything cached; more seeds train only what is new."""
    said = call(by_flow, "flows.run", "growth-study")
    result = json.loads((by_flow / "reports" / "study" / "result" / "study.json").read_text())
    assert [arm["arm"] for arm in result["arms"]] == ["scratch", "continued", "exact"]
    assert {budget["horizon"] for budget in result["arms"][0]["budgets"]} == {1.0, "equal-cost"}
    for arm in result["arms"]:
        assert all(budget["validation_loss"]["n"] == 2 for budget in arm["budgets"])
    exact = next(arm for arm in result["arms"] if arm["arm"] == "exact")
    small = json.loads((by_flow / "reports" / "train_small.json").read_text())
    assert exact["start_loss"]["mean"] == pytest.approx(small["validation_loss"], rel=0.02)
    assert "Growth study" in said
    assert "cached" in call(by_flow, "flows.run", "growth-study")
    lock = (by_flow / "studies" / "growth" / "dvc.lock").read_bytes()
    call(by_flow, "dvc", "repro", "studies/growth/dvc.yaml")
    assert (by_flow / "studies" / "growth" / "dvc.lock").read_bytes() == lock


def test_the_last_arm_of_the_data_ablation_is_the_pipelines_small_model(by_dvc: Path, tmp_path: Path) -> None:
    """The pipeline's own documents, tokenized again: equal to the last digit, exam included."""
    documents = ["--raw", "data/raw", "--curated", "data/curated", "--textbooks", "data/textbooks"]
    arm, tokens = "curated_textbooks_exercises", str(tmp_path / "tokens")
    words = ["--arm", arm, *documents, "--tokens", "data/tokens", "--output", tokens]
    call(by_dvc, "components.study.ablation.tokens", *words)
    words = ["--arm", arm, "--seed", "1", "--tokens", tokens, "--exam", "data/exam"]
    call(by_dvc, "components.study.ablation.run", *words, "--output", str(tmp_path / "record.json"))
    record = json.loads((tmp_path / "record.json").read_text())
    training = json.loads((by_dvc / "reports" / "train_small.json").read_text())
    for name in ("tokens", "flops", "parameters"):
        assert record[name] == training[name]
    assert record["whole_loss"] == training["validation_loss"]
    scores = json.loads((by_dvc / "reports" / "benchmark_small.json").read_text())
    assert record["exam"]["accuracy"] == pytest.approx(scores["exam"]["accuracy"], abs=1e-6)
    assert not list((by_dvc / ".phiforge" / "study").iterdir())  # its checkpoints are gone


@pytest.mark.slow
def test_the_data_ablation_runs_as_a_flow(by_flow: Path) -> None:
    """Twice: the second run finds everything cached, and so does DVC."""
    said = call(by_flow, "flows.run", "data-ablation")
    assert "Data ablation" in said
    result = json.loads((by_flow / "reports" / "ablation" / "result" / "ablation.json").read_text())
    assert [arm["arm"] for arm in result["arms"]] == [
        "random",
        "curated",
        "curated_textbooks",
        "curated_textbooks_exercises",
    ]
    assert all(arm[figure]["n"] == 2 for arm in result["arms"] for figure in ("loss", "exam"))
    held_out = {(by_flow / "data" / "ablation" / arm["arm"] / "validation" / "shard-00000.bin").read_bytes()
                for arm in result["arms"]}  # fmt: skip
    assert held_out == {(by_flow / "data" / "tokens" / "validation" / "shard-00000.bin").read_bytes()}
    assert "cached" in call(by_flow, "flows.run", "data-ablation")
    lock = (by_flow / "studies" / "data" / "dvc.lock").read_bytes()
    call(by_flow, "dvc", "repro", "studies/data/dvc.yaml")
    assert (by_flow / "studies" / "data" / "dvc.lock").read_bytes() == lock


@pytest.mark.slow
def test_a_model_is_tuned_as_a_flow(by_flow: Path) -> None:
    """Twice: the second run finds everything cached. A run with options has a workspace, and tunes alone again."""
    words = ("flows.command", "tune")
    said = call(by_flow, *words)
    assert "held-out wordings" in said
    result = json.loads((by_flow / "reports" / "tuning" / "result.json").read_text())
    assert result["training"]["trained_on"] > 100
    assert {"exam", "reworded", "bits_per_byte"} <= result.keys()
    assert (by_flow / "models" / "tuned" / "adapter" / "adapter_model.safetensors").is_file()
    assert "cached" in call(by_flow, *words)
    rows = by_flow / "rows.jsonl"
    rows.write_text('{"prompt": "What is red?", "completion": "An apple."}\n' * 20)
    said = call(by_flow, *words, str(rows), "--method", "full")
    assert "sft, full" in said.replace("\n", " ")
    assert "train_small" not in said or "training: done" not in said


@pytest.mark.slow
def test_the_exports_of_record_of_the_champion_and_of_a_small_model(by_flow: Path, tmp_path: Path) -> None:
    said = call(by_flow, "flows.command", "records", "champion", "--output", "records")
    (by_flow / "records").rename(tmp_path / "large")
    assert "2.4 User data used" in said, "the records name folders, and not whose text is in them"
    summary = json.loads((tmp_path / "large" / "training-content.json").read_text())
    tokens = json.loads((by_flow / "reports" / "tokenize.json").read_text())["train"]["tokens"]
    assert any(f"({tokens:,} tokens" in field["value"] for field in summary)
    bill = json.loads((tmp_path / "large" / "ml-bom.cdx.json").read_text())
    assert problem(json.dumps(bill)) == ""
    (ancestor, small) = bill["metadata"]["component"]["pedigree"]["ancestors"]
    trained = json.loads((by_flow / "reports" / "train_small.json").read_text())["checkpoint_sha256"]
    assert small["hashes"][0]["content"] == trained
    assert ancestor != small
    licenses = {part["license"].get("id") for c in bill["components"] for part in c.get("licenses", [])}
    assert {"Apache-2.0", "CC0-1.0"} <= licenses
    croissant = json.loads((tmp_path / "large" / "croissant.json").read_text())
    assert all(sha256_file(by_flow / file["contentUrl"]) == file["sha256"] for file in croissant["distribution"])

    call(by_flow, "flows.command", "records", "models/small", "--output", str(tmp_path / "small"))
    card = (tmp_path / "small" / "model-card.md").read_text()
    assert f"| {trained} |" in card
    assert "trained from scratch" in card


@pytest.mark.slow
def test_a_document_is_left_out_and_then_forgotten(by_flow: Path) -> None:
    """`phiforge without` answers by family and kind, and finds the second time all trained; `phiforge forget` proves what it
    removed, and a changed certificate or model does not pass."""
    trained = pq.read_table(by_flow / "data" / "tokens" / "train" / "documents.parquet")["source"].to_pylist()
    source = min(name for name in trained if name.startswith("docs/"))  # a held-out document changes no weights
    words = ("flows.command", "without", "--family", "planets", "--source", source, "--each")
    said = call(by_flow, *words)
    assert "without family=planets" in said.replace("\n", " ")
    assert "cached" in call(by_flow, *words)
    gone = next(row for row in read_documents(by_flow / "data" / "raw") if row.source == source)
    certificate = by_flow / "forgotten.json"
    said = call(by_flow, "flows.command", "forget", "--document", gone.id[:12], "--certificate", str(certificate))
    assert "NO" not in said
    assert source not in {row.source for row in read_documents(by_flow / "data" / "curated")}
    found = json.loads(certificate.read_text())
    assert {stage["name"]: stage["outcome"] for stage in found["stages"]}["train_small"] == "ran"
    assert found["weights"]["models/small"]["before"] != found["weights"]["models/small"]["after"]
    checks = {check.name: check.holds for check in verify(by_flow, certificate)}
    assert checks == {**dict.fromkeys(checks, True), "earlier results": None}
    (by_flow / "texts" / source).unlink()  # never having had it: the same raw documents, so nothing runs
    assert "training: done" not in call(by_flow, "flows.run", "--no-promote")
    certificate.write_text(json.dumps(found | {"newly_kept": [{"id": "0", "source": "x"}]}))
    assert not {check.name: check.holds for check in verify(by_flow, certificate)}["unchanged"]


def test_what_was_destroyed_is_restored_and_a_score_traced_again(by_flow: Path, tmp_path: Path) -> None:
    project = shutil.copytree(by_flow, tmp_path / "project", symlinks=True)
    file = str(tmp_path / "backup.tar")

    def traced() -> dict:
        return json.loads(call(project, "flows.trace", "reports/scores/large/scores.json", "--json"))

    before = traced()
    call(project, "flows.backup", "backup", file)
    for name in (".dvc/cache", ".phiforge", "data", "models", "reports", "mlartifacts"):
        shutil.rmtree(project / name)
    (project / "mlflow.db").unlink()
    (project / "dvc.lock").unlink()
    assert "restored" in call(project, "flows.backup", "restore", file)
    assert traced() == before
    assert "Everything was cached" in call(project, "flows.run")
