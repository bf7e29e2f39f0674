"""Alerts: failed, crashed and late runs and promoted models, sent to the addresses of PHIFORGE_ALERTS.

Two automations of Prefect send them through one notification block, all registered with the deployments. The block
contains no address: it reads them where it runs, in the Prefect server, so that no secret gets into the database. A
promotion is an event of ours, `phiforge.model.promoted`.
"""

import contextlib
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
from prefect import get_client
from prefect.automations import AutomationCore
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterTaskRunId
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import LogSort
from prefect.events import emit_event
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.logging import get_logger

from components.errors import StepError, shortened
from components.foreign.addresses import without_secrets
from components.foreign.terminal import printable
from flows.stages import TAIL

if TYPE_CHECKING:
    from apprise import Apprise

ADDRESSES = "PHIFORGE_ALERTS"  # Apprise addresses, separated by blanks
ADDRESSES_FILE = "PHIFORGE_ALERTS_FILE"  # or a file with one per line
PROMOTED = "phiforge.model.promoted"
UNFINISHED = {  # states of stages in a run that was killed
    StateType.RUNNING,
    StateType.CRASHED,
    StateType.CANCELLING,
    StateType.CANCELLED,
    StateType.FAILED,
}
RUN_EVENTS = {f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "Late")}
RUN_BODY = """\
{{ flow_run.state.message or 'It has not started yet; it was due at ' ~ flow_run.expected_start_time ~ '.' }}

{{ flow_run|ui_url }}"""
TEMPLATES = {  # name of an automation: its events, subject and body
    "Alert: failed, crashed and late runs": (
        RUN_EVENTS,
        "Phiforge: {{ flow.name }} {{ flow_run.name }} {{ flow_run.state.name | lower }}",
        RUN_BODY,
    ),
    "Alert: promoted models": (
        {PROMOTED},
        "Phiforge: {{ event.resource.name }} promoted",
        "{{ event.payload.text }}\n\n{{ event.payload.page or flow_run|ui_url }}",
    ),
}


class AlertAddresses(NotificationBlock):
    """The addresses of PHIFORGE_ALERTS, or of the file that PHIFORGE_ALERTS_FILE names."""

    _block_type_name = "Phiforge alerts"
    _block_type_slug = "phiforge-alerts"

    async def notify(self, body: str, subject: str | None = None) -> None:
        """Send to all addresses.

        Raises:
            NotificationError: sending to an address failed; the message has the number of addresses but does not quote
                them, since an address may be a secret.
        """
        try:
            targets = addresses(os.environ)
        except StepError as error:
            raise NotificationError(str(error)) from None
        if not targets:
            return
        text = without_secrets(await with_stages(body))
        title = printable(shortened(subject or ""))  # a run's name may have several lines, a mail header may not
        if not await _client(targets).async_notify(title=title, body=text):
            raise NotificationError(
                f"at least one of the {len(targets)} addresses of {ADDRESSES} did not accept the alert"
            )


async def with_stages(body: str) -> str:
    """The text of an alert, with the unfinished stages of its run and their last lines if it does not name them. The
    state of a failed run names them; the state of a killed run says only what killed it.
    """
    message, gap, page = body.rpartition("\n\n")
    run = re.search(r"/flow-run/([0-9a-f-]{36})$", page)
    if not run or not os.environ.get("PREFECT_API_URL"):
        return body
    of_this_run = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run[1])]))
    with contextlib.suppress(httpx.HTTPError):  # the alert is sent without them then
        async with get_client() as client:
            tasks = await client.read_task_runs(flow_run_filter=of_this_run)
            if left := [task for task in tasks if task.state.type in UNFINISHED and task.name not in message]:
                of_these = LogFilter(task_run_id=LogFilterTaskRunId(any_=[task.id for task in left]))
                logs = await client.read_logs(of_these, limit=TAIL, sort=LogSort.TIMESTAMP_DESC)
                names = ", ".join(task.name for task in left)
                message = "\n".join([message, f"unfinished: {names}", *(log.message for log in reversed(logs))])
    return f"{message}{gap}{page}"


def addresses(environment: Mapping[str, str]) -> list[str]:
    """The addresses for alerts, in Apprise's form, such as `jsons://host/path` or
    `mailtos://user:password@host.example?to=me@host.example`.

    Raises:
        StepError: the file cannot be read or others can read it, or Apprise does not know the form of an address.
    """
    found, where = environment.get(ADDRESSES, "").split(), ADDRESSES
    if file := environment.get(ADDRESSES_FILE):
        where = f"{ADDRESSES_FILE} {file}"
        try:
            if Path(file).stat().st_mode & 0o077:
                raise StepError(f"{where}: others may read it; expected a file for you only; run: chmod 600 {file}")
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise StepError(f"{where}: cannot be read ({error}); write one address on each line") from None
        found += [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    for number, address in enumerate(found, 1):
        if not len(_client([address])):
            raise StepError(
                f"{where}: address {number} of {len(found)} is not an Apprise address; expected one such as "
                "jsons://host/path or mailtos://host.example?to=me@host.example; correct it"
            )
    return found


def _client(found: list[str]) -> "Apprise":
    """The Apprise client for these addresses. It sends plain text, so an e-mail keeps the lines."""
    from apprise import Apprise, AppriseAsset

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its messages quote parts of addresses
    client = Apprise(asset=AppriseAsset(app_id="Phiforge", app_desc="Phiforge", app_url="", body_format="text"))
    for address in found:
        client.add(address)
    return client


def register(client: SyncPrefectClient) -> None:
    """Create or renew the block and the automations. An automation that a person has switched off stays off.

    Raises:
        StepError: the addresses are refused.
    """
    if not addresses(os.environ):
        return
    block = AlertAddresses().save("alerts", overwrite=True)
    for name, (events, subject, body) in TEMPLATES.items():
        automation = AutomationCore(
            name=name,
            trigger=EventTrigger(
                expect=events, for_each={"prefect.resource.id"}, posture=Posture.Reactive, threshold=1
            ),
            actions=[SendNotification(block_document_id=block, subject=subject, body=body)],
        )
        if found := client.read_automations_by_name(name):
            client.update_automation(found[0].id, automation.model_copy(update={"enabled": found[0].enabled}))
        else:
            client.create_automation(automation)


def promoted(model: str, version: str, text: str, page: str = "") -> None:
    """Report to Prefect, and so to everyone who gets alerts, that a version of a model was promoted. Never fails.

    Args:
        model: name in the model registry.
        text: the decision with its metrics.
        page: address to open; empty for the page of the run that promoted it.
    """
    resource = {
        "prefect.resource.id": f"phiforge.model.{model}",
        "prefect.resource.name": f"{model} version {version}",
        "phiforge.version": version,
    }
    try:
        emit_event(PROMOTED, resource, payload={"text": without_secrets(text), "page": page})
    except Exception as error:  # noqa: BLE001 - an alert is not worth a run
        get_logger("phiforge.alerts").warning("the promotion was not announced: %s", type(error).__name__)
