"""What happened to a document, and by which figures: `python -m components.curation.why ID`, or `--text FILE`.

The id may be of the raw or of the curated document, or its first eight digits or more. A text that no run has seen is
judged now, by the parameters.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from components.curation import language
from components.curation.decontamination import BenchmarkIndex
from components.curation.education.heuristic import judge as judge_value
from components.curation.education.sample import READ
from components.curation.gates import web
from components.curation.gates.held import held
from components.curation.privacy.redact import redact
from components.curation.rules import Check
from components.curation.text import repair
from components.documents import KINDS, Document, document_id, read_batches, read_ledger
from components.errors import StepError
from components.params import PARAMS_FILE, CurationParams, Params, load_params
from components.shingles import shingle_sets
from components.tracking import project_home

SHORTEST = 8  # digits of an id that may stand for it
Row = dict[str, Any]


def explain(given: argparse.Namespace) -> Iterator[str]:
    """The lines to print.

    Raises:
        StepError: no document has the id, several have it, or a file is missing.
    """
    whole = load_params(given.params, given.set)
    params = whole.curation
    if given.text:
        text = _read(given.text)
        ids = {document_id(text), document_id(repair(text, given.kind))}
    else:
        text, ids = None, {given.id}
    raw = _find(given.documents, ids)
    dropped = [drop for drop in _ledger(given.ledger) if _names(drop.id, ids)]
    kept = _find(given.curated, ids | {row["id"] for row in raw}, also_raw=True)
    if text is None and not (raw or dropped or kept):
        raise StepError(
            f"no document has the id {given.id!r} in {given.documents}, {given.curated} or {given.ledger}; give another id, "
            "or the text itself with --text FILE"
        )
    found = {row["id"] for row in raw} | {drop.id for drop in dropped}
    if text is None and len(found) > 1:
        raise StepError(
            f"{given.id!r} stands for {len(found)} documents: {', '.join(sorted(found)[:5])}; give more digits"
        )
    for row in raw[:1] or kept[:1]:
        yield f"{row['id']}: {row['kind']} from {row['source']}, licence {row['license']}, by {row['created_by']}"
    yield from _fate(kept, dropped, params, text is not None)
    judged = raw[0] if raw else kept[0] if kept else {"text": text, "kind": given.kind, "source": str(given.text)}
    if judged["text"] is not None:
        yield ""
        yield from _figures(judged["text"], judged["kind"], judged["source"], params)
    if text is not None and not (kept or dropped):
        yield from _compared(text, given.kind, given.curated, whole)


def _fate(kept: list[Row], dropped: list[Any], params: CurationParams, unseen: bool) -> Iterator[str]:
    for drop in dropped:
        yield f"dropped by {drop.rule}: {drop.detail}"
        if drop.value is not None:
            yield f"  figure {drop.value:.4g}, threshold {drop.threshold:.4g}"
    for row in kept:
        value, metadata = row["educational_value"], json.loads(row["metadata"])
        about = "not scored" if value is None else f"educational value {value:.2f} of 5"
        if value is not None and row["kind"] in params.education.min_value:
            about += f", threshold {params.education.min_value[row['kind']]:g}"
        yield f"kept as {row['id']}, {about}"
        if size := metadata.get("cluster_size"):
            yield f"  it stands for {size} documents that say the same, or nearly"
        if metadata.get("redacted"):
            yield "  redacted: " + ", ".join(f"{name} {count}" for name, count in metadata["redacted"].items())
        if "raw_id" in metadata:
            yield f"  its text was changed; as it was read it is {metadata['raw_id']}"
    if not kept and not dropped:
        yield (
            "no run has seen this text; what follows is how it would be judged"
            if unseen
            else "no verdict on it is found"
        )


def _figures(text: str, kind: str, source: str, params: CurationParams) -> Iterator[str]:
    """Every rule with its figure, as the parameters are now."""
    text = repair(text, kind)
    yield f"{'rule':<40} {'figure':>10} {'threshold':>14}"
    ((spoken),) = language.verdicts([text], [kind], params.language)
    if spoken:
        wrong = bool(params.language.keep) and spoken[0] not in params.language.keep
        stays = ", ".join(params.language.keep) or "all"
        yield f"{'language':<40} {spoken[0]:>10} {'stay: ' + stays:>14}{'  FAILS' if wrong else ''}"
        if params.language.keep and not wrong:
            yield _line(Check("language_probability", spoken[1], params.language.min_probability, True, ""))
    for check in held([Document(text, kind, source, "", "")], params)[0]:
        yield _line(check)
    text, removed = _without_lines(text, kind, params)
    if removed:
        yield f"lines that go: {removed}"
    _, redacted = redact(text, kind, params.privacy)
    if redacted:
        yield "redacted: " + ", ".join(f"{name} {count}" for name, count in sorted(redacted.items()))
    verdict = judge_value(text[:READ], kind)
    points = ", ".join(f"{name} {share:.2f}" for name, share in verdict.points.items())
    yield f"educational value by the heuristic: {verdict.value:.2f} of 5 ({points})"


def _without_lines(text: str, kind: str, params: CurationParams) -> tuple[str, int]:
    """A text without the lines that the rules for web text take out, and how many they are."""
    if kind not in params.web.kinds:
        return text, 0
    (verdict,) = web.judge([text], params.web)
    return verdict.text, verdict.lines_removed


def _compared(text: str, kind: str, curated: Path, params: Params) -> Iterator[str]:
    """What a text that is new has in common with benchmarks and with what was curated."""
    text, _ = _without_lines(repair(text, kind), kind, params.curation)
    folder = params.benchmarking.data_dir
    if folder:
        index = BenchmarkIndex.build(project_home() / folder, params.curation.decontamination)
        (hits,) = index.find([text], [kind])
        for hit in hits:
            yield f"holds {hit.benchmark} {hit.item} by {hit.rule}: {hit.excerpt}"
        if not hits:
            yield f"holds none of {len(index.items):,} items of benchmarks"
    else:
        yield "not compared with benchmarks: benchmarking.data_dir names no folder"
    threshold = params.curation.duplicates.thresholds.get(kind)
    if (near := _nearest(text, curated)) and threshold is not None:
        name, jaccard = near
        fails = "  FAILS" if jaccard >= threshold else ""
        yield f"most like curated document {name}: Jaccard {jaccard:.4g} of word 5-grams, < {threshold:g} passes{fails}"


def _nearest(text: str, curated: Path) -> tuple[str, float] | None:
    """The curated document with the most shingles in common, and the Jaccard similarity."""
    if not Path(curated).is_dir():
        return None
    (own,) = shingle_sets([text])
    best: tuple[str, float] | None = None
    for batch in read_batches(curated, ["id", "text"]):
        for name, other in zip(batch["id"].to_pylist(), shingle_sets(batch["text"].to_pylist()), strict=True):
            both = np.isin(own, other, assume_unique=True).sum()
            jaccard = float(both / (len(own) + len(other) - both))
            if best is None or jaccard > best[1]:
                best = name, jaccard
    return best


def _line(check: Check) -> str:
    bound = f"{'>=' if check.least else '<='} {check.threshold:.6g}"
    return f"{check.rule:<40} {check.value:>10.4g} {bound:>14}{'' if check.passed else '  FAILS'}"


def _find(directory: Path, ids: set[str], also_raw: bool = False) -> list[Row]:
    """The documents of a set with one of the ids, each id once; in a curated set also those made from a raw one of them."""
    found: dict[str, Row] = {}
    if not Path(directory).is_dir():
        return []
    for batch in read_batches(directory):
        for index, name in enumerate(batch["id"].to_pylist()):
            metadata = batch["metadata"][index].as_py() if also_raw else ""
            if _names(name, ids) or ('"raw_id"' in metadata and _names(json.loads(metadata).get("raw_id"), ids)):
                found.setdefault(name, batch.slice(index, 1).to_pylist()[0])
    return list(found.values())


def _names(name: Any, ids: set[str]) -> bool:
    return isinstance(name, str) and any(
        name == given or (len(given) >= SHORTEST and name.startswith(given)) for given in ids
    )


def _plain(line: str) -> str:
    """Without control characters: a source's name must not steer the terminal or pass for a line of ours."""
    return "".join(character if character.isprintable() else "\ufffd" for character in line)


def _ledger(path: Path) -> Iterator[Any]:
    if Path(path).is_file():
        yield from read_ledger(path)


def _read(path: Path) -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8") if str(path) == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StepError(
            f"--text: {path} cannot be read as UTF-8 text ({error}); name another file, or - for input"
        ) from error


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m components.curation.why", description=__doc__)
    made.add_argument("id", nargs="?", help=f"of a document, or its first {SHORTEST} digits or more")
    made.add_argument("--text", type=Path, metavar="FILE", help="a text instead of an id; - reads input")
    made.add_argument("--kind", choices=KINDS, default="prose", help="of the text (default %(default)s)")
    made.add_argument(
        "--documents", type=Path, default=Path("data/raw"), metavar="DIR", help="raw (default %(default)s)"
    )
    made.add_argument("--curated", type=Path, default=Path("data/curated"), metavar="DIR", help="default %(default)s")
    made.add_argument(
        "--ledger", type=Path, default=Path("data/ledger/curation.parquet"), metavar="FILE", help="default %(default)s"
    )
    made.add_argument("--params", type=Path, default=PARAMS_FILE, metavar="FILE", help="default %(default)s")
    made.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one; repeatable"
    )
    return made


def main(argv: list[str] | None = None) -> int:
    made = parser()
    given = made.parse_args(argv)
    if bool(given.id) == bool(given.text):
        made.error("give an id, or --text FILE")
    if given.id and len(given.id) < SHORTEST:
        made.error(f"{given.id!r} is too short for an id; give {SHORTEST} digits or more")
    try:
        for line in explain(given):
            print(_plain(line))
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
