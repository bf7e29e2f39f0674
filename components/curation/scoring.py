"""The educational value of documents: a classifier learns from reference texts and from a labelled sample, and scores all
documents in parallel.

Later increments of a corpus are scored by the classifier that learned from the first.

A result of the phase `score` is a folder with `scores.npy`, float32 (documents,), for one result of `clean`.
"""

import fnmatch
import functools
import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from components.curation.clean import DOCUMENTS
from components.curation.cleaned import Cleaned
from components.curation.education.annotate import annotate
from components.curation.education.classifier import LEAST, REFERENCE, Classifier, fit
from components.curation.education.references import references
from components.curation.education.report import spearman
from components.curation.education.sample import READ, Sample, stratum
from components.curation.language import is_foreign
from components.curation.work import Work
from components.documents import KINDS
from components.errors import StepError
from components.files import atomic_file, save_array, sha256_file
from components.params import CurationParams
from components.params.education import EducationParams
from components.text.languages import identify
from components.tracking import Tracker

SCORES = "scores.npy"
CLASSIFIER = "classifier.npz"
AT_ONCE = 512  # documents scored at once
NAMED = 1_000  # maximum documents on each side that the user names
CERTAIN = 0.9  # probability of a non-English language above which English references do not judge a text


@dataclass(frozen=True)
class _Unit:
    documents: Path
    classifier: Path


class _Examples(NamedTuple):
    """Training examples of a classifier: texts with their kinds and values from 0 to 5, the source of the labels among them,
    and the number of labels.
    """

    texts: list[str]
    kinds: list[str]
    values: list[float]
    provenance: dict[str, Any]
    identity: dict[str, Any]
    labels: int


def learn(
    documents: Cleaned, work: Work, params: EducationParams, seed: int, folder: Path, tracker: Tracker
) -> dict[str, Any]:
    """Learn from reference texts and labels of a sample; the classifier is written to CLASSIFIER in a folder.

    Returns:
        `state`, `skipped` (the reason per kind that is not filtered) and, if there is enough to learn from, `labels` (their
        number), `provenance` (of labels and reference texts), `kinds` (held-out metrics per kind) and `classifier`, its name.

    Raises:
        StepError: the labels are not available, or no document matches a pattern of `good` or `bad`.
    """
    present = [KINDS[code] for code in np.unique(documents.kinds).tolist()]
    unread = _unread(documents, params)
    judged, skipped = _judged(documents, unread, present, params)
    labelled = _labelled(documents, unread, work, params, seed, tracker)
    if labelled.labels < LEAST:
        reason = f"{labelled.labels} different documents, and {LEAST} are needed to learn from"
        skipped |= dict.fromkeys(set(present) - set(judged) - skipped.keys(), reason)
        if not judged:
            wanted = {kind: reason for kind, reason in sorted(skipped.items()) if kind in params.min_value}
            return {"state": f"not scored: {'; '.join(dict.fromkeys(skipped.values()))}", "skipped": wanted}
        labelled = _Examples([], [], [], {}, {}, 0)
    shown = _references(documents, params, seed) if judged else _Examples([], [], [], {}, {}, 0)
    classifier, report = fit(
        [*shown.texts, *labelled.texts],
        [*shown.kinds, *labelled.kinds],
        [*shown.values, *labelled.values],
        seed,
        params,
        shown.identity | labelled.identity,
        judged,
    )
    classifier.save(folder / CLASSIFIER)
    return {
        "state": "scored",
        "labels": labelled.labels,
        "provenance": shown.provenance | labelled.provenance,
        "kinds": {kind: of for kind, of in report.as_dict().items() if kind not in skipped},
        "classifier": f"classifier-{sha256_file(folder / CLASSIFIER)[:20]}.npz",
        "skipped": report.unreliable([kind for kind in present if kind not in skipped], params)
        | {kind: reason for kind, reason in skipped.items() if kind in params.min_value},
    }


def _judged(
    documents: Cleaned, unread: np.ndarray, present: Sequence[str], params: EducationParams
) -> tuple[list[str], dict[str, str]]:
    """The kinds that reference texts can judge; and those that they cannot, with the reasons."""
    if params.annotator != "builtin":
        return [], {}
    judged, skipped = [], {}
    for kind in present:
        if kind == "code":
            continue
        if (unread | (documents.kinds != KINDS.index(kind))).all():
            skipped[kind] = "the documents are not in English, the language of the reference texts"
        else:
            judged.append(kind)
    return judged, skipped


def _labelled(
    documents: Cleaned, unread: np.ndarray, work: Work, params: EducationParams, seed: int, tracker: Tracker
) -> _Examples:
    """A sample with its labels; without labels if it is too small to learn from."""
    if params.annotator == "builtin":
        unread = documents.kinds != KINDS.index("code")
    positions, ids, kinds = _sample(documents, unread, params.sample, seed)
    if len(ids) < LEAST:
        return _Examples([], [], [], {}, {}, len(ids))
    texts = [text[:READ] for text in documents.texts(positions)]
    labels = annotate(texts, ids, kinds, params, work.folder, tracker)
    known = np.flatnonzero(~np.isnan(labels.values)).tolist()
    values = labels.values[known].tolist()
    texts, kinds = [texts[i] for i in known], [kinds[i] for i in known]
    return _Examples(texts, kinds, values, labels.provenance, labels.identity, len(known))


def _references(documents: Cleaned, params: EducationParams, seed: int) -> _Examples:
    shown = references(seed, _named(documents, params, "good"), _named(documents, params, "bad"))
    facts = {"references": {"texts": len(shown.texts), "sha256": shown.sha256}}
    return _Examples(shown.texts, [REFERENCE] * len(shown.texts), shown.values, facts, facts, 0)


def _named(documents: Cleaned, params: EducationParams, side: str) -> list[str]:
    """The documents that the user names as good or bad by patterns of their sources; at most NAMED, with the smallest ids.

    Raises:
        StepError: no document matches.
    """
    patterns = getattr(params, side)
    if not patterns:
        return []
    matches = re.compile("|".join(map(fnmatch.translate, patterns))).match
    tables = documents.take(np.arange(len(documents)), ["source"])
    found = [matches(source) is not None for table in tables for source in table["source"].to_pylist()]
    places = np.flatnonzero(np.array(found, dtype=bool))
    if not len(places):
        raise StepError(
            f"curation.education.{side} is {patterns}; expected patterns of sources of this corpus, but no document that "
            "passed the rules matches; the data page lists the sources"
        )
    first = places[np.argsort(documents.ids[places, 0], kind="stable")[:NAMED]]
    return list(documents.texts(np.sort(first)))


def score(
    documents: Cleaned, work: Work, params: EducationParams, learned: Mapping[str, Any], folder: Path
) -> np.ndarray:
    """The values of all documents, float32 (documents,), 0 to 5.

    A value is NaN if there is no classifier, if the classifier is not reliable for the kind or has not learned it, or if it
    cannot judge the document's language.

    Args:
        learned: the result of `learn`.
        folder: where `learn` has written the classifier.
    """
    if "classifier" not in learned:
        return np.full(len(documents), np.nan, dtype=np.float32)
    values = _score_all(documents, work, named_classifier(work.folder, learned, folder))
    known = [KINDS.index(kind) for kind in learned["kinds"].keys() - learned["skipped"].keys()]
    values[_unread(documents, params) | ~np.isin(documents.kinds, known)] = np.nan
    if params.annotator == "builtin":
        values[_other_languages(documents, values, params)] = np.nan
    return values


def _other_languages(documents: Cleaned, values: np.ndarray, params: EducationParams) -> np.ndarray:
    """Positions of documents that would be dropped although they are not in English: where only English is kept, the
    language of prose is not checked earlier. Documents whose language is known are not examined again.
    """
    text = documents.kinds != KINDS.index("code")
    places = np.flatnonzero(text & (values < max(params.min_value.values(), default=0.0)))
    said = chain.from_iterable(table["metadata"].to_pylist() for table in documents.take(places, ["metadata"]))
    places = places[np.array(["language" not in json.loads(metadata) for metadata in said], dtype=bool)]
    found = identify(list(documents.texts(places)))
    foreign = [is_foreign(language) and probability > CERTAIN for language, probability in found]
    return places[np.array(foreign, dtype=bool)]


def thresholds(documents: Cleaned, scores: np.ndarray, params: EducationParams) -> dict[str, float]:
    """The value below which documents are dropped, by kind: `min_value`, or the quantile that `max_drop` names if that is
    lower.
    """
    found = {}
    for kind, least in params.min_value.items():
        own = np.sort(_of_kind(documents, scores, kind))
        may_go = math.ceil(params.max_drop.get(kind, 1.0) * len(own))
        found[kind] = min(least, math.floor(float(own[may_go]) * 1e4) / 1e4) if may_go < len(own) else least
    return found


def with_thresholds(params: CurationParams, learned: Mapping[str, Any]) -> CurationParams:
    """The parameters with the thresholds that a run computed, instead of the configured ones."""
    education = params.education.model_copy(update={"min_value": learned["thresholds"]})
    return params.model_copy(update={"education": education})


def follows_length(documents: Cleaned, scores: np.ndarray) -> dict[str, float | None]:
    """The rank correlation of value and length in characters, for each kind that has values."""
    lengths = documents.lengths().astype(np.float64)
    lengths[np.isnan(scores)] = np.nan
    present = [KINDS[code] for code in np.unique(documents.kinds[~np.isnan(scores)]).tolist()]
    return {kind: spearman(_of_kind(documents, lengths, kind), _of_kind(documents, scores, kind)) for kind in present}


def went(documents: Cleaned, scores: np.ndarray, low: np.ndarray) -> dict[str, dict[str, int]]:
    """Numbers of documents by kind: `scored`, `below` (scored with a value below the threshold) and `unscored`."""
    table = {}
    for code in np.unique(documents.kinds).tolist():
        mine = documents.kinds == code
        scored = int((mine & ~np.isnan(scores)).sum())
        table[KINDS[code]] = {"scored": scored, "below": int(low[mine].sum()), "unscored": int(mine.sum()) - scored}
    return table


def _of_kind(documents: Cleaned, figures: np.ndarray, kind: str) -> np.ndarray:
    """The values of a kind's documents, without NaN."""
    own = figures[documents.kinds == KINDS.index(kind)]
    return own[~np.isnan(own)]


def named_classifier(work: Path, learned: Mapping[str, Any], folder: Path) -> Path:
    """The classifier, named by its content in the folder of kept work, where `components.curation.why` looks for it."""
    path = work / learned["classifier"]
    if not path.exists():
        with atomic_file(path) as partial:
            shutil.copyfile(folder / CLASSIFIER, partial)
    return path


def _unread(documents: Cleaned, params: EducationParams) -> np.ndarray:
    """bool (documents,): which documents are in a language that is not learned."""
    return documents.foreign if params.annotator == "builtin" else np.zeros(len(documents), dtype=bool)


def _sample(documents: Cleaned, unread: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, list[str], list[str]]:
    """Positions, ids and kinds of the documents to label, by position. A text in several kinds has the first one in KINDS.

    Args:
        unread: bool (documents,), which documents cannot be labelled.
    """
    sample = Sample(count, seed)
    for number, start in enumerate(documents.starts[:-1].tolist()):
        rows = [row for row in zip(*documents.strata(number), unread[start:], strict=False) if not row[3]]
        sample.add([row[0] for row in rows], [stratum(kind, length) for _, kind, length, _ in rows])
    first = dict.fromkeys(sample.ids(), (len(KINDS), 0))  # index of the kind, and position
    for number, start in enumerate(documents.starts[:-1].tolist()):
        ids, kinds, _ = documents.strata(number)
        for offset, (name, kind) in enumerate(zip(ids, kinds, strict=True)):
            if name in first:
                first[name] = min(first[name], (KINDS.index(kind), start + offset))
    chosen = sorted((position, name, KINDS[place]) for name, (place, position) in first.items())
    positions = np.array([position for position, _, _ in chosen], dtype=np.int64)
    return positions, [name for _, name, _ in chosen], [kind for _, _, kind in chosen]


def _score_all(documents: Cleaned, work: Work, classifier: Path) -> np.ndarray:
    units = {
        f"{folder.parent.name.removeprefix('clean-')}-{folder.name}": _Unit(folder, classifier)
        for folder in documents.folders
    }
    folders = work.map("score", {"classifier": classifier.name}, units, score_unit)
    parts = [np.load(folder / SCORES, allow_pickle=False) for folder in folders]
    return np.concatenate([np.zeros(0, dtype=np.float32), *parts])


def score_unit(unit: _Unit, folder: Path) -> None:
    """Write the values of a result's documents to a folder."""
    classifier = _classifier(unit.classifier)
    parts = [np.zeros(0, dtype=np.float32)]
    with pq.ParquetFile(unit.documents / DOCUMENTS) as file:
        for batch in file.iter_batches(batch_size=AT_ONCE, columns=["text", "kind"]):
            texts = [text[:READ] for text in batch["text"].to_pylist()]
            parts.append(classifier.score(texts, batch["kind"].to_pylist()))
    save_array(folder / SCORES, np.concatenate(parts))


@functools.lru_cache(maxsize=1)
def _classifier(path: Path) -> Classifier:
    return Classifier.load(path)
