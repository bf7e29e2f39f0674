"""What a person does through the panel; each act is recorded with user and time.

Everybody who is not known to be the operator may only view, and so may everybody if PHIFORGE_PANEL_READ_ONLY is set.
"""

import os
import subprocess
import sys

import streamlit as st

from components.errors import StepError
from flows.client import FlowRun, Launch, access, acts, project_root, schedules
from flows.client.schedules import Schedule
from ui import reads

PATIENCE_S = 120
READ_ONLY = "PHIFORGE_PANEL_READ_ONLY"


def user() -> str:
    """The name with which this person has logged in; empty if it is not known.

    After a browser has disconnected, Streamlit no longer knows the person, but may still be running the page.
    """
    headers = st.context.headers
    return headers.get(access.USER_HEADER) or headers.get(access.ROLE_HEADER) or ""


def refusal() -> str:
    """The reason why this person may only view; empty if they may act."""
    if os.environ.get(READ_ONLY, "").lower() not in ("", "0", "false", "no"):
        return f"This panel is read-only: {READ_ONLY} is set. You can view everything but not start or change runs."
    if st.context.headers.get(access.ROLE_HEADER) != access.OPERATOR:
        return "You are not logged in as operator: you can view everything but not start or change runs."
    return ""


def check() -> None:
    """Raises:
    StepError: this person may only view.
    """
    if reason := refusal():
        raise StepError(reason)


def record(what: str, of: str, text: str = "") -> None:
    """Write down that this person has done something: `delete`, the id of the run, and its name."""
    acts.record(project_root(), user(), what, of, text)


def launch(wanted: Launch) -> FlowRun:
    """Start a run.

    Raises:
        StepError: this person may not, or the server refuses.
    """
    check()
    run = reads.prefect(lambda runs: runs.launch(wanted))
    record("launch", run.id, run.name)
    reads.forget()
    return run


def cancel(run: FlowRun) -> None:
    """Cancel a run; raises as `launch` does."""
    check()
    reads.prefect(lambda runs: runs.cancel(run.id))
    record("cancel", run.id, run.name)
    reads.forget()


def retry(run: FlowRun) -> FlowRun:
    """Start a run with the parameters of another; its finished stages are cached. Raises as `launch` does."""
    return launch(Launch(run.overrides, run.profile, run.flow, run.text, run.size))


def promote(version: str, reason: str) -> None:
    """Make a version of the registered model the champion; raises as `_decide` does."""
    _decide("promote", version, reason)


def roll_back(reason: str) -> None:
    """Make the previous champion the champion again; raises as `_decide` does."""
    _decide("rollback", "", reason)


def _decide(what: str, version: str, reason: str) -> None:
    """Change the champion by the command that does it on the terminal.

    Raises:
        StepError: this person may not, or the command refuses.
    """
    check()
    words = [what, *([version] if version else []), "--reason", f"{reason} ({user()})"]
    command = [sys.executable, "-m", "flows.champion", *words]
    try:
        done = subprocess.run(
            command, cwd=project_root(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise StepError(
            f"this took more than {PATIENCE_S} s and was stopped; look at what the champion is now, and try again"
        ) from None
    if done.returncode:
        raise StepError((done.stderr.strip().splitlines() or ["error: it was stopped"])[-1].removeprefix("error: "))
    record(what, version, reason)
    reads.forget()


def switch(schedule: Schedule, active: bool) -> None:
    """Switch a schedule on or off; raises as `launch` does."""
    check()
    reads.prefect(lambda runs: schedules.switch(runs, schedule, active))
    record("switch on" if active else "switch off", schedule.deployment, schedule.slug)
    reads.forget()


def reschedule(schedule: Schedule, cron: str, timezone: str) -> None:
    """Change the times of a schedule; raises as `launch` does."""
    check()
    reads.prefect(lambda runs: schedules.change(runs, schedule, cron, timezone))
    record("reschedule", schedule.deployment, f"{cron} {timezone}")
    reads.forget()


def start(schedule: Schedule) -> tuple[str, str]:
    """Start now what a schedule starts; id and name of the run. Raises as `launch` does."""
    check()
    run_id, name = reads.prefect(lambda runs: schedules.start(runs, schedule))
    record("launch", run_id, name)
    reads.forget()
    return run_id, name


def change(run: FlowRun) -> None:
    """Give a run the name, the tags and the note of this value; raises as `launch` does."""
    check()
    reads.prefect(lambda runs: runs.change(run))
    if parent := reads.parent_of(run.id):
        reads.mlflow(lambda records: records.rename(parent, run.name))
    record("change", run.id, run.name)
    reads.forget()


def delete(run: FlowRun) -> None:
    """Delete a run that has ended, in Prefect and in MLflow; raises as `launch` does."""
    check()
    parent = reads.parent_of(run.id)
    reads.prefect(lambda runs: runs.delete(run.id))
    if parent:
        reads.mlflow(lambda records: records.delete(parent))
    record("delete", run.id, run.name)
    reads.forget()
