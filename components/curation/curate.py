"""Curation: repair, judge by rules, redact, score, drop documents of low educational value and duplicates. The ledger
records every drop.

It runs in phases. Where the parameters name no languages to keep, a sample shows the languages of the corpus
(`main_languages`). Row groups are repaired and judged in parallel (`clean`), and passages that many documents repeat are cut
(`passages`). A classifier learns from reference texts and from labels of a sample, and scores all documents in parallel
(`scoring`). These results are kept until they have been unused for two weeks (`work`), so a killed run resumes, and a
threshold can change without scoring again. Then documents of low value and duplicates are dropped over the whole corpus,
and documents and ledger are written in the order of the sources.

A growing corpus is curated one increment at a time, each compared with those before it (`increment`). The result of each
increment is kept as well, so a run curates only new increments.
"""

import shutil
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from components.curation.clean import row_groups
from components.curation.decontamination import BenchmarkIndex, Hit
from components.curation.duplicates.index import Index, open_index, write_joined
from components.curation.education.report import doubts, remarks
from components.curation.filters.urls import UrlLists
from components.curation.increment import LEDGER, Setting, curate_increment, read_record
from components.curation.language import check_languages
from components.curation.main_languages import Languages
from components.curation.page import figures, write_page
from components.curation.scoring import named_classifier, with_thresholds
from components.curation.token_rates import Rates
from components.curation.work import phase_folder
from components.documents import KINDS, add_increment, increments, join_ledgers, read_ledger
from components.errors import StepError
from components.files import atomic_directory, atomic_file, scratch_directory, write_json
from components.params import CurationParams, Params
from components.results.remedies import causes
from components.running.kept import digest_of, is_whole, keep, mark_used
from components.tracking import Tracker, project_home, state_folder

WARN_BELOW = 0.5  # share of documents kept below which a warning names the rules that dropped the others
WORK = "curation"  # folder in `.phiforge`


def run(inputs: dict[str, Any], outputs: dict[str, Any], params: Params, tracker: Tracker) -> dict[str, Any]:
    check_languages(params.curation.language)
    earlier = _earlier(params.curation, outputs.get("index"))
    data_dir = project_home() / params.benchmarking.data_dir if params.benchmarking.data_dir else None
    benchmarks = BenchmarkIndex.build(data_dir, params.curation.decontamination, params.benchmarking.suite)
    lists = params.curation.url_lists
    urls = UrlLists.build(project_home() / Path(lists).expanduser()) if lists else None
    work = Path(inputs.get("work") or state_folder() / WORK)
    _check_work(work, inputs, outputs)
    work.mkdir(parents=True, exist_ok=True)
    with scratch_directory(work.resolve()) as scratch:
        if benchmarks.items:
            benchmarks.save(scratch / "benchmarks")
        if urls:
            urls.save(scratch / "urls")
        grows = params.ingestion.incremental
        setting = Setting(
            params, work.resolve(), scratch, benchmarks, earlier, bool(outputs.get("report")) or grows, urls, tracker
        )
        folders = _curate(setting, inputs["documents"], grows)
        return _assemble(setting, folders, outputs, tracker)


def _curate(setting: Setting, raw: Path, grows: bool) -> dict[int, Path]:
    """The results of a document set's increments, by number; curates those without a kept result."""
    found = increments(raw)
    if len(found) > 1 and not grows:
        raise StepError(
            f"{raw} holds {len(found)} increments, and ingestion.incremental is false; run the step that wrote it again"
        )
    place = phase_folder(setting.work, "increment", setting.facts()) if grows else setting.scratch
    folders: dict[int, Path] = {}
    for number, shards in found.items():
        before = list(folders.values())
        units = row_groups(shards, setting.params.curation, setting.saved_benchmarks, setting.saved_urls)
        name = digest_of({"before": before[-1].name if before else "", "text": list(units)})
        folders[number] = place / name
        if is_whole(folders[number]):
            mark_used(folders[number])
            continue
        if len(found) > 1:
            print(f"increment {number}: {len(shards)} shards are new", flush=True)
        keep(folders[number], partial(curate_increment, setting, shards, units, before))
    return folders


def _assemble(setting: Setting, folders: dict[int, Path], outputs: dict[str, Any], tracker: Tracker) -> dict[str, Any]:
    """Combine the results of all increments into the outputs, and return the summary."""
    params, own = setting.params, setting.params.curation
    records = [read_record(folder) for folder in folders.values()]
    first = folders[min(folders)]
    languages, education = Languages(**records[0]["languages"]), records[0]["education"]
    if "classifier" in education:
        named_classifier(setting.work, education, first)
    found = _found(records, setting.benchmarks) | {"languages": languages.record()}
    valued = _valued(records)
    education |= {"valued": valued, "remarks": remarks(education, valued, own.education)}
    education["doubts"] = doubts(education, valued)
    warnings = _warnings(languages, education)
    # Everything is written before anything is moved into place, the index last: if this run had to be restarted, its own
    # documents would be dropped as already known.
    with ExitStack() as places:
        index, report = (_place(places, outputs.get(name)) for name in ("index", "report"))
        ledger = places.enter_context(atomic_file(outputs["ledger"]))
        output = places.enter_context(atomic_directory(outputs["output"]))
        put = shutil.copyfile if params.ingestion.incremental else shutil.move  # a kept file must not become the output
        for number, folder in folders.items():
            add_increment(output, number, folder, put)
        if len(folders) > 1:
            join_ledgers(ledger, [folder / LEDGER for folder in folders.values()])
        else:
            put(first / LEDGER, ledger)
        counted = _counted(records, ledger)
        if counted["keep_fraction"] < WARN_BELOW:
            warnings.append(causes(ledger))
        if index:
            indexes = [open_index(folder, own.duplicates) for folder in folders.values()]
            write_joined(index, [*filter(None, [setting.earlier]), *indexes], own.duplicates)
        if report:
            _write_report(report, {"documents": counted, "education": education, **found}, records, own)
    if outputs.get("report"):
        tracker.artifact(outputs["report"], "curation")
    for warning in warnings:
        print(f"note: {warning}", flush=True)
    return counted | _flat(education, found) | {"warnings": warnings}


def _write_report(folder: Path, content: dict[str, Any], records: list[dict[str, Any]], params: CurationParams) -> None:
    """The data page and its figures.

    Args:
        content: the parts of the page that do not come from the records.
    """
    rates = Rates.from_json(records[0]["rates"])
    settled = with_thresholds(params, content["education"])
    content = content | figures([record["counts"] for record in records], rates, settled)
    content["samples"] = records[0]["samples"]
    if len(records) > 1:
        content["increments"] = len(records)
    write_json(folder / "curation.json", content)
    write_page(folder / "index.html", content)


def _warnings(languages: Languages, education: dict[str, Any]) -> list[str]:
    """Warnings about how the corpus was curated."""
    skipped = [
        f"{kind} is not filtered by educational value: {reason}" for kind, reason in education["skipped"].items()
    ]
    return [note for note in (languages.note(), *skipped, *education["doubts"]) if note]


def _valued(records: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Numbers of documents scored, below the threshold and not scored, by kind, over all increments."""
    tables: dict[str, Counter[str]] = {}
    for record in records:
        for kind, counts in record["valued"].items():
            tables.setdefault(kind, Counter()).update(counts)
    return {kind: dict(table) for kind, table in sorted(tables.items())}


def _earlier(params: CurationParams, index: Path | None) -> Index | None:
    """The index of earlier runs, if one is named; its path is relative to the project's main folder, like all paths in params.yaml."""
    if not params.duplicates.earlier:
        return None
    folder = project_home() / Path(params.duplicates.earlier).expanduser()
    if index and Path(index).resolve() == folder.resolve():
        raise StepError(
            f"--index {index} is also curation.duplicates.earlier: if this run had to be restarted, all of its documents "
            "would be dropped as already known; name a new folder"
        )
    return open_index(folder, params.duplicates)


def _check_work(folder: Path, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
    """Refuse a folder of kept work that an output would replace, or that would be read as documents."""
    named = {"documents": inputs["documents"], **{name: outputs.get(name) for name in ("output", "report", "index")}}
    for name, path in named.items():
        if path and folder.resolve().is_relative_to(Path(path).resolve()):
            raise StepError(f"--work: {folder} is or lies in --{name} {path}; name a folder of its own")


def _place(places: ExitStack, path: Path | None) -> Path | None:
    """The path where a directory is written before it is moved into place; None if it was not requested."""
    return places.enter_context(atomic_directory(path)) if path else None


def _counted(records: list[dict[str, Any]], ledger: Path) -> dict[str, Any]:
    """Counts of documents over all increments.

    Raises:
        StepError: no document is left.
    """
    kinds, rules = _sum(record["kept"] for record in records), _sum(record["dropped"] for record in records)
    rows_in, kept = sum(record["in"] for record in records), kinds.total()
    if not kept:
        raise StepError(
            f"no document of {rows_in:,} is left; {causes(ledger)}; first drops: {_first(ledger)}; add other text to "
            "ingestion.sources or change these parameters"
        )
    return {
        "documents_in": rows_in,
        "documents_kept": kept,
        "documents_dropped": rules.total(),
        "keep_fraction": round(kept / rows_in, 4),
        "kept_megabytes": round(sum(record["bytes"] for record in records) / 1e6, 3),
        "kept": {kind: kinds[kind] for kind in sorted(KINDS) if kinds[kind]},
        "dropped": dict(sorted(rules.items())),
    }


def _sum(tables: Iterable[dict[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for table in tables:
        total.update(table)
    return total


def _first(ledger: Path) -> str:
    return "; ".join(f"{drop.source}: {drop.rule}: {drop.detail}" for drop in islice(read_ledger(ledger), 3))


def _found(records: list[dict[str, Any]], benchmarks: BenchmarkIndex) -> dict[str, Any]:
    """Counts of redactions and cuts, and the benchmark items in the documents."""
    hits = chain.from_iterable(record["hits"] for record in records)
    checked = sum(record["checked"] for record in records)
    total = _sum(record["passages"] for record in records)
    return {
        "redacted": dict(sorted(_sum(record["redacted"] for record in records).items())),
        "passages": {name: total[name] for name in ("documents", "characters")},
        "decontamination": benchmarks.report(checked, [(name, [Hit(**hit) for hit in found]) for name, found in hits]),
    }


def _flat(education: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The figures of the summary beside the counts."""
    kinds = education.get("kinds", {})
    measured = {
        kind: {
            name: round(of[name], 4)
            for name in ("f1", "auc", "auc_length", "spearman", "calibration_error")
            if of[name] is not None
        }
        for kind, of in kinds.items()
    }
    checked = found["decontamination"]
    return {
        "redacted": found["redacted"],
        "passages": found["passages"],
        "languages": found["languages"],
        "education": {
            "state": education["state"],
            "labels": education.get("labels", 0),
            "held_out": measured,
            "thresholds": education["thresholds"],
            "dropped": {kind: of["below"] for kind, of in education["valued"].items() if of["scored"]},
            "remarks": education["remarks"],
            "skipped": sorted(education["skipped"]),
        },
        "decontamination": {"state": checked["state"], "documents_hit": checked["documents_hit"]},
    }
