"""Whose server it is: nobody else is taken for ours and handed the credentials."""

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import processes, records, server, up


@pytest.fixture
def impostor() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server of somebody else that says it is healthy: its address, and the headers that it was sent."""
    seen: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(dict(self.headers))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}/api", seen
    listening.shutdown()
    listening.server_close()


def test_the_note_of_a_killed_platform_is_not_followed(project, impostor):
    api, seen = impostor
    server.note_server(project, api, "operator:secret")
    assert server.running_server(project)["api"] == api  # while whoever wrote it is alive
    seen.clear()
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    note = json.loads(server.record_file(project).read_text())
    for stale in ({"pid": int(ended.stdout)}, {"started": note["started"] - 60}):
        server.record_file(project).write_text(json.dumps(note | stale))
        assert server.running_server(project) is None
    server.record_file(project).write_text(json.dumps({"api": api, "auth": "operator:secret"}))  # of an earlier release
    assert server.running_server(project) is None
    assert not seen


def test_nobody_takes_the_port_of_a_service_before_its_server_is_up_or_after_it_has_ended(project, monkeypatch):
    def fake_services(*_):
        return [up.Service("mlflow", [sys.executable, "-c", "pass"], "")]

    monkeypatch.setattr(up, "services", fake_services)
    port = server.free_port()
    platform = up.Platform(project, {"prefect": 1, "mlflow": port}, 1)
    platform.ports = {"mlflow": port}
    platform.take_ports()
    assert server.port_taken(port)
    service = platform.services["mlflow"]
    service.start(project)
    assert service.process.wait(60) == 0
    assert server.port_taken(port)
    platform.services["worker"] = up.Service("worker", [], "")
    platform.stop()
    assert not server.port_taken(port)


@pytest.mark.slow
def test_a_server_serves_on_the_socket_of_its_parent(project, monkeypatch):
    monkeypatch.setenv("PHIFORGE_AUTH", "operator:correct-horse-battery-staple")
    with server.listen() as held:
        port = held.getsockname()[1]
        command = processes.guarded("flows.serve", "mlflow", "--port", str(port))
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        child = processes.start_server(command, held, env=environment)
        try:
            assert processes.wait_until(lambda: server.answers(f"http://127.0.0.1:{port}/health"), 120)
        finally:
            processes.stop(child, 5)
        assert server.port_taken(port)
    assert not server.port_taken(port)


def test_a_process_is_told_from_a_later_one_of_its_number():
    assert records.alive(records.this_process())
    assert not records.alive(records.this_process() | {"started": 1.0})
