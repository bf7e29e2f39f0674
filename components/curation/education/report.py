"""How well a classifier agrees with its annotator on unseen documents, and the agreement required to use it."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from components.curation.education.references import MIDDLE
from components.params.education import EducationParams

GATED = 30  # minimum held-out documents for a meaningful metric; a kind with fewer has no model of its own
GATED_SIDE = 5  # minimum of them on each side of the threshold; with fewer, F1 depends on single documents
BINS = 10  # of the calibration table, half a point each
SKILL = 0.05  # AUC that a classifier must add to that of the length or the mean word length
LIKE_LENGTH = 0.8  # rank correlation with the length above which a value is reported to follow it
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Scores:
    """Values of documents, each float32 (documents,), 0 to 5.

    Attributes:
        values: the values to use.
        standing: of the unchanged texts.
        bare: of code without comments and docstrings; of other kinds unchanged.
    """

    values: np.ndarray
    standing: np.ndarray
    bare: np.ndarray


class HeldOut(NamedTuple):
    """Held-out texts with their kinds, labels, and the classifier's values."""

    texts: Sequence[str]
    kinds: Sequence[str]
    labels: np.ndarray
    scores: Scores

    def of(self, kind: str) -> "HeldOut":
        """The part of a kind."""
        mine = np.array([of == kind for of in self.kinds])
        texts = [text for text, is_mine in zip(self.texts, mine, strict=True) if is_mine]
        scores = Scores(self.scores.values[mine], self.scores.standing[mine], self.scores.bare[mine])
        return HeldOut(texts, [kind] * len(texts), self.labels[mine], scores)


@dataclass(frozen=True)
class KindReport:
    """Held-out metrics of a kind.

    Attributes:
        documents: number of held-out documents.
        threshold: minimum value of kept documents; None if the kind is not judged.
        below: held-out documents with a label under the threshold.
        f1: mean F1 of the documents to keep and to drop (macro F1): F1 of kept documents alone is high if few are dropped.
        f1_kept, precision, recall: of the documents to keep.
        f1_keep_all: macro F1 of keeping everything, which takes no skill.
        spearman: rank correlation of values and labels; None if either is constant.
        calibration: by half points of the value: documents, mean value, mean label.
        calibration_error: mean distance of these means, weighted by documents (expected calibration error), in points.
        auc: probability that a document to keep has a higher value than one to drop; None as F1. `auc_length` and
            `auc_word_length` are those of the number of characters and of the mean word length, simpler alternatives.
        references: whether the documents are reference texts, not a labelled sample. Their labels are the ends of the scale
            and their values lie between, so calibration and the threshold do not apply; F1 is at the middle.
        own_model: False if the kind has too few labels and is scored by the model of all kinds, where no threshold applies.
        comment_gain: for code: how much comments and docstrings add to the value on average, before the guard.
        guarded: for code: share of the documents with a value that the guard lowers.
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
    auc: float | None = None
    auc_length: float | None = None
    auc_word_length: float | None = None
    references: bool = False
    comment_gain: float | None = None
    guarded: float | None = None


@dataclass(frozen=True)
class Report:
    """Held-out metrics, by kind."""

    kinds: dict[str, KindReport]

    def as_dict(self) -> dict[str, Any]:
        return {kind: asdict(report) for kind, report in self.kinds.items()}

    def unreliable(self, kinds: Iterable[str], params: EducationParams) -> dict[str, str]:
        """The kinds with values not reliable enough to drop documents by, and the reasons.

        A kind needs a model of its own, so at least 30 held-out documents, that agrees with its annotator. F1 is checked if at
        least 5 of them are on each side of the threshold.
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
    # A kind with all held-out labels on one side, or all equal, has no such metric to check.
    two_sided = min(of.below, of.documents - of.below) >= GATED_SIDE
    missed = []
    for name, found, least, key in (
        ("F1", of.f1 if two_sided else None, True, "min_f1"),
        ("Spearman", of.spearman, True, "min_spearman"),
        ("calibration error", None if of.references else of.calibration_error, False, "max_calibration_error"),
    ):
        threshold = getattr(params, key)
        if found is not None and (found < threshold if least else found > threshold):
            bound = f"{'least' if least else 'most'} {threshold:g} (curation.education.{key})"
            missed.append(f"{name} {found:.3f} on {of.documents} held-out documents, expected at {bound}")
    return missed


def measure(
    held_out: HeldOut, params: EducationParams, pooled: Collection[str] = (), judged: Collection[str] = ()
) -> Report:
    """Held-out metrics.

    Args:
        pooled: kinds that have no model of their own.
        judged: kinds whose documents are reference texts.
    """
    reports = {}
    for kind in sorted(set(held_out.kinds)):
        mine = held_out.of(kind)
        report = replace(_measure_kind(mine, params, kind in judged), kind=kind, own_model=kind not in pooled)
        if kind == "code":
            values, standing, bare = mine.scores.values, mine.scores.standing, mine.scores.bare
            report = replace(
                report, comment_gain=float((standing - bare).mean()), guarded=float((values < standing).mean())
            )
        reports[kind] = report
    return Report(reports)


def _measure_kind(mine: HeldOut, params: EducationParams, references: bool) -> KindReport:
    labels, values = mine.labels, mine.scores.values
    threshold = MIDDLE if references else params.min_value.get(mine.kinds[0])
    calibration, error = calibration_table(values, labels)
    keep = None if threshold is None else labels >= threshold
    return KindReport(
        kind=mine.kinds[0],
        documents=len(labels),
        threshold=threshold,
        below=0 if threshold is None else int((labels < threshold).sum()),
        **_at_threshold(labels, values, threshold),
        spearman=spearman(labels, values),
        calibration=calibration,
        calibration_error=error,
        own_model=True,
        auc=auc(keep, values),
        auc_length=auc(keep, [len(text) for text in mine.texts]),
        auc_word_length=auc(keep, [mean_word_length(text) for text in mine.texts]),
        references=references,
    )


def auc(keep: np.ndarray | None, figures: Sequence[float] | np.ndarray) -> float | None:
    """Probability that a document to keep has a larger figure than one to drop, ties counting half (Mann and Whitney); None
    if either side is empty.

    Args:
        keep: bool (documents,).
    """
    if keep is None or keep.all() or not keep.any():
        return None
    kept = int(keep.sum())
    above = _ranks(figures)[keep].sum() - kept * (kept + 1) / 2
    return float(above / (kept * (len(keep) - kept)))


def mean_word_length(text: str) -> float:
    """Letters per word."""
    words = _WORD.findall(text)
    return sum(map(len, words)) / max(len(words), 1)


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
    """Precision, recall and F1; 0 if nothing is wanted or found."""
    both = int((wanted & found).sum())
    precision, recall = both / max(int(found.sum()), 1), both / max(int(wanted.sum()), 1)
    return precision, recall, 2 * both / max(int(wanted.sum() + found.sum()), 1)


def spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation, ties at their mean rank; None if a side is constant."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _ranks(figures: Sequence[float] | np.ndarray) -> np.ndarray:
    """float64, from 1, ties at their mean rank. Uses polars, already imported; scipy.stats takes half a second to import."""
    import polars as pl

    return pl.Series(figures, dtype=pl.Float64).rank().to_numpy()


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


def remarks(
    education: Mapping[str, Any], valued: Mapping[str, Mapping[str, int]], params: EducationParams
) -> list[str]:
    """Sentences on the effect of the values on each kind: the threshold and the share below it, or that all are kept; and
    whether the values order the documents as their length does.

    Args:
        education: the result of learning, with its `thresholds`.
        valued: by kind, the numbers of documents `scored`, `below` the threshold, and `unscored`.
    """
    found = []
    for kind in _filtered(education, valued):
        counts, threshold = valued[kind], education["thresholds"][kind]
        wanted, most = params.min_value[kind], params.max_drop.get(kind, 1.0)
        lowered = f", lowered from {wanted:g} so that at most {most:.0%} go" if threshold < wanted else ""
        if below := counts["below"]:
            share = below / counts["scored"]
            found.append(
                f"{kind}: {below:,} of {counts['scored']:,} documents ({share:.1%}) are below {threshold:g}{lowered}"
            )
        else:
            found.append(
                f"{kind}: all {counts['scored']:,} documents are kept, since none is below {threshold:g}{lowered}"
            )
        if counts["unscored"]:
            found.append(f"{kind}: not judged, because not in English: {counts['unscored']:,}")
        rank = education["follows_length"].get(kind)
        if rank is not None and abs(rank) >= LIKE_LENGTH:
            found.append(
                f"{kind}: the value orders the documents much as their length does (rank correlation {rank:.2f})"
            )
    return found


def doubts(education: Mapping[str, Any], valued: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Sentences on the kinds with values that are no better than a limit on length, and on metrics that were not checked.

    Args:
        education, valued: see `remarks`.
    """
    found = []
    for kind in _filtered(education, valued):
        of = education["kinds"][kind]
        few = min(of["below"], of["documents"] - of["below"])
        if few < GATED_SIDE:
            side = "below" if of["below"] == few else "at or above"
            found.append(
                f"{kind}: F1 and AUC of educational value are not checked, since {few} of {of['documents']} held-out labels "
                f"are {side} the threshold, and {GATED_SIDE} are needed"
            )
            continue
        for name in ("length", "mean word length"):
            baseline = of[f"auc_{name.removeprefix('mean ').replace(' ', '_')}"]
            if of["auc"] < baseline + SKILL:
                found.append(
                    f"{kind}: educational value does no better than the {name} of a document (AUC {of['auc']:.2f} on "
                    f"{of['documents']} held-out documents, {baseline:.2f} by the {name} alone)"
                )
    return found


def _filtered(education: Mapping[str, Any], valued: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The kinds that are filtered by educational value and have scored documents."""
    return [
        kind
        for kind in education["thresholds"]
        if kind not in education["skipped"] and valued.get(kind, {}).get("scored", 0)
    ]
