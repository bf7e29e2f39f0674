"""The leaderboard as text and tables, for Markdown and HTML."""

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
from components.reporting.inside import GROUPS, inside_tables
from components.reporting.words import text_markdown
from components.results.comparability import NATS
from components.results.power import LEGEND, error_words, score_words
from components.results.tables import Table

DASH = "-"
CHAMPION = "`python -m flows.champion` shows which version in the registry is the champion."
REWORDED = (
    "Exam questions in wordings that no training text has, and two questions in one (composition). These scores are not "
    "part of any other mean. "
)


def tables(case: Case, board: dict[str, Any]) -> list[Table]:
    """The tables of the leaderboard that have rows."""
    found = [
        Table("Notes on the data", "", ["step", "note"], case.notes),
        _models_table(board),
        _kinds_table(case),
        _savings_table(board["transfer"]),
        _growth_table(board["transfer"]),
        _along_table(board["transfer"]),
        _exam_share_table(board["transfer"]),
        _proof_table(board["transfer"]),
        exam_differences_table(board),
        _accuracy_table("Exam by category", case, "categories"),
        _accuracy_table("Exam by task", case, "tasks"),
        _accuracy_table("Exam in held-out wordings and compositions, by category", case, "reworded", REWORDED),
        exam_overlap_table(case),
        *inside_tables(case.inside),
    ]
    return [table for table in found if table.rows]


def markdown(case: Case, board: dict[str, Any], title: str = "Leaderboard") -> str:
    """The leaderboard as GitHub Markdown."""
    parts = [f"# {title}", *text_markdown(board["text"]), CHAMPION]
    for table in [*tables(case, board), *standings_tables(board), *suite_tables(board, case), published_table(board)]:
        parts += table.markdown()
    parts += ["## Sources of the published scores", "\n".join(f"- {line}" for line in sources(board))]
    return "\n\n".join(parts) + "\n"


def headline(board: dict[str, Any]) -> str:
    """The result of growth in at most two sentences, with the cost of the small model, also if growth lost."""
    transfer = board["transfer"]
    advantage = transfer and transfer["loss_advantage_over_control"]
    if advantage is None and board["not_compared"]:
        return board["not_compared"][0]
    if advantage is None:
        return f"{len(board['models'])} models scored; there are no grown model and control to compare."
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
        text += f" It reached the control's final loss after {share:.0%} of the control's tokens"
    included = transfer["flops"]["inclusive"]["share_of_control_flops"]
    if included is not None:
        text += f"; including the small model's training, after {included:.0%} of the control's FLOPs"
    return text + "."


def _models_table(board: dict[str, Any]) -> Table:
    header = ["model", "parameters", "tokens", "training FLOPs", "validation loss", "bits/byte"]
    header += ["exam accuracy", "detects", "chance", "majority"]
    rows = [
        [
            row["name"],
            quantity(row["parameters"]),
            quantity(row["tokens"]),
            scientific(row["flops"]),
            with_error(row["validation_loss"], row["validation_loss_stderr"], 4)
            if row["loss_measure"] == NATS
            else DASH,
            decimal(row["bits_per_byte"], 4) if row["loss_measure"] else DASH,
            *_exam_cells(row),
            decimal(row["chance"], 3),
            decimal(row["majority"], 3),
        ]
        for row in board["models"]
    ]
    note = (
        "Loss in nats per token on held-out documents. Exam accuracy is the plain mean over tasks. Both ± one standard "
        f"error, in brackets that of families of exercises drawn at random. {LEGEND}. Chance is the accuracy of guessing, "
        "majority the accuracy of always giving the answer that was most often correct in training."
    )
    return Table("Models", " ".join([*board["not_compared"], note]), header, rows)


def _exam_cells(row: dict[str, Any]) -> list[str]:
    """The exam's accuracy with its standard errors, and what its questions detect."""
    if row["exam_accuracy"] is None or not row["exam_measure"]:
        return [DASH, DASH]
    errors = error_words(row["exam_stderr"], row["exam_clustered_stderr"], row["exam_clusters"])
    return [f"{row['exam_accuracy']:.3f}{errors}", score_words(**row["exam_detects"]) or DASH]


def _kinds_table(case: Case) -> Table:
    """Training tokens and losses by kind of text."""
    trained = case.lineage.get("by_kind")
    counts = trained.items() if isinstance(trained, dict) else ()
    tokens = {kind: of["tokens"] for kind, of in counts if isinstance(of, dict) and isinstance(of.get("tokens"), int)}
    measured = {
        m.name: m.training["by_kind"]
        for m in case.models
        if m.training and m.training.get("by_kind") and case.losses(m).measure == NATS
    }
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
        "Web, prose and code are your own text; textbooks and exercises are generated. Losses are in nats per token of "
        "held-out text of the kind ± one standard error over sequences, with bits per byte in brackets."
    )
    header = ["kind", "training tokens", "held-out tokens", *(f"loss of {name}" for name in measured)]
    return Table("Loss by kind of text", note, header, rows)


def _held_out_loss(figures: dict[str, Any]) -> str:
    if not figures:
        return DASH
    loss = with_error(figures.get("validation_loss"), figures.get("validation_loss_stderr"))
    return f"{loss} ({decimal(figures.get('bits_per_byte'), 3)})"


def _accuracy_table(title: str, case: Case, part: str, about: str = "") -> Table:
    """Accuracies of the models with the reference's exam in one table."""
    scored = [(m.name, getattr(m.scores, part)) for m in case.models if m.scores and case.scores(m).fair]
    names = sorted({name for _, accuracies in scored for name in accuracies})
    rows = []
    for name in names:
        own = [accuracies.get(name) for _, accuracies in scored]
        known = [a for a in own if a]
        sizes = _alike([a.n for a in known], str)
        baselines = [_alike([getattr(a, key) for a in known], _short) for key in ("chance", "majority")]
        another = max((a.detects["another"] or 0.0 for a in known), default=0.0)
        detects = score_words(known[0].detects["chance"], another or None) if known else ""
        rows.append([name, sizes, detects or DASH, *baselines, *(_accuracy_cell(a) for a in own)])
    header = [title.split()[-1], "n", "detects", "chance", "majority", *(n for n, _ in scored)]
    note = (
        "Accuracy ± one standard error, in brackets that of families of exercises drawn at random. Chance: guessing. "
        "Majority: always the choice that was most often correct in training. *: more than two standard errors above both. "
        f"{LEGEND[0].upper()}{LEGEND[1:]}."
    )
    return Table(title, f"{about}{note}", header, rows)


def _alike(values: Sequence[float | None], show: Callable[[Any], str]) -> str:
    """The value that the models share; several if their questions differ."""
    return "/".join(show(value) for value in sorted({v for v in values if v is not None})) or DASH


def _accuracy_cell(accuracy: Accuracy | None) -> str:
    if accuracy is None:
        return DASH
    errors = error_words(accuracy.stderr, accuracy.clustered_stderr, accuracy.clusters)
    return f"{accuracy.value:.3f}{errors}" + (" *" if accuracy.above_baselines else "")


def _proof_table(transfer: dict[str, Any] | None) -> Table:
    """Source and grown model on the same held-out tokens, before any further training."""
    known = transfer or {}
    figures: list[tuple[str, Any, Callable[[Any], str]]] = [
        ("operator", known.get("operator"), str),
        ("tokens compared", known.get("proof_tokens"), "{:,}".format),
        ("compared on", known.get("proof_on"), str),
        ("largest logit difference, relative", known.get("max_relative_logit_difference"), scientific),
        ("… before rounding to float32", known.get("max_relative_logit_difference_float64"), scientific),
        ("largest logit difference, absolute", known.get("max_absolute_logit_difference"), scientific),
        ("KL divergence (nats per token)", known.get("kl"), scientific),
        ("loss of the source", known.get("source_loss"), lambda v: decimal(v, 6)),
        ("loss of the grown model", known.get("target_loss"), lambda v: decimal(v, 6)),
        ("difference of the losses", known.get("loss_delta"), scientific),
    ]
    rows = [[name, show(value)] for name, value, show in figures if value is not None]
    note = "The grown model compared with the small model from which it was grown, before any further training."
    return Table("Knowledge transfer: the proof", note, ["figure", "value"], rows)


def _growth_table(transfer: dict[str, Any] | None) -> Table:
    """The share of the gain of training that each group of the grown model's entries carries."""
    growth = (transfer or {}).get("growth") or {}
    rows = [
        [
            group.replace("_", " "),
            f"{found['entries']:,}",
            percent(found["share"]),
            with_error(found["damage"], found.get("damage_stderr"), 4),
        ]
        for group in GROUPS
        if (found := growth.get(group))
    ]
    note = (
        "The entries of a group are set back to their values at the end of growth. Damage: the rise of the held-out loss in "
        "nats per token ± one standard error. Share: the damage divided by the whole gain of training. Shares need not sum "
        "to 100%, since the entries were trained together, and they may exceed 100% if training gained little. They say "
        "nothing without the loss."
    )
    header = ["entries set back", "number", "share", "damage"]
    return Table("Knowledge transfer: what the new entries carry", note, header, rows)


def _along_table(transfer: dict[str, Any] | None) -> Table:
    """The share of the new entries at each validation."""
    rows = [
        [
            quantity(row["tokens"]),
            decimal(row["validation_loss"], 4),
            percent(row.get("new_share")),
            with_error(row.get("new_damage"), row.get("new_damage_stderr"), 4),
        ]
        for row in ((transfer or {}).get("growth") or {}).get("along", ())
    ]
    note = (
        "The new entries set back after each validation, on a quarter of its sequences. There is no share while the gain on "
        "them is less than twice the standard error of the damage."
    )
    return Table("Knowledge transfer: new entries along training", note, ["tokens", "loss", "share", "damage"], rows)


def _exam_share_table(transfer: dict[str, Any] | None) -> Table:
    """What setting the new entries back costs on the exam, by family of questions."""
    exam = (transfer or {}).get("growth_exam")
    parts = [("all", exam["all"]), *exam["tasks"].items()] if exam else []
    rows = [
        [
            name,
            *(with_error(part[key]["value"], part[key]["stderr"], 4) for key in ("gain", "damage")),
            percent(part["share"]),
        ]
        for name, part in parts
    ]
    note = (
        "Bits per byte of the correct answers, paired by question, ± one standard error; families have equal weight. Gain: "
        "the small model's minus the grown one's. Damage: the rise when the new entries are set back to their values at the "
        "end of growth. Share: damage divided by gain, where the gain's 95% interval is above 0."
    )
    return Table("Knowledge transfer: new entries in the exam", note, ["family", "gain", "damage", "share"], rows)


def _savings_table(transfer: dict[str, Any] | None) -> Table:
    """Savings of the transfer compared with the control, with cost counted both ways."""
    known = transfer or {}
    rows = [
        [name, show(value)]
        for name, value, show in (
            ("validation loss at the grown start", known.get("grown_start_loss"), lambda v: decimal(v, 4)),
            ("final loss, control minus grown", known.get("loss_advantage_over_control"), lambda v: f"{v:+.4f}"),
            ("tokens to the control's final loss", known.get("tokens_to_control_loss"), quantity),
            ("… as a share of the control's tokens", known.get("share_of_control_tokens"), percent),
        )
        if value is not None
    ]
    if known.get("tokens_to_control_loss_method") == "not reached":
        rows.append(["tokens to the control's final loss", "not reached"])
    for account, words in (("sunk", "small model sunk"), ("inclusive", "small model included")):
        figures = known.get("flops", {}).get(account, {})
        for key, name, show in (
            ("share_of_control_flops", "FLOPs to the control's final loss, share of the control's", percent),
            ("loss_advantage_at_control_flops", "loss at the control's FLOPs, control minus grown", "{:+.4f}".format),
        ):
            if figures.get(key) is not None:
                rows.append([f"{name} ({words})", show(figures[key])])
    note = (
        "Sunk: the small model is free. Included: its training counts too. Losses within a schedule are measured before "
        "the learning rate decays, so tokens and FLOPs to the control's loss are upper bounds; values between validations "
        "are interpolated linearly. One seed, with the learning rate set for each model. Continued training of the small "
        "model is not compared here; the growth study does that."
        if rows
        else ""
    )
    return Table("Knowledge transfer: savings", note, ["figure", "value"], rows)


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
