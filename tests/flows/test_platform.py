"""`make up` and the files of the platform."""

import itertools
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from flows import processes, server, settings, up

REPOSITORY = Path(__file__).parents[2]


def test_up_names_a_taken_port_and_starts_nothing(project, capfd):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        free = str(server.free_port())
        status = up.main(["--prefect-port", free, "--mlflow-port", str(port)])
    assert status == 1
    error = capfd.readouterr().err
    assert f"mlflow: port {port} of 127.0.0.1 is taken" in error
    assert "--mlflow-port" in error
    assert not list((project / ".phiforge").glob("logs/*"))


@pytest.mark.parametrize(
    ("ports", "said"), [(("99999", "5000"), "--prefect-port 99999"), (("4200", "4200"), "cannot share a port")]
)
def test_up_refuses_ports_that_cannot_be(project, capfd, ports, said):
    assert up.main(["--prefect-port", ports[0], "--mlflow-port", ports[1]]) == 1
    assert said in capfd.readouterr().err
    assert not list((project / ".phiforge").glob("logs/*"))


def test_up_stops_all_when_one_dies(project, monkeypatch, capfd):
    def fake_services(root, ports, api, auth, limit):
        sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
        broken = [sys.executable, "-c", "import sys; sys.exit('no database')"]
        return [
            up.Service("prefect", sleeper, f"{api}/health"),
            up.Service("mlflow", broken, f"{api}/health"),
            up.Service("worker", sleeper, f"{api}/health"),
        ]

    started = []
    original = processes.start
    monkeypatch.setattr(up, "services", fake_services)
    monkeypatch.setattr(processes, "start", lambda *a, **k: started.append(original(*a, **k)) or started[-1])
    status = up.main(["--prefect-port", str(server.free_port()), "--mlflow-port", str(server.free_port())])
    assert status == 1
    assert "mlflow ended with status 1" in capfd.readouterr().err
    assert [process.poll() is not None for process in started] == [True, True]


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def platform(request, running, toy, tmp_path) -> Iterator[object]:
    """`make up` of the toy project with the deployments as they are shipped."""
    variables = {}
    if request.param == "PostgreSQL":
        variables["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = request.getfixturevalue("postgres")
    with running.platform(running.make_project(toy, tmp_path / "my project"), panel=False, **variables) as up:
        yield up


@pytest.mark.slow
def test_the_nightly_schedule_is_planned_and_starts_runs_once_it_is_switched_on(platform, running):
    command = [sys.executable, Path(__file__).with_name("nightly.py")]
    environment = running.environment_of(platform.root) | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    log = settings.log_file(platform.root, "prefect").read_text()
    assert done.returncode == 0, log + done.stderr
    planned, ended = done.stdout.splitlines()
    assert set(planned.split()) == {"02:30"}
    assert ended == "Completed"
    # Each of Prefect's background services has had its turn by now.
    assert not re.search(r"ERROR|CRITICAL|Traceback|Exception", log), log


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_queued_runs_twenty_at_once_all_succeed_and_none_waits_for_anothers_lock(running, toy, tmp_path):
    root = running.make_project(toy, tmp_path / "my project")
    for name, was, now in (
        ("prefect.yaml", "concurrency_limit: 2\n", "concurrency_limit: 20\n"),
        ("dvc.yaml", ", limit: device", ""),  # trainings would take turns, as they should
    ):
        text = (root / name).read_text()
        assert text.count(was) == 1
        (root / name).write_text(text.replace(was, now))
    toy.git(root, "commit", "--quiet", "--all", "--message", "twenty at once")
    (root / "trace" / "slow").write_text("300")  # a training takes half a minute: the worker can start all the others
    with running.platform(root, panel=False, worker_limit=20) as up, up.operator() as client:
        launched = [up.launch(overrides={"seed": seed}) for seed in range(1, 51)]
        ended = [up.finished(run, 3000) for run in launched]
        assert [state["message"] for state in ended if state["type"] != "COMPLETED"] == []
        runs = client.post("/flow_runs/filter", json={}).raise_for_status().json()
        moves = [(run["start_time"], 1) for run in runs] + [(run["end_time"], -1) for run in runs]
        assert max(itertools.accumulate(step for _, step in sorted(moves))) == 20
        said = []
        while page := client.post("/logs/filter", json={"limit": 200, "offset": len(said)}).raise_for_status().json():
            said += [line["message"] for line in page]
        saved = toy.git(root, "for-each-ref", "--format=%(refname)", "refs/exps").split()
        assert len([name for name in saved if not name.startswith("refs/exps/exec")]) == 50
        assert [line for line in said if re.search("acquire lock|is busy|waiting", line)] == []


def test_all_services_listen_on_this_machine_only(project):
    for service in up.services(project, {"prefect": 1, "mlflow": 2, "panel": 3}, "http://127.0.0.1:1/api", "a:b", 2):
        assert "a:b" not in " ".join(service.command)
        assert "0.0.0.0" not in " ".join(service.command)
        assert service.health.startswith("http://127.0.0.1:")


def test_compose_file_meets_the_schema():
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        "docker-compose.yml",
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_services_are_checked_and_published_here_only():
    services = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
    assert {"postgres", "s3", "prefect", "worker", "mlflow", "panel", "proxy"} <= services.keys()
    for name, service in services.items():
        assert service.get("restart") == "no" or {"healthcheck", "mem_limit"} <= service.keys()
        assert name == "proxy" or all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert service["user"] == "${UID:-1000}:${GID:-1000}"
        assert service["cap_drop"] == ["ALL"]
        assert ":" in service["image"] or service["image"] == "phiforge"


def test_compose_has_no_password():
    """Each secret is a file, and compose refuses to start without it."""
    text = (REPOSITORY / "docker-compose.yml").read_text()
    compose = yaml.safe_load(text)
    assert all(secret["file"].startswith("${PHIFORGE_SECRETS:?") for secret in compose["secrets"].values())
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            assert (
                not re.search("PASS|AUTH|SECRET|KEY|CREDENTIALS", name)
                or value.startswith("/run/secrets/")
                or value == ""
            )
    assert not re.search(r"//\w+:[^@/ ]+@", text)


@pytest.mark.parametrize("name", ["prefect.yaml", "docker-compose.yml", "docker/Dockerfile", ".ci/run"])
def test_no_file_names_a_folder_of_a_machine_or_an_index(name):
    text = (REPOSITORY / name).read_text()
    assert not re.search(r"/home/|/root/|/work/|/Users/|index-url|pypi", text)
