"""Secrets that come in by any way are found in nothing that was written: files, databases, caches, git objects, logs.

Each test plants its own secrets, runs, and then looks for each of them as it is, quoted for an address and in base64.
"""

import base64
import gzip
import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest

from components.foreign.addresses import without_secrets
from components.tracking import tracking_uri
from flows import access, settings
from flows.client import Records
from flows.screen import next_steps
from tests.components.conftest import Served
from tests.documents import read_documents

REPOSITORY = Path(__file__).parents[2]
PROSE = "The river runs through the valley, and in the evening the children walk home, because it is getting dark.\n"


def secret(name: str) -> str:
    """A secret of a name, with characters that addresses quote."""
    return f"Zq7{name}+vK/9Tn4LmQ8xW2"


def forms(value: str) -> set[bytes]:
    """How a secret may be written: as it is, quoted, and in base64 wherever it begins."""
    shifted = (base64.b64encode(b"x" * shift + value.encode()) for shift in range(3))
    return {value.encode(), quote(value, safe="").encode(), *(code[4:].rstrip(b"=")[:-1] for code in shifted)}


def contents(path: Path) -> Iterator[bytes]:
    """A file's bytes (of a database free pages as well), and what they hold packed."""
    data = path.read_bytes()
    yield data
    if data[:4] == b"PAR1":
        yield json.dumps(pq.read_table(path).to_pylist(), ensure_ascii=False, default=str).encode()
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    if data[:1] == b"\x78":  # an object of git
        yield zlib.decompress(data)
    if data[:15] == b"SQLite format 3":  # values that pages split
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            yield "\n".join(database.iterdump()).encode("utf-8", "replace")


def places_of(values: dict[str, str], folder: Path, said: str = "") -> dict[str, list[str]]:
    """Where each secret is found below a folder or in what was said; those that are nowhere are left out."""
    wanted = {name: forms(value) for name, value in values.items()}
    found: dict[str, list[str]] = {}
    texts = [(path, data) for path in folder.rglob("*") if path.is_file() for data in contents(path)]
    for place, data in [(Path("said"), said.encode()), *texts]:
        for name, looks in wanted.items():
            if any(look in data for look in looks):
                found.setdefault(name, []).append(str(place))
    return found


def test_the_search_finds_every_form(tmp_path: Path) -> None:
    value = secret("search")
    for shift in range(3):
        code = base64.b64encode(b"a" * shift + value.encode() + b"tail").decode()
        assert places_of({"code": value}, tmp_path, code) == {"code": ["said"]}
    (tmp_path / "packed.gz").write_bytes(gzip.compress(quote(value, safe="").encode()))
    (tmp_path / "object").write_bytes(zlib.compress(value.encode()))
    database = sqlite3.connect(tmp_path / "a.db")
    database.execute("PRAGMA secure_delete=OFF")
    database.execute("CREATE TABLE t (v TEXT)")
    database.execute("INSERT INTO t VALUES (?)", [value])
    database.commit()
    database.execute("DELETE FROM t")
    database.commit()
    database.close()
    assert len(places_of({"code": value}, tmp_path)["code"]) == 3


STEP = """
import os, sys
from pathlib import Path
print("asked https://me:" + os.environ["PLANTED_ADDRESS"] + "@host.example/a?sig=" + os.environ["PLANTED_ADDRESS"])
print("prefect", {name: value for name, value in os.environ.items() if name.startswith("PREFECT_")})
Path(sys.argv[2]).parent.mkdir(parents=True, exist_ok=True)
Path(sys.argv[2]).write_text("done")
if Path("fail").exists():
    sys.exit("RuntimeError: https://me:" + os.environ["PLANTED_ADDRESS"] + "@host.example/a")
"""


@pytest.mark.slow
def test_nothing_that_a_flow_writes_holds_a_secret(
    project: Path, toy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By environment, params.yaml, --set, profile, address of DVC's remote and of git's, and the output of stages."""
    names = ("address", "prefect", "cloud", "key", "params", "set", "header", "profile", "remote", "git", "token")
    planted = {name: secret(name) for name in names}
    quoted = {name: quote(value, safe="") for name, value in planted.items()}
    monkeypatch.setenv("PLANTED_ADDRESS", quoted["address"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", planted["cloud"])
    monkeypatch.setenv("OPENAI_API_KEY", planted["key"])
    (project / "step.py").write_text(STEP)
    toy.git(project, "commit", "--all", "--message", "a step that says too much")
    toy.git(project, "remote", "add", "origin", f"https://{quoted['git']}@git.example/a.git")
    local = project / ".dvc" / "config.local"
    local.write_text(f"['remote \"far\"']\n    url = https://me:{quoted['remote']}@store.example/a\n")

    params = project / "params.yaml"
    said = ""

    def run(*arguments: str, status: int) -> None:
        nonlocal said
        others = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        words = [sys.executable, "-m", "flows.run", *arguments]
        environment = others | {"PREFECT_API_KEY": planted["prefect"]}
        done = subprocess.run(words, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
        said += done.stdout + done.stderr
        assert done.returncode == status, said

    source = f"ingestion:\n  sources: [{{path: 'https://me:{quoted['params']}@host.example/a'}}]\n"
    params.write_text(params.read_text() + source)
    run(status=1)
    toy.git(project, "checkout", "--", "params.yaml")
    run("--set", f"synthesis.teacher.base_url=https://me:{quoted['set']}@host.example/v1", status=1)
    header = {"extra_headers": {"Authorization": f"Bearer {planted['header']}"}}
    run("--set", f"synthesis.teacher.request={json.dumps(header)}", status=1)
    run("--set", f"synthesis.teacher.api_key_env=sk-{planted['token']}", status=1)
    profile = project / "profiles" / "leaky.yaml"
    profile.write_text(f"engine:\n  ray_address: ray://me:{quoted['profile']}@ray.example:10001\n")
    run("--profile", "leaky", status=1)
    profile.unlink()
    run("--set", "seed=2", status=0)
    run(status=0)
    (project / "fail").touch()
    (project / "step.py").write_text(f"{STEP}\n# changed")
    run(status=1)

    assert "asked https://host.example/a" in "".join(
        data.decode("utf-8", "replace") for path in project.rglob("prefect.db*") for data in contents(path)
    )
    found = places_of(planted, project, said)
    copies = {str(path) for path in project.glob("**/.dvc/config.local")}  # DVC's own place for what git must not have
    assert set(found.pop("remote")) == copies
    assert {path.stat().st_mode & 0o777 for path in project.glob("workspaces/*/.dvc/config.local")} == {0o600}
    assert found.pop("git") == [str(project / ".git" / "config")]
    assert not found


class Signed(BaseHTTPRequestHandler):
    """Gives a file to whoever has the signature."""

    signature = quote(secret("signature"), safe="")

    def do_GET(self) -> None:
        allowed = self.signature in self.path
        body = b'{"text": "%s"}\n' % PROSE.strip().encode() if allowed else b""
        self.send_response(200 if allowed else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def signed() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Signed)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/a.jsonl"
    server.shutdown()
    server.server_close()


def warc(url: str, page: str) -> bytes:
    body = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{page}".encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nContent-Type: application/http;msgtype=response\r\n"
        f"WARC-Record-ID: <urn:uuid:0>\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def documents_with(folder: Path, planted: dict[str, str]) -> None:
    """A source whose rows, pages and records hold secrets in the addresses that they name."""
    quoted = {name: quote(value, safe="") for name, value in planted.items()}
    folder.mkdir(parents=True)
    rows = [
        {"text": PROSE * 3, "source": f"https://host.example/row?id=1&X-Amz-Signature={quoted['source']}"},
        {"text": PROSE * 4, "url": f"https://me:{quoted['url']}@host.example/row"},
        {"text": PROSE * 5, "referrer": f"https://host.example/?access_token={quoted['metadata']}"},
        {"text": PROSE * 6 + f"See https://host.example/a?sig={quoted['text']} for more.\n"},
    ]
    lines = [json.dumps(row) for row in rows]
    (folder / "rows.jsonl").write_text("\n".join([*lines, "broken"]) + "\n")
    page = f"<p>{PROSE * 8}</p><a href='https://host.example/?sig={quoted['link']}'>more</a>"
    (folder / "page.html").write_text(f"<html><body><main>{page}</main></body></html>")
    (folder / "crawl.warc").write_bytes(
        warc(f"https://host.example/w?api_key={quoted['record']}", f"<main><p>{PROSE * 9}</p></main>")
        + warc(f"https://me:{quoted['quarantined']}@host.example/w", "")
    )


@pytest.mark.slow
def test_nothing_that_steps_write_holds_a_secret(project: Path, signed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By signed addresses, links, documents, archives, the tracking address, and the key of an endpoint.

    The one secret in a document's own text stays in data/raw until curation has redacted it.
    """
    inside = ("source", "url", "metadata", "text", "link", "record", "quarantined")
    planted = {name: secret(name) for name in inside}
    documents_with(project / "corpus", planted)
    planted |= {name: secret(name) for name in ("signature", "login", "key", "tracking")}
    monkeypatch.setenv(
        "SIGNED_URL", f"{signed.replace('//', '//me:' + quote(planted['login'], safe='') + '@')}?sig={Signed.signature}"
    )
    monkeypatch.setenv("TEACHER_KEY", planted["key"])
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    served = Served(latency=0.0, faults=0.0)
    sources = [{"path": str(project / "corpus")}, {"path": signed, "url_env": "SIGNED_URL"}]
    keep_all = {"min_value": {}, "min_f1": 0.0, "min_spearman": -1.0, "max_calibration_error": 5.0}
    teacher = {"kind": "openai", "base_url": served.url, "model": "m", "api_key_env": "TEACHER_KEY", "max_tokens": 600}
    sizes = {"chapters": 20, "exercises": 200, "exam_examples": 10, "reworded_examples": 0, "max_gzip_ratio": 30.0}
    params = {
        "engine": {"kind": "serial"},
        "ingestion": {"sources": sources},
        "curation": {
            "education": keep_all,
            "web": {"kinds": []},
            "language": {"keep": []},
            "max_duplicate_line_fraction": 1.0,
            "duplicates": {"thresholds": dict.fromkeys(("web", "prose", "code", "textbook", "exercise"), 1.0)},
        },
        "synthesis": sizes | {"max_near_duplicates": 1.0, "min_distinct_3": 0.0, "teacher": teacher},
    }
    (project / "params.yaml").write_text(json.dumps(params))
    said = ""

    def step(name: str, *arguments: str, status: int = 0, **environment: str) -> None:
        nonlocal said
        words = [sys.executable, "-m", f"components.{name}", *arguments]
        done = subprocess.run(
            words, cwd=project, env=os.environ | environment, capture_output=True, text=True, check=False
        )
        said += done.stdout + done.stderr
        assert done.returncode == status, said

    try:
        step("ingestion.inventory", "--output", "data/inventory.json")
        step("ingestion", "--output", "data/raw", "--summary", "reports/ingest.json")
        curated = ("--output", "data/curated", "--ledger", "data/ledger.parquet", "--report", "reports/curation")
        step("curation", "--documents", "data/raw", *curated)
        written = ("--output", "data/textbooks", "--exam", "data/exam", "--ledger", "data/synthesis.parquet")
        step(
            "synthesis", "--seeds", "data/curated", "--plan", "data/plan.parquet", *written, "--page", "reports/t.html"
        )
        address = f"http://me:{quote(planted['tracking'], safe='')}@127.0.0.1:9"
        step("ingestion", "--output", "data/raw", status=1, MLFLOW_TRACKING_URI=address)
    finally:
        served.close()

    raw = list(read_documents(project / "data" / "raw"))
    assert {"https://host.example/row?id=1", "https://host.example/row", signed, "https://host.example/w"} <= {
        re.sub(r"(\.jsonl):\d+$", r"\1", document.source) for document in raw
    }
    assert any("?sig=<KEY> for more" in document.text for document in read_documents(project / "data" / "curated"))
    found = places_of(planted, project, said)
    kept = {place for place in found.pop("text", []) if "/corpus/" not in place}
    assert kept == {str(project / "data" / "raw" / "part-00000.parquet")}
    outside = {name: [place for place in places if "/corpus/" not in place] for name, places in found.items()}
    assert not {name: places for name, places in outside.items() if places}


def test_a_tracking_address_is_shown_without_its_password(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    word = secret("tracking")
    database = f"postgresql+psycopg2://me:{quote(word, safe='')}@db.example/mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    assert tracking_uri(project) == database  # MLflow needs it
    shown = [
        Records().address,
        str(next_steps(project, project / "none")),
        without_secrets(settings.mlflow_uri(project)),
    ]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://me:{quote(word, safe='')}@mlflow.example")
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    assert settings.mlflow_uri(project) == os.environ["MLFLOW_TRACKING_URI"] == "https://mlflow.example"
    assert (os.environ.pop("MLFLOW_TRACKING_USERNAME"), os.environ.pop("MLFLOW_TRACKING_PASSWORD")) == ("me", word)
    shown += [Records().address, Records().link(_record()), str(next_steps(project, project / "none"))]
    assert not places_of({"tracking": word}, project, "\n".join(shown))


def _record() -> Any:
    from flows.client import Record

    return Record("id", "name", "FINISHED", None, "1", {}, {}, {})


def test_a_stage_gets_nothing_of_prefect_and_no_alert_address(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_DATABASE_CONNECTION_URL")
    for name in (*names, "PHIFORGE_ALERTS", "PHIFORGE_ALERTS_FILE"):
        monkeypatch.setenv(name, secret("prefect"))
    environment = settings.stage_environment(project)
    assert not [name for name in environment if name.startswith(("PREFECT_", "PHIFORGE_ALERTS"))]
    assert secret("prefect") not in environment.values()


def test_a_stage_gets_the_credentials_only_where_it_speaks_to_a_server(project: Path, monkeypatch) -> None:
    """They open Prefect's server as well; records in a file need none."""
    for name, value in access.client_variables("operator:correct-horse-battery-staple").items():
        monkeypatch.setenv(name, value)
    assert "correct-horse-battery-staple" not in str(settings.stage_environment(project))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert settings.stage_environment(project)["MLFLOW_TRACKING_PASSWORD"] == "correct-horse-battery-staple"


def test_the_state_folder_is_closed_to_others(project: Path) -> None:
    folder = settings.state_folder(project)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    assert settings.lock_file(project, "a").parent.is_dir()
    assert folder.stat().st_mode & 0o777 == 0o700
