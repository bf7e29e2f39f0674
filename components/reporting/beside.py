"""Tables of our models beside published ones, of paired differences, and of overlap with the training corpus."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.reporting.evidence import Case
from components.results.power import difference_words, error_words, from_another
from components.results.published import (
    DASH,
    EXAM,
    MEASURED,
    column_groups,
    measured_as,
    percent,
    protocol,
    published_by_protocol,
    rows_in,
    unit,
)
from components.results.tables import Table


def standings_tables(board: Mapping[str, Any]) -> list[Table]:
    """The blog's table with our rows above the published ones, then a table for each group and metric that we measured."""
    standings = board["standings"]
    first, groups = column_groups(standings)
    scored = any(c[MEASURED] and c["subject"] != EXAM for c in standings["columns"])
    note = BLOG_NOTE + ("" if scored else NOT_SCORED)
    tables = [_standings_table("Beside published models", standings, first, note)]
    titles = {c["subject"]: c["title"] for c in standings["columns"]}
    for (group, metric), own in groups.items():
        title = f"{titles.get(group, 'Other benchmarks')}: {standings['metrics'][metric]}"
        tables.append(_standings_table(title, standings, own, GROUP_NOTE, of_one_metric=True))
    return tables


CUT = "†"
CUT_NOTE = (
    f" {CUT} Some prompts were longer than the model's context, so their beginning, with worked examples, was cut off."
)
BLOG_NOTE = (
    "Percent, ours ± one standard error, in brackets that of whole families, subjects or passages drawn at random; detects: "
    "the smallest true difference from another model that the questions distinguish from 0 in 8 of 10 cases. The source, listed below, is in brackets. Each column has one protocol: "
    "scores by another metric or with other shots have their own column. The Phi-2 blog averages five benchmarks for "
    "commonsense, five for language and two for coding. It does not state the metric of its two means of five, so they "
    "are beside our means of accuracy (acc); the means of accuracy normalised by length (acc_norm) have their own "
    "tables. The exam is this project's own."
)
NOT_SCORED = (
    " Our models have only scores on the exam; `python -m components.benchmarking --suite phi2` measures the others."
)
GROUP_NOTE = (
    "Percent, or bits per byte of the correct answer, where lower is better; ours ± one standard error. Published scores are "
    "shown only if their protocol is the same."
)


def _standings_table(
    title: str,
    standings: Mapping[str, Any],
    columns: Sequence[Mapping[str, Any]],
    note: str,
    of_one_metric: bool = False,
) -> Table:
    rows, shown = [], rows_in(standings, columns)
    for row in shown:
        where = f"[{standings['sources'][row['source']]['number']}]" if row["source"] else f"({measured_as(row)})"
        cells = (score_cell(row["figures"].get(column["id"]), column["metric"]) for column in columns)
        rows.append([f"{row['title']} {where}", *cells])
    header = ["model", *(column_title(column, of_one_metric) for column in columns)]
    kinds = [row["kind"] for row in shown]
    detected = [_detected([row["figures"].get(c["id"]) for row in shown], c["metric"]) for c in columns]
    if any(detected):
        rows.append([DETECTED, *(cell or DASH for cell in detected)])
        kinds.append("")
    note += CUT_NOTE if any(CUT in cell for row in rows for cell in row) else ""
    return Table(title, note, header, rows, kinds)


DETECTED = "detects, from another model"


def _detected(cells: Sequence[Mapping[str, Any] | None], metric: str) -> str:
    """The largest of the smallest differences from another model that our scores in a column detect."""
    scale, digits = unit(metric)
    known = [found for cell in cells if cell and (found := from_another(cell.get("stderr")))]
    return f"{scale * max(known):.{digits}f}" if known else ""


def column_title(column: Mapping[str, Any], of_one_metric: bool = False) -> str:
    """`HellaSwag acc_norm, 10-shot, form`: the protocol of a column. The title of a group leaves out that it is a mean."""
    metric, shots, form = protocol(column)
    named = column["title"] if of_one_metric else f"{column['title']} {metric}"
    if column["subject"] == column["group"]:
        return "mean" if of_one_metric else named
    return ", ".join(filter(None, (named, shots, form)))


def score_cell(cell: Mapping[str, Any] | None, metric: str) -> str:
    """A share in percent, bits per byte as they are; with the standard error if it was measured."""
    if cell is None:
        return DASH
    mark = f" {CUT}" if cell.get("truncated") else ""
    if "n" not in cell:
        return percent(cell["value"]) + mark
    scale, digits = unit(metric)
    own, whole = (None if error is None else scale * error for error in (cell["stderr"], cell.get("clustered_stderr")))
    return f"{scale * cell['value']:.{digits}f}{error_words(own, whole, cell.get('clusters'), digits)}{mark}"


def published_table(board: Mapping[str, Any]) -> Table:
    """Every published score, one row per protocol."""
    rows = [
        [*words, ", ".join(f"{title} {value} [{source}]" for title, value, source in figures)]
        for words, figures in published_by_protocol(board["standings"])
    ]
    header = ["benchmark", "metric", "shots", "form", "figures [source]"]
    note = "Percent. A dash means that the source does not state it. Scores in different rows are not comparable."
    return Table("All published scores by protocol", note, header, rows)


def sources(board: Mapping[str, Any]) -> list[str]:
    """The numbered sources, one line each: title, address, and how it was read."""
    numbered = board["standings"]["sources"].values()
    return [f"[{s['number']}] {s['title']}. {s['url']} (read: {s['read']})" for s in numbered]


DETECTS = (
    "Whole families, subjects and passages count as drawn at random. Detects: the smallest true difference that this many "
    "questions distinguish from 0 in 8 of 10 cases; would need: the number of questions, in proportionally more families, "
    "subjects or passages, that would detect the observed difference."
)


def exam_differences_table(board: Mapping[str, Any]) -> Table:
    """The exam's paired differences."""
    rows = [
        [
            f"{pair['of']} minus {pair['against']}",
            difference_cell(pair),
            p_cell(pair["p_value"]),
            difference_cell(pair["bits_per_byte"]),
            p_cell((pair["bits_per_byte"] or {}).get("p_value")),
            str(pair["n"]),
            str(pair.get("clusters") or DASH),
        ]
        for pair in board["exam_differences"]
    ]
    note = (
        "Differences on the same questions with their 95% interval; tasks have equal weight. p: two-sided permutation test "
        "of the hypothesis that the models are exchangeable. Fewer bits are better; they show differences even between "
        f"models that both guess. {DETECTS}"
    )
    header = ["pair", "accuracy", "p", "bits/byte of the correct answer", "p", "questions", "families"]
    return Table("Exam: differences", note, header, rows)


def suite_tables(board: Mapping[str, Any], case: Case) -> list[Table]:
    """Paired differences by benchmark, and the overlap with the training corpus, for each suite except the exam."""
    pairs = board["suite_differences"]
    tables = []
    for suite in sorted({suite for model in case.models for suite in model.suites}):
        tables.append(_differences_table(suite, [pair for pair in pairs if pair["suite"] == suite], board))
        tables.append(_overlap_table(suite, case, board))
    return [table for table in tables if table.rows]


def _differences_table(suite: str, pairs: Sequence[Mapping[str, Any]], board: Mapping[str, Any]) -> Table:
    titles = {column["subject"]: column["title"] for column in board["standings"]["columns"]}
    rows = []
    for benchmark in dict.fromkeys(name for pair in pairs for name in pair["benchmarks"]):
        differences = [pair["benchmarks"].get(benchmark) for pair in pairs]
        known = next(row for row in differences if row)
        cells = []
        for row in differences:
            cells.append(difference_cell(row) + (" *" if row and row["p_adjusted"] < 0.05 else ""))
            cells.append(difference_cell(row and row["bits_per_byte"]))
        metric = board["standings"]["metrics"].get(known["metric"], known["metric"])
        name, _, form = benchmark.partition("/")
        named = titles.get(name, name) + (f", {form}" if form else "")
        rows.append([named, metric, str(known["n"]), *cells])
    note = (
        "Differences on the same examples with their 95% interval. *: p below 0.05 in a permutation test, adjusted for the "
        "number of benchmarks (Holm). bits/byte: of the correct answer; fewer is better, and it shows differences even "
        f"between models that both guess. {DETECTS}"
    )
    header = ["benchmark", "metric", "examples"]
    for pair in pairs:
        header += [f"{pair['of']} minus {pair['against']}", "bits/byte"]
    return Table(f"Suite {suite}: differences", note, header, rows)


def difference_cell(row: Mapping[str, Any] | None) -> str:
    return DASH if row is None else difference_words(row)


def p_cell(p_value: float | None) -> str:
    if p_value is None:
        return DASH
    return f"{p_value:.3f}" if p_value >= 0.001 else "< 0.001"


def exam_overlap_table(case: Case) -> Table:
    """Tasks of the exam with questions that occur in the training corpus, with the scores of the other questions."""
    scored = [(model.name, model.scores) for model in case.models if model.scores and model.scores.n_grams]
    tasks = sorted({task for _, scores in scored for task in scores.n_grams})
    rows = []
    for task in tasks:
        scores = [(s.tasks.get(task), s.n_grams.get(task)) for _, s in scored]
        first, words = next((score, n) for score, n in scores if score and n)
        if first.overlap:
            cells = [_clean_cell(s.value, s.clean.value if s.clean else None) if s else DASH for s, _ in scores]
            rows.append([task, str(words), f"{100 * first.overlap:.1f}%", *cells])
    note = f"{len(tasks) - len(rows)} of {len(tasks)} tasks have no question in the training corpus. {OVERLAP_NOTE}"
    if tasks:
        means = [scores.overall for _, scores in scored]
        cells = [_clean_cell(mean.value, mean.clean.value if mean.clean else None) for mean in means]
        overlap = DASH if means[0].overlap is None else f"{100 * means[0].overlap:.1f}%"
        rows.append([f"mean of {len(tasks)} tasks", DASH, overlap, *cells])
    header = ["task", "words", "questions found", *(name for name, _ in scored)]
    return Table("Exam: overlap with the training corpus", note, header, rows)


OVERLAP_NOTE = (
    "A question is found if that many consecutive words of it, including the correct answer, occur in a document "
    "(GPT-3's rule). Columns of models: the score on the questions that were not found, and in brackets on all."
)


def _overlap_table(suite: str, case: Case, board: Mapping[str, Any]) -> Table:
    """Benchmarks of another suite with questions that occur in the training corpus."""
    scored = [(model.name, scores) for model in case.models if (scores := model.on(suite)) and scores.n_grams]
    columns = {column["id"]: column for column in board["standings"]["columns"] if column["subject"] != column["group"]}
    figures = {row["model"]: row["figures"] for row in board["standings"]["rows"] if row["kind"] == MEASURED}
    words: dict[str, set[int]] = {}
    for _, scores in scored:
        for score in scores.measured:
            if score.task in scores.n_grams:
                words.setdefault(score.benchmark, set()).add(scores.n_grams[score.task])
    rows, clean = [], 0
    for i, column in columns.items():
        cells = [figures[name].get(i) for name, _ in scored]
        known = next((cell for cell in cells if cell and cell["overlap"] is not None), None)
        if known is None or column["subject"] not in words or column["metric"] in ("acc_norm", "f1"):
            continue
        if not known["overlap"]:
            clean += 1
            continue
        lengths = sorted(words[column["subject"]])
        span = str(lengths[0]) if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
        parts = [_clean_cell(c["value"], (c["clean"] or {}).get("value")) if c else DASH for c in cells]
        rows.append([column_title(column), span, f"{100 * known['overlap']:.1f}%", *parts])
    note = f"{clean} of {clean + len(rows)} scores have no question in the training corpus. {OVERLAP_NOTE}"
    header = ["benchmark", "words", "questions found", *(name for name, _ in scored)]
    return Table(f"Suite {suite}: overlap with the training corpus", note, header, rows)


def _clean_cell(value: float, clean: float | None) -> str:
    return f"{DASH if clean is None else f'{clean:.3f}'} ({value:.3f})"
