"""What Prefect's server refuses when a run is created, and what it takes: the shipped deployments on the real platform."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from components.params.schema import overrides_schema
from flows.definitions import PIPELINE
from flows.parameters import refuse_wrong, resolve_in_flow
from flows.sizes import Asked


def nested(levels: int) -> list[Any]:
    """A list within a list, and so on."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


SECRET = "https://me:hunter2hunter2@host.example/a.txt"
ANY_TEXT = st.text(st.characters(exclude_categories=()))


def of_values(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(values) | st.dictionaries(ANY_TEXT, values)


WRONG = [
    ({"nope": 1}, "nope given; expected only: "),
    ({"overrides": {"training.beta": 0.5}}, "unknown key 'training.beta'; the nearest known key is 'training.beta"),
    ({"overrides": {"seed": "two"}}, "seed = 'two': input should be a valid integer"),
    ({"overrides": {"seed": -1}}, "seed = -1: input should be greater than or equal to 0 (allowed: at least 0"),
    ({"overrides": {"engine.kind": "gpu"}}, "engine.kind = 'gpu': input should be"),
    ({"overrides": {"ingestion.sources": [{"path": SECRET}]}}, "contains a password, token or signature"),
    ({"profile": "nobody"}, "profile 'nobody' is not there; profiles/ has: tiny"),
    ({"text": SECRET}, "text: contains a password, token or signature"),
    ({"profile": "p" * 5000}, "is not there; profiles/ has: tiny"),
    ({"profile": "a\0b"}, r"parameters: 'a\x00b' contains NUL or an unpaired surrogate"),
    ({"profile": "\ud800"}, r"parameters: '\ud800' contains NUL or an unpaired surrogate"),
    ({"overrides": {"\udfff": 1}}, r"parameters: '\udfff' contains NUL or an unpaired surrogate"),
    ({"text": nested(30)}, "parameters: lists and mappings are nested more than 20 deep"),
    ({"overrides": {"ingestion.sources": nested(900)}}, "parameters: lists and mappings are nested more than 20 deep"),
]
LEFT_TO_THE_SCHEMA = [
    ({"overrides": ["seed=2"]}, "is not of type 'object'"),
    ({"size": "9B"}, "'9B' is not one of ['auto', '0.3M'"),
    ({"text": 5}, "field 'text'"),
]


@pytest.fixture(scope="module")
def up(running, toy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    root = running.make_project(toy, tmp_path_factory.mktemp("parameters") / "my project")
    (root / "trace" / "notes.txt").write_text("some words " * 9000)
    with running.platform(root, panel=False) as platform:
        yield platform


@pytest.fixture
def prefect(up: Any) -> Iterator[Any]:
    """A client of the server's API with the credentials."""
    with up.operator() as client:
        yield client


def post(prefect: Any, path: str, body: Any, method: str = "POST") -> Any:
    """Send JSON as any client may: with escapes for what is not Unicode."""
    return prefect.request(method, path, content=json.dumps(body), headers={"content-type": "application/json"})


def count(prefect: Any) -> int:
    """How many runs the server knows of."""
    return prefect.post("/flow_runs/count", json={}).json()


@pytest.mark.slow
@pytest.mark.parametrize("deployment", ["pipeline/local", "corpus/local", "growth-study/local", "data-ablation/local"])
def test_wrong_parameters_make_no_run(up, prefect, deployment):
    """Neither a run nor a default nor a schedule, whose runs would be created by the server itself."""
    before, path = count(prefect), f"/deployments/{up.deployment(deployment)}"
    for parameters, said in [*WRONG, *LEFT_TO_THE_SCHEMA]:
        replies = [
            post(prefect, f"{path}/create_flow_run", {"parameters": parameters}),
            post(prefect, path, {"parameters": parameters}, "PATCH"),
            post(prefect, f"{path}/schedules", [{"schedule": {"interval": 60}, "parameters": parameters}]),
        ]
        for reply in replies:
            assert (reply.status_code, said in reply.json()["detail"]) == (409, True), reply.text
            assert "hunter2" not in reply.text
    [made] = prefect.post(f"{path}/create_flow_run/bulk", json=[{"parameters": WRONG[0][0]}]).json()["results"]
    assert (made["status"], made["flow_run_id"]) == ("FAILED", None)
    assert count(prefect) == before


@pytest.mark.slow
def test_a_schedule_keeps_its_parameters_right(up, prefect):
    path = f"/deployments/{up.deployment()}"
    [nightly] = prefect.get(path).json()["schedules"]
    change = f"{path}/schedules/{nightly['id']}"
    assert prefect.patch(change, json={"parameters": {"profile": "nobody"}}).status_code == 409
    assert prefect.patch(change, json={"parameters": {"profile": "tiny"}}).status_code == 204
    assert prefect.get(path).json()["schedules"][0]["parameters"] == {"profile": "tiny"}


@pytest.mark.slow
def test_right_parameters_make_a_run_that_uses_them(up, prefect):
    given = {"profile": "tiny", "overrides": {"seed": 5}, "text": "trace/notes.txt", "size": "1M"}
    run = up.launch(**given)
    state = up.finished(run)
    assert state["type"] == "COMPLETED", state
    lines = prefect.post("/logs/filter", json={"logs": {"flow_run_id": {"any_": [run]}}}).json()
    assert any("size 1M: smaller model 128 wide" in line["message"] for line in lines)
    assert prefect.get(f"/flow_runs/{run}").json()["parameters"] == given


@pytest.mark.slow
def test_prefects_command_says_what_is_wrong(up, running):
    def run(*options: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "prefect", "deployment", "run", "pipeline/local", *options]
        environment = running.environment_of(up.root) | {"COLUMNS": "400"}
        return subprocess.run(command, cwd=up.root, env=environment, capture_output=True, text=True, check=False)

    refused = run("-p", 'overrides={"seed": "two"}')
    assert refused.returncode == 1
    assert "seed = 'two': input should be a valid integer" in refused.stdout + refused.stderr
    assert run("-p", "size=0.3M", "-p", "text=trace/notes.txt", "-p", 'overrides={"seed": 6}').returncode == 0


@pytest.mark.slow
def test_a_secret_in_parameters_is_stored_nowhere(up, prefect):
    """A refused one; it could not be taken out of the server's database again."""
    path, given = f"/deployments/{up.deployment()}", ("name", "flow_id", "parameter_openapi_schema")
    again = {name: value for name, value in prefect.get(path).json().items() if name in given}
    for parameters in ({"text": SECRET}, {"overrides": {"ingestion.sources": [{"path": SECRET}]}}):
        assert prefect.post(f"{path}/create_flow_run", json={"parameters": parameters}).status_code == 409
        deployed = prefect.post("/deployments/", json=again | {"parameters": parameters})  # as `prefect deploy` does
        assert (deployed.status_code, "hunter2" in deployed.text) == (409, False)
    for file in up.root.rglob("*"):
        with suppress(FileNotFoundError):  # a database's journal that has just been removed
            assert not file.is_file() or b"hunter2" not in file.read_bytes(), file


@pytest.mark.slow
@pytest.mark.browser
def test_prefects_form_refuses_what_the_schema_refuses(up, prefect, chromium):
    from playwright.sync_api import expect, sync_playwright

    from flows.access import with_login

    before = count(prefect)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(with_login(up.url("prefect"), up.auth))
        page.wait_for_url(lambda url: "phiforge-login" not in url)
        page.goto(up.url("prefect", f"/deployments/deployment/{up.deployment()}/run"))
        seed = page.locator(".schema-form-property", has=page.get_by_text("seed (Optional)")).last.locator("input")

        def submit() -> int:
            with page.expect_response(lambda reply: "create_flow_run" in reply.url, timeout=180_000) as reply:
                page.get_by_role("button", name="Submit").click()
            return reply.value.status

        seed.fill("-1")
        assert submit() == 409
        expect(page.get_by_text("seed = -1: input should be").first).to_be_visible(timeout=60_000)
        assert count(prefect) == before
        seed.fill("7")
        assert submit() == 201
        browser.close()
    [run] = prefect.post("/flow_runs/filter", json={"limit": 1, "sort": "EXPECTED_START_TIME_DESC"}).json()
    assert run["parameters"].get("overrides") == {"seed": 7}


@pytest.mark.parametrize(("parameters", "said"), WRONG)
def test_what_the_server_asks_first(project: Path, parameters: dict, said: str) -> None:
    properties = {"profile": {}, "text": {}, "size": {}, "overrides": overrides_schema()}
    with pytest.raises(StepError) as refused:
        refuse_wrong(project, parameters, {"properties": properties})
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT, of_values))
def test_whatever_is_given_is_taken_or_refused_in_a_sentence(value: Any) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "params.yaml").write_text("seed: 1\n")
        for parameters in ({"profile": value}, {"text": value}, {"overrides": {"seed": value}}, {"overrides": value}):
            with suppress(StepError):
                refuse_wrong(root, parameters, {"properties": {"profile": {}, "text": {}, "overrides": {}}})
                json.dumps(parameters, ensure_ascii=False).encode()


def test_other_deployments_keep_their_own_parameters(project: Path) -> None:
    refuse_wrong(project, {"days": 3}, {"properties": {"days": {"type": "integer"}}})
    refuse_wrong(project, {"days": 3}, {})
    with pytest.raises(StepError, match="days: contains a password"):
        refuse_wrong(project, {"days": SECRET}, {})
    with pytest.raises(StepError, match="expected only: days"):
        refuse_wrong(project, {"overrides": {}}, {"properties": {"days": {"type": "integer"}}})


def test_text_and_size_come_to_overrides(project: Path) -> None:
    (project / "trace" / "notes.txt").write_text("some words " * 9000)
    said: list[str] = []

    def overrides(given: dict[str, Any], profile: str | None, text: str | None, size: str | None) -> dict[str, Any]:
        return resolve_in_flow(project, Asked(given, profile, (text,) if text else (), size), PIPELINE, said.append)

    source = [{"path": str(project / "trace" / "notes.txt")}]
    assert overrides({"seed": 2}, None, None, None) == {"seed": 2}
    found = overrides({"seed": 2}, None, "trace/*.txt", None)
    assert (found["ingestion.sources"], found["seed"]) == (source, 2)
    assert found["small.model.hidden_size"] == 64
    assert overrides({}, "tiny", "trace/notes.txt", None) == {"ingestion.sources": source}
    assert overrides({}, None, None, "3M")["small.model.hidden_size"] == 192
    assert overrides({"tokenization.vocab_size": 3000}, None, None, "3M")["tokenization.vocab_size"] == 3000
    plans = [line for line in said if "larger model" in line]
    assert [re.findall(r"size (\S+):", line) for line in plans] == [["0.3M"], ["1M"], ["3M"], ["3M"]]
    for asked, named in (
        (({}, None, "trace/missing", None), "'trace/missing' was not found"),
        (({}, None, None, "9B"), "'9B' is not a size"),
        (({}, None, SECRET, None), "contains a password, token or signature"),
    ):
        with pytest.raises(StepError, match=named) as refused:
            overrides(*asked)
        assert "hunter2" not in json.dumps(str(refused.value))


def test_a_flow_leaves_the_schema_of_overrides_as_it_is() -> None:
    from flows.pipeline import pipeline

    assert pipeline.parameters.properties["overrides"]["default"] == {}
    assert "default" not in overrides_schema()
