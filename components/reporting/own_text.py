"""What a run made of the text that it was given: what was kept, what was trained on, how well held-out text is predicted.

In plain words first (`sentences`); the figures behind them stand beside.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.cli import Paths
from components.documents import GENERATED
from components.errors import StepError
from components.reporting.baselines import HeldOutText, token_counts, unigram_nats, xz_bits_per_byte
from components.reporting.checks import mapping, number, read_object
from components.reporting.evidence import Case, Evidence
from components.tables import markdown_table
from components.terminal import printable_text
from components.tokens import Tokens

SAMPLES = 3  # held-out texts that each model continues
NOTHING, UNIGRAM, XZ = "nothing known", "token frequencies", "xz -9e"
REASONS = {  # rules of curation in plain words; another is called by its name
    "educational_value": "of little educational value",
    "exact_duplicate": "equal to another",
    "language": "in another language",
    "min_alpha_fraction": "mostly signs and figures",
    "min_chars": "too short",
    "max_chars": "too long",
    "near_duplicate": "nearly equal to another",
}
SHOWN_REASONS = 4
PLURAL = {"textbook": "textbooks", "exercise": "exercises"}


def own_text(inputs: Paths, case: Case) -> dict[str, Any]:
    """Facts of the run's text; what no input tells is None or empty.

    Returns:
        `documents`, `training`, `held_out`, `continuations`, and `sentences` that say the first three in words.

    Raises:
        StepError: a summary is malformed, or its figures are of other held-out text than the tokens'.
    """
    tokens = Tokens.open(inputs["tokens"]) if inputs.get("tokens") else None
    facts: dict[str, Any] = {
        "documents": _documents(inputs.get("ingestion"), inputs.get("curation")),
        "training": _training(inputs.get("tokenization")),
        "held_out": _held_out(tokens, case) if tokens else None,
        "continuations": continuations(tokens, inputs.get("checkpoints") or []) if tokens else [],
    }
    return facts | {"sentences": sentences(facts, case.subject)}


def _documents(ingestion: Path | None, curation: Path | None) -> dict[str, Any] | None:
    if not (ingestion and curation):
        return None
    read, kept = read_object(ingestion), read_object(curation)
    return {
        "read": int(number(ingestion, read, "documents")),
        "unreadable": int(number(ingestion, read, "quarantined")),
        "kept": int(number(curation, kept, "documents_kept")),
        "dropped": mapping(curation, kept, "dropped"),
    }


def _training(tokenization: Path | None) -> dict[str, Any] | None:
    """Training tokens by kind, a document that is passed over twice counted twice."""
    if not tokenization:
        return None
    kinds = mapping(tokenization, read_object(tokenization), "by_kind")
    counts = {kind: mapping(tokenization, splits, "train", {}).get("tokens", 0) for kind, splits in kinds.items()}
    return {"tokens": sum(counts.values()), "by_kind": {kind: count for kind, count in counts.items() if count}}


def _held_out(tokens: Tokens, case: Case) -> dict[str, Any] | None:
    """Nats per token and bits per byte of held-out text: of the models, and of what knows less."""
    measured = [model for model in case.models if model.training and "by_kind" in model.training]
    length = case.config.get("max_position_embeddings")
    if not measured or not length:
        return None
    text = HeldOutText.read(tokens, length, int(measured[0].training["validation_tokens"]))
    if not text.text:
        return None
    counts = token_counts(tokens.split("train"), tokens.manifest.vocab_size)
    nats = {NOTHING: math.log(len(counts)), UNIGRAM: unigram_nats(counts, text.targets)}
    nats |= {model.name: _nats(model, text) for model in measured}
    costs = [{"by": name, "loss": value, "bits_per_byte": text.bits_per_byte(value)} for name, value in nats.items()]
    costs.insert(2, {"by": XZ, "loss": None, "bits_per_byte": xz_bits_per_byte(text.text)})
    return {"kinds": list(text.kinds), "tokens": len(text.targets), "bytes": round(text.bytes), "costs": costs}


def _nats(model: Evidence, text: HeldOutText) -> float:
    """Nats per token of a model on the held-out text of these kinds, from its training summary."""
    parts = [model.training["by_kind"][kind] for kind in text.kinds if kind in model.training["by_kind"]]
    counted = sum(part["tokens"] for part in parts)
    if counted != len(text.targets):
        raise StepError(
            f"train_{model.name}.json measured {counted:,} held-out tokens of {', '.join(text.kinds)}; --tokens has "
            f"{len(text.targets):,}: they are of different runs, train again"
        )
    return math.fsum(part["validation_loss"] * part["tokens"] for part in parts) / counted


def continuations(tokens: Tokens, checkpoints: Sequence[Path], count: int = SAMPLES) -> list[dict[str, Any]]:
    """Held-out texts, how they really go on, and how each model continues them by greedy decoding: always the same."""
    if not checkpoints:
        return []
    from components.phi import machine

    machine.prepare(threads=1)  # another number of threads gives other bits
    from components.phi.passages import HIDDEN, held_out_passages
    from components.phi.text import TextModel, Wish

    passages = held_out_passages(tokens, count)
    told: dict[str, list[str]] = {}
    for checkpoint in checkpoints:
        model = TextModel.load(checkpoint)  # one at a time: two large ones may not fit the memory
        told[checkpoint.name] = [model.complete(passage.prompt, Wish(HIDDEN)) for passage in passages]
    return [
        {
            "kind": passage.kind,
            "source": passage.source,
            "prompt": passage.prompt,
            "truth": passage.truth,
            "told": [{"by": name, "text": texts[place]} for name, texts in told.items()],
        }
        for place, passage in enumerate(passages)
    ]


def sentences(facts: Mapping[str, Any], subject: str) -> list[str]:
    """The facts in plain words, a sentence each."""
    said = []
    if documents := facts["documents"]:
        said.append(_of_documents(documents))
    if training := facts["training"]:
        said.append(_of_training(training))
    if held_out := facts["held_out"]:
        said.append(_of_held_out(held_out, subject))
    return said


def _of_documents(documents: Mapping[str, Any]) -> str:
    dropped = documents["dropped"]
    ordered = sorted(dropped, key=lambda rule: (-dropped[rule], rule))
    reasons = [f"{dropped[rule]:,} {REASONS.get(rule, f'by the rule {rule}')}" for rule in ordered[:SHOWN_REASONS]]
    if rest := sum(dropped[rule] for rule in ordered[SHOWN_REASONS:]):
        reasons.append(f"{rest:,} by {len(ordered) - SHOWN_REASONS} other rules")
    said = f"{documents['read']:,} documents were read, {documents['kept']:,} of them kept"
    if dropped:
        said += f" and {sum(dropped.values()):,} dropped: {', '.join(reasons)}"
    unreadable = documents["unreadable"]
    return said + (f"; {unreadable:,} could not be read." if unreadable else ".")


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
    whose = "generated text" if GENERATED.issuperset(held_out["kinds"]) else "text of yours"
    return (
        f"Predicting {held_out['bytes']:,} bytes of {whose} that were held out costs the {best} model {bits[best]:.2f} bits per "
        f"byte, where knowing nothing costs {bits[NOTHING]:.2f}, token frequencies {bits[UNIGRAM]:.2f} and {XZ} {bits[XZ]:.2f}; "
        "fewer is better."
    )


def text_figures(facts: Mapping[str, Any]) -> dict[str, float | None]:
    """Flat figures for `dvc metrics` and MLflow."""
    documents, training, held_out = facts["documents"] or {}, facts["training"], facts["held_out"]
    flat: dict[str, float | None] = {
        f"documents_{name}": documents.get(name) for name in ("read", "kept", "unreadable")
    }
    for kind, count in (training["by_kind"] if training else {}).items():
        flat[f"training_share_{kind}"] = round(count / training["tokens"], 4)
    names = {NOTHING: "nothing", UNIGRAM: "unigram", XZ: "xz"}
    for cost in held_out["costs"] if held_out else []:
        flat[f"text_bits_per_byte_{names.get(cost['by'], cost['by'])}"] = cost["bits_per_byte"]
    return flat


def costs_table(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What held-out text costs, as a table of text; without rows where that is not known."""
    held_out = facts["held_out"] or {"costs": [], "tokens": 0, "kinds": []}
    rows = [
        [cost["by"], "-" if cost["loss"] is None else f"{cost['loss']:.4f}", f"{cost['bits_per_byte']:.4f}"]
        for cost in held_out["costs"]
    ]
    note = (
        f"{held_out['tokens']:,} held-out tokens of the kinds {', '.join(held_out['kinds'])}, the same for all. "
        f"{NOTHING.capitalize()}: every token of the vocabulary is as likely. {UNIGRAM.capitalize()}: of the training text, "
        f"with one added to each. {XZ}: this text alone, compressed; it has not seen the training text."
    )
    header = ["predicted by", "loss (nats per token)", "bits per byte"]
    return {"title": "How well held-out text is predicted", "note": note, "header": header, "rows": rows}


def text_markdown(facts: Mapping[str, Any]) -> list[str]:
    """The section on the run's text as parts of a Markdown page."""
    if not facts["sentences"] and not facts["continuations"]:
        return []
    parts, table = ["## Your text", *facts["sentences"]], costs_table(facts)
    if table["rows"]:
        parts += [markdown_table(table["header"], table["rows"]), table["note"]]
    for sample in facts["continuations"]:
        parts.append(f"A held-out text ({sample['kind']}) begins:")
        parts.append(_block(sample["prompt"]))
        for who, text in endings(sample):
            parts += [f"{who}:", _block(text)]
    return parts


def endings(sample: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How a held-out text goes on: really, and by each model."""
    return [
        ("It really goes on", sample["truth"]),
        *((f"{told['by']} goes on", told["text"]) for told in sample["told"]),
    ]


def _block(text: str) -> str:
    """Text as an indented block, in which Markdown means nothing."""
    return "\n".join(f"    {line}" for line in printable_text(text).strip("\n").split("\n"))
