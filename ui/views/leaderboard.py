"""Leaderboard: the models of chosen runs beside published ones, one protocol per column, and paired differences."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from components.results.power import difference_words, error_words, from_another, score_words
from components.results.published import (
    LOWER_IS_BETTER,
    MEASURED,
    column_groups,
    measured_as,
    merge,
    percent,
    protocol,
    published_by_protocol,
    rows_in,
    unit,
)
from flows.client import Record
from ui import banner, charts, parts, reads
from ui.text import html, plain

BLOG = "Phi-2's table"
PUBLISHED = "all published"
Column = Mapping[str, Any]


def pick(parents: list[Record]) -> list[Record]:
    """The runs with the shown models; at first the latest two finished ones."""
    finished = [parent.id for parent in parents if parent.status == "FINISHED"]
    hint = "Choose runs; with none chosen, only published models are shown"
    return parts.pick_runs(parents, "leaderboard_runs", finished[:2], hint)


def views(board: Mapping[str, Any]) -> dict[str, list[Column]]:
    """The columns of each table: the blog's, and one table per group and metric that was measured."""
    first, groups = column_groups(board)
    titles = {column["subject"]: column["title"] for column in board["columns"]}
    found: dict[str, list[Column]] = {BLOG: [*first]}
    for (group, _), columns in groups.items():
        found[f"{titles.get(group, 'Other')} · {protocol(columns[0])[0]}"] = [*columns]
    return found


def header(column: Column, metrics: Mapping[str, str]) -> str:
    """A column's protocol: the benchmark, and below it in small print metric, shots and form."""
    below = ", ".join(filter(None, protocol(column)))
    title = f"{metrics.get(column['metric'], '')}; {column['form'] or 'form not stated'}"
    return f'<span title="{html(title)}">{html(column["title"])}<br><small>{html(below)}</small></span>'


def cell(figure: Mapping[str, Any] | None, metric: str, is_best: bool) -> str:
    """A figure in percent or bits per byte; the tooltip of a measured one has the number of examples and the overlap."""
    if figure is None:
        return '<span class="pf-dim">-</span>'
    if "n" not in figure:
        return percent(figure["value"])
    scale, digits = unit(metric)
    value = f"{scale * figure['value']:.{digits}f}"
    own, whole = (None if e is None else scale * e for e in (figure["stderr"], figure.get("clustered_stderr")))
    error = error_words(own, whole, figure.get("clusters"), digits)
    error = error and f" <small>{html(error.strip())}</small>"
    if figure.get("truncated"):
        error += " <small>†</small>"
    words = [f"{figure['n']:,} examples"]
    if figure.get("overlap") is not None:
        words.append(f"{100 * figure['overlap']:.1f}% of them occur in the training corpus")
    if figure.get("clean"):
        words.append(f"without those {scale * figure['clean']['value']:.{digits}f}")
    if figure.get("truncated"):
        words.append(f"{figure['truncated']:,} prompts were cut at the start to fit the context")
    if another := from_another(figure["stderr"]):
        words.append(f"detects {score_words(None, scale * another, digits)}")
    return f'<span title="{html("; ".join(words))}">{parts.bold(value, is_best)}{error}</span>'


def name(row: Mapping[str, Any], board: Mapping[str, Any], places: Mapping[str, int]) -> str:
    """A row's model: ours with its run, a published one with its source."""
    if row["kind"] == MEASURED:
        return f'{parts.swatch(places[row["run"]])}<b>{html(row["title"])}</b> <span class="pf-dim">{html(row["run"])}</span>'
    source = board["sources"][row["source"]]
    mark = f'<sup title="{html(source["title"])}">[{source["number"]}]</sup>'
    return f"{html(row['title'])} {mark}"


def best_of(cells: Sequence[Mapping[str, Any]], lower: bool) -> float | None:
    """The best of our scores, if it is more than two standard errors of the difference from all others."""
    if len(cells) < 2:
        return None
    first, *others = sorted(cells, key=lambda cell: cell["value"], reverse=not lower)
    errors = [math.hypot(first["stderr"] or 0.0, cell["stderr"] or 0.0) for cell in others]
    apart = all(abs(first["value"] - cell["value"]) > 2 * e for cell, e in zip(others, errors, strict=True))
    return first["value"] if apart else None


def table(board: Mapping[str, Any], columns: Sequence[Column], places: Mapping[str, int]) -> None:
    columns = sorted(columns, key=lambda column: not column[MEASURED])  # a phone shows the first ones
    rows = rows_in(board, columns)
    bold = {}
    for column in columns:
        cells_ = [r["figures"][column["id"]] for r in rows if r["kind"] == MEASURED and column["id"] in r["figures"]]
        bold[column["id"]] = best_of(cells_, column["metric"] in LOWER_IS_BETTER)
    lines = []
    for row in rows:
        figures = [row["figures"].get(column["id"]) for column in columns]
        ours = row["kind"] == MEASURED
        cells = [
            cell(figure, column["metric"], bool(ours and figure and figure["value"] == bold[column["id"]]))
            for column, figure in zip(columns, figures, strict=True)
        ]
        badge = parts.badge(measured_as(row), "good") if ours else parts.badge("published", "quiet")
        lines.append([name(row, board, places), badge, *cells])
    parts.table(
        ["Model", "", *(header(column, board["metrics"]) for column in columns)], lines, "pf-numbers pf-standings"
    )
    st.caption(
        "Percent, or bits per byte, where lower is better; ± one standard error for measured scores, in brackets that of whole "
        "families, subjects or passages drawn at random; our best is bold if it is more than two standard errors of the "
        "difference from the others. Each column has one protocol and one set of questions: another metric, other shots, another "
        "form or other questions have their own column. The tooltip says what the questions detect. A dash: not measured or "
        "published. †: prompts were cut at the start, which removed worked examples."
    )


def listing(board: Mapping[str, Any]) -> None:
    """Every published score, one row per protocol."""
    lines = [
        [
            *map(html, words),
            " · ".join(
                f"<span class='pf-nowrap'>{html(title)} <b>{value}</b><sup>[{source}]</sup></span>"
                for title, value, source in figures
            ),
        ]
        for words, figures in published_by_protocol(board)
    ]
    parts.table(["Benchmark", "Metric", "Shots", "Form", "Figures"], lines)
    st.caption("Percent. A dash: the source does not state it. Scores in different rows are not comparable.")


def figure(board: Mapping[str, Any], columns: Sequence[Column], places: Mapping[str, int]) -> None:
    """Chart of one column: our figures with intervals among the published ones."""
    drawable = {c["id"]: c for c in columns if c[MEASURED]}
    if not drawable:
        return
    parts.label("Chart of one column")
    first = next((i for i, c in drawable.items() if c["published"]), next(iter(drawable)))
    chosen = st.selectbox(
        "Column",
        list(drawable),
        index=list(drawable).index(first),
        format_func=lambda i: ", ".join(filter(None, words_of(drawable[i], board["metrics"]))),
        label_visibility="collapsed",
        key=f"leaderboard_column_{'-'.join(drawable)}",
    )
    lower = drawable[chosen]["metric"] in LOWER_IS_BETTER
    scale = 1 if lower else 100
    points = [
        charts.Standing(
            f"{row['title']} · {row['run']}" if row["kind"] == MEASURED else row["title"],
            scale * found["value"],
            scale * found["stderr"] if found.get("stderr") else 0.0,
            places[row["run"]] if row["kind"] == MEASURED else None,
        )
        for row in board["rows"]
        if (found := row["figures"].get(chosen))
    ]
    charts.show(charts.standings(points, lower), "leaderboard_chart")
    unit = "Bits per byte; lower is better" if lower else "Percent"
    st.caption(f"{unit}; bars are 95% intervals of our measurements.")


def words_of(column: Column, metrics: Mapping[str, str]) -> tuple[str, ...]:
    return column["title"], metrics.get(column["metric"], column["metric"]), protocol(column)[1], column["form"]


def differences(boards: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]) -> None:
    """The paired differences in the runs' reports: one row per figure, one column per run and pair."""
    for run, board in boards.items():
        for reason in board.get("not_compared", []):
            st.caption(plain(f"{run}: {reason}"))
    columns: dict[tuple[str, str, str], dict[str, tuple[Mapping[str, Any], float]]] = {}
    for run, board in boards.items():
        for pair in board.get("exam_differences", []):
            if "p_value" in pair:
                found = columns.setdefault((run, pair["of"], pair["against"]), {})
                found["Exam, accuracy"] = pair, pair["p_value"]
                if bits := pair.get("bits_per_byte"):
                    found["Exam, bits per byte"] = bits, bits["p_value"]
        for pair in board.get("suite_differences", []):
            found = columns.setdefault((run, pair["of"], pair["against"]), {})
            for benchmark, row in pair["benchmarks"].items():
                name_, _, form = benchmark.partition("/")
                words = (titles.get(name_, name_), form, row["metric"].replace("_", " "))
                found[", ".join(filter(None, words))] = row, row["p_adjusted"]
    if not columns:
        return
    parts.label("Paired differences")
    places = list(boards)
    head = [
        f"{parts.swatch(places.index(run))}{html(run)}<br><b>{html(of)} minus {html(other)}</b>"
        for run, of, other in columns
    ]
    figures = dict.fromkeys(name for found in columns.values() for name in found)
    lines = [[html(name), *(difference(found.get(name)) for found in columns.values())] for name in figures]
    parts.table(["", *head], lines, "pf-numbers")
    st.caption(
        "Differences on the same examples, so that their difficulty cancels out, with the 95% interval in small print, where "
        "families, subjects and passages count as drawn at random. Bold: the interval excludes 0, and p is below 0.05 in a "
        "two-sided permutation test; the tooltip has p, which for a suite's benchmarks is adjusted for "
        "their number (Holm). Fewer bits are better."
    )


def difference(found: tuple[Mapping[str, Any], float] | None) -> str:
    if found is None:
        return "-"
    row, p_value = found
    title = f"p = {p_value:.2g}, {row['n']:,} examples"
    value = f"{row['value']:+.3f}"
    apart = row["low"] is not None and not row["low"] <= 0 <= row["high"]
    rest = difference_words(row).removeprefix(value)
    span = f" <small>{html(rest.strip())}</small>" if rest else ""
    return f'<span title="{html(title)}">{parts.bold(value, p_value < 0.05 and apart)}{span}</span>'


def sources(board: Mapping[str, Any]) -> None:
    with st.expander("Sources of the published scores"):
        lines = [
            f"<li>[{s['number']}] {parts.link(s['title'], s['url'])} <span class='pf-dim'>read: {html(s['read'])}</span></li>"
            for s in sorted(board["sources"].values(), key=lambda s: s["number"])
        ]
        st.html(f'<ul class="pf-sources">{"".join(lines)}</ul>')


def page() -> None:
    parts.heading(
        "Leaderboard",
        "Your runs' models next to published ones. Scores in one column use the same prompt and settings.",
    )
    boards: dict[str, Any] = {}
    with banner.shielded("Your models"):
        chosen = pick(reads.parents())
        names = parts.titles(chosen)
        boards = {names[record.id]: reads.leaderboard(reads.stage_records(record)) for record in chosen}
    board = merge({run: found.get("standings", {}) for run, found in boards.items()})
    if boards and not any(row["kind"] == MEASURED for row in board["rows"]):
        parts.empty("No scores yet", "None of these runs has written a report yet; the last stage writes it.")
    places = {run: place for place, run in enumerate(boards)}
    tables = views(board)
    shown = st.segmented_control(
        "Table",
        [*tables, PUBLISHED],
        default=BLOG,
        format_func=plain,
        key="leaderboard_view",
        label_visibility="collapsed",
        required=True,
    )
    if shown == PUBLISHED:
        listing(board)
    else:
        shown = shown if shown in tables else BLOG
        table(board, tables[shown], places)
        figure(board, tables[shown], places)
    differences(boards, {column["subject"]: column["title"] for column in board["columns"]})
    sources(board)


page()
