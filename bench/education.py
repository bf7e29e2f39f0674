"""Educational value: our classifier beside scikit-learn's hashed words with logistic regression, in the same run.

    python -m bench.education [--megabytes 12] [--repeats 5] [--data-dir DIR] [--raw DIR] [--markdown] [--json FILE]

The peer is the straightforward pipeline, `HashingVectorizer(ngram_range=(1, 2))` into `LogisticRegression`, on the same labels
at the same threshold; it says keep or not, and reads each document once. Ours gives a value from 0 to 5, and reads code twice:
as it stands, and without comments and docstrings. A rate is megabytes of text a CPU second of this process, one thread; the two
take turns, and the median counts. Both learn from the same documents and are measured on the same held-out ones.

The text is a document set (--raw, `data/raw` by default) or, where there is none, the functions of the running interpreter's
library; with --data-dir the web pages of the shared data as well.
"""

import argparse
import gzip
import inspect
import json
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from bench.common import Report, in_turn, plain_parser, processor
from components.curation.education.classifier import Classifier, fit, sides
from components.curation.education.heuristic import judge
from components.curation.education.sample import Sample, stratum
from components.documents import document_id, read_batches
from components.params.education import EducationParams

TARGET = 5.0  # MB per CPU second
SEED = 1
BATCH = 2_048


def corpus(raw: Path, data_dir: Path | None, megabytes: float) -> dict[str, list[str]]:
    """Texts of at least 80 characters by kind, at most so many megabytes per kind."""
    found: dict[str, list[str]] = {}
    if raw.is_dir():
        for batch in read_batches(raw, ["text", "kind"]):
            for text, kind in zip(batch["text"].to_pylist(), batch["kind"].to_pylist(), strict=True):
                found.setdefault(kind, []).append(text)
    else:
        import ast

        for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
            source = path.read_text(encoding="utf-8", errors="replace")
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    text = inspect.cleandoc(" " * node.col_offset + (ast.get_source_segment(source, node) or ""))
                    found.setdefault("code", []).append(text + "\n")
    if data_dir:
        for path in sorted((data_dir / "corpora" / "web").glob("*.jsonl.gz")):
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                found.setdefault("web", []).extend(json.loads(line)["text"] for line in lines)
    return {
        kind: _first(sorted({t for t in texts if len(t) >= 80}, key=document_id), megabytes)
        for kind, texts in found.items()
    }


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
    """Megabytes a CPU second of each contender, repeats taken in turn; the first turn doesn't count."""
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) / 1e6

    def score_all(score: Callable[[list[str]], np.ndarray]) -> None:
        for start in range(0, len(texts), BATCH):
            score(texts[start : start + BATCH])

    seconds, _ = in_turn({name: partial(score_all, score) for name, score in contenders.items()}, repeats, warm=1)
    return {name: [size / spent for spent in of] for name, of in seconds.items()}


def main() -> int:
    made = plain_parser(__doc__)
    made.add_argument("--megabytes", type=float, default=12.0, help="text per kind, at most (default %(default)s)")
    made.add_argument("--repeats", type=int, default=5, help="turns that count (default %(default)s)")
    made.add_argument("--raw", type=Path, default=Path("data/raw"), help="document set (default %(default)s)")
    made.add_argument("--data-dir", type=Path, help="the shared data, for web pages")
    made.add_argument("--json", type=Path, help="also write everything measured to this file")
    made.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    made.add_argument("--strict", action="store_true", help="exit with 1 if a target is missed")
    arguments = made.parse_args()
    with threadpool_limits(1):
        return measure(arguments)


def measure(arguments: argparse.Namespace) -> int:
    """Run both contenders and print what they reach; returns the exit status."""
    params = EducationParams()
    by_kind = corpus(arguments.raw, arguments.data_dir, arguments.megabytes)
    texts = [text for of in by_kind.values() for text in of]
    kinds = [kind for kind, of in by_kind.items() for _ in of]
    strata = [stratum(kind, len(text)) for kind, text in zip(kinds, texts, strict=True)]
    places = {document_id(text): place for place, text in enumerate(texts)}
    drawn = Sample(params.sample, SEED)
    drawn.add([document_id(text) for text in texts], strata)
    chosen = [places[name] for name in drawn.ids()]
    sample, of_kinds = [texts[i] for i in chosen], [kinds[i] for i in chosen]
    labels = np.array([judge(text, kind).value for text, kind in zip(sample, of_kinds, strict=True)])
    started = time.process_time()
    classifier, quality = fit(sample, of_kinds, labels, SEED, params)
    report = Report("Educational value", {"processor": processor(), "threads": 1, "labels": len(sample)})
    report.note(f"Learning from {len(sample)} labels took {time.process_time() - started:.1f} CPU seconds.")
    held, rows, figures = sides(sample, SEED)[1], [], []
    for kind, of in quality.kinds.items():
        mine = np.array([other == kind for other in of_kinds])
        threshold = params.min_value.get(kind, 1.0)
        learn, test = np.flatnonzero(mine & ~held), np.flatnonzero(mine & held)
        theirs = peer([sample[i] for i in learn], labels[learn] >= threshold)
        ours = _scorer(classifier, kind)
        speed = rates(by_kind[kind], {"ours": ours, "scikit-learn": theirs}, arguments.repeats)
        fast, slow = (statistics.median(speed[name]) for name in ("ours", "scikit-learn"))
        size = sum(map(len, by_kind[kind])) / 1e6
        rows.append([kind, size, fast, slow, statistics.median(a / b for a, b in zip(*speed.values(), strict=True))])
        below = float((ours(by_kind[kind]) < threshold).mean())
        figures.append([kind, of.documents, of.f1, _macro_f1(theirs, sample, labels, test, threshold), of.f1_keep_all,
                        of.spearman, of.calibration_error, threshold, below, of.comment_gain, of.guarded])  # fmt: skip
        report.target(f"{kind}: MB per CPU second", fast, TARGET)
    report.table("Scoring, MB per CPU second", ["kind", "MB", "ours", "scikit-learn", "ratio"], rows)
    columns = ["kind", "held out", "F1", "F1, scikit-learn", "F1, keep all", "Spearman", "calibration error", "threshold",
               "below it", "comments add", "guarded"]  # fmt: skip
    report.table("Against the heuristic annotator, on held-out documents (F1: mean of both classes)", columns, figures)
    report.measurements = quality.as_dict()
    return report.finish(arguments)


def _scorer(classifier: Classifier, kind: str) -> Callable[[list[str]], np.ndarray]:
    return lambda batch: classifier.score(batch, [kind] * len(batch))


def _macro_f1(
    theirs: Callable[[list[str]], np.ndarray], sample: list[str], labels: np.ndarray, test: np.ndarray, threshold: float
) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(labels[test] >= threshold, theirs([sample[i] for i in test]) >= 0.5, average="macro"))


if __name__ == "__main__":
    sys.exit(main())
