"""How well a classifier meets its annotator on documents that it never saw, and what it must reach."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from components.params.education import EducationParams

GATED = 30  # held-out documents without which a figure is chance; a kind with fewer has no model of its own
GATED_SIDE = 5  # of them on either side of the threshold, without which F1 hangs on single documents
BINS = 10  # of the calibration table, half a point each


@dataclass(frozen=True)
class Scores:
    """Values of documents, each float32 (documents,), 0 to 5.

    Attributes:
        values: those that count.
        standing: of the texts as they stand.
        bare: of code without comments and docstrings; of other kinds as they stand.
    """

    values: np.ndarray
    standing: np.ndarray
    bare: np.ndarray


@dataclass(frozen=True)
class KindReport:
    """Held-out figures of a kind.

    Attributes:
        documents: held out.
        threshold: what is kept has this value at least; None where the kind isn't judged.
        below: held-out documents whose label is under the threshold.
        f1: mean of the F1 of what is kept and of what goes (macro F1): F1 of what is kept alone is high where little goes.
        f1_kept, precision, recall: of the documents to keep.
        f1_keep_all: macro F1 of keeping everything, which is not skill.
        spearman: rank correlation of values and labels; None where either is constant.
        calibration: by half points of the value: documents, mean value, mean label.
        calibration_error: mean distance of these means, weighted by documents (expected calibration error), in points.
        own_model: False where the kind had too few labels and is scored by the model of all kinds, to which no threshold applies.
        comment_gain: code: what comments and docstrings add to the value on average, before the guard.
        guarded: code: share of the documents whose value the guard lowers.
    """

    kind: str
    documents: int
    threshold: float | None
    below: int
    f1: float | None
    f1_kept: float | None
    f1_keep_all: float | None
    precision: float | None
    recall: float | None
    spearman: float | None
    calibration: list[dict[str, float]]
    calibration_error: float
    own_model: bool
    comment_gain: float | None = None
    guarded: float | None = None


@dataclass(frozen=True)
class Report:
    """Held-out figures, by kind."""

    kinds: dict[str, KindReport]

    def as_dict(self) -> dict[str, Any]:
        return {kind: asdict(report) for kind, report in self.kinds.items()}

    def unreliable(self, kinds: Iterable[str], params: EducationParams) -> dict[str, str]:
        """Those of these kinds whose values are not reliable enough to drop documents by, and why.

        A kind needs a model of its own, so 30 held-out documents or more, that meets its annotator. F1 is held where 5 or more
        of them are on either side of the threshold.
        """
        found = {}
        for kind in kinds:
            of = self.kinds.get(kind)
            if kind not in params.min_value:
                continue
            if of is None or not of.own_model:
                found[kind] = f"{of.documents if of else 0} held-out documents, but {GATED} are needed to measure it"
            elif missed := _missed(of, params):
                found[kind] = "; ".join(missed)
        return found


def _missed(of: KindReport, params: EducationParams) -> list[str]:
    """The thresholds that a kind's metrics miss."""
    # A kind whose held-out labels all fall on one side, or are all equal, has no such figure to hold.
    f1 = of.f1 if min(of.below, of.documents - of.below) >= GATED_SIDE else None
    missed = []
    for name, found, least, key in (
        ("F1", f1, True, "min_f1"),
        ("Spearman", of.spearman, True, "min_spearman"),
        ("calibration error", of.calibration_error, False, "max_calibration_error"),
    ):
        threshold = getattr(params, key)
        if found is not None and (found < threshold if least else found > threshold):
            bound = f"{'least' if least else 'most'} {threshold:g} (curation.education.{key})"
            missed.append(f"{name} {found:.3f} on {of.documents} held-out documents, expected at {bound}")
    return missed


def measure(
    kinds: list[str],
    labels: np.ndarray,
    scores: Scores,
    params: EducationParams,
    pooled: list[str],
) -> Report:
    """Held-out figures.

    Args:
        labels, scores: of the annotator and of the classifier.
        pooled: kinds that have no model of their own.
    """
    gains, lowered = scores.standing - scores.bare, scores.values < scores.standing
    reports = {}
    for kind in sorted(set(kinds)):
        mine = np.array([of == kind for of in kinds])
        report = _measure_kind(kind, labels[mine], scores.values[mine], params, kind not in pooled)
        if kind == "code":
            report = replace(report, comment_gain=float(gains[mine].mean()), guarded=float(lowered[mine].mean()))
        reports[kind] = report
    return Report(reports)


def _measure_kind(kind: str, labels: np.ndarray, values: np.ndarray, params: EducationParams, own: bool) -> KindReport:
    threshold = params.min_value.get(kind)
    calibration, error = calibration_table(values, labels)
    return KindReport(
        kind=kind,
        documents=len(labels),
        threshold=threshold,
        below=0 if threshold is None else int((labels < threshold).sum()),
        **_at_threshold(labels, values, threshold),
        spearman=spearman(labels, values),
        calibration=calibration,
        calibration_error=error,
        own_model=own,
    )


def _at_threshold(labels: np.ndarray, values: np.ndarray, threshold: float | None) -> dict[str, float | None]:
    names = ("f1", "f1_kept", "f1_keep_all", "precision", "recall")
    if threshold is None:
        return dict.fromkeys(names)
    keep, kept = labels >= threshold, values >= threshold
    precision, recall, f1_kept = _f1(keep, kept)
    if keep.all() or not keep.any():
        return {"f1": None, "f1_kept": f1_kept, "f1_keep_all": None, "precision": precision, "recall": recall}
    return {
        "f1": (f1_kept + _f1(~keep, ~kept)[2]) / 2,
        "f1_kept": f1_kept,
        "f1_keep_all": _f1(keep, np.ones_like(keep))[2] / 2,
        "precision": precision,
        "recall": recall,
    }


def _f1(wanted: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and F1; 0 where nothing is wanted or found."""
    both = int((wanted & found).sum())
    precision, recall = both / max(int(found.sum()), 1), both / max(int(wanted.sum()), 1)
    return precision, recall, 2 * both / max(int(wanted.sum() + found.sum()), 1)


def spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation, ties at their mean rank; None where a side is constant."""
    from scipy.stats import rankdata

    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def calibration_table(values: np.ndarray, labels: np.ndarray) -> tuple[list[dict[str, float]], float]:
    """By half points of the value: documents, mean value and mean label; and the expected calibration error in points."""
    bins = np.minimum((np.asarray(values) * BINS / 5).astype(int), BINS - 1)
    table, error = [], 0.0
    for number in range(BINS):
        mine = bins == number
        if mine.any():
            value, label = float(values[mine].mean()), float(labels[mine].mean())
            table.append({"documents": int(mine.sum()), "value": value, "label": label})
            error += mine.sum() / len(values) * abs(value - label)
    return table, float(error)
