"""The whole platform, attacked: without credentials, from a web page, and with a stolen token.

One platform for all tests of this file, as `make up` starts it, on the toy project.
"""

import http.server
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from flows.server import free_port

REPOSITORY = Path(__file__).parents[2]
OPEN = {("prefect", "/api/health"), ("prefect", "/api/ready"), ("mlflow", "/health"), ("panel", "/_stcore/health")}
CONTENT_TYPES = (
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    None,
)


@pytest.fixture(scope="module")
def up(running, toy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running.platform(running.make_project(toy, tmp_path_factory.mktemp("closed") / "my project")) as platform:
        yield platform


def routes(up: Any) -> Iterator[tuple[str, str, str]]:
    """(service, method, path) of everything that the services answer to, with made-up path parameters."""
    from mlflow.server import app as flask_app
    from mlflow.server.fastapi_app import app as fastapi_app

    with up.operator() as client:
        paths = client.get("/openapi.json").raise_for_status().json()["paths"]
    some = str(uuid.uuid4())

    def filled(path: str, opening: str, closing: str) -> str:
        while opening in path:
            head, _, rest = path.partition(opening)
            path = head + some + rest.partition(closing)[2]
        return path

    for path, methods in paths.items():
        yield from (
            ("prefect", method.upper(), "/api" + filled(path, "{", "}").removeprefix("/api")) for method in methods
        )
    yield from (("prefect", "GET", path) for path in ("/", "/docs", "/openapi.json", "/ui-settings", "/v2/dashboard"))
    for rule in flask_app.url_map.iter_rules():
        yield from (("mlflow", method, filled(str(rule), "<", ">")) for method in rule.methods - {"OPTIONS"})
    for path, methods in fastapi_app.openapi()["paths"].items():
        yield from (("mlflow", method.upper(), filled(path, "{", "}")) for method in methods)
    for path in (
        "/",
        "/_stcore/host-config",
        "/_stcore/upload_file/a/b",
        "/media/x",
        "/component/x/y",
        "/_stcore/stream",
    ):
        yield from (("panel", method, path) for method in ("GET", "POST", "PUT", "DELETE"))


def settled(up: Any) -> None:
    """Wait until no run of an earlier test is under way: it would add states of its own."""
    deadline = time.monotonic() + 120
    with closing(sqlite3.connect(up.root / ".phiforge" / "prefect" / "prefect.db", timeout=30)) as db:
        under_way = "select count(*) from flow_run where state_type in ('RUNNING', 'PENDING', 'CANCELLING')"
        while db.execute(under_way).fetchone()[0]:
            assert time.monotonic() < deadline, "a run does not end"
            time.sleep(0.5)


def contents(up: Any) -> dict[str, int]:
    """How many rows each table of the databases holds, but for those that the services write by themselves.

    The log is left out, since a run's last lines arrive after its end.
    """
    settled(up)
    counts = {}
    busy = {"log", "work_pool", "work_queue", "worker", "events", "event_resources", "automation_bucket", "deployment"}
    for file in (up.root / ".phiforge" / "prefect" / "prefect.db", up.root / "mlflow.db"):
        with closing(sqlite3.connect(file, timeout=30)) as db:
            names = [row[0] for row in db.execute("select name from sqlite_master where type = 'table'")]
            counts |= {
                f"{file.name} {name}": db.execute(f'select count(*) from "{name}"').fetchone()[0]
                for name in names
                if name not in busy and not name.startswith("sqlite_")
            }
    return counts


def test_every_listening_socket_is_on_the_loopback(up):
    processes = [up.process, *psutil.Process(up.process.pid).children(recursive=True)]
    listening = [
        (connection.laddr.ip, connection.laddr.port)
        for process in processes
        for connection in psutil.Process(process.pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {port for _, port in listening} >= set(up.ports.values())
    assert {ip for ip, _ in listening} <= {"127.0.0.1", "::1"}


def test_the_secret_is_in_no_argument_no_log_and_no_open_file(up):
    secret = up.auth.partition(":")[2]
    assert secret not in up.output.read_text()
    for process in [up.process, *psutil.Process(up.process.pid).children(recursive=True)]:
        assert secret not in " ".join(psutil.Process(process.pid).cmdline())
    holders = [
        path
        for path in up.root.rglob("*")
        if path.is_file() and (secret.encode() in path.read_bytes() or basic(up).encode() in path.read_bytes())
    ]
    assert {path.relative_to(up.root).as_posix() for path in holders} == {".phiforge/up.json", "prefect.toml"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in holders)


def basic(up: Any) -> str:
    from flows.access import basic

    return basic(up.auth)


def test_no_route_does_anything_for_a_stranger(up):
    before = contents(up)
    asked = list(dict.fromkeys(routes(up)))
    assert len(asked) > 300
    name, _, secret = up.auth.partition(":")
    answered = []
    with httpx.Client(timeout=30) as stranger:
        for service, method, path in asked:
            url = up.url(service, path)
            tries = [({}, None)]  # without credentials, with each content type where there is a body
            if method in {"POST", "PUT", "PATCH", "DELETE"}:
                tries = [({"content-type": kind} if kind else {}, None) for kind in CONTENT_TYPES]
            foreign = [({"host": "evil.example"}, (name, secret)), ({"origin": "http://evil.example"}, (name, secret))]
            for headers, auth in [*tries, *foreign]:
                body = b"{}" if method in {"POST", "PUT", "PATCH", "DELETE"} else None
                reply = stranger.request(method, url, headers=headers, content=body, auth=auth)
                open_here = (service, path) in OPEN and method == "GET" and not {"host", "origin"} & headers.keys()
                if reply.status_code not in {401, 403, 421} and not open_here:
                    answered.append((reply.status_code, service, method, path, headers))
    assert not answered
    assert contents(up) == before


def test_no_preflight_lets_a_foreign_page_in(up):
    headers = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    for service, path in (("prefect", "/api/flow_runs/"), ("mlflow", "/api/2.0/mlflow/runs/create"), ("panel", "/")):
        reply = httpx.options(up.url(service, path), headers=headers)
        assert reply.status_code == 403
        assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize(
    "path", ["/api/events/in", "/api/events/out", "/api/logs/out", "/api/task_runs/subscriptions/scheduled"]
)
def test_websockets_ask_too(up, path):
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.sync.client import connect

    def first_answer(url: str, say: str = "", **options) -> str:
        with connect(url, **options) as opened:
            if say:
                opened.send(say)
            return str(opened.recv(10))

    url = up.url("prefect", path).replace("http://", "ws://")
    refused = (ConnectionClosed, InvalidStatus)
    with pytest.raises(refused):
        first_answer(url)
    with pytest.raises(refused):
        first_answer(url, json.dumps({"type": "auth", "token": "operator:guess"}), subprotocols=["prefect"])
    with pytest.raises(InvalidStatus):
        first_answer(url, origin="http://evil.example")
    panel = up.url("panel", "/_stcore/stream").replace("http://", "ws://")
    with pytest.raises(InvalidStatus):
        first_answer(panel)


def test_prefects_own_commands_work_in_the_folder(up, running):
    command = [sys.executable, "-m", "prefect", "deployment", "ls"]
    done = subprocess.run(
        command, cwd=up.root, env=running.environment_of(up.root), capture_output=True, text=True, check=False
    )
    assert "pipeline/local" in done.stdout, done.stdout + done.stderr


def test_a_stolen_token_changes_no_command(up, tmp_path):
    """Job variables are refused, by the server or by the worker, even with a job template that takes them."""
    flag = tmp_path / "flag"
    evil = {"command": f"touch '{flag}'", "working_dir": str(tmp_path), "env": {"SHELL": "/bin/false"}}
    path = f"/deployments/{up.deployment()}/create_flow_run"
    with up.operator() as client:
        refused = client.post(path, json={"job_variables": evil})
        assert refused.status_code in {409, 422}, refused.text
        open_template = {
            "job_configuration": {"command": "{{ command }}"},
            "variables": {"type": "object", "properties": {"command": {"type": "string"}}},
        }
        client.patch("/work_pools/local", json={"base_job_template": open_template}).raise_for_status()
        made = client.post(path, json={"job_variables": {"command": f"touch '{flag}'"}}).raise_for_status().json()
    state = up.finished(made["id"])
    assert state["type"] == "CRASHED"
    assert "job variables command" in state["message"]
    assert not flag.exists()


def test_a_stolen_token_brings_no_code(up, tmp_path):
    """A deployment's pull steps, path and entrypoint come from the server, so none of them is followed."""
    flag = tmp_path / "flag"
    evil = tmp_path / "evil.py"
    evil.write_text(
        f"from pathlib import Path\nPath({str(flag)!r}).touch()\nfrom prefect import flow\n@flow\ndef stranger(): ...\n"
    )
    step = {"prefect.deployments.steps.run_shell_script": {"script": f"touch '{flag}'"}}
    with up.operator() as client:
        ours = client.get(f"/deployments/{up.deployment()}").json()["flow_id"]
        theirs = client.post("/flows/", json={"name": "stranger"}).raise_for_status().json()["id"]
        runs = {}
        for flow in (ours, theirs):
            made = client.post(
                "/deployments/",
                json={
                    "name": "evil", "flow_id": flow, "work_pool_name": "local", "entrypoint": f"{evil}:stranger",
                    "path": str(tmp_path), "pull_steps": [step],
                },
            )  # fmt: skip
            deployment = made.raise_for_status().json()["id"]
            bad = {"parameters": {"overrides": {"nope.x": 1}}} if flow == ours else {}
            runs[flow] = (
                client.post(f"/deployments/{deployment}/create_flow_run", json=bad).raise_for_status().json()["id"]
            )
    assert up.finished(runs[ours])["type"] == "FAILED"  # our flow ran, and refused its parameters
    state = up.finished(runs[theirs])
    assert state["type"] == "CRASHED"
    assert "not a flow of this project" in state["message"]
    assert not flag.exists()


class Touch:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


STORED = """
import sys
from flows import pipeline
from prefect.client.schemas.objects import State
state = State.model_validate_json(sys.argv[1])
try:
    state.result()
except ValueError as error:
    print(error)
"""


def test_a_stolen_token_has_no_file_unpickled(tmp_path):
    """A run's state may name a stored result; the process of a run that is told that it has ended would load it."""
    from prefect.results import ResultRecord, ResultRecordMetadata
    from prefect.serializers import PickleSerializer

    flag, stored = tmp_path / "flag", tmp_path / "stored"
    metadata = ResultRecordMetadata(storage_key=str(stored), serializer=PickleSerializer())
    stored.write_bytes(ResultRecord.model_construct(metadata=metadata, result=Touch(flag)).serialize())
    state = json.dumps({"type": "COMPLETED", "data": json.loads(metadata.model_dump_json())})
    command = [sys.executable, "-c", STORED, state]
    environment = os.environ | {"PHIFORGE_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert not flag.exists()
    assert "the flows of this project store none" in done.stdout, done.stderr


def test_a_stolen_token_gets_no_shell_of_mlflows_assistant(up, tmp_path):
    """Its settings name a model's address, a folder and full access, and its model then runs commands."""
    name, _, secret = up.auth.partition(":")
    evil = {"selected": True, "model": "x", "base_url": "http://127.0.0.1:9", "permissions": {"full_access": True}}
    wanted = {"providers": {"ollama": evil}, "projects": {"0": {"type": "local", "location": str(tmp_path)}}}
    with httpx.Client(base_url=up.url("mlflow", "/ajax-api/3.0/mlflow/assistant"), auth=(name, secret)) as client:
        for reply in (
            client.put("/config", json=wanted),
            client.post("/message", json={"message": "x"}),
            client.get("/sessions/x/stream"),
            client.post("/skills/install", json={"type": "custom", "custom_path": str(tmp_path)}),
        ):
            assert (reply.status_code, "closed" in reply.text) == (403, True), reply.text
    assert not list(tmp_path.iterdir())


def test_a_stolen_token_writes_no_file_elsewhere(up, tmp_path):
    """MLflow's server writes uploads below the location of their experiment."""
    name, _, secret = up.auth.partition(":")
    with httpx.Client(base_url=up.url("mlflow", "/api/2.0/mlflow"), auth=(name, secret), timeout=30) as client:
        for field in ("artifact_location", "artifactLocation"):
            for place in (str(tmp_path), tmp_path.as_uri(), "s3://bucket/x"):
                reply = client.post("/experiments/create", json={"name": f"evil {field} {place}", field: place})
                assert reply.status_code == 400, reply.text
                assert "remove it" in reply.text
        made = client.post("/experiments/create", json={"name": "good"}).raise_for_status().json()["experiment_id"]
        run = client.post("/runs/create", json={"experiment_id": made}).raise_for_status().json()["run"]["info"]
    assert run["artifact_uri"].startswith((up.root / "mlartifacts").as_uri())


ATTACK = """<!doctype html><title>attack</title><body><script>
const api = "http://127.0.0.1:{prefect}/api", id = "{deployment}";
const body = JSON.stringify({{job_variables: {{command: "touch x"}}, parameters: {{overrides: {{seed: 2}}}}}});
const outcomes = [];
async function attempt(name, work) {{
  try {{ const r = await work(); outcomes.push(name + " " + (r && (r.status || r.type))); }}
  catch (e) {{ outcomes.push(name + " blocked"); }}
}}
(async () => {{
  for (const base of [api, api.replace("127.0.0.1", "localhost")])
    for (const type of ["application/json", "text/plain", undefined]) {{
      const headers = type ? {{"content-type": type}} : {{}};
      for (const mode of ["cors", "no-cors"])
        for (const credentials of ["omit", "include"])
          await attempt(`${{type}} ${{mode}} ${{credentials}}`, () =>
            fetch(`${{base}}/deployments/${{id}}/create_flow_run`,
                  {{method: "POST", mode, credentials, headers, body: type ? body : new Blob([body])}}));
    }}
  await attempt("beacon", async () => navigator.sendBeacon(`${{api}}/deployments/${{id}}/create_flow_run`, body));
  await attempt("mlflow", () => fetch("http://127.0.0.1:{mlflow}/api/2.0/mlflow/experiments/create",
    {{method: "POST", credentials: "include", headers: {{"content-type": "application/json"}}, body: '{{"name": "evil"}}'}}));
  await attempt("mlflow plain", () => fetch("http://127.0.0.1:{mlflow}/ajax-api/2.0/mlflow/experiments/create",
    {{method: "POST", mode: "no-cors", credentials: "include", body: '{{"name": "evil"}}'}}));
  for (const url of ["ws://127.0.0.1:{panel}/_stcore/stream", "ws://127.0.0.1:{prefect}/api/events/in"])
    await attempt("socket " + url, () => new Promise((yes, no) => {{
      const s = new WebSocket(url, url.includes("events") ? ["prefect"] : []);
      s.onopen = () => yes({{status: "OPEN"}}); s.onerror = no; s.onclose = no; }}));
  const frame = document.createElement("iframe"); frame.src = "http://127.0.0.1:{panel}/"; document.body.append(frame);
  const form = document.createElement("form"); form.method = "post"; form.enctype = "text/plain"; form.target = "out";
  form.action = `${{api}}/deployments/${{id}}/create_flow_run`;
  const field = document.createElement("input"); field.name = '{{"parameters": {{}}, "x": "'; field.value = '"}}';
  form.append(field); document.body.append(form); form.submit();
  await new Promise(r => setTimeout(r, 1500));
  document.title = "done"; window.outcomes = outcomes;
}})();
</script>"""


@pytest.fixture
def evil_site(up: Any) -> Iterator[str]:
    """A page of another origin on this machine, as a web site or a neighbour's server would serve it."""
    page = ATTACK.format(deployment=up.deployment(), **up.ports).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.mark.browser
@pytest.mark.parametrize("logged_in", [False, True])
def test_a_page_in_a_browser_changes_nothing(up, evil_site, chromium, logged_in):
    """Also when the person is logged in to all pages in the same browser, which then adds the credentials."""
    from playwright.sync_api import sync_playwright

    from flows.access import with_login

    before = contents(up)
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        context = browser.new_context()
        outside = []
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("requestfinished", lambda r: "127.0.0.1" in r.url or "localhost" in r.url or outside.append(r.url))
        if logged_in:
            for name, greeting in (("panel", "New run"), ("prefect", "Deployments"), ("mlflow", "Experiments")):
                page.goto(with_login(up.url(name), up.auth))
                page.wait_for_url(lambda url: "phiforge-login" not in url)
                page.get_by_text(greeting).first.wait_for()
        page.goto(evil_site)
        page.wait_for_function("document.title === 'done'")
        outcomes = page.evaluate("window.outcomes")
        browser.close()
    # `opaque` is what a page sees of a request that it may send without reading: whether it did anything shows below.
    assert {line.rpartition(" ")[2] for line in outcomes} <= {"blocked", "opaque", "undefined", "403"}, outcomes
    assert contents(up) == before
    assert not outside


def test_what_anyone_queued_before_is_not_started(running, toy, tmp_path):
    """A project whose server was open: its queued run is cancelled, its deployments are registered anew."""
    root = running.make_project(toy, tmp_path / "old project")
    environment = running.environment_of(root) | {"PREFECT_HOME": str(root / ".phiforge" / "prefect")}
    (root / ".phiforge").mkdir()
    port = free_port()
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui"]
    with open(tmp_path / "old.log", "w") as log:
        old = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    api = f"http://127.0.0.1:{port}/api"
    try:
        wait_for_port(port, old)
        pool = {"name": "local", "type": "process"}
        httpx.post(f"{api}/work_pools/", json=pool, timeout=30).raise_for_status()
        flow = httpx.post(f"{api}/flows/", json={"name": "pipeline"}, timeout=30).raise_for_status().json()["id"]
        made = {"name": "evil", "flow_id": flow, "work_pool_name": "local", "entrypoint": "x:y"}
        deployment = httpx.post(f"{api}/deployments/", json=made, timeout=30).raise_for_status().json()["id"]
        queued = (
            httpx.post(f"{api}/deployments/{deployment}/create_flow_run", json={}, timeout=30)
            .raise_for_status()
            .json()["id"]
        )
    finally:
        old.send_signal(signal.SIGINT)
        old.wait(60)
    with running.platform(root) as platform:
        assert "cancelled 1 runs that were queued" in platform.output.read_text()
        state = platform.finished(queued)
        assert state["type"] == "CANCELLED"
        with platform.operator() as client:
            names = {found["name"] for found in client.post("/deployments/filter", json={}).json()}
        assert names == {"local"}
        assert toy.starts(root, "prepare") == 0


def wait_for_port(port: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert process.poll() is None
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(port)
