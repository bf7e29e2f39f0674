"""Schedules: when which run starts by itself, alerts, and housekeeping with what it would free."""

import os
from collections.abc import Callable
from datetime import datetime
from zoneinfo import available_timezones

import streamlit as st

from components.errors import StepError
from flows.client.schedules import Schedule, next_times
from ui import acts, banner, parts, reads
from ui.text import html, plain

HOUSEKEEPING = "housekeeping/local"
ALERTS = ("PHIFORGE_ALERTS", "PHIFORGE_ALERTS_FILE")
NEXT = 3  # times to show


def when(moment: datetime) -> str:
    """A time in the schedule's own time zone."""
    return moment.strftime("%a %d %b %Y, %H:%M")


def times_of(schedule: Schedule) -> str:
    """The times of a schedule, in words and as it is due next."""
    if not schedule.cron:
        return html(schedule.other or "a schedule of another kind; Prefect's page shows it", 120)
    due = "; ".join(map(when, schedule.next_times(NEXT if schedule.active else 1)))
    words = "next" if schedule.active else "would be next"
    return (
        f'<small><code>{html(schedule.cron, 60)}</code> {html(schedule.timezone, 60)}</small>'
        f'<div class="pf-dim">{words}: {html(due)}</div>'
    )  # fmt: skip


def card(schedule: Schedule) -> None:
    """One schedule with its switch, times and start."""
    title = schedule.deployment.removesuffix("/local") + (f" · {schedule.slug}" if schedule.slug else "")
    with st.container(border=True, key=f"pf-schedule-{schedule.id}"):
        st.html(
            f'<b>{html(title, 80)}</b><div class="pf-dim">{html(schedule.about, 240)}</div><div>{times_of(schedule)}</div>'
        )
        if acts.refusal():
            st.html(parts.badge("on", "good") if schedule.active else parts.badge("off", "quiet"))
            return
        with st.container(horizontal=True, vertical_alignment="center"):
            key = f"on-{schedule.id}-{schedule.active}"
            st.toggle("On", schedule.active, key=key, on_change=switch, args=(schedule, key))
            st.space("stretch")
            if schedule.cron:
                change(schedule)
            with st.popover("Run now", icon=":material/play_arrow:", key=f"now-{schedule.id}"):
                st.write(f"Starts {plain(schedule.deployment, 80)} once, as the schedule does.")
                if st.button("Start it", type="primary", key=f"start-{schedule.id}"):
                    done(lambda: st.session_state.update(started=acts.start(schedule)))


def switch(schedule: Schedule, key: str) -> None:
    """Switch a schedule the other way, once; the page then says why, if that was refused."""
    try:
        acts.switch(schedule, not schedule.active)
    except StepError as error:
        st.session_state["refused"] = str(error)
        del st.session_state[key]


def change(schedule: Schedule) -> None:
    """A form for other times."""
    zones = sorted(available_timezones() | {schedule.timezone})
    with st.popover("Change", icon=":material/schedule:", key=f"change-{schedule.id}"):
        cron = st.text_input(
            "Time", schedule.cron, key=f"cron-{schedule.id}-{schedule.cron}",
            help="Minute, hour, day of the month, month, day of the week: `30 2 * * *` is 02:30 every night",
        )  # fmt: skip
        zone = st.selectbox(
            "Time zone", zones, zones.index(schedule.timezone), key=f"zone-{schedule.id}-{schedule.timezone}"
        )
        try:
            st.caption("Due at " + "; ".join(map(when, next_times(cron, zone, NEXT))))
        except StepError as error:
            parts.error(error)
            return
        same = (cron, zone) == (schedule.cron, schedule.timezone)
        if st.button("Save", type="primary", key=f"save-{schedule.id}", disabled=same):
            done(lambda: acts.reschedule(schedule, cron, zone))


def done(act: Callable[[], None]) -> None:
    """Do what a person asked for, then draw the page again; or say why not."""
    try:
        act()
    except StepError as error:
        parts.error(error)
    else:
        st.rerun()


def started() -> None:
    """The run that a person has just started."""
    if not (found := st.session_state.pop("started", None)):
        return
    run_id, name = found
    with st.container(horizontal=True, vertical_alignment="center"):
        st.write(f"{plain(name, 80)} has started.")
        if reads.flow_run(run_id):
            st.page_link("views/run.py", label="Open it", icon=":material/play_circle:", query_params={"run": run_id})


def alerts() -> None:
    parts.label("Alerts")
    if any(os.environ.get(name) for name in ALERTS):
        st.write("Failed, crashed and late runs and promoted models are sent to the addresses of PHIFORGE_ALERTS.")
    else:
        st.write(
            "No alerts are sent. Set PHIFORGE_ALERTS to one or more addresses, such as `mailto://` or `slack://`, and start "
            "`make up` again: docs/operations.md."
        )


def housekeeping(known: list[Schedule]) -> None:
    """What could be freed, and a start of it."""
    parts.label("Housekeeping")
    st.write("Removes what old runs left behind and nothing needs; the limits are in params.yaml, housekeeping.")
    if st.button("Show what it would free", icon=":material/cleaning_services:", key="would_free"):
        st.session_state["counted"] = True
    if st.session_state.get("counted"):
        st.code(reads.printed("flows.housekeeping", "--dry-run"), language=None)
        if not acts.refusal() and (ours := next((one for one in known if one.deployment == HOUSEKEEPING), None)):
            with st.popover("Free it", icon=":material/delete:", key="free"):
                st.write("What is listed above is removed for good.")
                if st.button("Remove it", type="primary", key="free_sure"):
                    st.session_state["counted"] = False
                    done(lambda: st.session_state.update(started=acts.start(ours)))


def page() -> None:
    parts.heading("Schedules", "Runs that start by themselves, alerts, and housekeeping.")
    with banner.shielded("The schedules"):
        known = reads.schedules()
        if refused := st.session_state.pop("refused", ""):
            parts.error(refused)
        started()
        if not known:
            parts.empty("No schedules", "prefect.yaml has the nightly runs; `make up` registers them.")
        for schedule in known:
            card(schedule)
        alerts()
        housekeeping(known)


page()
