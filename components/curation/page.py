"""The data page: what came in, what went at which stage, what stayed, and samples of both sides of each border.

One HTML file with drawings in it, no script, no network.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.curation.cleaned import Cleaned
from components.curation.gates.held import held
from components.curation.privacy.redact import redact
from components.curation.rules import Check
from components.curation.tally import EXCERPT, NEAREST, STAGES, Tally, add, stage_of
from components.documents import KINDS, Document, Drop, read_batches
from components.files import atomic_file
from components.pages import render
from components.params import CurationParams

TEMPLATE = Path(__file__).with_name("page.html.j2")
TOP = 20  # origins that are listed
BINS = 20  # of the histogram of values


def figures(documents: Cleaned, scores: np.ndarray, tally: Tally, params: CurationParams) -> dict[str, Any]:
    """Counts for `curation.json`, [documents, bytes] each: `flow` by kind and stage, `origins` by origin and stage (the largest,
    and `the rest`), `licenses`; and `values` (histograms).
    """
    by_kind, by_origin = _Flows(tally.kept), _Flows(tally.origins)
    licenses: dict[str, list[int]] = {}
    for number in range(len(documents.folders)):
        for kind, place, license, rule, count, size in documents.figures(number)["counts"]:
            add(licenses, license, count, size)
            for flows, key in ((by_kind, kind), (by_origin, place)):
                flows.come(key, count, size)
                if rule:
                    flows.go(key, rule, count, size)
    for (kind, place, rule), (count, size) in tally.late.items():
        by_kind.go(kind, rule, count, size)
        by_origin.go(place, rule, count, size)
    largest = sorted(by_origin.came, key=lambda name: (-by_origin.came[name][0], name))
    origins = {name: by_origin.of([name]) for name in largest[:TOP]}
    if len(largest) > TOP:
        origins["the rest"] = by_origin.of(largest[TOP:])
    return {
        "flow": {kind: by_kind.of([kind]) for kind in KINDS if kind in by_kind.came},
        "origins": origins,
        "origins_in_all": len(largest),
        "licenses": {name: [*licenses[name], *tally.licenses.get(name, [0, 0])] for name in sorted(licenses)},
        "values": _histograms(documents, scores, params),
    }


class _Flows:
    """[Documents, bytes] that came, went at each stage and stayed, by a key."""

    def __init__(self, kept: dict[str, list[int]]) -> None:
        self.kept = kept
        self.came: dict[str, list[int]] = {}
        self._went: dict[tuple[str, str], list[int]] = {}

    def come(self, key: str, count: int, size: int) -> None:
        add(self.came, key, count, size)

    def go(self, key: str, rule: str, count: int, size: int) -> None:
        add(self._went, (key, stage_of(rule)), count, size)

    def of(self, keys: Sequence[str]) -> dict[str, Any]:
        """Of some keys together."""
        return {
            "in": _sum(self.came[key] for key in keys),
            "dropped": {stage: _sum(self._went.get((key, stage), [0, 0]) for key in keys) for stage in STAGES},
            "kept": _sum(self.kept.get(key, [0, 0]) for key in keys),
        }


def _sum(counts: Iterable[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*counts, strict=True)]


def _histograms(documents: Cleaned, scores: np.ndarray, params: CurationParams) -> dict[str, Any]:
    """Documents by value, a kind: of those that passed the rules."""
    found = {}
    for place, kind in enumerate(KINDS):
        own = scores[(documents.kinds == place) & ~np.isnan(scores)]
        if len(own):
            counts = np.histogram(own, bins=BINS, range=(0, 5))[0].tolist()
            found[kind] = {"counts": counts, "threshold": params.education.min_value.get(kind)}
    return found


def samples(tally: Tally, raw: Path, params: CurationParams) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """By rule: `dropped` and `kept`, the documents whose figures are nearest the threshold, with an excerpt each."""
    border = tally.border()
    texts = _texts(raw, {drop.id for drops in border.values() for drop in drops}, params)
    found: dict[str, dict[str, list[dict[str, Any]]]] = {
        rule: {"dropped": [_of_drop(drop, texts.get(drop.id, "")) for drop in drops], "kept": []}
        for rule, drops in border.items()
    }
    nearest: dict[str, list[tuple[float, str, Check, Document]]] = {}
    sample = tally.sample()
    for document, checks in zip(sample, held(sample, params), strict=True):
        for check in checks:
            if check.rule in found and check.passed:
                distance = abs(check.value - check.threshold)
                nearest.setdefault(check.rule, []).append((distance, document.id, check, document))
    for rule, near in nearest.items():
        near.sort(key=lambda item: item[:2])
        found[rule]["kept"] = [
            _of_kept(document, check.value, check.threshold) for *_, check, document in near[:NEAREST]
        ]
    if "educational_value" in found:
        found["educational_value"]["kept"] = _least_valued(tally, params)
    return found


def _least_valued(tally: Tally, params: CurationParams) -> list[dict[str, Any]]:
    """What stayed with the values nearest above what its own kind asks for."""
    thresholds = params.education.min_value
    near = [
        (document.educational_value - thresholds[kind], document.id, document)
        for kind, documents in tally.least_valued().items()
        for document in documents
        if kind in thresholds and document.educational_value is not None
    ]
    near.sort(key=lambda item: item[:2])
    return [_of_kept(one, one.educational_value or 0.0, thresholds[one.kind]) for *_, one in near[:NEAREST]]


def _texts(raw: Path, ids: set[str], params: CurationParams) -> dict[str, str]:
    """Excerpts of raw documents by id, redacted as they would have been, had they stayed."""
    found: dict[str, str] = {}
    if not ids:
        return found
    for batch in read_batches(raw, ["id", "text", "kind"]):
        for index, name in enumerate(batch["id"].to_pylist()):
            if name in ids and name not in found:
                text, kind = batch["text"][index].as_py(), batch["kind"][index].as_py()
                found[name] = redact(text, kind, params.privacy)[0][:EXCERPT]  # a secret cut in two is no longer found
    return found


def _of_drop(drop: Drop, text: str) -> dict[str, Any]:
    shown = {"id": drop.id, "source": drop.source, "value": drop.value, "threshold": drop.threshold}
    return shown | {"detail": drop.detail, "text": text}


def _of_kept(document: Document, value: float, threshold: float) -> dict[str, Any]:
    shown = {"id": document.id, "source": document.source, "value": value, "threshold": threshold}
    return shown | {"text": document.text[:EXCERPT]}


def write_page(path: Path, content: dict[str, Any]) -> None:
    """The page, from what `curation.json` holds."""
    with atomic_file(path) as partial:
        page = render(
            TEMPLATE,
            content=content,
            stages=STAGES,
            waterfalls={kind: waterfall(flow) for kind, flow in content["flow"].items()},
            histograms={kind: bars(found) for kind, found in content["values"].items()},
            megabytes=lambda size: f"{size / 1e6:,.2f}" if size < 1e8 else f"{size / 1e6:,.0f}",
        )
        partial.write_text(page, encoding="utf-8")


def waterfall(flow: dict[str, Any]) -> list[dict[str, Any]]:
    """The bars of a kind from what came in to what stayed: label, documents, bytes, left and width in percent of what came in."""
    whole, left = flow["in"][0], flow["in"][0]
    rows = [{"label": "in", "documents": whole, "bytes": flow["in"][1], "left": 0.0, "width": 100.0, "class": "whole"}]
    for stage, (count, size) in flow["dropped"].items():
        left -= count
        place, width = 100 * left / whole, 100 * count / whole
        rows.append({"label": stage, "documents": count, "bytes": size, "left": place, "width": width, "class": "gone"})
    count, size = flow["kept"]
    rows.append(
        {"label": "kept", "documents": count, "bytes": size, "left": 0.0, "width": 100 * count / whole, "class": "kept"}
    )
    return rows


def bars(found: dict[str, Any]) -> dict[str, Any]:
    """Heights in percent of the highest, what each stands for, and where the threshold is, in percent of the width."""
    counts: Sequence[int] = found["counts"]
    highest, threshold = max(counts), found["threshold"]
    edges = [5 * number / BINS for number in range(BINS + 1)]
    return {
        "bars": [
            {"height": 100 * count / highest, "documents": count, "low": edges[n], "high": edges[n + 1]}
            for n, count in enumerate(counts)
        ],
        "threshold": threshold,
        "place": None if threshold is None else 100 * threshold / 5,
    }
