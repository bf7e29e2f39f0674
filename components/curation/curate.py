"""Curation: repair, judge by rules, redact, score, drop what teaches little and what is there twice. Every drop stands in the
ledger.

In phases. Where the parameters name no languages to keep, a sample says which ones the corpus is in (`main_languages`). Row
groups are repaired and judged in parallel (`clean`). A sample of what is left is labelled, a classifier learns
from the labels, and scores all documents in parallel (`scoring`). The results of both stay until nobody has used them for two
weeks (`work`), so a killed run goes on, and a threshold moves without scoring again. Then it is decided over all documents
which go for their value and which as duplicates, and documents and ledger are written, in the order of the sources.
"""

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from components.curation.clean import STEP, clean, row_groups
from components.curation.cleaned import Cleaned
from components.curation.decontamination import BenchmarkIndex, Hit
from components.curation.duplicates.clusters import Clusters, find
from components.curation.duplicates.index import Index, write_index
from components.curation.duplicates.sketches import algorithm
from components.curation.language import check_languages
from components.curation.main_languages import Languages, asks_corpus, languages_of
from components.curation.page import figures, read_raw, samples, token_rates, write_page
from components.curation.scoring import score
from components.curation.verdicts import Verdicts, low_values
from components.curation.work import Work
from components.documents import KINDS, DocumentWriter, Drop, LedgerWriter, check_balance, read_ledger
from components.errors import StepError
from components.files import atomic_directory, atomic_file, scratch_directory, sha256_file, write_json
from components.params import CurationParams, Params
from components.progress import Progress
from components.remedies import causes
from components.tracking import Tracker, project_home, state_folder

WARN_BELOW = 0.5  # of the documents kept: a person should know by which rules the others went
WORK = "curation"  # folder in `.phiforge`


def run(inputs: dict[str, Any], outputs: dict[str, Any], params: Params, tracker: Tracker) -> dict[str, Any]:
    own = params.curation
    check_languages(own.language)
    earlier = _earlier(own, outputs.get("index"))
    data_dir = project_home() / params.benchmarking.data_dir if params.benchmarking.data_dir else None
    benchmarks = BenchmarkIndex.build(data_dir, own.decontamination, params.benchmarking.suite)
    folder = Path(inputs.get("work") or state_folder() / WORK)
    _check_work(folder, inputs, outputs)
    folder.mkdir(parents=True, exist_ok=True)
    with scratch_directory(folder.resolve()) as scratch:
        units = row_groups(inputs["documents"], own, _saved(benchmarks, scratch / "benchmarks"))
        phases = 2 + asks_corpus(own.language)
        work = Work(folder, params.engine, Progress(phases * len(units)))
        languages = languages_of(units, work, own.language)
        own = own.model_copy(update={"language": own.language.model_copy(update={"keep": languages.kept})})
        units = {name: replace(unit, params=own) for name, unit in units.items()}
        documents = Cleaned(work.map("clean", _facts_of_cleaning(own, benchmarks, scratch), units, clean))
        scores, education = score(documents, work, own.education, params.seed)
        low = low_values(documents, scores, own)
        clusters = _clusters(documents, np.where(low, np.nan, scores), own, scratch, earlier)
        verdicts = Verdicts(documents, scores, low, clusters, own)
        found = _found(documents, benchmarks) | {"languages": languages.record()}
        warnings = _warnings(languages, education)
        # All is written before anything takes its place. The index last: what stands in it would go as known already, if
        # this run had to be started again.
        with ExitStack() as places:
            index, report = (_place(places, outputs.get(name)) for name in ("index", "report"))
            ledger = places.enter_context(atomic_file(outputs["ledger"]))
            output = places.enter_context(atomic_directory(outputs["output"]))
            counted = _write(verdicts, output, ledger)
            if counted["keep_fraction"] < WARN_BELOW:
                warnings.append(causes(ledger))
            if index:
                write_index(index, documents.sketches, documents.ids, clusters.kept & ~low, own.duplicates, earlier)
            if report:
                content = {"documents": counted, "education": education, **found}
                _write_report(report, content, verdicts, inputs["documents"], params)
    if outputs.get("report"):
        tracker.artifact(outputs["report"], "curation")
    for warning in warnings:
        print(f"note: {warning}", flush=True)
    return counted | _flat(education, found) | {"warnings": warnings}


def _warnings(languages: Languages, education: dict[str, Any]) -> list[str]:
    """What a person should know of how the corpus was curated."""
    skipped = [
        f"{kind} is not filtered by educational value: {reason}" for kind, reason in education["skipped"].items()
    ]
    return [note for note in (languages.note(), *skipped) if note]


def _earlier(params: CurationParams, index: Path | None) -> Index | None:
    """The index of earlier runs, if one is named: from the project's main folder on, as all paths in params.yaml are."""
    if not params.duplicates.earlier:
        return None
    folder = project_home() / Path(params.duplicates.earlier).expanduser()
    if index and Path(index).resolve() == folder.resolve():
        raise StepError(
            f"--index {index} is also curation.duplicates.earlier: if this run had to be started again, all of its documents "
            "would go as known; name a new folder"
        )
    return Index(folder, params.duplicates)


def _check_work(folder: Path, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
    """Refuse a folder of kept work that would be replaced with an output, or be taken for documents."""
    named = {"documents": inputs["documents"], **{name: outputs.get(name) for name in ("output", "report", "index")}}
    for name, path in named.items():
        if path and folder.resolve().is_relative_to(Path(path).resolve()):
            raise StepError(f"--work: {folder} is or lies in --{name} {path}; name a folder of its own")


def _place(places: ExitStack, path: Path | None) -> Path | None:
    """Where the directory is written that takes the place when all is; None if it isn't asked for."""
    return places.enter_context(atomic_directory(path)) if path else None


def _write_report(folder: Path, content: dict[str, Any], verdicts: Verdicts, raw: Path, params: Params) -> None:
    """The data page and its figures.

    Args:
        content: what is known but for what the raw documents and the samples say.
    """
    excerpts, dropped = read_raw(raw, verdicts.tally, params.curation)
    rates = token_rates(verdicts.tally, dropped, params.tokenization.vocab_size)
    content = content | figures(verdicts.documents, verdicts.scores, verdicts.tally, rates, params.curation)
    content["samples"] = samples(verdicts.tally, excerpts, params.curation)
    write_json(folder / "curation.json", content)
    write_page(folder / "index.html", content)


def _saved(benchmarks: BenchmarkIndex, folder: Path) -> Path | None:
    """Where workers find the index; None if it holds nothing."""
    if not benchmarks.items:
        return None
    benchmarks.save(folder)
    return folder


def _facts_of_cleaning(params: CurationParams, benchmarks: BenchmarkIndex, scratch: Path) -> dict[str, Any]:
    """What the results of `clean` depend on beside the text."""
    facts = params.model_dump(mode="json", exclude={"duplicates", "education"})
    if benchmarks.items:
        facts["benchmarks"] = sha256_file(scratch / "benchmarks" / "index.json")
    return facts | {"sketches": algorithm(params.duplicates)}


def _clusters(
    documents: Cleaned, scores: np.ndarray, params: CurationParams, scratch: Path, earlier: Index | None
) -> Clusters:
    kinds, texts = documents.kinds, documents.texts
    return find(documents.sketches, documents.ids, kinds, scores, texts, params.duplicates, scratch, earlier)


def _write(verdicts: Verdicts, output: Path, ledger_file: Path) -> dict[str, Any]:
    """Write documents and ledger; returns their counts."""
    figures: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    with DocumentWriter(output) as writer, LedgerWriter(ledger_file) as ledger:
        for verdict in verdicts:
            if isinstance(verdict, Drop):
                ledger.write(verdict)
                rules[verdict.rule] += 1
            else:
                writer.write(verdict)
                figures[verdict.kind] += 1
                figures["bytes"] += len(verdict.text.encode())
    documents = verdicts.documents
    rows_in = sum(documents.figures(number)["documents"] for number in range(len(documents.folders)))
    check_balance(STEP, rows_in, writer.rows, ledger.rows)
    if not writer.rows:
        raise StepError(
            f"no document of {rows_in:,} is left; {causes(ledger_file)}; first drops: {_first(ledger_file)}; add other text to "
            "ingestion.sources or change these parameters"
        )
    return {
        "documents_in": rows_in,
        "documents_kept": writer.rows,
        "documents_dropped": ledger.rows,
        "keep_fraction": round(writer.rows / rows_in, 4),
        "kept_megabytes": round(figures["bytes"] / 1e6, 3),
        "kept": {kind: figures[kind] for kind in sorted(KINDS) if figures[kind]},
        "dropped": dict(sorted(rules.items())),
    }


def _first(ledger: Path) -> str:
    return "; ".join(f"{drop.source}: {drop.rule}: {drop.detail}" for drop in islice(read_ledger(ledger), 3))


def _found(documents: Cleaned, benchmarks: BenchmarkIndex) -> dict[str, Any]:
    """What was redacted, and which items of benchmarks were found."""
    redacted: Counter[str] = Counter()
    hits: list[tuple[str, list[Hit]]] = []
    looked_at = 0
    for number in range(len(documents.folders)):
        figures = documents.figures(number)
        redacted.update(figures["redacted"])
        looked_at += figures["checked"]
        hits += [(name, [Hit(**hit) for hit in found]) for name, found in figures["hits"]]
    return {
        "redacted": dict(sorted(redacted.items())),
        "decontamination": benchmarks.report(looked_at, hits),
    }


def _flat(education: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The figures of the summary beside the counts."""
    kinds = education.get("kinds", {})
    measured = {
        kind: {name: round(of[name], 4) for name in ("f1", "spearman", "calibration_error") if of[name] is not None}
        for kind, of in kinds.items()
    }
    checked = found["decontamination"]
    return {
        "redacted": found["redacted"],
        "languages": found["languages"],
        "education": {
            "state": education["state"],
            "labels": education.get("labels", 0),
            "held_out": measured,
            "skipped": sorted(education["skipped"]),
        },
        "decontamination": {"state": checked["state"], "documents_hit": checked["documents_hit"]},
    }
