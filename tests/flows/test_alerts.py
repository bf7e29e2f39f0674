"""Alerts of the real platform at a receiver on this machine, and the addresses that they go to."""

import asyncio
import contextlib
import email.header
import http.server
import json
import os
import queue
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from pathlib import Path
from typing import Any

import psutil
import pytest

from components.errors import StepError
from flows import alerts, processes

REPOSITORY = Path(__file__).parents[2]
SECRET = "hook4e1c9d0b7f"


@dataclass
class Receiver:
    """A server on this machine that keeps what it is sent."""

    port: int
    got: "queue.Queue[Any]" = field(default_factory=queue.Queue)
    status: int = 200

    def next(self, seconds: float = 180) -> Any:
        return self.got.get(timeout=seconds)

    def none(self, seconds: float) -> bool:
        with contextlib.suppress(queue.Empty):
            return not self.got.get(timeout=seconds)
        return True


@contextlib.contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def webhook() -> Iterator[Receiver]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            assert self.path == f"/{SECRET}"
            receiver.got.put(body)
            self.send_response(receiver.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    receiver = Receiver(0)
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        receiver.port = port
        yield receiver


@pytest.fixture
def mailbox() -> Iterator[Receiver]:
    """As much of SMTP as a client asks for."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                command = line.strip().upper()
                if command == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = iter(self.rfile.readline, b".\r\n")
                    receiver.got.put(message_from_bytes(b"".join(lines)))
                self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 fine\r\n")
                if command == b"QUIT":
                    return

    receiver = Receiver(0)
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        receiver.port = port
        yield receiver


@pytest.fixture(scope="module")
def up(running, toy, webhook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("alerts")
    file = folder / "addresses"
    file.write_text(f"# who hears of it\njson://127.0.0.1:{webhook.port}/{SECRET}\n")
    file.chmod(0o600)
    root = running.make_project(toy, folder / "my project")
    late = {"PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "5"}
    with running.platform(root, panel=False, PHIFORGE_ALERTS_FILE=str(file), **late) as platform:
        yield platform


def wait_for_progress(up: Any, run: str) -> None:
    """Until training is all of the run that works, and the server has a line of it."""

    def ready() -> bool:
        with up.operator() as client:
            lines = client.post("/logs/filter", json={"logs": {"flow_run_id": {"any_": [run]}}}).json()
            tasks = client.post("/task_runs/filter", json={"flow_runs": {"id": {"any_": [run]}}}).json()
        working = [task["name"] for task in tasks if task["state_type"] == "RUNNING"]
        return working == ["train"] and any("progress done=" in line["message"] for line in lines)

    assert processes.wait_until(ready, 240, pause=1)


def killed(up: Any, words: str) -> None:
    """Kill the one process below `make up` with these words on its command line."""
    [process] = [
        child for child in psutil.Process(up.process.pid).children(recursive=True) if words in " ".join(child.cmdline())
    ]
    process.kill()


@pytest.mark.slow
def test_runs_that_end_badly_are_told_with_stage_lines_and_page(up, webhook):
    flag = up.root / "trace" / "train.fail"
    flag.write_text("error: training: the disk is full; free some space and run again")
    run = up.launch()
    message = webhook.next()
    assert message["title"].startswith("Phiforge: pipeline ")
    assert message["title"].endswith(" failed")
    assert "stage train: failed with exit status 1" in message["message"]
    assert "error: training: the disk is full" in message["message"]
    assert message["message"].endswith(up.url("prefect", f"/runs/flow-run/{run}"))
    flag.unlink()

    # A run of its own is killed, then the worker of another, whose run the restarted platform settles.
    (up.root / "trace" / "slow").write_text("6000")
    for words, said in (("prefect.engine", "status code: -9"), ("flows.worker", "its process was killed")):
        run = up.launch(overrides={"seed": len(words)})
        wait_for_progress(up, run)
        killed(up, words)
        message = webhook.next()
        assert message["title"].endswith(" crashed")
        assert said in message["message"]
        assert "unfinished: train\n" in message["message"]
        assert "progress done=" in message["message"]
        assert message["message"].endswith(up.url("prefect", f"/runs/flow-run/{run}"))
        assert up.finished(run)["type"] == "CRASHED"
    (up.root / "trace" / "slow").unlink()
    assert webhook.none(5)  # one alert for each


@pytest.mark.slow
def test_late_runs_are_told_and_a_refused_alert_ends_nothing(up, webhook):
    with up.operator() as client:
        client.patch("/work_pools/local", json={"is_paused": True}).raise_for_status()
        webhook.status = 500
        run = up.launch()
        assert webhook.next()["title"].endswith(" late")
        webhook.status = 200
        other = up.launch()
        message = webhook.next()
        assert "It has not started yet; it was due at" in message["message"]
        assert message["message"].endswith(up.url("prefect", f"/runs/flow-run/{other}"))
        client.patch("/work_pools/local", json={"is_paused": False}).raise_for_status()
    assert [up.finished(each)["type"] for each in (run, other)] == ["COMPLETED", "COMPLETED"]
    assert webhook.none(5)  # nothing is told of runs that end well


PROMOTE = """
from flows import server, settings
settings.configure(settings.project_root())
server.connect(settings.project_root())
from flows import alerts
alerts.promoted("phi", "7", "Loss 4.52, before 4.61 (0.09 better, 95% interval 0.05 to 0.12).", "http://127.0.0.1/models/phi/7")
"""


@pytest.mark.slow
def test_promotions_are_told(up, running, webhook):
    environment = running.environment_of(up.root)
    subprocess.run([sys.executable, "-c", PROMOTE], cwd=REPOSITORY, env=environment, check=True)
    message = webhook.next()
    assert message["title"] == "Phiforge: phi version 7 promoted"
    assert message["message"].startswith("Loss 4.52, before 4.61")
    assert message["message"].endswith("http://127.0.0.1/models/phi/7")


@pytest.mark.slow
def test_the_address_is_in_no_database_no_log_and_no_page(up):
    with up.operator() as client:
        [block] = client.post("/block_documents/filter", json={"include_secrets": True}).json()
        assert block["data"].keys() <= {"block_type_slug", "_is_anonymous"}
        names = {automation["name"] for automation in client.post("/automations/filter", json={}).json()}
    assert names == set(alerts.TEMPLATES)
    for file in up.root.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a database's journal that has just been removed
            assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


@pytest.mark.slow
def test_an_automation_that_is_switched_off_stays_off(up):
    """As a start of `make up` registers it anew."""
    registering = "from flows import server, settings; home = settings.project_root(); settings.configure(home)\n"
    registering += "server.connect(home)\nfrom prefect import get_client\nfrom flows import alerts\n"
    registering += "with get_client(sync_client=True) as client: alerts.register(client)"
    name = next(iter(alerts.TEMPLATES))
    with up.operator() as client:
        [found] = [a for a in client.post("/automations/filter", json={}).json() if a["name"] == name]
        client.patch(f"/automations/{found['id']}", json={"enabled": False}).raise_for_status()
        environment = os.environ | {"PHIFORGE_HOME": str(up.root), "PHIFORGE_ALERTS": "json://127.0.0.1:9/x"}
        subprocess.run([sys.executable, "-c", registering], cwd=REPOSITORY, env=environment, check=True)
        [after] = [a for a in client.post("/automations/filter", json={}).json() if a["name"] == name]
    assert (after["id"], after["enabled"]) == (found["id"], False)


def send(monkeypatch: pytest.MonkeyPatch, address: str, body: str, subject: str = "a subject") -> None:
    monkeypatch.setenv(alerts.ADDRESSES, address)
    asyncio.run(alerts.AlertAddresses().notify(body, subject))


def test_an_alert_is_a_mail_of_plain_text(monkeypatch, mailbox):
    address = f"mailto://127.0.0.1:{mailbox.port}?from=phiforge@host.example&to=me@host.example"
    send(monkeypatch, address, "stage train: <b>failed</b>\n  its last line, https://me:pw@host.example/x")
    mail = mailbox.next(20)
    _, plain, page = (part.get_payload(decode=True) or b"" for part in mail.walk())
    assert (mail["Subject"], mail["To"]) == ("a subject", "me@host.example")
    assert plain.decode().split() == [
        "stage",
        "train:",
        "<b>failed</b>",
        "its",
        "last",
        "line,",
        "https://host.example/x",
    ]
    assert b"&lt;b&gt;failed&lt;/b&gt;<br/>" in page


def test_a_run_whose_name_has_several_lines_is_told_in_one(monkeypatch, mailbox):
    address = f"mailto://127.0.0.1:{mailbox.port}?from=phiforge@host.example&to=me@host.example"
    send(
        monkeypatch,
        address,
        "stage train: failed",
        "pipeline calm\r\nBcc: you@host.example\x0b\x00 failed" + "!" * 5000,
    )
    mail = mailbox.next(20)
    subject = str(email.header.make_header(email.header.decode_header(mail["Subject"])))
    assert subject.startswith(r"pipeline calm Bcc: you@host.example \x00 failed!")
    assert len(subject) < 300
    assert mail["Bcc"] is None


def test_an_address_that_takes_nothing_is_not_quoted(monkeypatch, webhook, capfd):
    from prefect.blocks.abstract import NotificationError

    webhook.status = 500
    for port in (webhook.port, 9):
        with pytest.raises(NotificationError) as refused:
            send(monkeypatch, f"json://127.0.0.1:{port}/{SECRET}", "x")
        assert SECRET not in refused.value.log
    webhook.status = 200
    webhook.next()
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.parametrize("address", [f"nonsense://{SECRET}", SECRET, f"https://host.example/{SECRET}"])
def test_what_is_not_an_address_is_refused_without_being_quoted(address):
    with pytest.raises(StepError, match="PHIFORGE_ALERTS: address 2 of 2 is not an Apprise address") as refused:
        alerts.addresses({alerts.ADDRESSES: f"json://127.0.0.1:9/x {address}"})
    assert SECRET not in str(refused.value)


def test_a_file_of_addresses_is_for_its_owner_alone(tmp_path):
    file = tmp_path / "addresses"
    file.write_text("# mine\n\n  json://127.0.0.1:9/x\n")
    environment = {alerts.ADDRESSES_FILE: str(file)}
    file.chmod(0o640)
    with pytest.raises(StepError, match=r"others may read it.*chmod 600"):
        alerts.addresses(environment)
    file.chmod(0o600)
    assert alerts.addresses(environment) == ["json://127.0.0.1:9/x"]
    assert alerts.addresses({}) == []
    with pytest.raises(StepError, match="cannot be read"):
        alerts.addresses({alerts.ADDRESSES_FILE: str(tmp_path / "missing")})


def test_a_promotion_that_cannot_be_announced_fails_nothing(monkeypatch):
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no server")

    monkeypatch.setattr(alerts, "emit_event", refuse)
    alerts.promoted("phi", "7", "better")
