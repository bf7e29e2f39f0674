"""Educational value: separation of text that teaches from other text, and speed, compared with peers.

    python -m bench.education [--data-dir DIR] [--sets DIR] [--raw DIR] [--megabytes 12] [--repeats 5] [--markdown] [--json FILE]

**Text.** The classifier of web and prose learns from the reference texts of the project. AUC of each good set against each bad
one, in the same run: by its value, by scikit-learn's `HashingVectorizer(ngram_range=(1, 2))` into `LogisticRegression` on the
same references, by the number of characters, and by the mean word length. --data-dir is the shared data: a textbook against
C4, genres of MASC and boilerplate. --sets is a folder of further sets, `good-NAME.jsonl` and `bad-NAME.jsonl` with a field
`text`. The classifier does not learn from either.

**Code.** The classifier and the same pipeline of scikit-learn learn the heuristic's labels at the same threshold. The peer
decides only between keep and drop and reads each document once; ours reads it twice, unchanged, and without comments and
docstrings. Both are measured on the same held-out documents. The code is a document set (--raw, by default `data/raw`), or
else the functions of the running interpreter's library.

Rates are megabytes of text per CPU second of this process with one thread; the two take turns, and the result is the median.
"""

import argparse
import inspect
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from bench.common import Report, in_turn, parser, processor
from bench.texts import definitions, rows, sources
from components.curation.education.classifier import REFERENCE, Classifier, fit, sides
from components.curation.education.heuristic import judge
from components.curation.education.references import MIDDLE, references
from components.curation.education.report import auc, mean_word_length
from components.curation.education.sample import READ, Sample, stratum
from components.documents import document_id, read_batches
from components.params.education import EducationParams
from components.text.languages import identify

TARGET = 5.0  # MB per CPU second
SEED = 1
BATCH = 2_048
LEAST_AUC, LEAST_AUC_C4 = 0.9, 0.8
GENRES = ("spam", "email", "blog", "jokes", "twitter", "telephone", "face-to-face")  # of MASC, that teach little
PIECE = 1_000  # characters of a text made of lines or words


def library_code(raw: Path, megabytes: float) -> list[str]:
    """Code of at least 80 characters, at most so many megabytes."""
    found: list[str] = []
    if raw.is_dir():
        for batch in read_batches(raw, ["text", "kind"]):
            kinds = batch["kind"].to_pylist()
            found += [text for text, kind in zip(batch["text"].to_pylist(), kinds, strict=True) if kind == "code"]
    else:
        found = [inspect.cleandoc(text) + "\n" for source in sources() for _, text in definitions(source)]
    return _first(sorted({text for text in found if len(text) >= 80}, key=document_id), megabytes)


def text_sets(data_dir: Path | None, folder: Path | None) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Good and bad sets of texts by name."""
    good: dict[str, list[str]] = {}
    bad: dict[str, list[str]] = {}
    if data_dir:
        corpora = data_dir / "corpora"
        good["textbook (d2l)"] = [row["text"] for row in rows(corpora / "textbooks" / "d2l_deep_learning.jsonl.gz")]
        bad["C4"] = [row["text"] for row in rows(corpora / "web" / "c4_sample.jsonl.gz")]
        masc = rows(corpora / "web" / "masc_genres.jsonl.gz")
        for genre in GENRES:
            texts = [row["text"] for row in masc if row["genre"] == genre]
            bad[f"MASC {genre}"] = [piece for text in texts for piece in _pieces(text.split(" "), " ")]
        segments = rows(corpora / "quality_labels" / "boilerplate_segments.jsonl.gz")
        lines = [row["text"] for row in segments if row["label"] == "boilerplate"]
        english = [line for line, (code, _) in zip(lines, identify(lines), strict=True) if code == "en"]
        bad["boilerplate"] = _pieces(english, "\n")
    for path in sorted(folder.glob("*.jsonl") if folder else []):
        side, _, name = path.stem.partition("-")
        {"good": good, "bad": bad}[side][name] = [row["text"] for row in rows(path)]
    return good, bad


def _pieces(parts: list[str], glue: str) -> list[str]:
    """Parts joined to texts of at least PIECE characters; a shorter rest is left out."""
    found, now = [], ""
    for part in parts:
        now += glue * bool(now) + part
        if len(now) >= PIECE:
            found.append(now)
            now = ""
    return found


def _first(texts: list[str], megabytes: float) -> list[str]:
    ends = np.cumsum([len(text.encode("utf-8", "surrogatepass")) for text in texts])
    return texts[: int(np.searchsorted(ends, megabytes * 1e6)) + 1]


def peer(texts: list[str], keep: np.ndarray) -> Callable[[list[str]], np.ndarray]:
    """scikit-learn's pipeline, fitted; gives the probability to keep."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(HashingVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10, max_iter=1_000))
    pipeline.fit(texts, keep)
    return lambda batch: pipeline.predict_proba(batch)[:, 1]


def rates(
    texts: list[str], contenders: dict[str, Callable[[list[str]], np.ndarray]], repeats: int
) -> dict[str, list[float]]:
    """Megabytes per CPU second of each contender, with repeats in turn; the first turn does not count."""
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) / 1e6

    def score_all(score: Callable[[list[str]], np.ndarray]) -> None:
        for start in range(0, len(texts), BATCH):
            score(texts[start : start + BATCH])

    seconds, _ = in_turn({name: partial(score_all, score) for name, score in contenders.items()}, repeats, warm=1)
    return {name: [size / spent for spent in of] for name, of in seconds.items()}


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--megabytes", type=float, default=12.0, help="code, at most")
    made.add_argument("--repeats", type=int, default=5, help="turns that count")
    made.add_argument("--raw", type=Path, default=Path("data/raw"), help="document set")
    made.add_argument("--data-dir", type=Path, help="the shared data")
    made.add_argument("--sets", type=Path, help="folder of further sets: good-NAME.jsonl, bad-NAME.jsonl")
    arguments = made.parse_args()
    with threadpool_limits(1):
        return measure(arguments)


def measure(arguments: argparse.Namespace) -> int:
    """Run all contenders and print their results; returns the exit status."""
    report = Report("Educational value", {"processor": processor(), "threads": 1})
    good, bad = text_sets(arguments.data_dir, arguments.sets)
    if good and bad:
        measure_text(good, bad, report, arguments.repeats)
    else:
        report.note("No sets of text to separate: name --data-dir or --sets.")
    measure_code(library_code(arguments.raw, arguments.megabytes), report, arguments.repeats)
    return report.finish(arguments)


def measure_text(good: dict[str, list[str]], bad: dict[str, list[str]], report: Report, repeats: int) -> None:
    """AUC of every good set against every bad one, by every contender, and the speed of ours."""
    params = EducationParams()
    started = time.process_time()
    shown = references(SEED)
    classifier, _ = fit(shown.texts, [REFERENCE] * len(shown.texts), shown.values, SEED, params, judged=["web"])
    spent = time.process_time() - started
    report.note(f"Learning from {len(shown.texts):,} reference texts took {spent:.1f} CPU seconds.")
    theirs = peer(shown.texts, np.array(shown.values) >= MIDDLE)
    contenders: dict[str, Callable[[list[str]], np.ndarray]] = {
        "ours": lambda texts: classifier.score([text[:READ] for text in texts], ["web"] * len(texts)),
        "scikit-learn": lambda texts: theirs([text[:READ] for text in texts]),
        "length": lambda texts: np.array([len(text) for text in texts], dtype=np.float64),
        "mean word length": lambda texts: np.array([mean_word_length(text) for text in texts]),
    }
    figures = {
        name: {of: contender(texts) for of, texts in [*good.items(), *bad.items()]}
        for name, contender in contenders.items()
    }
    rows = []
    for better in good:
        for worse in bad:
            keep = np.repeat([True, False], [len(good[better]), len(bad[worse])])
            found = [auc(keep, np.concatenate([of[better], of[worse]])) or 0.0 for of in figures.values()]
            rows.append([better, worse, len(good[better]), len(bad[worse]), *found])
            report.target(f"AUC of {better} against {worse}", found[0], LEAST_AUC_C4 if worse == "C4" else LEAST_AUC)
    report.table(
        "AUC, reference texts alone learned from", ["good", "bad", "good texts", "bad texts", *contenders], rows
    )
    shares = [
        [name, len(of), *(float((of < params.min_value[kind]).mean()) for kind in ("web", "prose"))]
        for name, of in figures["ours"].items()
    ]
    report.table("Share below the default threshold, before max_drop", ["set", "texts", "web", "prose"], shares)
    texts = [text for of in [*good.values(), *bad.values()] for text in of]
    speed = rates(texts, {"ours": contenders["ours"], "scikit-learn": contenders["scikit-learn"]}, repeats)
    medians = [statistics.median(speed[name]) for name in speed]
    report.table(
        "Scoring text, MB per CPU second", ["MB", "ours", "scikit-learn"], [[sum(map(len, texts)) / 1e6, *medians]]
    )
    report.target("text: MB per CPU second", medians[0], TARGET)


def measure_code(texts: list[str], report: Report, repeats: int) -> None:
    """How well the heuristic's labels of code are learned, and the speed."""
    params, threshold = EducationParams(), EducationParams().min_value["code"]
    named = {document_id(text): text for text in texts}
    drawn = Sample(params.sample, SEED)
    drawn.add(named, [stratum("code", len(text)) for text in named.values()])
    sample = [named[name] for name in drawn.ids()]
    labels = np.array([judge(text).value for text in sample])
    started = time.process_time()
    classifier, quality = fit(sample, ["code"] * len(sample), labels.tolist(), SEED, params)
    spent = time.process_time() - started
    report.note(f"Learning from {len(sample):,} labels of code took {spent:.1f} CPU seconds.")
    of, held = quality.kinds["code"], sides(sample, SEED)[1]
    theirs = peer([sample[i] for i in np.flatnonzero(~held)], labels[~held] >= threshold)
    ours = _scorer(classifier, "code")
    speed = rates(texts, {"ours": ours, "scikit-learn": theirs}, repeats)
    fast, slow = (statistics.median(speed[name]) for name in ("ours", "scikit-learn"))
    ratio = statistics.median(a / b for a, b in zip(*speed.values(), strict=True))
    report.target("code: MB per CPU second", fast, TARGET)
    size = sum(map(len, texts)) / 1e6
    report.table(
        "Scoring code, MB per CPU second", ["MB", "ours", "scikit-learn", "ratio"], [[size, fast, slow, ratio]]
    )
    below = float((ours(texts) < threshold).mean())
    figures = [of.documents, of.f1, _macro_f1(theirs, sample, labels, np.flatnonzero(held), threshold), of.f1_keep_all,
               of.auc, of.auc_length, of.spearman, of.calibration_error, threshold, below, of.comment_gain, of.guarded]  # fmt: skip
    columns = ["held out", "F1", "F1, scikit-learn", "F1, keep all", "AUC", "AUC, length", "Spearman", "calibration error",
               "threshold", "below it", "comments add", "guarded"]  # fmt: skip
    report.table("Code against the heuristic, on held-out documents (F1: mean of both classes)", columns, [figures])
    report.measurements = quality.as_dict()


def _scorer(classifier: Classifier, kind: str) -> Callable[[list[str]], np.ndarray]:
    return lambda batch: classifier.score(batch, [kind] * len(batch))


def _macro_f1(
    theirs: Callable[[list[str]], np.ndarray], sample: list[str], labels: np.ndarray, test: np.ndarray, threshold: float
) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(labels[test] >= threshold, theirs([sample[i] for i in test]) >= 0.5, average="macro"))


if __name__ == "__main__":
    sys.exit(main())
