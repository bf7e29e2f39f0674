"""A model as teacher, through the whole step: provenance, accounting, resume to the same bytes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import bench.faulty_endpoint
from components.documents import Document, DocumentWriter
from components.endpoint.store import Store
from components.errors import StepError
from components.params import SynthesisParams, TeacherParams
from components.synthesis.drafts import normalise
from components.synthesis.synthesize import Outputs, synthesize
from components.synthesis.teachers.model import STORE
from components.tracking import Tracker, track
from tests.documents import read_documents

NAMES = ("textbooks", "exam", "ledger.parquet", "plan.parquet")


def params(url: str, chapters: int = 60, **teacher: object) -> SynthesisParams:
    defaults = {"kind": "openai", "base_url": url, "model": "some/model:8b", "timeout_s": 3.0, "max_tokens": 600}
    return SynthesisParams(
        chapters=chapters,
        exercises=200,
        exam_examples=10,
        max_gzip_ratio=20.0,
        teacher=TeacherParams(**defaults | teacher),
    )


def run(seeds: Path, root: Path, params: SynthesisParams, state: Path) -> dict:
    output, exam, ledger, plan = (root / name for name in NAMES)
    return synthesize(seeds, Outputs(output, ledger, exam, plan, state=state), params, 1)


def content(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def made(seeds, tmp_path_factory, serve_for_module):
    """A run against an endpoint without faults."""
    root = tmp_path_factory.mktemp("made")
    served = serve_for_module()
    return root, run(seeds, root / "out", params(served.url), root / "state"), served


def test_every_chapter_says_where_it_comes_from(made):
    root, summary, _ = made
    plan = {job["id"]: job for job in pq.read_table(root / "out" / "plan.parquet").to_pylist()}
    chapters = [d for d in read_documents(root / "out" / "textbooks") if "teacher" in d.metadata]
    assert len(chapters) == summary["plan"]["jobs"] - summary["plan"]["rejected"] > 50
    for document in chapters:
        about, job = document.metadata["teacher"], plan[document.metadata["job"]]
        assert document.created_by == f"api/some/model_8b:{job['template']}"
        assert document.license == "unknown"
        assert (about["model"], about["returned_model"]) == ("some/model:8b", "some/model:8b-2026")
        assert about["prompt_sha256"] == job["prompt_sha256"]
        assert about["usage"]["prompt_tokens"] == 100
        assert {"temperature", "top_p", "max_tokens", "seed"} <= about["parameters"].keys()
        assert document.metadata["seed_document"] == job["seed_document"]
        assert document.metadata["words"] == job["words"]
        assert document.metadata["verification"]["method"]
        assert "127.0.0.1" not in json.dumps(document.metadata)


def test_exercises_of_the_model_are_verified_and_accounted_for(made):
    root, summary, _ = made
    ledger = pq.read_table(root / "out" / "ledger.parquet").to_pylist()
    refused = [row for row in ledger if "the program computes" in row["detail"]]
    sets = [d for d in read_documents(root / "out" / "textbooks") if d.metadata.get("format") == "exercises"]
    assert sets
    assert {d.kind for d in sets} == {"exercise"}
    assert len(refused) == sum(d.metadata["verification"]["rejected"] for d in sets) > 0
    assert summary["questions"]["teacher"] == sum(len(d.metadata["questions"]) for d in sets)
    questions = summary["questions"]
    kept = sum(questions[side] for side in ("exercises", "chapters", "teacher", "exam", "reworded"))
    assert questions["drawn"] == kept + questions["ledger"]


def test_the_cost_is_that_of_the_answers_and_unknown_without_prices(made, seeds, tmp_path):
    root, summary, served = made
    assert summary["teacher"]["answers"] == 60
    assert summary["teacher"]["cost"] is None
    priced = params(served.url, price_input=1.0, price_output=2.0, price_source="EUR, list of 2026-11-01")
    again = run(seeds, tmp_path, priced, root / "state")["teacher"]
    assert again["cost"] == pytest.approx((again["prompt_tokens"] + 2 * again["completion_tokens"]) / 1e6)
    assert again["price_source"] == "EUR, list of 2026-11-01"


def test_faults_and_resumes_come_to_the_same_bytes(made, seeds, tmp_path, serve):
    """The endpoint fails, the budget ends, the run resumes: nothing is requested twice and the outputs are the same."""
    root, summary, _ = made
    served = serve(latency=0.0, faults=0.25, seed=2)
    for budget in (9_000, 20_000):
        settings = params(served.url, budget_tokens=budget, over_budget="spend")
        with pytest.raises(StepError, match="budget of this plan is spent"):
            run(seeds, tmp_path / "out", settings, tmp_path / "state")
        assert [p.name for p in (tmp_path / "out").iterdir()] == ["plan.parquet"]
    assert run(seeds, tmp_path / "out", params(served.url), tmp_path / "state") == summary
    assert set(served.endpoint.answered.values()) == {1}
    for name in ("exam", "ledger.parquet", "plan.parquet"):
        assert content(tmp_path / "out" / name) == content(root / "out" / name)
        assert name == "exam" or (tmp_path / "out" / name).read_bytes() == (root / "out" / name).read_bytes()
    assert rows(tmp_path / "out") == rows(root / "out")


def rows(root: Path) -> list[dict]:
    """The documents without the hash of the request, which holds the endpoint's address."""
    documents = [document.row() for document in read_documents(root / "textbooks")]
    for row in documents:
        metadata = json.loads(row["metadata"])
        metadata.get("teacher", {}).pop("request_sha256", None)
        row["metadata"] = metadata
    return documents


def test_a_bad_answer_in_the_store_is_asked_for_again(seeds, tmp_path, serve):
    """As an earlier version stored them: cut, marked up, with half of a surrogate pair inside the JSON of an exercise."""
    served, state = serve(), tmp_path / "state"
    run(seeds, tmp_path / "one", params(served.url), state)
    with Store(state / STORE) as store:
        store._db.execute("DROP TABLE given_up")  # which that version did not have
        keys = [key for (key,) in store._db.execute("SELECT key FROM answers WHERE text LIKE '%exercises%' LIMIT 3")]
        for key, text in zip(keys, [r'{"exercises": [{"question": "\ud83d"}]}', "", "<think>"], strict=True):
            store._db.execute("UPDATE answers SET text = ? WHERE key = ?", (text, key))
        others = [key for (key,) in store._db.execute("SELECT key FROM answers WHERE text LIKE '# %' LIMIT 3")]
        for key, reason in zip(others, ["MAX_TOKENS", "tool_calls", "error"], strict=True):
            store._db.execute(
                "UPDATE answers SET finish_reason = ?, text = substr(text, 1, 900) WHERE key = ?", (reason, key)
            )
    run(seeds, tmp_path / "two", params(served.url), state)
    assert sum(served.endpoint.answered.values()) == 60 + 6
    assert content(tmp_path / "two") == content(tmp_path / "one")


def test_no_question_of_a_model_is_one_of_the_exam(made):
    root, _, _ = made
    asked = {
        normalise(json.loads(line)["question"])
        for path in (root / "out" / "exam").glob("*.jsonl")
        for line in path.open()
    }
    text = "\n".join(d.text for d in read_documents(root / "out" / "textbooks"))
    assert asked
    assert not [question for question in asked if f"Question: {question}\n" in text]


def test_a_model_that_repeats_itself_is_kept_once(seeds, tmp_path, serve):
    summary = run(seeds, tmp_path, params(serve(mode="same").url, chapters=36), tmp_path / "state")
    rules = summary["ledger"]
    assert summary["documents"]["textbook"] == 5  # one of each format of prose
    assert rules["near_duplicate"] + rules.get("no_question_left", 0) == summary["plan"]["rejected"] == 36 - 6
    assert summary["diversity"]["near_duplicates"]["share"] == 0
    texts = [d.text for d in read_documents(tmp_path / "textbooks")]
    assert len(set(texts)) == len(texts)


class Watching(Tracker):
    """A tracker that keeps what it is given."""

    def __init__(self) -> None:
        self.traces, self.figures = [], {}

    def trace(self, trace) -> None:
        self.traces.append(trace)

    def metrics(self, values, step=None) -> None:
        self.figures |= values


def test_the_tracker_is_told_of_calls_and_of_what_was_spent(seeds, tmp_path, serve):
    served, tracker = serve(faults=0.3, seed=6, latency=0.01), Watching()
    settings = params(served.url, chapters=40, price_input=1.0, price_output=1.0)
    output, exam, ledger, _ = (tmp_path / name for name in NAMES)
    synthesize(seeds, Outputs(output, ledger, exam, state=tmp_path / "state"), settings, 1, tracker)
    assert sum(not trace.failed for trace in tracker.traces) == 40
    assert {trace.tags["verdict"] for trace in tracker.traces} > {"kept", "server_error"}
    assert tracker.traces == sorted(tracker.traces, key=lambda trace: trace.start_ns)
    assert tracker.figures["teacher.spent.calls"] == 40 + tracker.figures["teacher.spent.unusable"]
    assert tracker.figures["teacher.spent.cost"] > 0


@pytest.mark.parametrize("traces", [0, 3])
def test_the_given_number_of_calls_is_traced(seeds, tmp_path, serve, traces) -> None:
    """Both answered and failed calls; the outputs do not depend on it."""
    served, tracker = serve(faults=0.3, seed=6, latency=0.01), Watching()
    settings = params(served.url, chapters=40, traces=traces)
    output, exam, ledger, _ = (tmp_path / name for name in NAMES)
    synthesize(seeds, Outputs(output, ledger, exam, state=tmp_path / "state"), settings, 1, tracker)
    answered = [trace for trace in tracker.traces if not trace.failed]
    assert (len(answered), len(tracker.traces) - len(answered)) == (traces, traces)


SECRET = "sk-the-key-of-this-test"
LEAK = f"{SECRET} and https://me:word@host.example/"


def test_calls_are_traces_of_mlflow(seeds, tmp_path, serve, monkeypatch) -> None:
    """In a real database, as its page reads them: with prompt, answer, time, tokens, cost and verdict, and no secret."""
    import mlflow

    monkeypatch.setattr(bench.faulty_endpoint, "FRAMES", tuple(f"{f} {LEAK}" for f in bench.faulty_endpoint.FRAMES))
    monkeypatch.setenv("PHIFORGE_TEST_KEY", SECRET)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    served = serve(faults=0.3, seed=6, latency=0.05)
    prices = {"price_input": 1.0, "price_output": 2.0}
    settings = params(served.url, chapters=40, traces=12, api_key_env="PHIFORGE_TEST_KEY", **prices)
    output, exam, ledger, _ = (tmp_path / name for name in NAMES)
    with track("synthesis", {}, []) as tracker:
        synthesize(seeds, Outputs(output, ledger, exam, state=tmp_path / "state"), settings, 1, tracker)
        assert not (tmp_path / "mlflow.db").exists()  # nothing is logged while calls are made
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("phiforge")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    (run,) = client.search_runs([experiment.experiment_id])
    traces = client.search_traces(locations=[experiment.experiment_id], max_results=100)
    assert sum(trace.info.state == "OK" for trace in traces) == 12
    assert sum(trace.info.state == "ERROR" for trace in traces) == 12
    kept = client.search_traces(locations=[experiment.experiment_id], filter_string="tags.verdict = 'kept'")
    assert kept
    for trace in kept:
        (span,) = trace.data.spans
        assert trace.info.request_metadata["mlflow.sourceRun"] == run.info.run_id
        assert span.span_type == "CHAT_MODEL"
        assert [message["role"] for message in span.inputs["messages"]] == ["system", "user"]
        assert span.outputs["content"].strip()
        assert trace.info.execution_duration >= 50
        usage = trace.info.token_usage
        assert usage["input_tokens"] == 100
        cost = (usage["input_tokens"] + 2 * usage["output_tokens"]) / 1e6
        assert trace.info.cost["total_cost"] == pytest.approx(cost)
        assert span.attributes["returned_model"] == "some/model:8b-2026"
        assert trace.info.tags["job"] in {d.metadata["job"] for d in read_documents(output)}
    shown = json.dumps([trace.to_dict() for trace in traces])
    assert "https://host.example/" in shown
    assert SECRET not in shown
    assert "me:word" not in shown


def test_a_tracking_server_that_is_away_costs_the_record_alone(
    made, seeds, tmp_path, serve, monkeypatch, capsys
) -> None:
    root, _, served = made
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.chdir(tmp_path)
    output, exam, ledger, _ = (tmp_path / name for name in NAMES)
    with track("synthesis", {}, []) as tracker:
        outputs = Outputs(output, ledger, exam, state=root / "state-of-another")
        synthesize(seeds, outputs, params(served.url), 1, tracker)
    assert content(output) == content(root / "out" / "textbooks")
    assert "MLflow at http://127.0.0.1:9: not recorded" in capsys.readouterr().out


def test_a_budget_that_cannot_do_stops_before_the_first_call(seeds, tmp_path, serve):
    served = serve()
    said = r"60 calls are left; .* guessed .*budget_tokens 9000.* raise synthesis\.teacher\.budget_tokens, lower synthesis\.chapters"
    with pytest.raises(StepError, match=said):
        run(seeds, tmp_path / "out", params(served.url, budget_tokens=9_000), tmp_path / "state")
    assert served.endpoint.counts["calls"] == 0


def test_a_budget_that_is_expected_not_to_do_stops_after_the_first_answers(seeds, tmp_path, serve, capsys):
    """Answers in flight are kept; a resumed run does not spend more; a higher budget or `over_budget` continues."""
    served = serve(latency=0.01)
    small = {"budget_money": 0.04, "price_input": 1.0, "price_output": 2.0, "price_source": "EUR", "concurrency": 4}
    few = {"chapters": 120} | small
    with pytest.raises(StepError, match=r"measured on 20 answers; the budget is budget_money 0\.04.*over_budget=spend"):
        run(seeds, tmp_path / "out", params(served.url, **few), tmp_path / "state")
    answered = served.endpoint.counts["answered"]
    assert 20 <= answered <= 24
    with Store(tmp_path / "state" / STORE) as store:
        assert store._db.execute("SELECT COUNT(*) FROM answers").fetchone() == (answered,)
    with pytest.raises(StepError, match="measured on"):
        run(seeds, tmp_path / "out", params(served.url, **few), tmp_path / "state")
    assert served.endpoint.counts["answered"] == answered
    capsys.readouterr()
    run(seeds, tmp_path / "out", params(served.url, **few | {"budget_money": 5.0}), tmp_path / "state")
    assert set(served.endpoint.answered.values()) == {1}
    assert re.search(
        r"teacher: \d+ calls are left; .* tokens, 0\.\d+ \(0\.\d+ to 0\.\d+\) EUR, measured on", capsys.readouterr().out
    )


REPHRASED = ("faq", "table", "tutorial", "worked")


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    """A corpus of six pages of prose, two of them long."""
    folder = tmp_path_factory.mktemp("pages") / "curated"
    with DocumentWriter(folder) as writer:
        for number in range(6):
            lines = [
                bench.faulty_endpoint.write(f"Write a tutorial {number} {part}") for part in range(1 + number // 4 * 5)
            ]
            writer.write(Document("\n\n".join(lines), "prose", f"pages/{number}.md", "MIT", "test"))
    return folder


def rephrasing(url: str, **teacher: object) -> SynthesisParams:
    return params(url, 12, **teacher).model_copy(update={"rephrase": 24})


@pytest.fixture(scope="module")
def rewritten(pages, tmp_path_factory, serve_for_module):
    root = tmp_path_factory.mktemp("rewritten")
    output, exam, ledger, plan = (root / "out" / name for name in NAMES)
    outputs = Outputs(output, ledger, exam, plan, root / "page.html", root / "state")
    return root, synthesize(pages, outputs, rephrasing(serve_for_module().url), 1)


def test_a_rewrite_leads_to_the_document_that_it_was_made_from(rewritten, pages):
    root, summary = rewritten
    plan = {job["id"]: job for job in pq.read_table(root / "out" / "plan.parquet").to_pylist()}
    originals = {d.id: d for d in read_documents(pages)}
    rewrites = [d for d in read_documents(root / "out" / "textbooks") if "passage" in d.metadata]
    assert summary["rewrites"] == {"asked": 24, "planned": 24, "kept": len(rewrites)}
    assert {d.metadata["format"] for d in rewrites} == {f"rephrased_{form}" for form in REPHRASED}
    for document in rewrites:
        original, job = originals[document.metadata["seed_document"]], plan[document.metadata["job"]]
        assert (document.source, document.license, document.kind) == (original.source, "MIT", "textbook")
        assert document.created_by == f"api/some/model_8b:{job['template']}"
        assert document.metadata["teacher"]["prompt_sha256"] == job["prompt_sha256"]
        assert "language" not in document.metadata
    assert "987654321" not in "".join(d.text for d in rewrites)


def test_what_a_rewrite_invents_is_in_the_ledger(rewritten):
    root, summary = rewritten
    ledger = pq.read_table(root / "out" / "ledger.parquet").to_pylist()
    refused = [row for row in ledger if "/rephrased_" in row["detail"]]
    assert 0 < len(refused) == 24 - summary["rewrites"]["kept"]
    assert {row["rule"] for row in refused} == {"invented_number"}
    assert all("987654321" in row["detail"] and row["source"].startswith("pages/") for row in refused)
    page = (root / "page.html").read_text()
    assert "Rewritten documents" in page
    assert "a rewrite has a number that its document does not have" in page


def test_rewrites_are_resumed_to_the_same_bytes(rewritten, pages, tmp_path, serve):
    root, summary = rewritten
    served = serve(latency=0.0, faults=0.25, seed=2)
    half = rephrasing(served.url, budget_tokens=14_000, over_budget="spend")
    with pytest.raises(StepError, match="budget of this plan is spent"):
        run(pages, tmp_path / "out", half, tmp_path / "state")
    assert run(pages, tmp_path / "out", rephrasing(served.url), tmp_path / "state") == summary
    assert set(served.endpoint.answered.values()) == {1}
    assert rows(tmp_path / "out") == rows(root / "out")


def test_without_rewrites_chapters_are_as_before(pages, tmp_path, serve, rewritten):
    root, _ = rewritten
    run(pages, tmp_path / "out", params(serve().url, 12), tmp_path / "state")
    chapters = [row for row in rows(root / "out") if "passage" not in row["metadata"]]
    assert rows(tmp_path / "out") == chapters


KILLS = 3


def test_three_kills_lose_nothing_and_change_nothing(seeds, tmp_path, serve):
    """SIGKILL in mid-flight, three times: at most the calls in flight are asked again, the bytes are the same."""
    served = serve(latency=0.05, faults=0.05, seed=4)
    state = tmp_path / ".phiforge" / "synthesis" / STORE

    def start(out: Path, *more: str) -> subprocess.Popen:
        settings = ["kind=openai", f"base_url={served.url}", "model=fake", "timeout_s=2", "concurrency=8", *more]
        small = ["chapters=150", "exercises=100", "exam_examples=10", "max_gzip_ratio=20"]
        command = [sys.executable, "-m", "components.synthesis", "--seeds", str(seeds)]
        command += ["--output", str(out / "textbooks"), "--ledger", str(out / "ledger.parquet")]
        command += [f"--set=synthesis.teacher.{s}" for s in settings] + [f"--set=synthesis.{s}" for s in small]
        (tmp_path / "params.yaml").write_text("{}")
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[4])}
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)

    killed_at = []
    for kill in range(1, KILLS + 1):
        process = start(tmp_path / "killed")
        while served.endpoint.counts["answered"] < 35 * kill:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed_at.append(served.endpoint.counts["answered"])
    assert start(tmp_path / "killed").wait() == 0
    again = sum(served.endpoint.answered.values()) - len(served.endpoint.answered)
    assert len(served.endpoint.answered) == 150
    assert (
        again <= KILLS * 8 * 2
    )  # what was in flight, and on a busy machine some answers that came past their deadline
    with Store(state) as store:
        (plan,) = {row[0] for row in store._db.execute("SELECT plan FROM calls")}
        spent = store.spent(plan)
        assert store._db.execute("SELECT COUNT(*) FROM answers").fetchone() == (150,)
    assert spent.calls - spent.unusable == 150
    state.unlink()
    assert start(tmp_path / "whole").wait() == 0
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


NOBODY = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("away", r"nothing answers at http://127\.0\.0\.1:9/v1 .*start the server"),
        ("unauthorized", r"status 401 .*PHIFORGE_TEST_KEY"),
        ("silent", r"none of the first 32 replies .*32 times empty.*returned nothing"),
        ("no sandbox", r"cannot be isolated here"),
    ],
)
def test_what_cannot_succeed_says_so_and_leaves_nothing(seeds, tmp_path, serve, monkeypatch, mode, words):
    """One message each; no documents, no exam, no ledger, and no failed call counted as an answer."""
    served = serve(mode=mode)
    if mode == "no sandbox":

        def refuse(*_: object) -> None:
            raise StepError("generated code cannot be isolated here and is not run: no seccomp")

        monkeypatch.setattr("components.synthesis.sandboxed.Sandbox", refuse)
    settings = params(NOBODY if mode == "away" else served.url, api_key_env="PHIFORGE_TEST_KEY")
    with pytest.raises(StepError, match=words):
        run(seeds, tmp_path / "out", settings, tmp_path / "state")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["plan.parquet"]
    if mode != "silent":
        assert served.endpoint.counts["calls"] == 0
    if (tmp_path / "state" / STORE).exists():
        with Store(tmp_path / "state" / STORE) as store:
            assert store._db.execute("SELECT COUNT(*) FROM answers").fetchone() == (0,)


@pytest.mark.parametrize(("needs", "words"), [("b", r"cycle: a -> b -> a|cycle: b -> a -> b"), ("z", "is not a topic")])
def test_a_broken_curriculum_leaves_nothing(seeds, tmp_path, needs, words):
    topic = "{id: %s, title: t, prerequisites: [%s], points: [p]}"
    path = tmp_path / "own.yaml"
    topics = f"{topic % ('a', needs)}, {topic % ('b', 'a')}"
    path.write_text(f"subjects:\n  - {{id: s, title: S, category: math, topics: [{topics}]}}\n")
    with pytest.raises(StepError, match=words):
        run(seeds, tmp_path / "out", SynthesisParams(curriculum=str(path)), tmp_path / "state")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "state").exists()
