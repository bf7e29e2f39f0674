"""The fast classifier: a linear model of hashed words and word pairs for each kind, calibrated to the annotator's 0 to 5.

It is ridge regression on the labels, as FineWeb-Edu regresses on its model's scores (Penedo et al. 2024, arXiv 2406.17557), on
words instead of embeddings. A rising line through ten points, fitted on predictions for unseen documents, turns the
regression's output into a value. Reference texts are another kind of label: they show both ends of the scale, as the positives
and negatives of DCLM do (Li et al. 2024, arXiv 2406.11794), and values in between come from the words alone. So their model is
naive Bayes, ignores shape, which would only distinguish the references, and needs no calibration. Weights are whole numbers, so
sums are exact: a value depends only on the text, not on its batch, the number of threads or the machine.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from components.curation.education import guard
from components.curation.education.copies import near_copies
from components.curation.education.features import GRAMS, SIZE, features, running_text
from components.curation.education.report import GATED, HeldOut, Report, Scores, measure
from components.errors import StepError
from components.files import atomic_file
from components.params.education import EducationParams

FORMAT = 3  # of the file; increase it when the features change, too
LEAST = 60  # minimum labels to learn from
RARE = 0.002  # share of texts that is added to each share, so that a word of few references says little
NEUTRAL = 500  # words and pairs that speak for neither side, added to those of each text, so that a short one is near the middle
_FIXED = 1 << 40  # weights are multiples of its inverse
_POINTS = 10  # of the calibration
_HELD_OUT, _FOLDS = 4, 4  # one in four documents is held out; folds of the others for the calibration
_CROWD = 10  # a group of near-copies of more than a tenth of all is not held out, where it would dominate the metrics
REFERENCE = ""  # the kind of reference texts, and the model of all kinds without their own model


@dataclass(frozen=True)
class Model:
    """A linear model and its calibration.

    Attributes:
        weights: int64 (SIZE,), multiples of 2^-40.
        bias: the mean label.
        raw, values: float64, rising: outputs of the regression and the values that they map to.
        neutral: the output is the mean weight of a text's words and pairs with so many of weight 0 added; if 0, the sum of
            their weights is divided by the root of their number.
    """

    weights: np.ndarray
    bias: float
    raw: np.ndarray
    values: np.ndarray
    neutral: int = 0

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """Outputs of the regression, float64."""
        parts = [np.zeros(0)]
        for grams, starts, shape in features(texts):
            sums = np.zeros(len(grams) + 1, dtype=np.int64)
            np.cumsum(self.weights.take(grams), out=sums[1:])
            of_words = sums.take(starts[1:]) - sums.take(starts[:-1])
            distinct = np.maximum(np.diff(starts), 1)
            divisor = distinct + self.neutral if self.neutral else np.sqrt(distinct)
            parts.append((of_words / divisor + self.weights.take(shape).sum(axis=1)) / _FIXED + self.bias)
        return np.concatenate(parts)

    def calibrated(self, raw: np.ndarray) -> np.ndarray:
        return np.clip(np.interp(raw, self.raw, self.values), 0, 5)

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """Values from 0 to 5, float64."""
        return self.calibrated(self.predict(texts))


class Classifier:
    """Scores documents by kind. Made by `fit` or `load`.

    Attributes:
        models: by kind; "" scores kinds without a model of their own. It is fitted to the reference texts or, without these,
            to all labels.
        allowance: how much comments may add to the value of code, as a share of it.
        provenance: of the labels, as passed to `fit`.
    """

    def __init__(self, models: dict[str, Model], allowance: float, provenance: dict[str, Any]) -> None:
        self.models = models
        self.allowance = allowance
        self.provenance = provenance

    def score(self, texts: Sequence[str], kinds: Sequence[str]) -> np.ndarray:
        """The values to use, float32 (len(texts),), 0 to 5; guarded for code."""
        return self.scores(texts, kinds).values

    def scores(self, texts: Sequence[str], kinds: Sequence[str]) -> "Scores":
        """The values of texts and the values that these are computed from, which differ only for code."""
        values, standing, bare = (np.zeros(len(texts), dtype=np.float32) for _ in range(3))
        for kind in sorted(set(kinds)):
            places = [place for place, of in enumerate(kinds) if of == kind]
            model = self.models.get(kind) or self.models[REFERENCE]
            chosen = [texts[place] for place in places]
            if kind == "web" and model.neutral:
                chosen = [running_text(text) for text in chosen]
            standing[places] = values[places] = bare[places] = model.score(chosen)
            if kind == "code":
                bare[places] = _bare_values(model, chosen, standing[places])
                values[places] = guard.guarded(standing[places], bare[places], self.allowance)
        return Scores(values, standing, bare)

    def save(self, path: Path) -> None:
        """Write the classifier atomically; equal classifiers give equal bytes."""
        header = {
            "format": FORMAT,
            "allowance": self.allowance,
            "provenance": self.provenance,
            "models": {
                kind: {"bias": model.bias, "neutral": model.neutral} for kind, model in sorted(self.models.items())
            },
        }
        arrays: dict[str, Any] = {"header": np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)}
        for number, (_, model) in enumerate(sorted(self.models.items())):
            used = np.flatnonzero(model.weights)
            arrays |= {f"places{number}": used.astype(np.int32), f"weights{number}": model.weights[used]}
            arrays |= {f"raw{number}": model.raw, f"values{number}": model.values}
        with atomic_file(path) as partial, open(partial, "wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Classifier":
        """Read a classifier.

        Raises:
            StepError: the file is missing, damaged, or of another format.
        """
        try:
            with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as arrays:
                header = json.loads(arrays["header"].tobytes())
                if header["format"] != FORMAT:
                    raise ValueError(f"it has format {header['format']}, not {FORMAT}")
                models = {}
                for number, (kind, facts) in enumerate(sorted(header["models"].items())):
                    weights = np.zeros(SIZE, dtype=np.int64)
                    weights[arrays[f"places{number}"]] = arrays[f"weights{number}"]
                    points = arrays[f"raw{number}"], arrays[f"values{number}"]
                    models[kind] = Model(weights, facts["bias"], *points, facts["neutral"])
        except Exception as error:
            raise StepError(
                f"{path} is not a readable classifier of educational value ({error}); run curation again, which writes it"
            ) from error
        return cls(models, header["allowance"], header["provenance"])


def fit(
    texts: Sequence[str],
    kinds: Sequence[str],
    labels: Sequence[float],
    seed: int,
    params: EducationParams,
    provenance: dict[str, Any] | None = None,
    judged: Sequence[str] = (),
) -> tuple[Classifier, Report]:
    """Learn from labels, and measure on held-out documents.

    Documents are held out by a hash of seed and text, near-copies together, so that none is on both sides and the order does
    not matter. A kind has its own model if at least 30 documents are on each side: enough to check the thresholds.

    Args:
        kinds: of each text; REFERENCE for a reference text.
        labels: 0 to 5, of each text.
        provenance: of the labels, kept with the classifier.
        judged: kinds that the reference texts represent in the report.

    Returns:
        the classifier, fitted to the documents that are not held out, and to all reference texts.
        its metrics on the held-out documents.

    Raises:
        StepError: there are fewer than 60 labels.
    """
    from threadpoolctl import threadpool_limits

    if len(texts) < LEAST:
        raise StepError(
            f"educational value: {len(texts)} labelled documents are too few to learn from; expected at least {LEAST}; "
            "add text to ingestion.sources, or raise curation.education.sample"
        )
    own = [_draw(text, seed) for text in texts]
    order = sorted(range(len(texts)), key=lambda place: (own[place], kinds[place]))
    texts, kinds = [texts[place] for place in order], [kinds[place] for place in order]
    values = np.array(labels, dtype=np.float64)[order]
    draws, held = sides(texts, seed)
    of_kinds = {kind: np.array([kind == of for of in kinds]) for kind in sorted(set(kinds))}
    learnt = [kind for kind, mine in of_kinds.items() if min((mine & held).sum(), (mine & ~held).sum()) >= GATED]
    models = {}
    with threadpool_limits(1):
        for kind in dict.fromkeys([REFERENCE, *learnt]):
            chosen = np.flatnonzero(~held & of_kinds.get(kind, True))
            shown = [texts[i] for i in chosen]
            if kind == REFERENCE and kind in of_kinds:
                models[kind] = _reference_model(shown, values[chosen])
            else:
                models[kind] = _fit_model(shown, values[chosen], draws[chosen], params.ridge)
    classifier = Classifier(models, params.allowance, provenance or {})
    rows = [
        (place, kind)
        for place in np.flatnonzero(held).tolist()
        for kind in (judged if kinds[place] == REFERENCE else [kinds[place]])
    ]
    out, held_kinds = [place for place, _ in rows], [kind for _, kind in rows]
    scores = classifier.scores([texts[place] for place in out], held_kinds)
    pooled = sorted(of_kinds.keys() - set(learnt))
    measured = HeldOut([texts[place] for place in out], held_kinds, values[out], scores)
    report = measure(measured, params, pooled, judged)
    if REFERENCE in of_kinds:  # they are few, so held-out ones are also learned from after the measurement
        chosen = np.flatnonzero(of_kinds[REFERENCE])
        with threadpool_limits(1):
            models[REFERENCE] = _reference_model([texts[i] for i in chosen], values[chosen])
    return classifier, report


def sides(texts: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint64, the draw of each text, where near-copies share the lowest of theirs; and bool, whether `fit` holds it out."""
    own = np.array([_draw(text, seed) for text in texts], dtype=np.uint64)
    order = np.argsort(own, kind="stable")  # so that groups do not depend on the order of the texts
    groups = np.empty(len(texts), dtype=np.int64)
    groups[order] = near_copies([texts[place] for place in order.tolist()])
    least = np.full(len(texts), np.iinfo(np.uint64).max)
    np.minimum.at(least, groups, own)
    crowd = np.bincount(groups)[groups] > len(texts) / _CROWD
    draws = least[groups]
    return draws, (draws % _HELD_OUT == 0) & ~crowd


def _bare_values(model: Model, texts: list[str], standing: np.ndarray) -> np.ndarray:
    """Values without comments and docstrings; texts without either keep their values."""
    bare = [guard.without_comments(text) for text in texts]
    differ = [place for place, (text, without) in enumerate(zip(texts, bare, strict=True)) if text != without]
    values = standing.copy()
    values[differ] = model.score([bare[place] for place in differ])
    return values


def _draw(text: str, seed: int) -> int:
    content = f"{seed}:{text}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big")


def _fit_model(texts: list[str], labels: np.ndarray, draws: np.ndarray, ridge: float) -> Model:
    matrix = _matrix(texts)
    folds = draws // _HELD_OUT % _FOLDS
    unseen = np.zeros(len(texts))
    for fold in range(_FOLDS):
        rest, now = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if len(now):
            mean = labels[rest].mean() if len(rest) else labels.mean()
            unseen[now] = matrix[now] @ _ridge(matrix[rest], labels[rest] - mean, ridge) + mean
    bias = float(labels.mean())
    weights = np.rint(_ridge(matrix, labels - bias, ridge) * _FIXED).astype(np.int64)
    return Model(weights, bias, *_calibration(unseen, labels))


def _reference_model(texts: list[str], labels: np.ndarray) -> Model:
    """A model of words and pairs only: the weight of each is how much more frequent it is in good texts than in bad ones, as a
    logarithm (naive Bayes). Unlike a regression, it does not attribute what distinguishes the references to a few words.

    A text of value v counts as v / 5 of a good text and as the rest of a bad one. The mean good text gets 4.5, the mean bad
    one 0.5.
    """
    present = _matrix(texts)[:, :GRAMS]
    present.data[:] = 1
    good = labels / 5
    shares = [np.asarray(present.T @ side).ravel() / max(side.sum(), 1) for side in (good, 1 - good)]
    weights = np.zeros(SIZE, dtype=np.int64)
    weights[:GRAMS] = np.rint(np.log((shares[0] + RARE) / (shares[1] + RARE)) * _FIXED)
    model = Model(weights, 0.0, np.zeros(0), np.zeros(0), NEUTRAL)
    bad_mean, good_mean = (float(np.average(model.predict(texts), weights=side)) for side in (1 - good, good))
    edge = max(good_mean - bad_mean, 1e-9) / 8  # half a point
    return replace(model, raw=np.array([bad_mean - edge, good_mean + edge]), values=np.array([0.0, 5.0]))


def _matrix(texts: list[str]) -> Any:
    """The features of texts as a sparse matrix: distinct words and pairs, normalised to length 1; each step of the shape 1."""
    from scipy.sparse import csr_matrix

    columns, data, counts = [], [], []
    for grams, starts, shape in features(texts):
        for number in range(len(shape)):
            mine = grams[starts[number] : starts[number + 1]]
            columns += [mine, shape[number]]
            data += [np.full(len(mine), 1 / np.sqrt(max(len(mine), 1))), np.ones(shape.shape[1])]
            counts.append(len(mine) + shape.shape[1])
    rows = np.concatenate([[0], np.cumsum(counts)])
    return csr_matrix((np.concatenate(data), np.concatenate(columns), rows), shape=(len(texts), SIZE))


def _ridge(matrix: Any, labels: np.ndarray, ridge: float) -> np.ndarray:
    from scipy.sparse.linalg import lsqr

    if not matrix.shape[0]:
        return np.zeros(matrix.shape[1])
    return lsqr(matrix, labels, damp=np.sqrt(ridge), atol=1e-6, btol=1e-6, iter_lim=300)[0]


def _calibration(raw: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of a rising line from the regression's outputs to labels: means of ten equal shares, in order of the outputs.

    Shares with labels that do not rise are merged (pool adjacent violators), so that the order is kept.
    """
    order = np.lexsort((labels, raw))
    shares = [part for part in np.array_split(order, min(_POINTS, len(order))) if len(part)]
    pools: list[list[np.ndarray]] = []
    for part in shares:
        pools.append([part])
        while len(pools) > 1 and _mean(labels, pools[-2]) >= _mean(labels, pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    points = np.array([_mean(raw, pool) for pool in pools])
    values = np.array([_mean(labels, pool) for pool in pools])
    # Beyond the means of the outer shares, the line has slope 1.
    first, last = points[0] - values[0], points[-1] + (5 - values[-1])
    return (
        np.concatenate([[min(first, points[0])], points, [max(last, points[-1])]]),
        np.concatenate([[0.0], values, [5.0]]),
    )


def _mean(figures: np.ndarray, pool: list[np.ndarray]) -> float:
    return float(figures[np.concatenate(pool)].mean())
