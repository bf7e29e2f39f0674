"""The data page: documents read, dropped at each stage and kept, with samples from both sides of each threshold.

It is one HTML file with inline charts, and uses no script and no network.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from components.curation.cleaned import Cleaned
from components.curation.filters.checks import check_documents
from components.curation.privacy.redact import redact
from components.curation.rules import Check
from components.curation.tally import EXCERPT, NEAREST, STAGES, Tally, add, stage_of
from components.curation.token_rates import CHARACTERS, COUNTED, KEPT, Rates, Sampled, measure
from components.documents import KINDS, Document, Drop, shard_batches
from components.files import atomic_file
from components.params import CurationParams
from components.results.pages import render

TEMPLATE = Path(__file__).with_name("page.html.j2")
TOP = 20  # origins listed
BINS = 20  # of the histogram of values

Key = tuple[str, str]  # kind and origin
Names = TypeVar("Names", bound=tuple[str, ...])  # keys of a count
Counts = Mapping[str, Any]  # of an increment, from `counts`


def read_raw(
    raw: Iterable[Path], tally: Tally, params: CurationParams
) -> tuple[dict[str, str], dict[tuple[str, str], list[str]]]:
    """Texts of dropped raw documents: excerpts of those near a threshold, by id, redacted like kept documents; and the
    beginnings of a sample, by kind and stage, to count their tokens.

    Args:
        raw: shards.
    """
    border = {drop.id for drops in tally.border().values() for drop in drops}
    sampled = tally.dropped_sample()
    excerpts: dict[str, str] = {}
    texts: dict[tuple[str, str], list[str]] = {}
    if sampled:
        for batch in chain.from_iterable(shard_batches(path, ["id", "text", "kind"]) for path in raw):
            for index, name in enumerate(batch["id"].to_pylist()):
                if name not in sampled and name not in border:
                    continue
                text, kind = batch["text"][index].as_py(), batch["kind"][index].as_py()
                if name in sampled:
                    texts.setdefault((kind, sampled[name]), []).append(text[:CHARACTERS])
                if name in border and name not in excerpts:
                    whole = redact(text, kind, params.privacy)[0]  # cut afterwards: redaction would miss half a secret
                    excerpts[name] = whole[:EXCERPT]
    return excerpts, texts


def token_rates(tally: Tally, dropped: Sampled, vocab_size: int) -> Rates:
    """Tokens per byte of kept and dropped (`read_raw`) documents, by a tokenizer of the run's vocabulary size."""
    starts = tally.starts()
    kept: dict[tuple[str, str], list[str]] = {}
    for kind, text in starts[:COUNTED]:
        kept.setdefault((kind, KEPT), []).append(text)
    others = starts[COUNTED:] or starts  # a small corpus uses the same texts for both
    return measure([text for _, text in others], kept | dict(dropped), vocab_size)


def counts(documents: Cleaned, scores: np.ndarray, tally: Tally) -> dict[str, Any]:
    """The counts that `figures` adds up, as JSON: documents and bytes read, dropped after scoring and kept, with the keys
    that they are counted by; and histograms of the values.
    """
    came: dict[tuple[str, ...], list[int]] = {}
    for number in range(len(documents.folders)):
        for *key, count, size in documents.figures(number)["counts"]:
            add(came, tuple(key), count, size)
    return {
        "came": _rows(came),
        "late": _rows(tally.late),
        "kept": _rows(tally.kept),
        "licenses": tally.licenses,
        "values": _histograms(documents, scores),
    }


def _rows(table: Mapping[Names, list[int]]) -> list[list[str | int]]:
    return [[*names, *entry] for names, entry in table.items()]


def figures(increments: Sequence[Counts], rates: Rates, params: CurationParams) -> dict[str, Any]:
    """The content of `curation.json`: `flow` by kind and stage, `origins` by origin and stage (the largest, and `the rest`),
    each [documents, bytes, tokens]; `licenses`, [documents, bytes] read and kept; `values` (histograms); `tokens`.

    Args:
        increments: the `counts` of each.
    """
    flows = _Flows(increments, rates)
    kinds = {kind: [key for key in flows.came if key[0] == kind] for kind in KINDS}
    places: dict[str, list[Key]] = {}
    for key in flows.came:
        places.setdefault(key[1], []).append(key)
    largest = sorted(places, key=lambda name: (-sum(flows.came[key][0] for key in places[name]), name))
    origins = {name: flows.of(places[name]) for name in largest[:TOP]}
    if len(largest) > TOP:
        origins["the rest"] = flows.of([key for name in largest[TOP:] for key in places[name]])
    return {
        "flow": {kind: flows.of(keys) for kind, keys in kinds.items() if keys},
        "origins": origins,
        "origins_in_all": len(largest),
        "licenses": _licenses(increments),
        "values": _values(increments, params),
        "tokens": rates.report(),
    }


def _licenses(increments: Sequence[Counts]) -> dict[str, list[int]]:
    came: dict[str, list[int]] = {}
    stayed: dict[str, list[int]] = {}
    for found in increments:
        for _, _, license, _, count, size in found["came"]:
            add(came, license, count, size)
        for license, (count, size) in found["licenses"].items():
            add(stayed, license, count, size)
    return {name: [*came[name], *stayed.get(name, [0, 0])] for name in sorted(came)}


def _values(increments: Sequence[Counts], params: CurationParams) -> dict[str, Any]:
    """Histograms of the values, by kind."""
    table = {}
    for kind in KINDS:
        if parts := [found["values"][kind] for found in increments if kind in found["values"]]:
            counted = [sum(column) for column in zip(*parts, strict=True)]
            table[kind] = {"counts": counted, "threshold": params.education.min_value.get(kind)}
    return table


class _Flows:
    """[Documents, bytes] read, dropped at each stage and kept, by kind and origin."""

    def __init__(self, increments: Sequence[Counts], rates: Rates) -> None:
        self.rates = rates
        self.came: dict[Key, list[int]] = {}
        self.kept: dict[Key, list[int]] = {}
        self._went: dict[tuple[Key, str], list[int]] = {}
        for found in increments:
            for kind, place, _, rule, count, size in found["came"]:
                add(self.came, (kind, place), count, size)
                if rule:
                    add(self._went, ((kind, place), stage_of(rule)), count, size)
            for kind, place, rule, count, size in found["late"]:
                add(self._went, ((kind, place), stage_of(rule)), count, size)
            for kind, place, count, size in found["kept"]:
                add(self.kept, (kind, place), count, size)

    def of(self, keys: Sequence[Key]) -> dict[str, Any]:
        """[Documents, bytes, tokens] of some keys together. Tokens read are those of the dropped documents plus those of the
        other documents' raw bytes.
        """
        went = {key: {stage: self._went.get((key, stage), [0, 0]) for stage in STAGES} for key in keys}
        return {
            "in": _sum([*self.came[key], self._tokens_in(key, went[key])] for key in keys),
            "dropped": {
                stage: _sum(self._with_tokens(key, stage, went[key][stage]) for key in keys) for stage in STAGES
            },
            "kept": _sum(self._with_tokens(key, KEPT, self.kept.get(key, [0, 0])) for key in keys),
        }

    def _with_tokens(self, key: Key, stage: str, counts: list[int]) -> list[float]:
        return [*counts, self.rates.tokens(key[0], stage, counts[1])]

    def _tokens_in(self, key: Key, went: dict[str, list[int]]) -> float:
        stayed = self.came[key][1] - sum(size for _, size in went.values())
        return sum(self.rates.tokens(key[0], stage, size) for stage, (_, size) in [*went.items(), (KEPT, (0, stayed))])


def _sum(counts: Iterable[Sequence[float]]) -> list[int]:
    return [round(sum(column)) for column in zip(*counts, strict=True)]


def _histograms(documents: Cleaned, scores: np.ndarray) -> dict[str, list[int]]:
    """Histograms, by kind, of the values of the documents that passed the rules."""
    found = {}
    for place, kind in enumerate(KINDS):
        own = scores[(documents.kinds == place) & ~np.isnan(scores)]
        if len(own):
            found[kind] = np.histogram(own, bins=BINS, range=(0, 5))[0].tolist()
    return found


def samples(
    tally: Tally, excerpts: Mapping[str, str], params: CurationParams
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """By rule, the `dropped` and `kept` documents with values nearest the threshold, each with an excerpt.

    Args:
        excerpts: of dropped documents (`read_raw`).
    """
    border = tally.border()
    found: dict[str, dict[str, list[dict[str, Any]]]] = {
        rule: {"dropped": [_of_drop(drop, excerpts.get(drop.id, "")) for drop in drops], "kept": []}
        for rule, drops in border.items()
    }
    nearest: dict[str, list[tuple[float, str, Check, Document]]] = {}
    sample = tally.sample()
    for document, checks in zip(sample, check_documents(sample, params), strict=True):
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
    """The kept documents with values nearest above the threshold of their kind."""
    thresholds = params.education.min_value
    near = [
        (document.educational_value - thresholds[kind], document.id, document)
        for kind, documents in tally.least_valued().items()
        for document in documents
        if kind in thresholds and document.educational_value is not None
    ]
    near.sort(key=lambda item: item[:2])
    return [_of_kept(one, one.educational_value or 0.0, thresholds[one.kind]) for *_, one in near[:NEAREST]]


def _of_drop(drop: Drop, text: str) -> dict[str, Any]:
    shown = {"id": drop.id, "source": drop.source, "value": drop.value, "threshold": drop.threshold}
    return shown | {"detail": drop.detail, "text": text}


def _of_kept(document: Document, value: float, threshold: float) -> dict[str, Any]:
    shown = {"id": document.id, "source": document.source, "value": value, "threshold": threshold}
    return shown | {"text": document.text[:EXCERPT]}


def write_page(path: Path, content: dict[str, Any]) -> None:
    """Write the page from the content of `curation.json`."""
    with atomic_file(path) as partial:
        page = render(
            TEMPLATE,
            content=content,
            stages=STAGES,
            waterfalls={kind: waterfall(flow) for kind, flow in content["flow"].items()},
            histograms={kind: bars(found) for kind, found in content["values"].items()},
            count=_shortly,
            megabytes=lambda size: f"{size / 1e6:,.2f}" if size < 1e8 else f"{size / 1e6:,.0f}",
        )
        partial.write_text(page, encoding="utf-8")


def _shortly(number: float) -> str:
    """A number with three digits, such as 12.3k or 4.56M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        scaled = float(f"{number / size:.3g}")
        if scaled >= 1:
            return f"{scaled:.{2 if scaled < 10 else 1 if scaled < 100 else 0}f}{unit}"
    return str(round(number))


def waterfall(flow: dict[str, Any]) -> list[dict[str, Any]]:
    """The bars of a kind from documents read to documents kept: label, documents, bytes, tokens, left and width in percent
    of what was read.
    """
    whole, left = flow["in"][0], flow["in"][0]
    rows = [_bar("in", flow["in"], 0, whole, "whole")]
    for stage, counts in flow["dropped"].items():
        left -= counts[0]
        rows.append(_bar(stage, counts, left, whole, "gone"))
    return [*rows, _bar("kept", flow["kept"], 0, whole, "kept")]


def _bar(label: str, counts: Sequence[int], left: int, whole: int, style: str) -> dict[str, Any]:
    documents, size, tokens = counts
    shown = {"label": label, "documents": documents, "bytes": size, "tokens": tokens, "class": style}
    return shown | {"left": 100 * left / whole, "width": 100 * documents / whole}


def bars(found: dict[str, Any]) -> dict[str, Any]:
    """Bar heights in percent of the highest, the label of each, and the threshold's position in percent of the width."""
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
