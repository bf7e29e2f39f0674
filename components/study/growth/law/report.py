"""`python -m components.study.growth.law.report`: fit the growth law, judge it on the cells set apart, and write the result."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from components.errors import StepError
from components.files import atomic_file
from components.params import Params
from components.results.figures import BLUE, GREY, RUST, save
from components.results.tables import Table
from components.running.cli import Argument, Command, Paths, main
from components.study.growth.arms import CONTINUED, SCRATCH
from components.study.growth.law.advice import Law
from components.study.growth.law.fit import Fitted, Judgement, fit, judge, judge_each
from components.study.growth.law.form import LAW, OTHERS, Setting
from components.study.growth.law.grid import EXACT, Grid, read_grid
from components.study.growth.law.predict import read_predictions
from components.study.growth.law.runs import MILLION, Measured, Place, Run, read_runs
from components.study.pages import Text, write_result
from components.tracking import Tracker

STYLES = {SCRATCH: RUST, CONTINUED: GREY, EXACT: BLUE}
NAMES = {SCRATCH: "scratch", CONTINUED: "continued", EXACT: "exact"}
HOW = {
    True: "Fitted without the cells set apart, judged on them",
    False: "No cell set apart is trained yet; each cell is judged by a fit to the others",
}
COLUMNS = ("arm", "shape", "small_shape", "parameters", "tokens", "small", "small_tokens", "seed", "loss", "held_out")
PHI_1_5, PHI_2 = (1420.0, 150_000.0), 2780.0  # parameters and tokens; parameters; in millions
BEGIN, END = (
    "<!-- the law's tables, written by components.study.growth.law.report -->",
    "<!-- end of the law's tables -->",
)


def report(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write the fitted law as law.json, and its tables as law.md, law.csv (one row per run), law.png and index.html.

    Raises:
        StepError: there are too few runs, or no cell of those set apart is measured yet.
    """
    grid = read_grid(inputs["grid"])
    measured = read_runs(inputs["records"], grid.part(predicted=False))
    seen = measured.part(held_out=False)
    apart = len(seen.runs) < len(measured.runs)
    judged = {
        form.name: judge(fit(form, seen), measured) if apart else judge_each(form, measured) for form in (LAW, *OTHERS)
    }
    fitted = fit(LAW, measured)
    law = Law.of(fitted, measured)
    tables = [
        judgements(judged, apart),
        coefficients(fitted),
        errors(fitted, measured),
        covered(law, measured),
        extrapolation(fitted),
    ]
    if inputs["predictions"]:
        tables += compared(inputs["predictions"], inputs["records"], grid)
    text = text_of(measured, judged[LAW.name], apart, tables)
    write_result(
        outputs["output"], "law", law.record(), text, csv_rows(measured), lambda path: draw(fitted, measured, path)
    )
    if outputs.get("page"):
        insert(outputs["page"], [paragraph for table in tables for paragraph in table.markdown(level=3)])
    tracker.artifact(outputs["output"], "growth-law")
    return {name: {k: v for k, v in asdict(each).items() if k != "by_arm"} for name, each in judged.items()}


def judgements(judged: Mapping[str, Judgement], apart: bool) -> Table:
    header = ["form", "losses, mean absolute error", "paired differences", "losses in the 90% interval", "differences in it", "regret"]  # fmt: skip
    rows = [
        [name, f"{j.loss:.4f}", f"{j.pair:.4f}", f"{j.loss_covered:.0%}", f"{j.pair_covered:.0%}", f"{j.regret:.4f}"]
        for name, j in judged.items()
    ]
    first = next(iter(judged.values()))
    arms = ", ".join(f"{NAMES[arm]} {error:.4f}" for arm, error in first.by_arm.items())
    note = (
        f"{HOW[apart]}: {first.runs} losses, {first.pairs} paired differences (grown minus "
        f"continued or scratch), {first.places} choices. In nats per token. The growth law by arm: {arms}."
    )
    return Table("Cells set apart" if apart else "Each cell, by the others", note, header, rows)


def coefficients(fitted: Fitted) -> Table:
    rows = [[name, f"{v['value']:.4g}", f"{v['low']:.4g} to {v['high']:.4g}"] for name, v in fitted.record().items()]
    note = (
        "Fitted to all cells, those set apart included. In a cell left out of the fit, a loss is off by "
        f"{fitted.loss_noise:.4f} and a paired difference by {fitted.pair_noise:.4f} (root mean square)."
    )
    return Table("Coefficients", note, ["coefficient", "value", "90% interval"], rows)


def errors(fitted: Fitted, measured: Measured) -> Table:
    """Error of the fit to all cells, by arm and small model."""
    off = fitted.losses(measured.settings) - measured.losses
    groups: dict[tuple[str, str], list[float]] = {}
    for run, error in zip(measured.runs, off, strict=True):
        groups.setdefault((NAMES[run.arm], run.small_shape or run.shape), []).append(float(error))
    rows = [
        [arm, shape, str(len(e)), f"{np.mean(np.abs(e)):.4f}", f"{np.mean(e):+.4f}", f"{max(e, key=abs):+.4f}"]
        for (arm, shape), e in sorted(groups.items())
    ]
    header = ["arm", "model it starts from, or its shape", "runs", "mean absolute error", "mean error", "largest error"]
    return Table("Errors of the fit to all cells", "Predicted minus measured, in nats per token.", header, rows)


def covered(law: Law, measured: Measured) -> Table:
    words = {
        "small": "parameters of the small model, millions",
        "factor": "parameters of the larger model, as a multiple",
        "small_tokens": "tokens of the small model, millions",
        "tokens": "tokens of what follows, millions",
    }
    rows = [[words[name], f"{low:.3g}", f"{high:.3g}"] for name, (low, high) in law.range._asdict().items()]
    seeds = sorted({run.seed for run in measured.runs})
    note = f"{len(measured.runs)} runs with seeds {', '.join(map(str, seeds))}, each the best of its rates."
    return Table("Range", note, ["quantity", "least", "most"], rows)


def extrapolation(fitted: Fitted) -> Table:
    """Where growing Phi-1.5 into Phi-2 would overtake training Phi-1.5 on, if the law held a thousand times beyond its range."""
    (small, before), large = PHI_1_5, PHI_2
    budgets = before * np.logspace(-4, 4, 400)
    rows = []
    for name, longer in (("equal tokens", 1.0), ("equal FLOPs", large / small)):
        grown, on = (
            Setting(np.array(arm), size, tokens, small, before)
            for arm, size, tokens in ((EXACT, large, budgets), (CONTINUED, small, longer * budgets))
        )
        ahead = fitted.drawn(grown) < fitted.drawn(on)  # (draws, budgets)
        best = fitted.losses(grown) < fitted.losses(on)
        low, high = np.quantile([first(row, budgets) for row in ahead], [0.05, 0.95], method="nearest")
        rows.append([name, of_tokens(first(best, budgets)), f"{of_tokens(low)} to {of_tokens(high)}"])
    note = (
        "Tokens of the second training from which growing is ahead of training on, by the same formula. An extrapolation over three "
        "orders of magnitude in size and five in tokens, to another vocabulary and text: a guess, not a prediction. `never` and "
        "`always` mean within a ten-thousandth and ten thousand times the first training's 150 billion tokens."
    )
    return Table(
        "Phi-1.5 into Phi-2, an extrapolation", note, ["compared at", "growing is ahead from", "90% interval"], rows
    )


def first(ahead: np.ndarray, budgets: np.ndarray) -> float:
    """The least budget from which it stays ahead; infinite if it is behind at the largest."""
    behind = np.flatnonzero(~ahead)
    if not len(behind):
        return 0.0
    return float(budgets[behind[-1] + 1]) if behind[-1] + 1 < len(budgets) else np.inf


def of_tokens(millions: float) -> str:
    return (
        "always"
        if millions == 0
        else "never"
        if np.isinf(millions)
        else f"{millions / 1000:,.2g}B tokens"
        if millions < 1e5
        else f"{millions / 1000:,.0f}B tokens"
    )


def compared(predictions: Path, records: Path, grid: Grid) -> list[Table]:
    """Predictions beside what was measured later; without measurements, the predictions alone."""
    foretold = read_predictions(predictions)
    try:
        later = read_runs(records, grid)
    except StepError:
        later = Measured((), ())
    found: dict[Place, list[Run]] = {}
    for run in later.runs:
        found.setdefault(place_of(run), []).append(run)
    rows = []
    for place, values in foretold.items():
        arm, shape, small, before, tokens = place
        runs = found.get(place, [])
        mean = float(np.mean([run.loss for run in runs])) if runs else None
        edge = gap(runs, later) if arm == EXACT else None
        rows.append(
            [
                f"{NAMES[arm]} {shape}" + (f" from {small}" if arm == EXACT else ""),
                f"{before / MILLION:g}M" if before else "-",
                f"{tokens / MILLION:g}M",
                f"{values['loss']:.3f} ({values['low']:.3f} to {values['high']:.3f})",
                "-" if mean is None else f"{mean:.3f}",
                f"{values['minus_continued']:+.3f} ({values['minus_continued_low']:+.3f} to {values['minus_continued_high']:+.3f})"
                if arm == EXACT
                else "",
                "" if arm != EXACT else "-" if edge is None else f"{edge:+.3f}",
            ]
        )
    header = ["run", "tokens before", "tokens", "predicted loss", "measured", "predicted minus continued", "measured"]
    trained = sum(place in found for place in foretold)
    note = f"Predicted before they were trained, with 90% intervals; {trained} of {len(foretold)} are trained."
    return [Table("Predictions", note, header, rows)]


def gap(runs: Sequence[Run], later: Measured) -> float | None:
    """The mean paired difference of grown runs and the small model trained on."""
    found = [
        later.runs[grown].loss - later.runs[rival].loss
        for grown, rival in later.pairs
        if later.runs[grown] in runs and later.runs[rival].arm == CONTINUED
    ]
    return float(np.mean(found)) if found else None


def place_of(run: Run) -> Place:
    return run.arm, run.shape, run.small_shape, round(run.small_tokens * MILLION), round(run.tokens * MILLION)


def text_of(measured: Measured, own: Judgement, apart: bool, tables: Sequence[Table]) -> Text:
    sentences = [
        f"{len(measured.runs)} training runs. {HOW[apart]}.",
        f"The growth law errs by **{own.loss:.4f}** nats per token in {own.runs} losses and by **{own.pair:.4f}** in {own.pairs} paired "
        f"differences; its 90% intervals contain {own.loss_covered:.0%} and {own.pair_covered:.0%}.",
        f"Its advice costs {own.regret:.4f} nats on average against the best arm.",
    ]
    return Text(
        title="Growth law",
        headline="Scratch, continue or grow: can the better one be predicted?",
        sentences=sentences,
        tables=tables,
        alt="Predicted against measured losses of the three arms",
        caption="The law fitted to all cells. Left: losses; right: grown minus its rivals.",
    )


def csv_rows(measured: Measured) -> Iterator[list[Any]]:
    yield list(COLUMNS)
    for run in measured.runs:
        yield [getattr(run, column) for column in COLUMNS]


def draw(fitted: Fitted, measured: Measured, path: Path) -> None:
    """Write the chart: predicted against measured, for losses and for paired differences."""
    predicted, losses = fitted.losses(measured.settings), measured.losses

    def panels(axes: Any) -> None:
        for arm, (colour, marker) in STYLES.items():
            mine = np.array([run.arm == arm for run in measured.runs])
            axes[0].scatter(losses[mine], predicted[mine], s=14, c=colour, marker=marker, label=NAMES[arm])
        rivals = np.array([measured.runs[rival].arm for _, rival in measured.pairs])
        for arm in (CONTINUED, SCRATCH):
            colour, marker = STYLES[arm]
            x, y = (measured.differences(values)[rivals == arm] for values in (losses, predicted))
            axes[1].scatter(x, y, s=14, c=colour, marker=marker, label=f"exact minus {NAMES[arm]}")
        for axis, title in zip(axes, ("loss", "paired difference"), strict=True):
            ends = axis.get_xlim()
            axis.plot(ends, ends, color="#999999", linewidth=1)
            axis.set(xlabel=f"measured {title}, nats per token", ylabel=f"predicted {title}")
            axis.legend(frameon=False)

    save(path, 2, panels, shared=False)


def insert(page: Path, paragraphs: Sequence[str]) -> None:
    """Replace the text between the marks of a Markdown page.

    Raises:
        StepError: the page has no marks.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise StepError(f"{page} has no lines {BEGIN} and {END}; add them where the tables belong")
    with atomic_file(page) as partial:
        partial.write_text("\n\n".join([before + begin, *paragraphs, end + after]), encoding="utf-8")


COMMAND = Command(
    step="study.growth.law.report",
    description="Fit the growth law to the finished runs of the grid, and judge it on the cells that were set apart.",
    run=report,
    inputs=(
        Argument("grid", "plan of the grid (YAML)"),
        Argument("records", "directory of components.study.growth.law.measure"),
        Argument("predictions", "predictions of the predicted stages (CSV), to compare", required=False),
    ),
    outputs=(
        Argument("output", "directory for law.json, law.md, law.csv, the chart and the page", holds="law.json"),
        Argument("page", "Markdown page whose tables are replaced between two marks", required=False),
    ),
)

if __name__ == "__main__":
    main(COMMAND)
