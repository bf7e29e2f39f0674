"""Facts about a run's text: kept documents, training tokens, prediction of held-out text."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.reporting.baselines import (
    NOTHING,
    UNIGRAM,
    XZ,
    HeldOutText,
    token_counts,
    unigram_nats,
    xz_bits_per_byte,
)
from components.reporting.checks import mapping, number, read_object
from components.reporting.evidence import Case
from components.running.cli import Paths
from components.tokens import Tokens

SAMPLES = 3  # held-out texts to continue with each model


def own_text(inputs: Paths, case: Case) -> dict[str, Any]:
    """Facts about the run's text; unknown ones are None or empty.

    Returns:
        `documents`, `training`, `held_out` and `continuations`.

    Raises:
        StepError: a summary is malformed, or of other held-out text than the tokens.
    """
    tokens = Tokens.open(inputs["tokens"]) if inputs.get("tokens") else None
    return {
        "documents": _documents(inputs.get("ingestion"), inputs.get("curation")),
        "training": _training(inputs.get("tokenization")),
        "held_out": _held_out(tokens, case) if tokens else None,
        "continuations": continuations(tokens, inputs.get("checkpoints") or []) if tokens else [],
    }


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
    """Training tokens by kind; repeated documents count each time."""
    if not tokenization:
        return None
    kinds = mapping(tokenization, read_object(tokenization), "by_kind")
    counts = {kind: mapping(tokenization, splits, "train", {}).get("tokens", 0) for kind, splits in kinds.items()}
    return {"tokens": sum(counts.values()), "by_kind": {kind: count for kind, count in counts.items() if count}}


def _held_out(tokens: Tokens, case: Case) -> dict[str, Any] | None:
    """Nats per token and bits per byte of the models and the baselines on held-out text."""
    measured = {m.name: m.training for m in case.models if m.training and "by_kind" in m.training}
    length = case.config.get("max_position_embeddings")
    if not measured or not length:
        return None
    text = HeldOutText.read(tokens, length, int(next(iter(measured.values()))["validation_tokens"]))
    if not text.text:
        return None
    counts = token_counts(tokens.split("train"), tokens.manifest.vocab_size)
    nats = {NOTHING: math.log(len(counts)), UNIGRAM: unigram_nats(counts, text.targets)}
    nats |= {name: _nats(name, training, text) for name, training in measured.items()}
    costs = [{"by": name, "loss": value, "bits_per_byte": text.bits_per_byte(value)} for name, value in nats.items()]
    costs.insert(2, {"by": XZ, "loss": None, "bits_per_byte": xz_bits_per_byte(text.text)})
    return {"kinds": list(text.kinds), "tokens": len(text.targets), "bytes": round(text.utf8_bytes), "costs": costs}


def _nats(name: str, training: Mapping[str, Any], text: HeldOutText) -> float:
    """Nats per token of a model on the held-out text of these kinds, from its training summary."""
    parts = [training["by_kind"][kind] for kind in text.kinds if kind in training["by_kind"]]
    counted = sum(part["tokens"] for part in parts)
    if counted != len(text.targets):
        raise StepError(
            f"train_{name}.json measured {counted:,} held-out tokens of {', '.join(text.kinds)}; --tokens has "
            f"{len(text.targets):,}: they belong to different runs; train again"
        )
    return math.fsum(part["validation_loss"] * part["tokens"] for part in parts) / counted


def continuations(tokens: Tokens, checkpoints: Sequence[Path], count: int = SAMPLES) -> list[dict[str, Any]]:
    """Held-out texts with their actual continuation and, by greedy decoding, that of each model."""
    if not checkpoints:
        return []
    from components.phi import machine

    machine.prepare(threads=1)  # the bits depend on the number of threads
    from components.phi.passages import HIDDEN, held_out_passages
    from components.phi.text import TextModel, Wish

    passages = held_out_passages(tokens, count)
    answers: dict[str, list[str]] = {}
    for checkpoint in checkpoints:
        model = TextModel.load(checkpoint)  # one at a time, because two large ones may need more memory than there is
        answers[checkpoint.name] = [model.complete(passage.prompt, Wish(HIDDEN)) for passage in passages]
    return [
        {
            "kind": passage.kind,
            "source": passage.source,
            "prompt": passage.prompt,
            "truth": passage.truth,
            "told": [{"by": name, "text": texts[place]} for name, texts in answers.items()],
        }
        for place, passage in enumerate(passages)
    ]


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
