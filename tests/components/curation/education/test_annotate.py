"""Labels by the heuristic annotator, and by a model behind an endpoint that fails on purpose."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import cohen_kappa_score

import bench.faulty_endpoint
from components.curation.education.annotate import (
    RUBRIC,
    SCHEMA,
    agreement,
    annotate,
    read,
    request,
    rubric_sha256,
)
from components.curation.education.heuristic import judge
from components.endpoint.lock import alone
from components.errors import StepError
from components.params.education import AnnotatorEndpointParams, EducationParams
from components.tracking import track

TEXTS = [
    f"Lesson {number}. " + "A loop repeats its body, because the test holds. " * (number % 7) for number in range(40)
]
IDS = [f"{number:032x}" for number in range(40)]
KINDS = ["prose", "code"] * 20


def value_of(prompt: str) -> int:
    """What the stand-in for a model says: a function of the document, and for a few of the order of the prompt."""
    number = int(re.search(r"Lesson (\d+)", prompt).group(1))
    return min(5, number % 7 + (number % 10 == 0 and prompt.startswith("The document")))


def params(url: str, **more: object) -> EducationParams:
    endpoint = {"base_url": url, "model": "fake", "timeout_s": 2.0, "patience_s": 20.0, "second_pass": 30} | more
    return EducationParams(annotator="openai", endpoint=endpoint)


@pytest.fixture
def labelling(monkeypatch: pytest.MonkeyPatch) -> None:
    def label(prompt: str) -> str:
        return "Here it is:\n" + json.dumps({"value": value_of(prompt), "reason": "It shows\na loop."})

    monkeypatch.setattr(bench.faulty_endpoint, "write", label)


def test_the_heuristic_says_what_it_is_and_why(tmp_path: Path) -> None:
    labels = annotate(TEXTS, IDS, ["code"] * len(TEXTS), EducationParams(), tmp_path)
    assert labels.values.tolist() == [judge(text).value for text in TEXTS]
    assert all(reason.startswith("substance ") for reason in labels.reasons)
    assert labels.provenance == {
        "annotator": "heuristic/1",
        "rubric_sha256": hashlib.sha256(RUBRIC.read_bytes()).hexdigest(),
    }
    assert not list(tmp_path.iterdir())


def test_a_model_labels_through_faults_and_is_asked_once(serve, labelling: None, tmp_path: Path) -> None:
    served = serve(faults=0.2)
    labels = annotate(TEXTS, IDS, KINDS, params(served.url, attempts=20), tmp_path)
    assert labels.values.tolist() == [min(5, number % 7) for number in range(40)]
    assert set(labels.reasons) == {"It shows a loop."}
    assert labels.provenance["model"] == "fake"
    assert labels.provenance["returned_models"] == ["fake-2026"]
    assert labels.provenance["rubric_sha256"] == rubric_sha256()
    assert labels.provenance["labelled"] == 40
    assert labels.provenance["failed"] == {}
    assert labels.provenance["agreement"]["documents"] == 30
    assert 0.9 < labels.provenance["agreement"]["kappa"] < 1
    assert 0.8 < labels.provenance["agreement"]["equal"] < 1
    calls = served.endpoint.counts["calls"]
    again = annotate(TEXTS, IDS, KINDS, params(served.url, attempts=20), tmp_path)
    assert served.endpoint.counts["calls"] == calls
    assert again.values.tolist() == labels.values.tolist()
    assert again.provenance == labels.provenance


def test_the_request_carries_rubric_document_and_schema(serve, labelling: None, tmp_path: Path) -> None:
    of = AnnotatorEndpointParams(base_url="http://h/v1/", model="m", max_chars=200)
    first, second = (request("x" * 900, "id", "code", of, again) for again in (False, True))
    for asked in (first, second):
        ((role, content),) = asked.messages
        assert role == "user"
        assert RUBRIC.read_text() in content
        assert "x" * 200 in content
        assert "x" * 201 not in content
        assert asked.schema == SCHEMA
        assert asked.parameters["endpoint"] == "http://h/v1"
    assert first.key != second.key


@pytest.fixture
def labelling_but_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that gives each lesson its label but one."""

    def label(prompt: str) -> str:
        if "Lesson 7." in prompt:
            return "I'd rather not."
        return json.dumps({"value": value_of(prompt), "reason": "r"})

    monkeypatch.setattr(bench.faulty_endpoint, "write", label)


def test_documents_without_a_label_are_told(serve, labelling_but_one: None, tmp_path: Path) -> None:
    served = serve()
    few = annotate(TEXTS, IDS, KINDS, params(served.url, attempts=2, second_pass=0), tmp_path)
    assert np.flatnonzero(np.isnan(few.values)).tolist() == [7]
    assert few.reasons[7] == ""
    assert few.provenance["failed"] == {"format": 1}
    assert few.provenance["labelled"] == 39
    with pytest.raises(StepError, match=r"left 1 of 40 documents without a label.*format"):
        annotate(TEXTS, IDS, KINDS, params(served.url, attempts=2, second_pass=0, max_failed=0.0), tmp_path)


def test_what_was_given_up_is_not_asked_again_while_enough_have_a_label(
    serve, labelling_but_one: None, tmp_path: Path
) -> None:
    served = serve()
    one = annotate(TEXTS, IDS, KINDS, params(served.url, attempts=2, second_pass=40), tmp_path)
    calls = served.endpoint.counts["calls"]
    two = annotate(TEXTS, IDS, KINDS, params(served.url, attempts=2, second_pass=40), tmp_path)
    assert served.endpoint.counts["calls"] == calls
    assert two.provenance == one.provenance
    more = annotate(TEXTS, IDS, KINDS, params(served.url, attempts=3, second_pass=40), tmp_path)
    assert served.endpoint.counts["calls"] == calls + 2 * 3  # a changed plan asks again, in either pass
    assert more.provenance["prompt_tokens"] > one.provenance["prompt_tokens"]
    assert more.identity == one.identity
    with pytest.raises(StepError, match=r"left 1 of 40 documents without a label.*format"):
        annotate(TEXTS, IDS, KINDS, params(served.url, attempts=2, second_pass=40, max_failed=0.0), tmp_path)
    assert served.endpoint.counts["calls"] == calls + 2 * 3 + 2 * 2  # too few have a label: asked again
    (tmp_path / next(tmp_path.glob("*-2.given-up.json"))).write_text("{")
    with pytest.raises(StepError, match=r"given-up\.json cannot be read .*; remove it"):
        annotate(TEXTS, IDS, KINDS, params(served.url, attempts=2, second_pass=40), tmp_path)


def test_calls_of_the_annotator_are_traces_of_mlflow(
    serve, labelling_but_one: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    served = serve()
    with track("curation", {}, []) as tracker:
        asked = params(served.url, traces=3, attempts=2, second_pass=40, price_input=1.0, price_output=1.0)
        annotate(TEXTS, IDS, KINDS, asked, tmp_path / "work", tracker)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    traces = client.search_traces(locations=[client.get_experiment_by_name("phiforge").experiment_id])
    verdicts = sorted(trace.info.tags["verdict"] for trace in traces)
    assert verdicts[:3] == ["format"] * 3
    assert [verdict.split()[0] for verdict in verdicts[3:]] == ["value"] * 3
    assert all(trace.info.cost["total_cost"] > 0 for trace in traces)
    assert all(RUBRIC.read_text() in trace.data.spans[0].inputs["messages"][0]["content"] for trace in traces)


def test_two_at_once_do_not_pay_twice(serve, labelling: None, tmp_path: Path) -> None:
    served = serve()
    annotate(TEXTS, IDS, KINDS, params(served.url), tmp_path)
    calls = served.endpoint.counts["calls"]
    (lock,) = tmp_path.glob("*.lock")
    with alone(lock), pytest.raises(StepError, match="another process"):
        annotate(TEXTS, IDS, KINDS, params(served.url), tmp_path)
    assert served.endpoint.counts["calls"] == calls


def test_a_budget_stops_and_a_higher_one_goes_on(serve, labelling: None, tmp_path: Path) -> None:
    served = serve()
    with pytest.raises(StepError, match=r"budget .* is spent.*education\.endpoint\.budget_tokens"):
        annotate(TEXTS, IDS, KINDS, params(served.url, budget_tokens=5_000, over_budget="spend"), tmp_path)
    before = served.endpoint.counts["answered"]
    assert 0 < before < 70
    labels = annotate(TEXTS, IDS, KINDS, params(served.url), tmp_path)
    assert not np.isnan(labels.values).any()
    assert served.endpoint.counts["answered"] == 70  # 40 and 30 again; none was asked twice
    assert labels.provenance["prompt_tokens"] == 70 * 100


def test_a_budget_that_cannot_do_stops_before_the_first_call(serve, labelling: None, tmp_path: Path) -> None:
    served = serve()
    said = r"70 calls are left; .* guessed .*raise curation\.education\.endpoint\.budget_tokens, lower curation\.education\.sample"
    with pytest.raises(StepError, match=said):
        annotate(TEXTS, IDS, KINDS, params(served.url, budget_tokens=5_000), tmp_path)
    assert served.endpoint.counts["calls"] == 0


@pytest.mark.parametrize(("mode", "said"), [("unauthorized", "set OPENAI_API_KEY"), ("refusing", "education.endpoint")])
def test_an_endpoint_that_refuses_stops_the_step(serve, tmp_path: Path, mode: str, said: str) -> None:
    with pytest.raises(StepError, match=said):
        annotate(TEXTS, IDS, KINDS, params(serve(mode=mode).url), tmp_path)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"education\.endpoint\.base_url"):
        annotate(TEXTS, IDS, KINDS, params("http://127.0.0.1:9/v1"), tmp_path)


@pytest.mark.parametrize(
    "answer",
    ["", "4", "{}", '{"value": 6, "reason": "r"}', '{"value": true, "reason": "r"}', '{"value": 3.5, "reason": "r"}',
     '{"value": 3}', "[1]", '{"value": "three", "reason": "r"}', '{"value": 4, "reason": "\\ud83d"}',
     '{"value": "4/10", "reason": "r"}', '{"value": [3], "reason": "r"}', "{" * 100_000 + "}", '{"a":' * 100_000],
)  # fmt: skip
def test_what_is_not_a_label(answer: str) -> None:
    assert read(answer) is None


@pytest.mark.parametrize(
    "answer",
    [
        '```json\n{"value": 3, "reason": "a {b}\\n c"}\n```',
        'Here it is:\n\n```JSON\n{"value": 3, "reason": "a {b} c"}\n```\nDone.',
        '{"value": "3", "reason": "a {b} c"}',
        '{"value": 3.0, "reason": "a {b} c"}',
        '{"value": "3/5", "reason": "a {b} c",}',
        '[{"value": 3, "reason": "a {b} c"}]',
        '{"value": 3, "reason": ["a {b}", "c"]}',
        '<think>{"value": 1, "reason": "x"}?</think>{"value": 3, "reason": "a {b} c"}<|im_end|>',
        'First {"value": 1, "reason": "x"}, no: {"value": 3, "reason": "a {b} c"}',
        '{"value": 3, "reason": "a\\u0000 {b}\\u202e c"}',
    ],
)
def test_what_is_a_label(answer: str) -> None:
    assert read(answer) == (3.0, "a {b} c")


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=40))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array(pairs, dtype=float).T
    found = agreement(np.append(first, np.nan), np.append(second, 1.0))
    assert found["documents"] == len(pairs)
    if found["kappa"] is None:
        assert len({*first, *second}) == 1
    else:
        wanted = cohen_kappa_score(first.astype(int), second.astype(int), weights="quadratic", labels=range(6))
        assert found["kappa"] == pytest.approx(wanted)


def test_an_endpoint_needs_an_address_and_a_model() -> None:
    with pytest.raises(ValidationError, match="is not a web address"):
        EducationParams(annotator="openai")
    with pytest.raises(ValidationError, match="model is empty"):
        EducationParams(annotator="openai", endpoint={"base_url": "http://h/v1"})
    with pytest.raises(ValidationError, match="never guessed"):
        AnnotatorEndpointParams(budget_money=1.0)
