"""Compare: chosen runs in one view, with differing parameters, validation losses and the exam."""

import math
from collections.abc import Mapping

import streamlit as st

from components.results.comparability import NATS, Comparison, compare_losses, compare_scores
from components.results.power import LEGEND, error_words, from_another, from_chance, score_words
from components.results.published import LOWER_IS_BETTER
from flows.client import Record, Score, basis, parameters, scores
from ui import banner, charts, parts, reads
from ui.text import html, plain

METRICS = {"acc": "accuracy", "acc_norm": "accuracy by length", "bits_per_byte": "bits per byte"}
Stages = Mapping[str, Mapping[str, Record]]  # by the id of the run, then by stage


def pick(parents: list[Record]) -> list[Record]:
    """The runs to compare; at first the latest two finished ones, or the latest two."""
    finished = [parent.id for parent in parents if parent.status == "FINISHED"]
    first = (finished if len(finished) > 1 else [parent.id for parent in parents])[:2]
    return parts.pick_runs(parents, "compare_runs", first, "Choose two or more runs")


def header(chosen: list[Record], names: Mapping[str, str]) -> list[str]:
    return [parts.swatch(place) + html(names[record.id]) for place, record in enumerate(chosen)]


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
    rows = [[f"<code>{html(key)}</code>", *(html(run.get(key, "default")) for run in values)] for key in differing]
    parts.table(["", *header(chosen, names)], rows)


def losses(chosen: list[Record], stages: Stages, names: Mapping[str, str]) -> None:
    parts.label("Validation loss")
    comparison = loss_comparison(chosen, stages, names)
    if comparison.reason:
        st.caption(plain(comparison.reason))
    if not comparison.measure:
        return
    curves = [
        (names[record.id], curve)
        for record in chosen
        for curve in reads.curves(stages[record.id])
        if curve.figure == "validation_loss"
    ]
    if not curves:
        parts.empty("No curves", "None of these runs has trained a model yet.")
        return
    trained = list(dict.fromkeys(curve.stage for _, curve in curves))
    shown = st.pills(
        "Stages",
        trained,
        selection_mode="multi",
        default=trained,
        format_func=plain,
        key="compare_stages",
        label_visibility="collapsed",
    )
    kept = [(name, curve) for name, curve in curves if curve.stage in (shown or trained)]
    if comparison.measure == NATS:
        # The colours follow the chosen runs, even if one has no curve.
        charts.show(charts.overlay(kept, list(names.values())), "compare_loss")
    finals(chosen, stages, names, trained, comparison)


def loss_comparison(chosen: list[Record], stages: Stages, names: Mapping[str, str]) -> Comparison:
    """How the runs' losses may be compared; a run without a trained model has none."""
    bases = {
        names[record.id]: basis(stages[record.id], trained[0])
        for record in chosen
        if (trained := [stage for stage, found in stages[record.id].items() if "validation_loss" in found.metrics])
    }
    return compare_losses(bases)


def finals(
    chosen: list[Record], stages: Stages, names: Mapping[str, str], trained: list[str], comparison: Comparison
) -> None:
    """The last loss of each trained model, by run; the lowest in bold if the runs may be compared."""
    rows = []
    for stage in trained:
        values = [stages[record.id].get(stage) for record in chosen]
        losses = [record.metrics.get(comparison.measure) if record else None for record in values]
        best = best_of([loss for loss in losses if loss is not None], lower=True) if comparison.fair else None
        cells = ["-" if loss is None else parts.bold(f"{loss:.4f}", loss == best) for loss in losses]
        rows.append([html(stage), *cells])
    title = "Last validation loss" if comparison.measure == NATS else "Last bits per byte"
    parts.table([title, *header(chosen, names)], rows, "pf-numbers")


def exam(chosen: list[Record], stages: Stages, names: Mapping[str, str]) -> None:
    """Figures of the exam with standard errors: one row per category or task, a column per run and model."""
    by_run = {r.id: [s for s in scores(stages[r.id]) if s.metric in METRICS] for r in chosen}
    everything = [score for found in by_run.values() for score in found]
    parts.label("Exam")
    if not everything:
        parts.empty("No scores", "None of these runs has benchmarked a model yet.")
        return
    comparison = compare_scores(
        {names[r.id]: basis(stages[r.id], "benchmark") for r in chosen if by_run[r.id]}, "Exam scores"
    )
    if comparison.reason:
        st.caption(plain(comparison.reason))
        return
    group, metric = exam_choice(everything)
    columns = [
        (record, model)
        for record in chosen
        for model in dict.fromkeys(s.model for s in everything)
        if any(s.model == model for s in by_run[record.id])
    ]
    place = {record.id: i for i, record in enumerate(chosen)}
    head = [f"{parts.swatch(place[r.id])}{html(names[r.id])}<br><b>{html(model)}</b>" for r, model in columns]
    found = {(run, s.model, s.group, s.name): s for run, of_run in by_run.items() for s in of_run if s.metric == metric}
    rows = []
    for of_group, name in dict.fromkeys((s.group, s.name) for s in everything if s.group in ("overall", group)):
        row = [found.get((record.id, model, of_group, name)) for record, model in columns]
        if any(row):
            rows.append([html(name.replace("_", " ")) or "<b>all tasks</b>", *cells(row, metric)])
    parts.table([METRICS[metric], *head], rows, "pf-numbers")
    better = "lowest" if metric in LOWER_IS_BETTER else "highest"
    st.caption(
        "± is one standard error, in brackets that of families of exercises drawn at random. The "
        f"{better} value of each row is bold if it is more than two standard errors of the difference from every other; the "
        f"leaderboard has the paired differences, which are more precise. {LEGEND[0].upper()}{LEGEND[1:]}."
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
    """Figures with their standard errors and what they detect; the best in bold if it can be distinguished from the others."""
    known = [score for score in row if score]
    best = best_of([score.value for score in known], metric in LOWER_IS_BETTER)
    of_best = next((score.stderr or 0.0 for score in known if score.value == best), 0.0)
    if any(best != s.value and abs(s.value - (best or 0.0)) <= 2 * math.hypot(of_best, s.stderr or 0.0) for s in known):
        best = None
    texts = []
    for score in row:
        if score is None:
            texts.append("-")
            continue
        error = error_words(score.stderr, score.clustered_stderr, score.clusters)
        chance = from_chance(score.chance_stderr) if metric == "acc" else None
        detects = score_words(chance, from_another(score.stderr))
        small = f" <small>{html(error.strip())}{f'<br>detects {detects}' if detects else ''}</small>"
        texts.append(parts.bold(f"{score.value:.3f}", score.value == best) + (small if error else ""))
    return texts


def best_of(values: list[float], lower: bool) -> float | None:
    """The best of several values, if it is better than all others."""
    best = (min if lower else max)(values, default=None)
    return best if best is not None and len(values) > 1 and values.count(best) == 1 else None


def page() -> None:
    parts.heading("Compare", "Differing parameters, training curves and scores of several runs.")
    with banner.shielded("Runs"):
        parents = reads.parents()
        if not parents:
            parts.empty("Nothing to compare yet", "Runs appear here when MLflow has a record of them.")
            return
        chosen = pick(parents)
        if not chosen:
            parts.empty("No runs chosen", "Choose two or more runs above.")
            return
        names = parts.titles(chosen)
        stages = {record.id: reads.stage_records(record) for record in chosen}
        differing_parameters(chosen, stages, names)
        losses(chosen, stages, names)
        exam(chosen, stages, names)


page()
