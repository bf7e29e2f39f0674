"""The clients of all pages, one per process, and data that they read.

Data that may change is read each time; data of ended runs is cached.
"""

import os
from collections.abc import Mapping
from typing import Any

import streamlit as st

from components.errors import StepError
from components.params import load_params, profile_names
from flows.client import Curve, Record, Records, Runs, access, pipeline_stages, project_root


@st.cache_resource
def runs() -> Runs:
    """The Prefect server's runs."""
    return Runs()


@st.cache_resource
def records() -> Records:
    """MLflow's records."""
    return Records()


def read_only() -> bool:
    """Whether the person may not start or cancel runs, which is true for everybody who is not known to be the operator.

    After a browser has disconnected, Streamlit no longer knows the person, but may still be running the page.
    """
    return st.context.headers.get(access.ROLE_HEADER) != access.OPERATOR


def acting_runs() -> Runs:
    """The server's runs, to start or cancel one.

    Raises:
        StepError: the person is not known to be the operator.
    """
    if read_only():
        raise StepError(
            "You are not logged in as operator, so you can only view; log in as operator to start or cancel runs."
        )
    return runs()


def page_address(address: str) -> str:
    """A page of Prefect or MLflow, with the login of an operator, because these servers have no readers."""
    auth = os.environ.get(access.AUTH, "")
    return access.with_login(address, auth) if auth and address.startswith("http") and not read_only() else address


def defaults(profile: str | None) -> dict[str, Any]:
    """The current params.yaml with a profile applied, as nested plain values."""
    return load_params(project_root() / "params.yaml", profile=profile).model_dump(mode="json")


def profiles() -> list[str]:
    return profile_names(project_root())


@st.cache_data(ttl=5, show_spinner=False)
def launch_trouble(flow: str) -> tuple[str, bool]:
    """The reason why a run of a flow cannot be launched now (may be empty), and whether a worker waits for runs."""
    try:
        return "", runs().ready(flow)
    except StepError as error:
        return str(error), False


@st.cache_data(ttl=30, show_spinner=False)
def stages(flow: str = "pipeline") -> dict[str, str]:
    """Names of a flow's stages in the order of execution, with descriptions."""
    return pipeline_stages(project_root(), flow)


def stage_records(parent: Record | None, flow_run_id: str = "") -> dict[str, Record]:
    """MLflow's records of a run's stages, in the pipeline's order; for a cached stage, that of the run that made it.

    Args:
        parent: the run's own record; None if all its stages were cached.
        flow_run_id: the run, needed for its outputs if `parent` is None.
    """
    if parent is None:
        found = records().stages(None, runs().outputs(flow_run_id))
    else:
        found = (_ended_stages if parent.ended else _stages)(parent)
    order = list(stages())
    return dict(sorted(found.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))


def _stages(parent: Record) -> dict[str, Record]:
    return records().stages(parent)


@st.cache_data(max_entries=200, show_spinner=False, hash_funcs={Record: lambda record: record.id})
def _ended_stages(parent: Record) -> dict[str, Record]:
    """The records of an ended run, which never change."""
    return _stages(parent)


def curves(stages_of_run: Mapping[str, Record]) -> list[Curve]:
    """Loss curves of all training stages of a run."""
    return [
        curve for record in stages_of_run.values() for curve in (_ended_curves if record.ended else _curves)(record)
    ]


def _curves(record: Record) -> list[Curve]:
    return records().curves(record)


@st.cache_data(max_entries=500, show_spinner=False, hash_funcs={Record: lambda record: record.id})
def _ended_curves(record: Record) -> list[Curve]:
    """The curves of an ended run, which never change."""
    return _curves(record)


LEADERBOARD = "report/leaderboard.json"


def leaderboard(stages_of_run: dict[str, Record]) -> dict[str, Any]:
    """The leaderboard from the report of a run; empty without a report."""
    record = stages_of_run.get("report")
    if record is None:
        return {}
    return (_ended_leaderboard if record.ended else _leaderboard)(record) or {}


def _leaderboard(record: Record) -> dict[str, Any] | None:
    return records().document(record, LEADERBOARD)


@st.cache_data(max_entries=200, show_spinner=False, hash_funcs={Record: lambda record: record.id})
def _ended_leaderboard(record: Record) -> dict[str, Any] | None:
    """The leaderboard of an ended run, which never changes."""
    return _leaderboard(record)
