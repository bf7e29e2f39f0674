"""Compare: what differs between runs: parameters, training curves and scores, told apart or not."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from components.results.comparability import NATS, Basis, Comparison, compare_losses, compare_scores
from components.results.examples import difference, told_apart
from components.results.power import difference_words, error_words
from components.results.published import LOWER_IS_BETTER
from components.results.statistics import paired
from flows.client import FlowRun, Record, Score, basis, parameters, scores
from ui import banner, charts, parts, reads, results
from ui.results import Group, kind_and_model
from ui.text import ago, clean, html, number, plain

METRICS = {"acc": "accuracy", "acc_norm": "accuracy by length", "bits_per_byte": "bits per byte"}
AXES = {"tokens": "tokens", "FLOPs": "flops", "time": "seconds"}  # to the total that a training stage logged
NOT_APART = "not told apart"
BOUND: dict[str, Any] = {"bind": "query-params"}
Rows = list[list[str]]  # of the CSV: what, name, run, value ...


def pick(runs: Sequence[FlowRun]) -> list[FlowRun]:
    """The runs to compare, the baseline first; they stand in the page's address."""
    by_id = {run.id: run for run in runs}
    asked = [name for name in st.query_params.get("runs", "").split(",") if name in by_id]
    completed = [run.id for run in runs if run.kind == "COMPLETED" and not run.archived and run.flow == "pipeline"]
    chosen = st.multiselect(
        "Runs",
        list(by_id),
        default=asked or completed[:2],
        format_func=lambda name: f"{clean(by_id[name].name, 60)} · {ago(by_id[name].started)}",
        key="compare_runs",
        placeholder="Choose two or more runs; the first is the baseline",
        label_visibility="collapsed",
    )
    if ",".join(chosen) != st.query_params.get("runs", ""):
        st.query_params["runs"] = ",".join(chosen)
    return [by_id[name] for name in chosen]


class Sides:
    """The compared runs or groups of seeds, the baseline first.

    Attributes:
        names: distinct, by place.
        rows: the table for CSV.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = list(groups)
        known = [group.name for group in groups]
        self.names = [
            name if known.count(name) == 1 else f"{name} {group.run.id[:4]}"
            for name, group in zip(known, groups, strict=True)
        ]
        self.rows: Rows = [["part", "name", *self.names]]

    def header(self) -> list[str]:
        marks = [" <small>baseline</small>", *[""] * len(self.names)]
        return [parts.swatch(i) + html(name, 80) + marks[i] for i, name in enumerate(self.names)]

    def models(self, kind: str) -> list[str]:
        """Models with a stage of a kind, the larger one first."""
        found = {
            model
            for group in self.groups
            for one in group.members
            for at, model in map(kind_and_model, one.stages)
            if at == kind
        }
        return sorted(found, key=lambda m: (results.MODELS.index(m) if m in results.MODELS else len(results.MODELS), m))

    def compare(self, stage: str, judge: Callable[[Mapping[str, Basis]], Comparison]) -> Comparison:
        """How the figures of a stage may be compared. If all sides have the same seeds, each seed is compared with itself,
        because the seed may choose the held-out text."""
        seeds = [[results.seed_of(one.run) for one in group.by_seed] for group in self.groups]
        same = all(one == seeds[0] for one in seeds)
        found: dict[Any, dict[str, Basis]] = {}
        for name, group in zip(self.names, self.groups, strict=True):
            for place, one in enumerate(group.by_seed):
                if stage in one.stages:
                    known = basis({stage: one.stages[stage]}, stage.partition("@")[0])
                    run = name if same or len(group.members) == 1 else one.run.name
                    found.setdefault(place if same else 0, {})[run] = known
        judged = [judge(bases) for bases in found.values()]
        return min(judged, key=lambda one: (bool(one.measure), one.fair))


def differing(sides: Sides) -> None:
    """The parameters that differ, and nothing else."""
    values = [_parameters(group) for group in sides.groups]
    keys = sorted({key for known in values for key in known})
    # A run that failed early has not logged the parameters of its later stages, which are unknown and not a difference.
    given = {key for group in sides.groups for key in results.differences(group.run)}
    apart = [
        key
        for key in keys
        if len({known[key] for known in values if key in known}) > 1
        or (key in given and any(key not in known for known in values))
    ]
    parts.label(f"What differs · {len(apart)} of {len(keys)} parameters")
    if not apart:
        st.caption("These runs had the same parameters." if keys else "These runs logged no parameters.")
        return
    rows = []
    for key in apart:
        cells = [known.get(key, "default") for known in values]
        sides.rows.append(["parameter", key, *cells])
        rows.append([f"<code>{html(key)}</code>", *(html(cell) for cell in cells)])
    parts.table(["", *sides.header()], rows)


def _parameters(group: Group) -> dict[str, str]:
    """Parameters of a run as logged or given; of folded runs, the seeds are those of all."""
    known = {}
    for key, value in parameters(
        group.members[0].record, reads.stage_records(group.members[0].record, group.run.id)
    ).items():
        known[key] = _number(value)
    known |= {key: number(value) for key, value in results.differences(group.run).items()}
    for key in [key for key in known if results.is_seed(key)]:
        known[key] = ", ".join(dict.fromkeys(number(one.run.overrides.get(key, known[key])) for one in group.members))
    return known


def _number(text: str) -> str:
    """A logged parameter, with numbers as elsewhere on the page: 3e6 and 3000000 are the same."""
    try:
        return number(float(text) if "." in text or "e" in text else int(text))
    except ValueError:
        return text


def losses(sides: Sides) -> None:
    """Curves and last losses of each model."""
    parts.label("Validation loss")
    models = sides.models("train")
    if not models:
        parts.empty("No losses", "None of these runs has trained a model yet.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        model = one_of("Model", models, "model")
        axis = one_of("Against", list(AXES), "against")
    stage = f"train_{model}"
    comparison = sides.compare(stage, compare_losses)
    if comparison.reason:
        st.info(plain(comparison.reason), icon=":material/balance:")
    if comparison.measure == NATS:
        drawn = curves(sides, stage, AXES[axis])
        if drawn:
            charts.show(
                charts.compared(drawn, sides.names, axis),
                "compare_loss",
                f"Validation loss of {model} against {axis}",
                image=True,
            )
        else:
            st.caption("No curve: a run needs two validations.")
    finals(sides, models)


def one_of(label: str, options: Sequence[str], key: str) -> str:
    """A choice that stands in the page's address; none is shown if there is only one option."""
    if len(options) == 1:
        return options[0]
    return st.segmented_control(
        label, options, default=options[0], required=True, key=key, label_visibility="collapsed", **BOUND
    )


def curves(sides: Sides, stage: str, total: str) -> list[tuple[int, Any, list[float]]]:
    """(place of the side, curve, x) for all runs. Every step takes equally many FLOPs and about as long as any other, so x
    follows from the total that the stage logged."""
    found = []
    for place, group in enumerate(sides.groups):
        for one in group.members:
            record = one.stages.get(stage)
            for curve in reads.curves({stage: record}) if record else []:
                if curve.figure != "validation_loss" or not curve.x[-1]:
                    continue
                end = record.metrics.get(total) if record and total != "tokens" else curve.x[-1]
                if end:
                    found.append((place, curve, [end * x / curve.x[-1] for x in curve.x]))
    return found


def finals(sides: Sides, models: Sequence[str]) -> None:
    """The last figure of each model by side; a difference from the baseline only where they may be compared."""
    rows = []
    for model in models:
        comparison = sides.compare(f"train_{model}", compare_losses)
        if not comparison.measure:
            continue
        name = results.LOSS if comparison.measure == NATS else results.BITS
        rows.append([f"{html(model)}, {name}", *last_cells(sides, f"{model} {name}", comparison)])
    if rows:
        parts.table(["Last validation", *sides.header()], rows, "pf-numbers")
        st.caption(
            "With several seeds: mean ± one standard deviation, then the difference from the baseline with its 95% interval over "
            "seeds. One seed per side says nothing about chance, so neither is called better."
        )


def last_cells(sides: Sides, figure: str, comparison: Comparison) -> list[str]:
    cells, texts = [], []
    base = sides.groups[0]
    for group in sides.groups:
        value, spread = group.figures.get(figure), group.spread(figure)
        if value is None:
            cells.append("-")
            texts.append("")
            continue
        shown = f"{value:.4f}" + (f" <small>± {spread:.4f}</small>" if spread is not None else "")
        if group is not base and comparison.fair and figure in base.figures:
            pairs = list(zip(group.all(figure), base.all(figure), strict=False))
            if len(pairs) == len(group.members) == len(base.members) > 1:
                row = paired([[ours - theirs for ours, theirs in pairs]]).record() | {"needed": None}
                shown += f"<br><small>{verdict(row, True)}{html(words(row, 4))}</small>"
            else:
                shown += f"<br><small>{value - base.figures[figure]:+.4f}</small>"
        cells.append(shown)
        texts.append(str(value))
    sides.rows.append(["last validation", figure, *texts])
    return cells


def words(row: Mapping[str, Any], digits: int = 3) -> str:
    return difference_words(row, digits).replace("not distinguishable", NOT_APART)


def verdict(row: Mapping[str, Any], lower: bool) -> str:
    """Whether a side is better than the baseline; empty if the two are not told apart."""
    if not told_apart(row):
        return ""
    return "<b>better</b> " if (row["value"] < 0) == lower else "worse "


def exam(sides: Sides) -> None:
    """Scores of a model, and the paired difference of each side from the baseline."""
    parts.label("Exam")
    models = sides.models("benchmark")
    if not models:
        parts.empty("No scores", "None of these runs has benchmarked a model yet.")
        return
    stages = {model: f"benchmark@{model}" for model in models}
    found = {model: _scores(sides, stage) for model, stage in stages.items()}
    everything = [score for of_model in found.values() for side in of_model for score in side]
    groups = [name for name in ("overall", "categories", "tasks") if any(s.group == name for s in everything)]
    metrics = [name for name in METRICS if any(s.metric == name for s in everything)]
    if not groups or not metrics:
        parts.empty("No scores", "The benchmarks of these runs logged no score.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        group = one_of("Rows", groups, "rows")
        metric = one_of("Figure", metrics, "figure")
    rows, said = [], []
    for model, stage in stages.items():
        comparison = sides.compare(stage, partial(compare_scores, what="Exam scores"))
        if comparison.reason:
            said.append(comparison.reason)
            continue
        examples = _examples(sides, stage, metric)
        for name in dict.fromkeys(
            s.name for side in found[model] for s in side if s.group == group and s.metric == metric
        ):
            wanted = [
                [s for s in side if (s.group, s.name, s.metric) == (group, name, metric)] for side in found[model]
            ]
            title = f"{html(model)}" + (f", {html(name.replace('_', ' '))}" if name else "")
            task = {name} if group == "tasks" else None
            rows.append(
                [title, *score_cells(sides, title, wanted, examples if group != "categories" else [], metric, task)]
            )
    for reason in dict.fromkeys(said):
        st.info(plain(reason), icon=":material/balance:")
    if rows:
        parts.table([METRICS[metric], *sides.header()], rows, "pf-numbers")
        st.caption(
            "± is one standard error. Below it the difference from the baseline on the same questions, its 95% interval, and the "
            "smallest true difference that these questions detect in 8 of 10 cases. "
            f"“{NOT_APART.capitalize()}” means that the interval contains 0."
        )


def _scores(sides: Sides, stage: str) -> list[list[Score]]:
    """The scores of a stage by side, of all its runs."""
    return [
        [s for one in group.members if stage in one.stages for s in scores({stage: one.stages[stage]})]
        for group in sides.groups
    ]


def _examples(sides: Sides, stage: str, metric: str) -> list[list[Any]]:
    """The scored examples of each run by side; nothing for runs that did not keep them."""
    return [
        [kept for one in group.by_seed if stage in one.stages and (kept := reads_examples(one.stages[stage], metric))]
        for group in sides.groups
    ]


@st.cache_data(max_entries=200, show_spinner=False, hash_funcs={Record: lambda record: record.id})
def reads_examples(record: Record, metric: str) -> Any:
    """The scored examples of a benchmark stage, which never change; empty if there are none."""
    return reads.mlflow(lambda records: records.examples(record, [metric])).get(metric, {})


def score_cells(
    sides: Sides,
    title: str,
    wanted: Sequence[Sequence[Score]],
    examples: Sequence[Sequence[Any]],
    metric: str,
    tasks: Any,
) -> list[str]:
    """A score by side, and its paired difference from the baseline."""
    cells, texts = [], []
    for place, known in enumerate(wanted):
        if not known:
            cells.append("-")
            texts.append("")
            continue
        value = sum(score.value for score in known) / len(known)
        one = known[0]
        error = (
            error_words(one.stderr, one.clustered_stderr, one.clusters)
            if len(known) == 1
            else f" mean of {len(known)} seeds"
        )
        cell = f"{value:.3f} <small>{html(error.strip())}</small>"
        text = f"{value}"
        if place and examples and examples[0] and examples[place]:
            row = difference(examples[place], examples[0], tasks)
            if row:
                said = words(row)
                cell += f"<br><small>{verdict(row, metric in LOWER_IS_BETTER)}{html(said)}</small>"
                text += f" ({said})"
        cells.append(cell)
        texts.append(text)
    sides.rows.append([f"exam {METRICS[metric]}", title, *texts])
    return cells


def as_csv(rows: Rows) -> str:
    """The page as a table. A cell that a spreadsheet would run as a formula gets a quote in front."""
    with io.StringIO(newline="") as text:
        writer = csv.writer(text)
        writer.writerows(
            [[f"'{cell}" if cell[:1] in "=@+-" and not _is_number(cell) else cell for cell in row] for row in rows]
        )
        return text.getvalue()


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def page() -> None:
    parts.heading("Compare")
    with banner.shielded("Runs"):
        runs = reads.recent(results.RUNS)
        if not runs:
            parts.empty("Nothing to compare yet", "Start a run on the page New run.")
            return
        with st.container(horizontal=True, vertical_alignment="center", key="pf-compare-head"):
            chosen = pick(runs)
            fold = st.toggle(
                "Fold seeds",
                value=True,
                key="fold_seeds",
                help="Runs that differ only in the seed become one column",
                **BOUND,
            )
            download = st.empty()
        if not chosen:
            parts.empty("No runs chosen", "Choose two or more runs above, or tick them on the page Runs.")
            return
        found = results.of(chosen)
        sides = Sides(results.folded(found) if fold else results.alone(found))
        if len(sides.groups) == 1:
            st.caption("One run, or runs that differ only in the seed: choose another one to compare with.")
        differing(sides)
        losses(sides)
        exam(sides)
        download.download_button(
            "CSV", as_csv(sides.rows), "compare.csv", "text/csv", icon=":material/download:", on_click="ignore"
        )


page()
