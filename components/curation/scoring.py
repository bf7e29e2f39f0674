"""The educational value of documents: a sample is labelled, a classifier learns from it, and scores all in parallel.

Later increments of a corpus are scored by the classifier that learned from the first.

A result of the phase `score` is a folder with `scores.npy`, float32 (documents,), of one result of `clean`.
"""

import functools
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from components.curation.clean import DOCUMENTS
from components.curation.cleaned import Cleaned
from components.curation.education.annotate import annotate
from components.curation.education.classifier import LEAST, Classifier, fit
from components.curation.education.sample import READ, Sample, stratum
from components.curation.work import Work
from components.documents import KINDS
from components.files import atomic_file, save_array, sha256_file
from components.params.education import EducationParams

SCORES = "scores.npy"
CLASSIFIER = "classifier.npz"
AT_ONCE = 512  # documents scored at once


@dataclass(frozen=True)
class _Unit:
    documents: Path
    classifier: Path


def learn(documents: Cleaned, work: Work, params: EducationParams, seed: int, folder: Path) -> dict[str, Any]:
    """Label a sample of documents and learn from it; a classifier is written to CLASSIFIER in a folder.

    Returns:
        `state`, `skipped` (why, by kind that is not filtered) and, where there are as many documents as a classifier needs,
        `labels` (how many), `provenance` (of the labels), `kinds` (held-out figures, a kind) and `classifier`, its name.

    Raises:
        StepError: the labels cannot be had.
    """
    unread = _unread(documents, params)
    present = [KINDS[code] for code in np.unique(documents.kinds).tolist()]
    positions, ids, kinds = _sample(documents, unread, params.sample, seed)
    if len(ids) < LEAST:
        others = f" ({unread.sum():,} in other languages than English, which the heuristic annotator cannot judge)"
        reason = f"{len(ids)} different documents{others if unread.any() else ''}, and {LEAST} are needed to learn from"
        skipped = {kind: reason for kind in present if kind in params.min_value}
        return {"state": f"not scored: {reason}", "skipped": skipped}
    texts = [text[:READ] for text in documents.texts(positions)]
    labels = annotate(texts, ids, kinds, params, work.folder)
    known = np.flatnonzero(~np.isnan(labels.values)).tolist()
    classifier, report = fit(
        [texts[i] for i in known],
        [kinds[i] for i in known],
        labels.values[known].tolist(),
        seed,
        params,
        labels.identity,
    )
    classifier.save(folder / CLASSIFIER)
    return {
        "state": "scored",
        "labels": len(known),
        "provenance": labels.provenance,
        "kinds": report.as_dict(),
        "classifier": f"classifier-{sha256_file(folder / CLASSIFIER)[:20]}.npz",
        "skipped": report.unreliable(present, params),
    }


def score(
    documents: Cleaned, work: Work, params: EducationParams, learned: Mapping[str, Any], folder: Path
) -> np.ndarray:
    """The values of all documents, float32 (documents,), 0 to 5.

    NaN where it isn't known: of all where there is no classifier, of a kind whose classifier does not meet its annotator or
    that it has not learned, and of languages that the annotator cannot read.

    Args:
        learned: what `learn` has returned.
        folder: where it has written the classifier.
    """
    if "classifier" not in learned:
        return np.full(len(documents), np.nan, dtype=np.float32)
    values = _score_all(documents, work, named_classifier(work.folder, learned, folder))
    unmeasured = {kind for kind in params.min_value if kind not in learned["kinds"]}
    skipped = [KINDS.index(kind) for kind in {*learned["skipped"], *unmeasured}]
    values[_unread(documents, params) | np.isin(documents.kinds, skipped)] = np.nan
    return values


def named_classifier(work: Path, learned: Mapping[str, Any], folder: Path) -> Path:
    """The classifier under its content's name in the folder of kept work, where `components.curation.why` looks for it."""
    path = work / learned["classifier"]
    if not path.exists():
        with atomic_file(path) as partial:
            shutil.copyfile(folder / CLASSIFIER, partial)
    return path


def _unread(documents: Cleaned, params: EducationParams) -> np.ndarray:
    """bool (documents,): which ones the annotator cannot read."""
    return documents.foreign if params.annotator == "heuristic" else np.zeros(len(documents), dtype=bool)


def _sample(documents: Cleaned, unread: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, list[str], list[str]]:
    """Positions, ids and kinds of the documents to label, by position. A text in several kinds is of the first in KINDS.

    Args:
        unread: bool (documents,), which ones cannot be labelled.
    """
    sample = Sample(count, seed)
    for number, start in enumerate(documents.starts[:-1].tolist()):
        rows = [row for row in zip(*documents.strata(number), unread[start:], strict=False) if not row[3]]
        sample.add([row[0] for row in rows], [stratum(kind, length) for _, kind, length, _ in rows])
    first = dict.fromkeys(sample.ids(), (len(KINDS), 0))  # place of the kind, and position
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
    """Write the values of a result's documents into a folder."""
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
