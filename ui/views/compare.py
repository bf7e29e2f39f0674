"""Compare: chosen runs in one view, with differing parameters, validation losses and the exam."""

from collections.abc import Mapping

import streamlit as st

from components.errors import StepError
from components.results.published import LOWER_IS_BETTER, best
from flows.client import Record, Score, parameters, scores
from ui import charts, parts, services

METRICS = {"acc": "accuracy", "acc_norm": "accuracy by length", "bits_per_byte": "bits per byte"}
Stages = Mapping[str, Mapping[str, Record]]  # by the id of the run, then by stage


def pick(parents: list[Record]) -> list[Record]:
    """The runs to compare; at first the latest two finished ones, or the latest two."""
    finished = [parent.id for parent in parents if parent.status == "FINISHED"]
    first = (finished if len(finished) > 1 else [parent.id for parent in parents])[:2]
    return parts.pick_runs(parents, "compare_runs", first, "Choose two or more runs")


def header(chosen: list[Record], names: Mapping[str, str]) -> list[str]:
    return [parts.swatch(place) + parts.escape(names[record.id]) for place, record in enumerate(chosen)]


def differing_parameters(chosen: list[Record], stages: Stages, names: Mapping[str, str]) -> None:
    values = [parameters(record, stages[record.id]) for record in chosen]
    keys = sorted({key for run in values for key in run})
    # A run that failed early has not logged the parameters of its later stages, which are unknown and not a difference.
    # A parameter that a run changed is a difference, even if the other run has not logged it.
    given = {key for record in chosen for key in record.params}
    differing = [
        key
        for key in keys
        if len({run[key] for run in values if key in run}) > 1
        or (key in given and any(key not in run for run in values))
    ]
    parts.label(f"Parameters that differ · {len(differing)} of {len(keys)}")
    if not differing:
        st.caption("These runs had the same parameters." if keys else "These runs logged no parameters.")
        return
    rows = [
        [f"<code>{parts.escape(key)}</code>", *(parts.escape(run.get(key, "default")) for run in values)]
        for key in differing
    ]
    parts.table(["", *header(chosen, names)], rows)


def losses(chosen: list[Record], stages: Stages, names: Mapping[str, str]) -> None:
    curves = [
        (names[record.id], curve)
        for record in chosen
        for curve in services.curves(stages[record.id])
        if curve.figure == "validation_loss"
    ]
    parts.label("Validation loss")
    if not curves:
        parts.empty("No curves", "None of these runs has trained a model yet.")
        return
    trained = list(dict.fromkeys(curve.stage for _, curve in curves))
    shown = st.pills(
        "Stages",
        trained,
        selection_mode="multi",
        default=trained,
        format_func=parts.plain,
        key="compare_stages",
        label_visibility="collapsed",
    )
    kept = [(name, curve) for name, curve in curves if curve.stage in (shown or trained)]
    # The colours follow the chosen runs, even if one has no curve.
    st.plotly_chart(
        charts.overlay(kept, list(names.values())),
        key="compare_loss",
        config={"displaylogo": False, "displayModeBar": False},
    )
    finals(chosen, stages, names, trained)


def finals(chosen: list[Record], stages: Stages, names: Mapping[str, str], trained: list[str]) -> None:
    """The last validation loss of each trained model, by run."""
    rows = []
    for stage in trained:
        values = [stages[record.id].get(stage) for record in chosen]
        losses = [record.metrics.get("validation_loss") if record else None for record in values]
        lowest = best([loss for loss in losses if loss is not None], "validation_loss")
        cells = ["-" if loss is None else parts.bold(f"{loss:.4f}", loss == lowest) for loss in losses]
        rows.append([parts.escape(stage), *cells])
    parts.table(["Last validation loss", *header(chosen, names)], rows, "pf-numbers")


def exam(chosen: list[Record], stages: Stages, names: Mapping[str, str]) -> None:
    """Figures of the exam with standard errors: one row per category or task, a column per run and model."""
    by_run = {r.id: [s for s in scores(stages[r.id]) if s.metric in METRICS] for r in chosen}
    everything = [score for found in by_run.values() for score in found]
    parts.label("Exam")
    if not everything:
        parts.empty("No scores", "None of these runs has benchmarked a model yet.")
        return
    group, metric = exam_choice(everything)
    columns = [
        (record, model)
        for record in chosen
        for model in dict.fromkeys(s.model for s in everything)
        if any(s.model == model for s in by_run[record.id])
    ]
    place = {record.id: i for i, record in enumerate(chosen)}
    head = [
        f"{parts.swatch(place[r.id])}{parts.escape(names[r.id])}<br><b>{parts.escape(model)}</b>"
        for r, model in columns
    ]
    found = {(run, s.model, s.group, s.name): s for run, of_run in by_run.items() for s in of_run if s.metric == metric}
    rows = []
    for of_group, name in dict.fromkeys((s.group, s.name) for s in everything if s.group in ("overall", group)):
        row = [found.get((record.id, model, of_group, name)) for record, model in columns]
        if any(row):
            rows.append([parts.escape(name.replace("_", " ")) or "<b>all tasks</b>", *cells(row, metric)])
    parts.table([METRICS[metric], *head], rows, "pf-numbers")
    better = "lowest" if metric in LOWER_IS_BETTER else "highest"
    st.caption(
        f"± is one standard error. The {better} value of each row is bold; a difference below two standard errors means little."
    )


def exam_choice(everything: list[Score]) -> tuple[str, str]:
    """The chosen rows (categories or tasks) and figure."""
    options = {"label_visibility": "collapsed", "required": True}
    groups = [g for g in ("categories", "tasks") if any(s.group == g for s in everything)]
    metrics = [m for m in METRICS if any(s.metric == m for s in everything)]
    with st.container(horizontal=True):
        group = (
            st.segmented_control("Rows", groups, default=groups[0], key="compare_group", **options) if groups else ""
        )
        metric = metrics[0]
        if len(metrics) > 1:
            metric = st.segmented_control(
                "Figure", metrics, default=metric, format_func=METRICS.get, key="compare_metric", **options
            )
    return group, metric


def cells(row: list[Score | None], metric: str) -> list[str]:
    """Figures with their standard errors, the best in bold."""
    bold = best([score.value for score in row if score], metric)
    texts = []
    for score in row:
        error = f" <small>± {score.stderr:.3f}</small>" if score and score.stderr is not None else ""
        texts.append(parts.bold(f"{score.value:.3f}", score.value == bold) + error if score else "-")
    return texts


def page() -> None:
    parts.heading("Compare", "Differing parameters, training curves and scores of several runs.")
    try:
        parents = services.records().parents()
        if not parents:
            parts.empty("Nothing to compare yet", "Runs appear here when MLflow has a record of them.")
            return
        chosen = pick(parents)
        if not chosen:
            parts.empty("No runs chosen", "Choose two or more runs above.")
            return
        names = parts.titles(chosen)
        stages = {record.id: services.stage_records(record) for record in chosen}
        differing_parameters(chosen, stages, names)
        losses(chosen, stages, names)
        exam(chosen, stages, names)
    except StepError as error:
        parts.error(error)


page()
