"""The team server of docker-compose.yml, run natively: PostgreSQL, S3, Prefect, MLflow, worker, panel and the proxy with TLS."""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from flows import secret_files
from tests.e2e import project as shipped
from tests.flows import composed
from tests.flows.test_closed import OPEN, routes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
REPOSITORY = Path(__file__).parents[2]
DOMAIN = "phiforge.localhost"
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    for name in ("initdb", "psql", "caddy"):
        if not composed.installed(name):
            pytest.skip(f"{name} is not installed: apt-get install postgresql caddy")
    packages = os.environ.get("PHIFORGE_TEST_PACKAGES", "")
    if not importlib.util.find_spec("psycopg2") and not Path(packages, "psycopg2").is_dir():
        pytest.skip(
            "psycopg2 is not installed: pip install --target FOLDER -r docker/requirements.lock, and set "
            "PHIFORGE_TEST_PACKAGES to FOLDER"
        )
    folder = tmp_path_factory.mktemp("server")
    project = shipped.make_project(REPOSITORY, tmp_path_factory.mktemp("team") / "project", shipped.SMALL)
    secrets = tmp_path_factory.mktemp("secrets")
    secret_files.write_secrets(secrets)
    stack = None
    port = composed.free_port()
    (project / ".env").write_text(secret_files.settings_of(secrets, DOMAIN, "", port))
    stack = composed.Composed(project, folder, profiles=("tls",))
    stack.ports["proxy"][8443] = port
    stack.secrets_folder = secrets
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def api(server: Any) -> httpx.Client:
    """Prefect's API without the proxy, for the operator."""
    name, _, secret = (server.secrets_folder / "auth").read_text().strip().partition(":")
    return httpx.Client(base_url=f"http://127.0.0.1:{server.port('prefect')}/api", auth=(name, secret), timeout=60)


def finished(server: Any, run: str, seconds: float = 1800) -> dict:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with api(server) as client:
                state = client.get(f"/flow_runs/{run}").raise_for_status().json()["state"]
        except httpx.HTTPError:
            state = {"type": ""}  # the server may be starting again
        if state["type"] in ENDED:
            return state
        assert time.monotonic() < deadline, server.log("worker")
        time.sleep(1)


def launched(server: Any) -> str:
    """The run that `prefect deployment run` starts."""
    said = server.call("worker-cli", "prefect", "deployment", "run", "pipeline/local")
    return said.partition("UUID: ")[2].split()[0]


@pytest.fixture(scope="module")
def run(server: Any) -> str:
    """The shipped pipeline, run once by the worker."""
    # The image's `prefect` adds the credentials to the worker's environment.
    auth = (server.secrets_folder / "auth").read_text().strip()
    worker = server.services["worker"]
    server.services["worker-cli"] = worker | {"environment": worker["environment"] | {"PREFECT_API_AUTH_STRING": auth}}
    found = launched(server)
    state = finished(server, found)
    assert state["type"] == "COMPLETED", state["message"]
    return found


def test_results_and_artifacts_are_on_the_s3_server(server, run, tmp_path):
    import boto3

    server.call("worker", "dvc", "push", "--remote", "server")
    s3 = boto3.client(
        "s3", endpoint_url=f"http://127.0.0.1:{server.port('s3')}", aws_access_key_id="x", aws_secret_access_key="y",
        region_name="us-east-1",
    )  # fmt: skip
    artifacts = [row["Key"] for row in s3.list_objects_v2(Bucket="mlflow")["Contents"]]
    assert [key for key in artifacts if key.endswith("model.safetensors")]
    assert not (server.project / "mlartifacts").exists()
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", server.project, clone], check=True)
    for name in ("dvc.lock", ".dvc/config.local"):
        shutil.copy(server.project / name, clone / name)
    server.call("worker", "dvc", "pull", "--remote", "server", "reports/leaderboard", cwd=clone)
    mine, theirs = (
        {
            file.relative_to(root): file.read_bytes()
            for file in (root / "reports/leaderboard").rglob("*")
            if file.is_file()
        }
        for root in (server.project, clone)
    )
    assert mine
    assert mine == theirs


def test_each_service_is_killed_once_and_the_next_run_is_right(server, run):
    lock = (server.project / "dvc.lock").read_bytes()
    for name in ("postgres", "prefect", "mlflow", "panel", "worker", "proxy"):
        server.kill(name)
    state = finished(server, launched(server))
    assert state["type"] == "COMPLETED", state["message"]
    assert (server.project / "dvc.lock").read_bytes() == lock


def test_a_schedule_fires(server, run):
    with api(server) as client:
        deployment = client.get("/deployments/name/pipeline/local").raise_for_status().json()
        schedule = {"active": True, "schedule": {"interval": 60, "anchor_date": "2026-01-01T00:00:00Z"}}
        path = f"/deployments/{deployment['id']}/schedules"
        made = client.post(path, json=[schedule]).raise_for_status().json()[0]["id"]
        asked = {"flow_runs": {"deployment_id": {"any_": [deployment["id"]]}, "tags": {"all_": ["auto-scheduled"]}}}
        composed.wait_until(lambda: client.post("/flow_runs/filter", json=asked).json(), seconds=300)
        first = client.post("/flow_runs/filter", json=asked | {"sort": "EXPECTED_START_TIME_ASC"}).json()[0]["id"]
        state = finished(server, first)
        client.delete(f"{path}/{made}").raise_for_status()
    assert state["type"] == "COMPLETED", state["message"]


@pytest.fixture(scope="module")
def visitor(server: Any) -> Iterator[httpx.Client]:
    """A machine of the network that knows the authority of the proxy."""
    authority = server.folder / "certificates" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    composed.wait_until(authority.exists)
    with httpx.Client(
        transport=Resolved(verify=ssl.create_default_context(cafile=str(authority))), timeout=60
    ) as client:
        yield client


class Resolved(httpx.HTTPTransport):
    """Finds every name on this machine, as the network's name server would."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["sni_hostname"] = request.url.host
        request.url = request.url.copy_with(host="127.0.0.1")
        return super().handle_request(request)


def public(server: Any, page: str) -> str:
    return server.variables[f"PHIFORGE_{page.upper()}_PAGES"]


def test_the_operator_reaches_every_page_by_tls_and_their_links_work(server, visitor):
    name, _, secret = (server.secrets_folder / "auth").read_text().strip().partition(":")
    for page in ("panel", "prefect", "mlflow"):
        address = public(server, page)
        assert visitor.get(address, auth=(name, secret)).status_code == 200
        assert "max-age" in visitor.get(address).headers["strict-transport-security"]
    code = "from flows.client import Records, Runs; print(Runs().address, Records().address)"
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, env=server.environment("panel"), capture_output=True, text=True, check=True).stdout
    assert shown.split() == [public(server, "prefect"), public(server, "mlflow")]


def test_no_route_behind_the_proxy_does_anything_for_a_stranger(server, visitor):
    class Platform:
        def operator(self) -> httpx.Client:
            client = api(server)
            client.base_url = f"http://127.0.0.1:{server.port('prefect')}/api"
            return client

    answered = []
    for service, method, path in dict.fromkeys(routes(Platform())):
        url = public(server, service) + path
        for headers in (
            {},
            {"origin": "https://evil.example"},
        ):
            reply = visitor.request(method, url, headers=headers, content=b"{}" if method != "GET" else None)
            while reply.status_code == 429:  # the limit of all requests, which has a test of its own
                time.sleep(1)
                reply = visitor.request(method, url, headers=headers)
            if reply.status_code < 400 and (service, path) not in OPEN:
                answered.append((service, method, path, reply.status_code))
    assert answered == []


def test_foreign_hosts_and_paths_that_lead_out_are_refused(server, visitor):
    name, _, secret = (server.secrets_folder / "auth").read_text().strip().partition(":")
    port = server.port("proxy", 8443)
    for host in ("evil.example", f"{DOMAIN}.evil.example", "127.0.0.1"):
        with contextlib.suppress(httpx.HTTPError):  # there is no certificate for most
            assert visitor.get(f"https://{host}:{port}/", auth=(name, secret)).status_code == 421
        assert visitor.get(public(server, "panel"), headers={"host": host}, auth=(name, secret)).status_code == 421
        reply = httpx.get(f"http://127.0.0.1:{server.port('prefect')}/", headers={"host": host}, auth=(name, secret))
        assert reply.status_code == 421
    for path in ("../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd"):
        for route in ("/api/2.0/mlflow-artifacts/artifacts/", "/get-artifact?run_id=x&path="):
            reply = visitor.get(public(server, "mlflow") + route + path, auth=(name, secret))
            assert reply.status_code >= 400
            assert "root:" not in reply.text


def test_a_revoked_token_and_too_many_guesses_are_refused(server, visitor):
    line = server.call("worker", "flows.tokens", "create", "anna", "--role", "worker").strip()
    login = tuple(line.split(":", 1))
    address = public(server, "prefect") + "/api/flow_runs/filter"
    assert visitor.post(address, json={}, auth=login).status_code == 200
    assert visitor.get(public(server, "panel"), auth=login).status_code == 401
    deployment = visitor.get(public(server, "prefect") + "/api/deployments/name/housekeeping/local", auth=login).json()[
        "id"
    ]
    started = f"/api/deployments/{deployment}/create_flow_run"
    assert visitor.post(public(server, "prefect") + started, json={}, auth=login).status_code == 201
    log = server.call("worker", "flows.audit_log")
    assert [line for line in log.splitlines() if "anna" in line and "launch" in line and started in line]
    server.call("worker", "flows.tokens", "revoke", "anna")
    replies = [visitor.post(address, json={}, auth=login).status_code for _ in range(12)]
    assert replies[0] == 401
    assert replies[-1] == 429


def test_a_secret_is_in_no_file_of_the_project_no_log_and_no_argument(server, run):
    import psutil

    words = {
        word.strip("'\";,")
        for file in server.secrets_folder.iterdir()
        for word in file.read_text().replace(":", " ").split()
        if len(word.strip("'\";,")) >= 20 and re.search(r"[A-Z0-9]", word)  # no names such as aws_secret_access_key
    }
    assert len(words) >= 8
    files = [file for root in (server.project, server.folder / "tmp") for file in root.rglob("*") if file.is_file()]
    files += list(server.folder.glob("*.log"))
    found = []
    for file in files:
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            content = file.read_bytes()
            found += [str(file) for word in words if word.encode() in content]
    assert found == []
    for process in server.processes.values():
        for child in (
            [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            if process.poll() is None
            else []
        ):
            assert not any(word in " ".join(child.cmdline()) for word in words)


def test_destroyed_and_restored_a_score_can_be_traced_again(server, run):
    import boto3

    def traced() -> str:
        return server.call("worker", "flows.trace", "models/large")

    def runs() -> int:
        with api(server) as client:
            return client.post(
                "/flow_runs/count", json={"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
            ).json()

    before, count = traced(), runs()
    file = server.project / ".phiforge" / "backups" / "monday.tar"
    server.call("archive", "flows.backup", "backup", str(file))
    others = ("panel", "worker", "mlflow", "prefect")
    for name in others:
        os.killpg(server.processes[name].pid, signal.SIGTERM)
        server.processes[name].wait(60)
    for name in secret_files.DATABASES:
        sql = f"DROP DATABASE {name} WITH (FORCE); CREATE DATABASE {name} OWNER {name}"
        port = str(server.port("postgres"))
        command = [composed.installed("psql"), "-h", str(server.cluster), "-p", port, "-U", "postgres"]
        subprocess.run([*command, *(word for part in sql.split("; ") for word in ("-c", part))], check=True)
    for folder in (".dvc/cache", "models", "reports", "data"):
        shutil.rmtree(server.project / folder)
    s3 = boto3.resource("s3", endpoint_url=f"http://127.0.0.1:{server.port('s3')}", region_name="us-east-1",
                        aws_access_key_id="x", aws_secret_access_key="y")  # fmt: skip
    s3.Bucket("mlflow").objects.all().delete()
    server.call("archive", "flows.backup", "restore", str(file))
    for name in reversed(others):
        server.launch(name)
        server.wait(name, "service_healthy")
    assert [row.key for row in s3.Bucket("mlflow").objects.all() if row.key.endswith("model.safetensors")]
    assert traced() == before
    assert runs() == count


def test_the_pipeline_gives_the_same_outputs_as_on_one_machine(server, run, tmp_path):
    local = shipped.make_project(REPOSITORY, tmp_path / "local", shipped.SMALL)
    shipped.call(local, "flows.run")
    mine, theirs = (YAML(typ="safe").load((root / "dvc.lock").read_text()) for root in (local, server.project))
    assert mine == theirs
