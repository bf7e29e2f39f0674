"""The report as one self-contained HTML page: without network or script, with the chart inside."""

import base64
from pathlib import Path
from typing import Any

from components.foreign.terminal import printable_text
from components.reporting.beside import published_table, sources, standings_tables, suite_tables
from components.reporting.evidence import Case
from components.reporting.tables import CHAMPION, headline, tables
from components.reporting.words import costs_table, endings
from components.results.pages import render

TEMPLATE = Path(__file__).with_name("page.html.j2")


def html_page(
    case: Case, board: dict[str, Any], figure: Path | None, inside: Path | None, places: list[tuple[str, str]]
) -> str:
    """The page as HTML.

    Args:
        case: the evidence.
        board: the leaderboard.
        figure: PNG of the losses to include; None without a chart.
        inside: PNG of what was found inside the model; None without it.
        places: names of results and their paths.
    """
    found = tables(case, board)
    return render(
        TEMPLATE,
        headline=headline(board),
        champion=CHAMPION,
        sentences=board["text"]["sentences"],
        costs=costs_table(board["text"]),
        samples=[_sample(sample) for sample in board["text"]["continuations"]],
        cards=_cards(board),
        models=found[0],
        tables=[*found[1:], *standings_tables(board), *suite_tables(board, case)],
        published=published_table(board),
        sources=sources(board),
        image=_inline(figure),
        inside=_inline(inside),
        places=places,
    )


def _inline(figure: Path | None) -> str:
    return base64.b64encode(figure.read_bytes()).decode() if figure else ""


def _sample(sample: dict[str, Any]) -> dict[str, Any]:
    """A held-out text and its continuations, for the page."""
    told = [(who, printable_text(text).strip("\n")) for who, text in endings(sample)]
    return {
        "kind": sample["kind"],
        "source": sample["source"],
        "prompt": printable_text(sample["prompt"]),
        "told": told,
    }


def _cards(board: dict[str, Any]) -> list[dict[str, str]]:
    """The most important metrics, with a box for each."""
    transfer = board["transfer"] or {}
    cards = []
    advantage = transfer.get("loss_advantage_over_control")
    if advantage is not None:
        side = "below" if advantage >= 0 else "above"
        cards.append(
            {"value": f"{abs(advantage):.3f}", "label": f"nats per token {side} the control at the same tokens"}
        )
    if transfer.get("share_of_control_tokens") is not None:
        value = f"{transfer['share_of_control_tokens']:.0%}"
        cards.append({"value": value, "label": "of the control's tokens to the control's final loss"})
    included = (transfer.get("flops") or {}).get("inclusive", {}).get("share_of_control_flops")
    if included is not None:
        cards.append({"value": f"{included:.0%}", "label": "of the control's FLOPs to it, the small model's included"})
    if transfer.get("max_relative_logit_difference") is not None:
        value = f"{transfer['max_relative_logit_difference']:.0e}"
        cards.append({"value": value, "label": "largest relative logit difference when grown"})
    return cards
