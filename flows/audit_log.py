"""The audit log of the servers: who launched, promoted, changed or deleted something through Prefect's or MLflow's API.

A request per line of `.phiforge/requests.jsonl`, which only its owner can read; `phiforge audit-log` prints it together
with the acts in the panel. Requests that a run makes for itself, such as its states and logs, are not in it.
"""

import argparse
import re
import sys
from datetime import UTC
from pathlib import Path

from flows import settings
from flows.client import acts

PROG = "python -m flows.audit_log"
FILE = "requests.jsonl"
ID = r"[^/]+"
WHAT = (  # act, method, path
    ("launch", "POST", rf"/api/deployments/{ID}/create_flow_run|/api/flow_runs/"),
    ("delete", "DELETE", r"/api/(flow_runs|flows|deployments|work_pools|automations|variables|block_documents|artifacts)/.+"),
    ("change", "POST|PATCH|PUT", rf"/api/deployments/({ID})?|/api/deployments/{ID}/(schedules.*|pause_deployment|resume_deployment)"),
    ("change", "POST|PATCH|PUT", rf"/api/(automations|work_pools)/({ID})?"),
    ("promote", "POST|DELETE", r"/(ajax-)?api/2.0/mlflow/registered-models/alias"),
    ("delete", "POST|DELETE", r"/(ajax-)?api/2.0/mlflow/(runs|experiments|registered-models|model-versions)/delete"),
    ("delete", "DELETE", r"/(ajax-)?api/2.0/mlflow-artifacts/.+"),
)  # fmt: skip


def act_of(method: str, path: str) -> str:
    """What a request does; empty if it is not one for the log."""
    return next((act for act, by, at in WHAT if re.fullmatch(by, method) and re.fullmatch(at, path)), "")


def record(root: Path, by: str, method: str, path: str, status: int, address: str) -> None:
    """Add a request if it is one for the log."""
    if act := act_of(method, path):
        acts.record(root, by, act, path, f"{method} {status} {address}".strip(), FILE)


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Print the newest acts, oldest first; returns the exit status."""
    limit = parser(prog).parse_args(argv).limit
    root = settings.project_root()
    found = sorted([*acts.latest(root), *acts.latest(root, FILE)], key=lambda act: act.time)
    for act in found[-limit:] if limit else found:
        at = act.time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        print(f"{at}  {act.by:<16} {act.what:<10} {act.of}  {act.text}".rstrip())
    return 0


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=prog, description="Who launched, promoted, changed or deleted what, and when (UTC)."
    )
    made.add_argument("--limit", type=int, default=100, help="number of newest acts; 0 = all (default %(default)s)")
    return made


if __name__ == "__main__":
    sys.exit(main())
