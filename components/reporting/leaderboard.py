"""The leaderboard: one row a model, figures taken over unchanged, as JSON and as Markdown."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from components.reporting.comparison import CONTROL, LARGE, Gate
from components.reporting.evidence import Accuracy, Case, Evidence

TRAINED = ("parameters", "tokens", "steps", "flops", "validation_loss", "bits_per_byte")
DASH = "-"


def leaderboard(case: Case, transfer: dict[str, Any] | None, gate: Gate) -> dict[str, Any]:
    """The whole leaderboard as a JSON object: `models`, `transfer`, `gate`."""
    return {"models": [_row(model) for model in case.models], "transfer": transfer, "gate": asdict(gate)}


def _row(model: Evidence) -> dict[str, Any]:
    trained = model.training or {}
    row: dict[str, Any] = {"name": model.name} | {key: trained.get(key) for key in TRAINED}
    row["checkpoint_sha256"] = trained.get("checkpoint_sha256")
    scores = model.scores
    overall = scores.overall if scores else None
    return row | {
        "exam_accuracy": overall.value if overall else None,
        "exam_stderr": overall.stderr if overall else None,
        "chance": overall.chance if overall else None,
        "tasks": {name: a.as_json() for name, a in scores.tasks.items()} if scores else {},
        "categories": {name: a.as_json() for name, a in scores.categories.items()} if scores else {},
    }


def summary(board: dict[str, Any]) -> dict[str, Any]:
    """Flat figures for `dvc metrics`: `large_validation_loss`, `gate_passed` (0 or 1), ...; unknown ones are absent."""
    flat: dict[str, Any] = {}
    for row in board["models"]:
        for key in ("validation_loss", "bits_per_byte", "exam_accuracy", "exam_stderr"):
            flat[f"{row['name']}_{key}"] = row[key]
    transfer = board["transfer"] or {}
    for key in (
        "max_relative_logit_difference",
        "kl",
        "loss_delta",
        "grown_start_loss",
        "loss_advantage_over_control",
        "tokens_to_control_loss",
        "share_of_control_tokens",
    ):
        flat[key] = transfer.get(key)
    for account in ("sunk", "inclusive"):
        figures = transfer.get("flops", {}).get(account, {})
        flat[f"share_of_control_flops_{account}"] = figures.get("share_of_control_flops")
    flat["gate_passed"] = int(board["gate"]["passed"])
    return {key: value for key, value in flat.items() if value is not None}


def tables(case: Case, board: dict[str, Any]) -> list[dict[str, Any]]:
    """The leaderboard as tables of text for Markdown and HTML: `title`, `note`, `header`, `rows`; empty ones left out."""
    found = [
        _models_table(board),
        _accuracy_table("Exam by category", case, "categories"),
        _accuracy_table("Exam by task", case, "tasks"),
        _proof_table(board["transfer"]),
        _savings_table(board["transfer"]),
    ]
    return [table for table in found if table["rows"]]


def markdown(case: Case, board: dict[str, Any], title: str = "Leaderboard") -> str:
    """The leaderboard as GitHub Markdown."""
    parts = [f"# {title}", verdict(board)]
    for table in tables(case, board):
        parts += [f"## {table['title']}", markdown_table(table["header"], table["rows"]), table["note"]]
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are figures, aligned in the source too."""
    cells = [[cell.replace("|", "\\|") for cell in line] for line in [header, *rows]]
    widths = [max(3, *(len(line[i]) for line in cells)) for i in range(len(header))]
    rule = ["-" * widths[0]] + ["-" * (w - 1) + ":" for w in widths[1:]]
    cells.insert(1, rule)
    padded = (
        [line[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)] for line in cells
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def verdict(board: dict[str, Any]) -> str:
    """The gate's verdict in one line."""
    gate = board["gate"]
    return f"**Gate: {'passed' if gate['passed'] else 'not passed'}** - {gate['reason']}."


def headline(board: dict[str, Any]) -> str:
    """What the run showed, in two sentences at most; says so where growth lost, and counts the small model in."""
    transfer = board["transfer"]
    advantage = transfer and transfer["loss_advantage_over_control"]
    if advantage is None:
        return f"{len(board['models'])} models scored; no grown model and control to compare."
    seen = {row["name"]: row["tokens"] for row in board["models"]}
    budget = "saw the same tokens" if seen[LARGE] == seen[CONTROL] else f"saw {quantity(seen[CONTROL])} tokens"
    if advantage <= 0:
        return (
            f"Growth did not pay in this run: the grown model ends {-advantage:.3f} nats a token above the control, "
            f"which started at random and {budget}."
        )
    text = f"The grown model ends {advantage:.3f} nats a token below the control, which started at random and {budget}."
    share = transfer["share_of_control_tokens"]
    if share is None:
        return text
    text += f" It had the control's final loss after {share:.0%} of the control's tokens"
    included = transfer["flops"]["inclusive"]["share_of_control_flops"]
    if included is not None:
        text += f"; the small model's training counted in, after {included:.0%} of the control's FLOPs"
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
    ]
    rows = [
        [
            row["name"],
            quantity(row["parameters"]),
            quantity(row["tokens"]),
            scientific(row["flops"]),
            decimal(row["validation_loss"], 4),
            decimal(row["bits_per_byte"], 4),
            with_error(row["exam_accuracy"], row["exam_stderr"]),
            decimal(row["chance"], 3),
        ]
        for row in board["models"]
    ]
    note = (
        "Loss in nats a token on held-out documents. Exam accuracy is the plain mean over tasks, ± one standard error; "
        "chance is what guessing reaches."
    )
    return {"title": "Models", "note": note, "header": header, "rows": rows}


def _accuracy_table(title: str, case: Case, part: str) -> dict[str, Any]:
    """Accuracies of all scored models side by side; the models may have been asked different tasks."""
    scored = [(m.name, getattr(m.scores, part)) for m in case.models if m.scores]
    names = sorted({name for _, found in scored for name in found})
    rows = []
    for name in names:
        found = [accuracies.get(name) for _, accuracies in scored]
        known = [a for a in found if a]
        sizes = sorted({a.n for a in known if a.n is not None})
        chances = sorted({a.chance for a in known if a.chance is not None})
        row = [name, "/".join(map(str, sizes)) or DASH, "/".join(decimal(c, 3) for c in chances) or DASH]
        rows.append(row + [_accuracy_cell(a) for a in found])
    note = "Accuracy ± one standard error. * more than two standard errors above chance."
    return {
        "title": title,
        "note": note,
        "header": [title.split()[-1], "n", "chance", *(n for n, _ in scored)],
        "rows": rows,
    }


def _accuracy_cell(accuracy: Accuracy | None) -> str:
    if accuracy is None:
        return DASH
    return with_error(accuracy.value, accuracy.stderr) + (" *" if accuracy.above_chance else "")


def _proof_table(transfer: dict[str, Any] | None) -> dict[str, Any]:
    """Source and grown model on the same held-out tokens, before any further training."""
    found = transfer or {}
    figures = [
        ("operator", found.get("operator"), str),
        ("tokens compared", found.get("proof_tokens"), "{:,}".format),
        ("largest logit difference, relative", found.get("max_relative_logit_difference"), scientific),
        ("largest logit difference, absolute", found.get("max_absolute_logit_difference"), scientific),
        ("KL divergence (nats a token)", found.get("kl"), scientific),
        ("loss of the source", found.get("source_loss"), lambda v: decimal(v, 6)),
        ("loss of the grown model", found.get("target_loss"), lambda v: decimal(v, 6)),
        ("difference of the losses", found.get("loss_delta"), scientific),
    ]
    rows = [[name, show(value)] for name, value, show in figures if value is not None]
    note = "The grown model against the small one it was grown from, before any further training."
    return {"title": "Knowledge transfer: the proof", "note": note, "header": ["figure", "value"], "rows": rows}


def _savings_table(transfer: dict[str, Any] | None) -> dict[str, Any]:
    """What the transfer saved against the control, cost counted both ways."""
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
        "Sunk: the small model is taken as given. Included: its training is paid for too. Losses in mid-schedule have "
        "not had their learning-rate decay, so tokens and FLOPs to the control's loss are upper bounds; crossings are "
        "interpolated linearly between validations. No arm here continues the small model instead."
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


def with_error(value: float | None, stderr: float | None) -> str:
    if value is None:
        return DASH
    return f"{value:.3f}" + ("" if stderr is None else f" ± {stderr:.3f}")
