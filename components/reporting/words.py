"""Sentences about the run's text, for the report's pages and the terminal."""

from collections.abc import Mapping
from typing import Any

from components.documents import GENERATED
from components.foreign.terminal import printable_text
from components.reporting.baselines import NOTHING, UNIGRAM, XZ
from components.results.tables import Table

REASONS = {  # rules of curation as the report describes them; other rules by their names
    "educational_value": "low educational value",
    "exact_duplicate": "equal to another",
    "language": "in another language",
    "max_duplicate_line_fraction": "repeating themselves",
    "min_alpha_fraction": "mostly symbols and digits",
    "min_chars": "too short",
    "max_chars": "too long",
    "near_duplicate": "nearly equal to another",
}
SHOWN_REASONS = 4
PLURAL = {"textbook": "textbooks", "exercise": "exercises"}


def sentences(facts: Mapping[str, Any], subject: str) -> list[str]:
    """One sentence for each kind of fact that is known."""
    lines = []
    if documents := facts["documents"]:
        lines.append(_of_documents(documents))
    if training := facts["training"]:
        lines.append(_of_training(training))
    if held_out := facts["held_out"]:
        lines.append(_of_held_out(held_out, subject))
    return lines


def _of_documents(documents: Mapping[str, Any]) -> str:
    dropped = documents["dropped"]
    ordered = sorted(dropped, key=lambda rule: (-dropped[rule], rule))
    reasons = [f"{dropped[rule]:,} {REASONS.get(rule, f'by the rule {rule}')}" for rule in ordered[:SHOWN_REASONS]]
    if rest := sum(dropped[rule] for rule in ordered[SHOWN_REASONS:]):
        reasons.append(f"{rest:,} by {len(ordered) - SHOWN_REASONS} other rules")
    text = f"{documents['read']:,} documents were read, {documents['kept']:,} of them kept"
    if dropped:
        text += f" and {sum(dropped.values()):,} dropped: {', '.join(reasons)}"
    unreadable = documents["unreadable"]
    return text + (f"; {unreadable:,} could not be read." if unreadable else ".")


def _of_training(training: Mapping[str, Any]) -> str:
    total, kinds = training["tokens"], training["by_kind"]
    own = {kind: count for kind, count in kinds.items() if kind not in GENERATED}
    parts = [f"{sum(own.values()) / total:.0%} are of your text ({_shares(own, total)})"] if own else []
    generated = {PLURAL.get(kind, kind): count for kind, count in kinds.items() if kind in GENERATED}
    parts += [_shares(generated, total)] if generated else []
    return f"Of {total:,} training tokens, {', '.join(parts)}."


def _shares(counts: Mapping[str, int], total: int) -> str:
    return ", ".join(f"{count / total:.0%} {kind}" for kind, count in sorted(counts.items(), key=lambda item: -item[1]))


def _of_held_out(held_out: Mapping[str, Any], subject: str) -> str:
    bits = {cost["by"]: cost["bits_per_byte"] for cost in held_out["costs"]}
    models = [name for name in bits if name not in (NOTHING, UNIGRAM, XZ)]
    best = subject if subject in models else models[0]
    text = "generated text" if GENERATED.issuperset(held_out["kinds"]) else "your text"
    return (
        f"On {held_out['bytes']:,} held-out bytes of {text}, the {best} model needs {bits[best]:.2f} bits per byte, a uniform "
        f"guess {bits[NOTHING]:.2f}, token frequencies {bits[UNIGRAM]:.2f} and {XZ} {bits[XZ]:.2f}; fewer is better."
    )


def costs_table(facts: Mapping[str, Any]) -> Table:
    """The losses on held-out text as a table; without rows if they are unknown."""
    held_out = facts["held_out"] or {"costs": [], "tokens": 0, "kinds": []}
    rows = [
        [cost["by"], "-" if cost["loss"] is None else f"{cost['loss']:.4f}", f"{cost['bits_per_byte']:.4f}"]
        for cost in held_out["costs"]
    ]
    note = (
        f"All on the same {held_out['tokens']:,} held-out tokens, of kinds {', '.join(held_out['kinds'])}. "
        f"{NOTHING.capitalize()}: all tokens of the vocabulary are equally likely. {UNIGRAM.capitalize()}: in the training "
        f"text, with one added to each. {XZ}: this text compressed, without the training text."
    )
    header = ["predicted by", "loss (nats per token)", "bits per byte"]
    return Table("Prediction of held-out text", note, header, rows)


def text_markdown(facts: Mapping[str, Any]) -> list[str]:
    """The section on the run's text as paragraphs of Markdown."""
    if not facts["sentences"] and not facts["continuations"]:
        return []
    parts, table = ["## Your text", *facts["sentences"]], costs_table(facts)
    if table.rows:
        parts += table.markdown(3)
    for sample in facts["continuations"]:
        parts.append(f"A held-out text ({sample['kind']}) begins:")
        parts.append(_block(sample["prompt"]))
        for who, text in endings(sample):
            parts += [f"{who}:", _block(text)]
    return parts


def endings(sample: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The actual continuation of a held-out text, and that of each model."""
    return [
        ("The actual continuation", sample["truth"]),
        *((f"{answer['by']} continues", answer["text"]) for answer in sample["told"]),
    ]


def _block(text: str) -> str:
    """Text as an indented block, where Markdown has no effect."""
    return "\n".join(f"    {line}" for line in printable_text(text).strip("\n").split("\n"))
