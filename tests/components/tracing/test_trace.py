"""Every kind of start, backward and forward, against what the generated project was made of and a brute-force count."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bench.traced_project import BATCH, LENGTH, QUESTION, STEPS, Made
from components.errors import StepError
from components.exclusions import Exclusion
from components.order import PhasedOrder, sequence_borders
from components.tracing.backward import backward
from components.tracing.documents import FINDERS
from components.tracing.forward import forward
from components.tracing.project import Project
from components.tracing.starts import resolve
from components.tracing.words import lines
from flows.client.origins import trace

BACK: dict[str, tuple[Callable[[Made], str], str, int]] = {  # what is given, the kind, and the run that it belongs to
    "a version": (lambda made: "models:/phiforge/2", "version", 1),
    "the number of a version": (lambda made: "3", "version", 2),
    "a version that only MLflow knows": (lambda made: "models:/phiforge/4", "version", 3),
    "an alias": (lambda made: "champion", "version", 0),
    "a model's alias": (lambda made: "models:/phiforge@champion", "version", 0),
    "a hash of weights": (lambda made: made.weights[2], "checkpoint", 2),
    "a model's name": (lambda made: "large", "checkpoint", 0),
    "a checkpoint's folder": (lambda made: "models/large", "checkpoint", 0),
    "a checkpoint in a workspace": (lambda made: f"workspaces/{made.keys[1]}/models/small", "checkpoint", 1),
    "scores": (lambda made: "reports/scores/large/scores.json", "score", 0),
    "a question": (lambda made: QUESTION, "question", 0),
    "a flow run": (lambda made: made.flow_runs[1], "run", 1),
    "a workspace": (lambda made: made.keys[1], "run", 1),
    "an experiment": (lambda made: f"run-{made.keys[2]}", "run", 2),
    "an MLflow run": (lambda made: f"{2:016x}{7:015x}1", "run", 2),
    "a report": (lambda made: "reports/final/index.html", "report", 0),
    "another output": (lambda made: "data/curated", "output", 0),
}
ON: dict[str, tuple[Callable[[Made], str], str, Callable[[Made, dict[str, Any]], bool]]] = {
    "a document": (lambda made: made.ids[5][:12], "document", lambda made, row: row["id"] == made.ids[5]),
    "a source": (
        lambda made: "https://site1.example",
        "source",
        lambda made, row: row["source"].startswith("https://site1.example/"),
    ),
    "a licence": (lambda made: "cc-by-4.0", "licence", lambda made, row: row["license"] == "CC-BY-4.0"),
    "a teacher": (lambda made: "procedural/1", "teacher", lambda made, row: row["kind"] == "textbook"),
    "a prompt": (lambda made: "exercises", "prompt", lambda made, row: row["kind"] == "textbook"),
}

FIRST = 3  # the run that started first


@pytest.mark.parametrize("name", BACK)
def test_a_result_leads_back_to_its_run_commit_parameters_and_documents(
    name: str, made: Made, project: Project
) -> None:
    give, kind, number = BACK[name]
    found = trace(project, give(made))
    assert found["start"]["kind"] == kind
    maker = (
        FIRST if kind in ("question", "output") else number
    )  # all runs share these, and a cached stage's maker counts
    assert found["run"]["flow_run"] == made.flow_runs[maker]
    assert found["run"]["started_by"] == "ada, deployment nightly"
    assert found["source"]["commit"] == f"{maker:040x}"
    assert found["stages"][0]["stage"] == "ingest"
    if number < 3:  # MLflow's tags have no parameters
        assert found["parameters"]["seed"] == number + 1
    assert found["gates"] == [{"stage": "validate_raw", "passed": 17, "failed": 0, "error": 0}]
    if kind not in ("question", "output"):
        assert found["documents"]["groups"]
        assert sum(group["tokens_read"] for group in found["documents"]["groups"]) == sum(
            link["tokens"] for link in found["documents"]["links"]
        )
    assert json.loads(json.dumps(found)) == found
    assert all(isinstance(line, str) for line in lines(found))


@pytest.mark.parametrize("name", ON)
def test_documents_lead_to_every_checkpoint_that_read_them(name: str, made: Made, project: Project) -> None:
    give, kind, belongs = ON[name]
    found = trace(project, give(made))
    assert found["start"]["kind"] == kind
    rows = {row["id"]: row for one in document_rows(project) for row in one}
    chosen = np.array([belongs(made, rows[document]) for document in made.ids])
    assert found["documents"]["count"] == chosen.sum()
    assert found["documents"]["shown"][0]["why"]
    small = next(
        one for one in found["checkpoints"] if one["path"] == "models/small" and "main folder" in one["states"]
    )
    tokens, steps = by_hand(made, chosen, 1, 0, "small")
    assert [(link["via"], link["tokens"], link["steps"]) for link in small["read"]] == [("itself", tokens, steps)]
    assert small["read"][0]["times"] == round(tokens / made.lengths[chosen].sum(), 2)
    large = next(one for one in found["checkpoints"] if one["aliases"] == ["champion"])
    before = STEPS["small"] * BATCH // LENGTH
    own = by_hand(made, chosen, 1, before, "large")
    assert [(link["tokens"], link["steps"]) for link in large["read"]] == [own, (tokens, steps)]
    assert large["scores"]["benchmark@large exam"]["accuracy"] == 0.6
    assert {state for one in found["checkpoints"] for state in one["states"]} == {
        "main folder",
        f"workspace {made.keys[1]}",
        f"experiment run-{made.keys[2]}",
        "MLflow run-3",
    }
    assert list(lines(found))


def document_rows(project: Project) -> list[list[dict[str, Any]]]:
    from components.tracing.documents import COLUMNS, find_sets

    return [one.read(COLUMNS).to_pylist() for one in find_sets(project.files, project.states, ("curate", "synthesize"))]


def by_hand(made: Made, chosen: np.ndarray, seed: int, before: int, model: str) -> tuple[int, list[int]]:
    """Tokens read of the chosen documents and the steps, by walking through the whole run token by token."""
    total = int(made.lengths.sum())
    belongs = np.repeat(chosen, made.lengths)
    order = PhasedOrder(sequence_borders(np.array([0, total]), LENGTH), seed)
    count, steps = 0, set()
    for index in range(STEPS[model] * BATCH // LENGTH):
        number = int(order.at(np.array([before + index]))[0])
        here = int(belongs[number * LENGTH : (number + 1) * LENGTH].sum())
        count += here
        if here:
            steps.add(index // (BATCH // LENGTH) + 1)
    return count, sorted(steps)


def test_a_question_shows_the_answers_of_all_checkpoints(project: Project) -> None:
    answers = trace(project, QUESTION)["question"]["answers"]
    assert sorted(one["correct"] for one in answers) == [False, True]  # equal answers are listed once


def test_a_dropped_document_names_its_rule(project: Project) -> None:
    found = trace(project, "d" * 8)
    assert found["documents"]["dropped"][0]["rule"] == "length"
    assert found["checkpoints"] == []
    assert "no checkpoint has read them" in list(lines(found))


def test_a_clone_without_records_traces_the_same_data(made: Made, project: Project, clone: Project) -> None:
    ours, theirs = (backward(one, resolve(one, "models/large")) for one in (project, clone))
    assert theirs["run"] == {}
    for part in ("parameters", "gates", "documents"):
        assert theirs[part] == ours[part]
    seen = forward(clone, resolve(clone, made.ids[5]))["checkpoints"]
    assert {one["path"] for one in seen} <= {"models/small", "models/grown", "models/large"}


def test_a_clone_without_the_tokens_says_how_to_get_them(made: Made, clone: Project, tmp_path: Any) -> None:
    import shutil

    cache = tmp_path / "cache"
    shutil.copytree(clone.cache, cache)
    md5 = clone.states[0].outs["data/tokens"][1]
    (cache / "files" / "md5" / md5[:2] / md5[2:]).unlink()
    bare = Project(clone.root, cache, clone.places)
    (reason, *_) = backward(bare, resolve(bare, "models/large"))["missing"]
    assert "phiforge pull data/tokens" in reason


@pytest.mark.parametrize(
    ("given", "kind"),
    [("nothing of this name", ""), ("champion", "document"), ("MIT", "teacher"), ("", ""), (" ", "run")],
)
def test_an_unknown_name_is_refused(given: str, kind: str, project: Project) -> None:
    with pytest.raises(StepError, match="give another name"):
        trace(project, given, kind)


def test_each_lock_is_parsed_once(made: Made, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [state.kind for state in project.states] == ["main", "workspace", "experiment", "MLflow"]
    monkeypatch.setattr("ruamel.yaml.YAML", None)
    assert Project(made.root, project.cache, project.places, project.runs).states == project.states


def test_a_damaged_record_of_a_lock_is_made_again(made: Made, project: Project) -> None:
    for kept in project.states and (made.root / ".phiforge" / "tracing" / "locks").iterdir():
        kept.write_text("{", encoding="utf-8")
    assert Project(made.root, project.cache, project.places, project.runs).states == project.states


@pytest.mark.parametrize("given", ["python:json", "notes/2024", "notes/2024/", "https://example.org", "python"])
def test_a_source_names_the_same_documents_as_an_exclusion(given: str) -> None:
    sources = [
        "python:json",
        "python:json.loads",
        "python:jsonx",
        "notes/2024",
        "notes/2024.txt",
        "notes/2024/a.txt",
        "notes/2024:3",
    ]
    sources += ["https://example.org", "https://example.org/a", "https://example.organ", "python", "python:os"]
    found = FINDERS["source"](given)(pa.table({"source": sources})).to_pylist()
    assert found == [Exclusion("source", given).names(source) for source in sources]
