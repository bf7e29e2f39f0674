"""The leaderboard in words and tables, for Markdown and HTML alike."""

from collections.abc import Callable, Sequence
from typing import Any

from components.reporting.beside import (
    exam_differences_table,
    exam_overlap_table,
    published_table,
    sources,
    standings_tables,
    suite_tables,
)
from components.reporting.comparison import CONTROL, LARGE
from components.reporting.evidence import Accuracy, Case
from components.reporting.words import text_markdown
from components.results.tables import escape_markdown, markdown_table

DASH = "-"
CHAMPION = "The registry says which version is the champion: `python -m flows.champion`."
TRANSFER = (
    "Exam questions in wordings that training never contains, and two questions at once (composition). These "
    "scores enter no other mean. "
)


def tables(case: Case, board: dict[str, Any]) -> list[dict[str, Any]]:
    """The leaderboard as tables of text for Markdown and HTML: `title`, `note`, `header`, `rows`; empty ones left out."""
    found = [
        {
            "title": "Notes on the data",
            "note": "",
            "header": ["step", "note"],
            "rows": [list(row) for row in case.notes],
        },
        _models_table(board),
        _kinds_table(case),
        _savings_table(board["transfer"]),
        _growth_table(board["transfer"]),
        _proof_table(board["transfer"]),
        exam_differences_table(board),
        _accuracy_table("Exam by category", case, "categories"),
        _accuracy_table("Exam by task", case, "tasks"),
        _accuracy_table("Exam in held-out wordings and compositions, by category", case, "transfer", TRANSFER),
        exam_overlap_table(case),
    ]
    return [table for table in found if table["rows"]]


def markdown(case: Case, board: dict[str, Any], title: str = "Leaderboard") -> str:
    """The leaderboard as GitHub Markdown."""
    parts = [f"# {title}", *text_markdown(board["text"]), CHAMPION]
    for table in [*tables(case, board), *standings_tables(board), *suite_tables(board, case), published_table(board)]:
        parts += [
            f"## {escape_markdown(table['title'])}",
            markdown_table(table["header"], table["rows"]),
            table["note"],
        ]
    parts += ["## Sources of the published scores", "\n".join(f"- {line}" for line in sources(board))]
    return "\n\n".join(part for part in parts if part) + "\n"


def headline(board: dict[str, Any]) -> str:
    """The result of the run in at most two sentences; says so if growth lost, and counts the small model's cost."""
    transfer = board["transfer"]
    advantage = transfer and transfer["loss_advantage_over_control"]
    if advantage is None:
        return f"{len(board['models'])} models scored; no grown model and control to compare."
    seen = {row["name"]: row["tokens"] for row in board["models"]}
    budget = "trained on the same tokens" if seen[LARGE] == seen[CONTROL] else f"saw {quantity(seen[CONTROL])} tokens"
    if advantage <= 0:
        return (
            f"Growth did not pay off in this run: the grown model ends {-advantage:.3f} nats per token above the control, "
            f"which started at random and {budget}."
        )
    text = (
        f"The grown model ends {advantage:.3f} nats per token below the control, which started at random and {budget}."
    )
    share = transfer["share_of_control_tokens"]
    if share is None:
        return text
    if transfer["tokens_to_control_loss_method"] == "start":
        text += " It was at or below the control's final loss when it started"
    else:
        text += f" It had the control's final loss after {share:.0%} of the control's tokens"
    included = transfer["flops"]["inclusive"]["share_of_control_flops"]
    if included is not None:
        text += f"; with the small model's training counted in, after {included:.0%} of the control's FLOPs"
    return text + "."


def _models_table(board: dict[str, Any]) -> dict[str, Any]:
    header = [
        "model",
        "parameters",
        "tokens",
        "training FLOPs",
        "validation loss",
        "bits/byte",
        "exam accuracy",
        "chance",
        "majority",
    ]
    rows = [
        [
            row["name"],
            quantity(row["parameters"]),
            quantity(row["tokens"]),
            scientific(row["flops"]),
            with_error(row["validation_loss"], row["validation_loss_stderr"], 4),
            decimal(row["bits_per_byte"], 4),
            with_error(row["exam_accuracy"], row["exam_stderr"]),
            decimal(row["chance"], 3),
            decimal(row["majority"], 3),
        ]
        for row in board["models"]
    ]
    note = (
        "Loss in nats per token on held-out documents. Exam accuracy is the plain mean over tasks. Both ± one "
        "standard error; chance is the accuracy of guessing, majority that of always answering what was most "
        "often correct in training."
    )
    return {"title": "Models", "note": note, "header": header, "rows": rows}


def _kinds_table(case: Case) -> dict[str, Any]:
    """What the models learned from and were measured on, by kind of text."""
    trained = case.lineage.get("by_kind")
    counts = trained.items() if isinstance(trained, dict) else ()
    tokens = {kind: of["tokens"] for kind, of in counts if isinstance(of, dict) and isinstance(of.get("tokens"), int)}
    measured = {m.name: m.training["by_kind"] for m in case.models if m.training and m.training.get("by_kind")}
    first: dict[str, Any] = next(iter(measured.values()), {})
    rows = [
        [
            kind,
            percent(tokens[kind] / sum(tokens.values()) if kind in tokens else None),
            quantity(first.get(kind, {}).get("tokens")),
            *(_held_out_loss(figures.get(kind, {})) for figures in measured.values()),
        ]
        for kind in sorted({*tokens, *first})
    ]
    note = (
        "Web, prose and code are your own text; textbooks and exercises are generated. Losses in nats per token on held-out "
        "text of the kind, ± one standard error over sequences; in brackets bits per byte."
    )
    header = ["kind", "training tokens", "held-out tokens", *(f"loss of {name}" for name in measured)]
    return {"title": "Loss by kind of text", "note": note, "header": header, "rows": rows}


def _held_out_loss(figures: dict[str, Any]) -> str:
    if not figures:
        return DASH
    loss = with_error(figures.get("validation_loss"), figures.get("validation_loss_stderr"))
    return f"{loss} ({decimal(figures.get('bits_per_byte'), 3)})"


def _accuracy_table(title: str, case: Case, part: str, about: str = "") -> dict[str, Any]:
    """Accuracies of all scored models side by side; the models may have different tasks."""
    scored = [(m.name, getattr(m.scores, part)) for m in case.models if m.scores]
    names = sorted({name for _, found in scored for name in found})
    rows = []
    for name in names:
        found = [accuracies.get(name) for _, accuracies in scored]
        known = [a for a in found if a]
        sizes = _alike([a.n for a in known], str)
        baselines = [_alike([getattr(a, key) for a in known], _short) for key in ("chance", "majority")]
        rows.append([name, sizes, *baselines, *(_accuracy_cell(a) for a in found)])
    header = [title.split()[-1], "n", "chance", "majority", *(n for n, _ in scored)]
    note = (
        "Accuracy ± one standard error. Chance: guessing. Majority: always the choice that was most often "
        "correct in training. * more than two standard errors above both."
    )
    return {"title": title, "note": f"{about}{note}", "header": header, "rows": rows}


def _alike(values: Sequence[float | None], show: Callable[[Any], str]) -> str:
    """The value that the models share; several if they were asked different questions."""
    return "/".join(show(value) for value in sorted({v for v in values if v is not None})) or DASH


def _accuracy_cell(accuracy: Accuracy | None) -> str:
    if accuracy is None:
        return DASH
    return with_error(accuracy.value, accuracy.stderr) + (" *" if accuracy.above_baselines else "")


def _proof_table(transfer: dict[str, Any] | None) -> dict[str, Any]:
    """Source and grown model on the same held-out tokens, before any further training."""
    found = transfer or {}
    figures: list[tuple[str, Any, Callable[[Any], str]]] = [
        ("operator", found.get("operator"), str),
        ("tokens compared", found.get("proof_tokens"), "{:,}".format),
        ("compared on", found.get("proof_on"), str),
        ("largest logit difference, relative", found.get("max_relative_logit_difference"), scientific),
        ("… before rounding to float32", found.get("max_relative_logit_difference_float64"), scientific),
        ("largest logit difference, absolute", found.get("max_absolute_logit_difference"), scientific),
        ("KL divergence (nats per token)", found.get("kl"), scientific),
        ("loss of the source", found.get("source_loss"), lambda v: decimal(v, 6)),
        ("loss of the grown model", found.get("target_loss"), lambda v: decimal(v, 6)),
        ("difference of the losses", found.get("loss_delta"), scientific),
    ]
    rows = [[name, show(value)] for name, value, show in figures if value is not None]
    note = "The grown model against the small one it was grown from, before any further training."
    return {"title": "Knowledge transfer: the proof", "note": note, "header": ["figure", "value"], "rows": rows}


def _growth_table(transfer: dict[str, Any] | None) -> dict[str, Any]:
    """What each group of the grown model's entries carries of what training gained."""
    growth = (transfer or {}).get("growth") or {}
    rows = [
        [
            group.replace("_", " "),
            f"{found['entries']:,}",
            percent(found["share"]),
            with_error(found["damage"], found["damage_stderr"], 4),
        ]
        for group, found in growth.items()
        if isinstance(found, dict)
    ]
    note = (
        "The entries of a group are set back to their values at the end of growth: `damage` is the rise of the held-out loss in "
        "nats per token, `share` is the damage over the whole gain of training. Shares need not sum to 100%, since the "
        "entries have learnt together; a share is no merit without a low loss."
    )
    return {
        "title": "Knowledge transfer: what the new entries carry",
        "note": note,
        "header": ["entries set back", "number", "share", "damage"],
        "rows": rows,
    }


def _savings_table(transfer: dict[str, Any] | None) -> dict[str, Any]:
    """What the transfer saved against the control, with cost counted both ways."""
    found = transfer or {}
    rows = [
        [name, show(value)]
        for name, value, show in (
            ("validation loss at the grown start", found.get("grown_start_loss"), lambda v: decimal(v, 4)),
            ("final loss, control minus grown", found.get("loss_advantage_over_control"), lambda v: f"{v:+.4f}"),
            ("tokens to the control's final loss", found.get("tokens_to_control_loss"), quantity),
            ("… as a share of the control's tokens", found.get("share_of_control_tokens"), percent),
        )
        if value is not None
    ]
    if found.get("tokens_to_control_loss_method") == "not reached":
        rows.append(["tokens to the control's final loss", "not reached"])
    for account, words in (("sunk", "small model sunk"), ("inclusive", "small model included")):
        figures = found.get("flops", {}).get(account, {})
        for key, name, show in (
            ("share_of_control_flops", "FLOPs to the control's final loss, share of the control's", percent),
            ("loss_advantage_at_control_flops", "loss at the control's FLOPs, control minus grown", "{:+.4f}".format),
        ):
            if figures.get(key) is not None:
                rows.append([f"{name} ({words})", show(figures[key])])
    note = (
        "Sunk: the small model is free. Included: its training counts too. Losses in mid-schedule have "
        "not had their learning-rate decay, so tokens and FLOPs to the control's loss are upper bounds; crossings are "
        "interpolated linearly between validations. One seed, and the one learning rate that is set for each; no arm here "
        "continues the small model instead: the growth study does."
        if rows
        else ""
    )
    return {"title": "Knowledge transfer: what it saved", "note": note, "header": ["figure", "value"], "rows": rows}


def decimal(value: float | None, digits: int) -> str:
    return DASH if value is None else f"{value:.{digits}f}"


def scientific(value: float | None) -> str:
    return DASH if value is None else f"{value:.2e}"


def percent(value: float | None) -> str:
    return DASH if value is None else f"{value:.1%}"


def quantity(value: float | None) -> str:
    """A count in its unit: 950, 1.42 k, 3.41 M, 1.40 T."""
    if value is None:
        return DASH
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.2f} {name}"
    return f"{value:.0f}"


def with_error(value: float | None, stderr: float | None, digits: int = 3) -> str:
    if value is None:
        return DASH
    return f"{value:.{digits}f}" + ("" if stderr is None else f" ± {stderr:.{digits}f}")


def _short(value: float) -> str:
    return f"{value:.3f}"
