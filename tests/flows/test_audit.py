"""`make audit`: an audit that could not be made never passes for one that found nothing."""

import http.server
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows import audit

REPOSITORY = Path(__file__).parents[2]
HASH = "sha256:" + "0" * 64
# Stands for a tool: writes an answer, unless it is empty, to its --output or --output-file, and exits with a status.
# A first line that names Python itself could hold no blank.
TOOL = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys
if {answer!r}:
    place = next(i for i, part in enumerate(sys.argv) if part in ("--output", "--output-file"))
    open(sys.argv[place + 1], "w").write({answer!r})
print("what the tool says")
sys.exit({status})
"""
WEAK = {"id": "PYSEC-2099-1", "fix_versions": ["9.9"], "aliases": [], "description": ""}


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A project with lock files of two packages."""
    root = tmp_path / "my project"
    (root / "docker").mkdir(parents=True)
    shutil.copy(REPOSITORY / "pyproject.toml", root)
    for name in audit.LOCKS:
        (root / name).write_text("")
    (root / "requirements.lock").write_text(f"jinja2==3.1.6 --hash={HASH}\nsix==1.17.0 --hash={HASH}\n")
    monkeypatch.setenv("PHIFORGE_HOME", str(root))
    return root


@pytest.fixture
def tools(root) -> Callable[..., None]:
    """Install tools of which pip-audit answers with these packages, or not at all, and ends with this status."""
    folder = root / ".phiforge" / "audit" / "bin"
    folder.mkdir(parents=True)

    def install(packages: list[dict] | None, status: int, bill: str = "{}") -> None:
        answer = "" if packages is None else json.dumps({"dependencies": packages})
        for name, given in (("pip-audit", (answer, status)), ("cyclonedx-py", (bill, 0))):
            (folder / name).write_text(TOOL.format(python=sys.executable, answer=given[0], status=given[1]))
            (folder / name).chmod(0o755)

    return install


def test_advisories_are_printed_with_the_release_that_fixes_them(root, tools, capsys):
    tools([{"name": "jinja2", "version": "3.1.6", "vulns": [WEAK, WEAK | {"id": "B", "fix_versions": []}]}], 1)
    assert audit.main([]) == 1
    said = capsys.readouterr().out
    assert "jinja2 3.1.6: PYSEC-2099-1, fixed in 9.9" in said
    assert "jinja2 3.1.6: B, no fix is released" in said
    assert "2 known advisories" in said


def test_no_known_advisory_is_success(root, tools, capsys):
    tools([{"name": "jinja2", "version": "3.1.6", "vulns": []}], 0)
    assert audit.main([]) == 0
    assert "No known advisories" in capsys.readouterr().out


@pytest.mark.parametrize("status", [0, 1, 2])
def test_an_earlier_answer_does_not_stand_for_one_that_failed(root, tools, capsys, status):
    tools([{"name": "jinja2", "version": "3.1.6", "vulns": []}], 0)
    assert audit.main([]) == 0
    tools(None, status)
    assert audit.main([]) == 3
    said = capsys.readouterr()
    assert "nothing was checked" in said.err
    assert "No known advisories" not in said.out.splitlines()[-1]
    assert not (root / ".phiforge" / "audit" / "advisories.json").exists()


def test_a_bill_that_was_not_written_is_a_failure(root, tools, capsys):
    tools([], 0, bill="")
    assert audit.main([]) == 3
    assert "what the tool says" in capsys.readouterr().err


def test_without_its_tools_it_says_what_installs_them(root, capsys):
    assert audit.main([]) == 3
    assert "run: make audit" in capsys.readouterr().err


class Osv(http.server.BaseHTTPRequestHandler):
    """Knows one weakness, of jinja2; fails on six where `broken` is set."""

    broken = False

    def do_POST(self):
        package = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.9"}]}]
        affected = [{"package": {"name": "jinja2", "ecosystem": "PyPI"}, "ranges": ranges}]
        found = [{"id": "PYSEC-2099-1", "summary": "weak", "affected": affected}] if package == "jinja2" else []
        answer = json.dumps({"vulns": found} if found else {}).encode()
        self.send_response(500 if self.broken and package == "six" else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments): ...


@pytest.fixture
def osv() -> Iterator[str]:
    """Address of a database of OSV's kind."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


@pytest.mark.slow
def test_the_real_tools(root, osv, capsys, monkeypatch):
    installed = REPOSITORY / ".phiforge" / "audit" / "bin"
    if not installed.is_dir():
        pytest.skip("make audit has not been run here")
    (root / ".phiforge" / "audit").mkdir(parents=True)
    (root / ".phiforge" / "audit" / "bin").symlink_to(installed)
    assert audit.main(["--osv-url", osv]) == 1
    assert "jinja2 3.1.6: PYSEC-2099-1, fixed in 9.9" in capsys.readouterr().out
    bill = json.loads((root / ".phiforge" / "audit" / "sbom.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert {"torch", "prefect", "mlflow"} <= {component["name"] for component in bill["components"]}
    assert os.fspath(REPOSITORY) not in json.dumps(bill)
    monkeypatch.setattr(Osv, "broken", True)
    assert audit.main(["--osv-url", osv]) == 3
    assert audit.main(["--osv-url", "http://127.0.0.1:9/v1/query"]) == 3
