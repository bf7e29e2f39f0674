"""What happened to a document, and the measured values: `python -m components.curation.why ID`, or `--text FILE`.

The id is that of the raw or of the curated document, or at least its first eight digits. A text may be a whole document or
a piece of one. A text that no run has seen is judged now, by the parameters and the last run's classifier.
"""

import argparse
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from components.curation import language
from components.curation.curate import WORK
from components.curation.decontamination import BenchmarkIndex
from components.curation.education.classifier import Classifier
from components.curation.education.heuristic import judge as judge_value
from components.curation.education.sample import READ
from components.curation.filters import web
from components.curation.filters.checks import check_documents
from components.curation.filters.urls import UrlLists, address_of
from components.curation.privacy.redact import redact
from components.curation.rules import Check
from components.curation.scoring import with_thresholds
from components.curation.text import repair
from components.documents import KINDS, Document, Drop, document_id, metadata_of, read_batches, read_ledger
from components.errors import StepError
from components.files import STATE, read_json, read_text
from components.params import PARAMS_FILE, CurationParams, Params, load_params
from components.running.options import Help
from components.text.shingles import shingle_sets
from components.tracking import project_home

SHORTEST = 8  # minimum digits that identify an id
SHOWN = 5  # maximum documents listed for a piece of text
Row = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """The rows of a raw set, a curated set and a ledger for some ids; raw and curated documents once per id and kind."""

    raw: list[Row]
    kept: list[Row]
    dropped: list[Drop]


def explain(given: argparse.Namespace) -> Iterator[str]:
    """The lines to print.

    Raises:
        StepError: no document has the id, several have it, or a file is missing.
    """
    whole = load_params(given.params, given.set)
    if given.text:
        yield from _explain_text(_read(given.text), given, whole)
        return
    found = _look(given, {given.id})
    if found == Found([], [], []):
        raise StepError(
            f"no document has the id {given.id!r} in {given.documents}, {given.curated} or {given.ledger}; give another id, "
            "or the text itself with --text FILE"
        )
    ids = {row["id"] for row in found.raw} | {drop.id for drop in found.dropped}
    if len(ids) > 1:
        raise StepError(f"{given.id!r} matches {len(ids)} documents: {', '.join(sorted(ids)[:5])}; give more digits")
    yield from _told(found, given, whole.curation)


def _explain_text(text: str, given: argparse.Namespace, whole: Params) -> Iterator[str]:
    found = _look(given, {document_id(text), *(document_id(repair(text, kind)) for kind in KINDS)})
    if found != Found([], [], []):
        yield from _told(found, given, whole.curation)
    elif holders := _holders(text, given):
        many = f"more than {SHOWN} documents; the first" if len(holders) > SHOWN else f"{len(holders)} of the documents"
        yield f"no document is exactly this text; it occurs in {many}:"
        yield from _told(_look(given, set(holders[:SHOWN])), given, whole.curation, figures=False)
    else:
        yield "no run has seen this text; below is how it would be judged"
        yield ""
        yield from _figures(Document(text, given.kind, str(given.text), "", ""), given, whole.curation)
        yield from _compared(text, given.kind, given.curated, whole)


def _look(given: argparse.Namespace, ids: set[str]) -> Found:
    raw = _find(given.documents, ids)
    kept = _find(given.curated, ids | {row["id"] for row in raw}, curated=True)
    return Found(raw, kept, [drop for drop in _ledger(given.ledger) if _names(drop.id, ids)])


def _holders(text: str, given: argparse.Namespace) -> list[str]:
    """Ids of raw documents that contain a text once both are repaired; stops after SHOWN + 1."""
    pieces = {kind: repair(text, kind).strip() for kind in KINDS}
    found: dict[str, None] = {}
    if not any(pieces.values()) or not Path(given.documents).is_dir():
        return []
    for batch in read_batches(given.documents, ["id", "text", "kind"]):
        for row in batch.to_pylist():
            if row["text"] and pieces.get(row["kind"], text) in repair(row["text"], row["kind"]):
                found[row["id"]] = None
                if len(found) > SHOWN:
                    return list(found)
    return list(found)


def _told(found: Found, given: argparse.Namespace, params: CurationParams, figures: bool = True) -> Iterator[str]:
    """Lines on each document's verdict and its measured values."""
    rows, params = found.raw or found.kept, _as_the_run(given, params)
    if not rows:
        yield from _fate([], found.dropped, params)
    for number, row in enumerate(rows):
        if number and figures:
            yield ""
        names = {row["id"], row["raw_id"]}
        kept = [of for of in found.kept if of["kind"] == row["kind"] and names & {of["id"], of["raw_id"]} - {None}]
        # The ledger has no kinds: for a text of two kinds, the source shows which one was dropped.
        alone = sum(of["id"] == row["id"] for of in rows) == 1
        dropped = [drop for drop in found.dropped if drop.id in names and (alone or drop.source in row["sources"])]
        yield f"{row['id']}: {row['kind']} from {row['source']}, licence {row['license']}, by {row['created_by']}"
        yield from _fate(kept, dropped, params)
        if figures and row["text"] is not None:
            yield ""
            document = Document(
                row["text"], row["kind"], row["source"], "", "", metadata=metadata_of(row["metadata"], row["id"])
            )
            yield from _figures(document, given, params)


def _fate(kept: list[Row], dropped: list[Drop], params: CurationParams) -> Iterator[str]:
    for drop in dropped:
        yield f"dropped by {drop.rule}: {drop.detail}"
        if drop.value is not None and drop.threshold is not None:
            yield f"  value {drop.value:.4g}, threshold {drop.threshold:.4g}"
    for row in kept:
        value, metadata = row["educational_value"], metadata_of(row["metadata"], row["id"])
        about = "not scored" if value is None else f"educational value {value:.2f} of 5"
        if value is not None and row["kind"] in params.education.min_value:
            about += f", threshold {params.education.min_value[row['kind']]:g}"
        yield f"kept as {row['id']}, {about}"
        if size := metadata.get("cluster_size"):
            yield f"  it represents {size} documents with equal or nearly equal text"
        if metadata.get("redacted"):
            yield "  redacted: " + ", ".join(f"{name} {count}" for name, count in metadata["redacted"].items())
        if "raw_id" in metadata:
            yield f"  its text was changed; the original is {metadata['raw_id']}"
    if not kept and not dropped:
        yield "no verdict on it was found"


def _figures(document: Document, given: argparse.Namespace, params: CurationParams) -> Iterator[str]:
    """Every rule with its measured value, by the present parameters."""
    kind = document.kind
    text = repair(document.text, kind)
    yield f"{'rule':<40} {'value':>10} {'threshold':>14}"
    if params.url_lists:
        urls = UrlLists.build(project_home() / Path(params.url_lists).expanduser())
        failure = urls.first_failure(address_of(document.source, document.metadata))
        if failure:
            yield _line(Check(failure.rule, failure.value, failure.threshold, False, failure.detail))
    params = _as_the_run(given, params)
    ((spoken),) = language.verdicts([text], [kind], params.language)
    if spoken:
        held_against = bool(params.language.keep) and kind in params.language.kinds
        wrong = held_against and spoken[0] not in params.language.keep
        stays = ", ".join(params.language.keep) or "all"
        yield f"{'language':<40} {spoken[0]:>10} {'stay: ' + stays:>14}{'  FAILS' if wrong else ''}"
        if held_against and not wrong:
            yield _line(Check("language_probability", spoken[1], params.language.min_probability, True, ""))
    params = params.model_copy(update={"web": language.web_rules(params.web, language.of(spoken))})
    for check in check_documents([replace(document, text=text)], params)[0]:
        yield _line(check)
    text, removed = _without_lines(text, kind, params)
    if removed:
        yield f"removed lines: {removed}"
    text, redacted = redact(text, kind, params.privacy, spoken[0] if spoken else None)
    if redacted:
        yield "redacted: " + ", ".join(f"{name} {count}" for name, count in sorted(redacted.items()))
    yield from _value(text[:READ], kind, given, params)


def _as_the_run(given: argparse.Namespace, params: CurationParams) -> CurationParams:
    """The parameters with the last run's thresholds, and with the languages that it kept if the parameters name none."""
    path = given.report / "curation.json"
    if not path.is_file():
        return params
    report = read_json(path, "--report names the report of the last run")
    if "thresholds" in (education := report.get("education") or {}):
        params = with_thresholds(params, education)
    if params.language.keep:
        return params
    kept = report.get("languages", {}).get("kept", [])
    return params.model_copy(update={"language": params.language.model_copy(update={"keep": kept})})


def _value(text: str, kind: str, given: argparse.Namespace, params: CurationParams) -> Iterator[str]:
    """The educational value by the last run's classifier, which decides; and the heuristic label, if it learned from those."""
    try:
        value = _classifier(given, kind).score([text], [kind])[0]
    except StepError as error:
        yield f"educational value not known: {error}"
    else:
        least = params.education.min_value.get(kind)
        if least is None:
            yield f"educational value: {value:.4g} of 5, which has no threshold for {kind}"
        else:  # compared in 32 bits, as in the run
            yield _line(Check("educational_value", float(value), float(np.float32(least)), True, ""))
    if params.education.annotator == "builtin" and kind == "code":
        verdict = judge_value(text)
        points = ", ".join(f"{name} {share:.2f}" for name, share in verdict.points.items())
        yield f"the heuristic annotator would label it {verdict.value:.2f} of 5 ({points}); a training label, not a verdict"


def _classifier(given: argparse.Namespace, kind: str) -> Classifier:
    """The classifier that the last run's report names.

    Raises:
        StepError: there is no report, the run has scored no document of the kind, or the file is missing.
    """
    report = read_json(given.report / "curation.json", "--report names the report of the last run")
    education = report.get("education")
    if not isinstance(education, dict) or not isinstance(name := education.get("classifier"), str):
        state = education.get("state") if isinstance(education, dict) else None
        raise StepError(f"the run has no classifier ({state or 'its report names none'})")
    if kind in education["skipped"] or kind not in education["kinds"]:
        raise StepError(f"the run has not judged {kind} ({education['skipped'].get(kind, 'it had no such documents')})")
    path = (given.work or project_home() / STATE / WORK) / name
    if not path.is_file():
        raise StepError(
            f"{path}, the classifier of the run, is not there; name its folder with --work, or curate again"
        )
    return Classifier.load(path)


def _without_lines(text: str, kind: str, params: CurationParams) -> tuple[str, int]:
    """A text without the lines that the rules for web text remove, and the number of these lines."""
    if kind not in params.web.kinds:
        return text, 0
    (verdict,) = web.judge([text], params.web)
    return verdict.text, verdict.lines_removed


def _compared(text: str, kind: str, curated: Path, params: Params) -> Iterator[str]:
    """Lines on the overlap of a new text with benchmarks and with curated documents."""
    text, _ = _without_lines(repair(text, kind), kind, params.curation)
    folder = params.benchmarking.data_dir
    if folder:
        index = BenchmarkIndex.build(
            project_home() / folder, params.curation.decontamination, params.benchmarking.suite
        )
        (hits,) = index.find([text], [kind])
        for hit in hits:
            yield f"holds {hit.benchmark} {hit.item} by {hit.rule}: {hit.excerpt}"
        if not hits:
            yield f"contains none of {len(index.items):,} items of benchmarks"
    else:
        yield "not compared with benchmarks: benchmarking.data_dir is empty"
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
    bound = f"{'>=' if check.least else '<='} {check.threshold:.7g}"
    return f"{check.rule:<40} {check.value:>10.4g} {bound:>14}{'' if check.passed else '  FAILS'}"


def _find(directory: Path, ids: set[str], curated: bool = False) -> list[Row]:
    """The documents of a set with one of the ids, once per id and kind, with all their `sources`; in a curated set also the
    documents with one of the ids as their `raw_id`.
    """
    found: dict[tuple[str, str], Row] = {}
    if not Path(directory).is_dir():
        return []
    for batch in read_batches(directory):
        for index, name in enumerate(batch["id"].to_pylist()):
            raw_id = _raw_id(batch["metadata"][index].as_py(), name) if curated else None
            if _names(name, ids) or _names(raw_id, ids):
                (row,) = batch.slice(index, 1).to_pylist()
                first = found.setdefault((name, row["kind"]), row | {"raw_id": raw_id, "sources": set()})
                first["sources"].add(row["source"])
    return list(found.values())


def _raw_id(metadata: str | None, name: str) -> str | None:
    """The id of the raw document that a curated one was made from; None if the ids are equal."""
    raw_id = metadata_of(metadata, name).get("raw_id") if metadata and '"raw_id"' in metadata else None
    return raw_id if isinstance(raw_id, str) else None


def _names(name: Any, ids: set[str]) -> bool:
    return isinstance(name, str) and any(
        name == given or (len(given) >= SHORTEST and name.startswith(given)) for given in ids
    )


def _plain(line: str) -> str:
    """A line without control characters: a source's name must not control the terminal or imitate our lines."""
    return "".join(character if character.isprintable() else "\ufffd" for character in line)


def _ledger(path: Path) -> Iterator[Drop]:
    if Path(path).is_file():
        yield from read_ledger(path)


def _read(path: Path) -> str:
    """A UTF-8 file read as in ingestion: original line ends, since the id depends on the exact text, and no byte order mark."""
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read().decode("utf-8-sig")
        return read_text(path).removeprefix("\ufeff")
    except (OSError, ValueError) as error:
        raise StepError(
            f"--text: {path} cannot be read as UTF-8 text ({error}); name another file, or - for input"
        ) from error


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m components.curation.why", description=__doc__, formatter_class=Help)
    made.add_argument("id", nargs="?", help=f"id of a document, or at least its first {SHORTEST} digits")
    made.add_argument(
        "--text", type=Path, metavar="FILE", help="a text, or a piece of one, instead of an id; - reads input"
    )
    made.add_argument("--kind", choices=KINDS, default="prose", help="kind of a text that no run has seen")
    for name, default, described in (
        ("documents", "data/raw", "raw documents"),
        ("curated", "data/curated", "curated documents"),
        ("ledger", "data/ledger/curation.parquet", "ledger of the dropped documents"),
        ("report", "reports/curation", "report that names the run's classifier"),
    ):
        metavar = "FILE" if name == "ledger" else "DIR"
        made.add_argument(f"--{name}", type=Path, default=Path(default), metavar=metavar, help=described)
    work = (
        f"folder of curation's kept results, with the classifier (default: {STATE}/{WORK} in the project's main folder)"
    )
    made.add_argument("--work", type=Path, metavar="DIR", help=work)
    made.add_argument("--params", type=Path, default=PARAMS_FILE, metavar="FILE", help="parameters")
    made.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one parameter; repeatable"
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
        print(_plain(f"error: {' '.join(str(error).split())}"), file=sys.stderr)  # Arrow's errors have several lines
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # so that `| head` causes no traceback
    sys.exit(main())
