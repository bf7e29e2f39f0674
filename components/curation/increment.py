"""Curation of one increment of a corpus: the new documents of one run, compared with all kept before.

Its result is a folder:

- `part-*.parquet`: the kept documents
- `ledger.parquet`: the dropped documents
- `index.json` and its segment: ids and sketches of the kept documents, for later increments
- `passages.bin`: hashes of passages of its documents, for later increments
- `record.json`: counts

The first increment makes the choices for later ones, so no result depends on text that came after it. Its record has the
languages that are kept, the results of learning educational value, and the samples of the data page; its folder has the
classifier. A corpus that does not grow is one increment.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from components.curation.clean import STEP, RowGroup, clean
from components.curation.cleaned import Cleaned
from components.curation.decontamination import BenchmarkIndex
from components.curation.duplicates.clusters import find
from components.curation.duplicates.index import Index, join, open_index, write_index
from components.curation.duplicates.sketches import algorithm
from components.curation.filters.urls import UrlLists
from components.curation.main_languages import Languages, asks_corpus, languages_of
from components.curation.page import counts, read_raw, samples, token_rates
from components.curation.passages import Cut, without_repeated
from components.curation.scoring import follows_length, learn, score, thresholds, went, with_thresholds
from components.curation.tally import Tally
from components.curation.verdicts import Verdicts, low_values
from components.curation.work import Work
from components.documents import DocumentWriter, Drop, LedgerWriter, check_balance
from components.files import read_json, scratch_directory, sha256_file, write_json
from components.params import CurationParams, Params
from components.running.progress import Progress
from components.tracking import Tracker

LEDGER, RECORD = "ledger.parquet", "record.json"
ROUNDS = 4  # maximum rounds of choosing the kept documents that keep repeated passages; one or two are usual
REMEDY = "remove its folder and run curation again"


@dataclass(frozen=True)
class Setting:
    """Settings shared by all increments of a run.

    Attributes:
        work: folder of kept work.
        scratch: folder for files of this run.
        benchmarks: items that no document may contain; saved in `scratch` unless empty.
        earlier: the index that the parameters name.
        shows: whether to keep samples for a data page.
        urls: block lists of addresses; saved in `scratch`. None = no lists.
        tracker: records traces of an annotator's calls.
    """

    params: Params
    work: Path
    scratch: Path
    benchmarks: BenchmarkIndex
    earlier: Index | None
    shows: bool
    urls: UrlLists | None = None
    tracker: Tracker = field(default_factory=Tracker)

    @property
    def saved_benchmarks(self) -> Path | None:
        """Where workers find the index of benchmarks; None if it is empty."""
        return self.scratch / "benchmarks" if self.benchmarks.items else None

    @property
    def saved_urls(self) -> Path | None:
        """Where workers find the block lists of addresses; None = no lists."""
        return self.scratch / "urls" if self.urls else None

    def facts(self) -> dict[str, Any]:
        """Everything that an increment's result depends on, besides its text and the increments before it."""
        params = self.params
        return {
            "curation": params.curation.model_dump(mode="json"),
            "seed": params.seed,
            "vocab_size": params.tokenization.vocab_size,
            "sketches": algorithm(params.curation.duplicates),
            "benchmarks": self._benchmarks_sha256(),
            "earlier": self.earlier.identity if self.earlier else "",
            "urls": self.urls.identity if self.urls else "",
        }

    def facts_of_cleaning(self, params: CurationParams) -> dict[str, Any]:
        """Everything that the results of `clean` depend on, besides the text."""
        facts = params.model_dump(mode="json", exclude={"duplicates", "education", "passages"})
        if self.saved_benchmarks:
            facts["benchmarks"] = self._benchmarks_sha256()
        if self.urls:
            facts["urls"] = self.urls.identity
        return facts | {"sketches": algorithm(params.duplicates)}

    def _benchmarks_sha256(self) -> str:
        return sha256_file(self.saved_benchmarks / "index.json") if self.saved_benchmarks else ""


def curate_increment(
    setting: Setting, raw: Sequence[Path], units: Mapping[str, RowGroup], before: Sequence[Path], folder: Path
) -> None:
    """Write the result of an increment into a folder.

    Args:
        raw: its shards of raw documents.
        units: their row groups.
        before: the results of the increments before it.
    """
    params, own = setting.params, setting.params.curation
    first = read_record(before[0]) if before else {}
    phases = 2 + bool(own.passages.kinds) + (asks_corpus(own.language) and not before)
    work = Work(setting.work, params.engine, Progress(phases * len(units)))
    languages = Languages(**first["languages"]) if before else languages_of(units, work, own.language)
    own = own.model_copy(update={"language": own.language.model_copy(update={"keep": languages.kept})})
    units = {name: replace(unit, params=own) for name, unit in units.items()}
    facts = setting.facts_of_cleaning(own)
    cleaned = work.map("clean", facts, units, clean)
    earlier = [*filter(None, [setting.earlier]), *(open_index(one, own.duplicates) for one in before)]
    learned = first["education"] if before else {}
    avoided: np.ndarray | None = None
    cut: Cut | None = None
    for left in reversed(range(ROUNDS)):
        cut = without_repeated(cleaned, work, own, facts | own.passages.model_dump(), before, folder, avoided, cut)
        documents = Cleaned(cut.folders)
        learned = learned or learn(documents, work, own.education, params.seed, folder, setting.tracker)
        scores = score(documents, work, own.education, learned, before[0] if before else folder)
        if not before:
            learned |= {"thresholds": thresholds(documents, scores, own.education)}
            learned |= {"follows_length": follows_length(documents, scores)}
        settled = with_thresholds(own, learned)
        low = low_values(documents, scores, settled)
        with scratch_directory(setting.scratch) as scratch:
            known = join(earlier) if earlier else None
            ranks = np.where(low, -np.inf, scores)
            clusters = find(
                documents.sketches,
                documents.ids,
                documents.kinds,
                ranks,
                documents.texts,
                own.duplicates,
                scratch,
                known,
            )
        if not left or not cut.keepers.any():
            break
        stays = cut.stays(clusters.kept & ~low, np.diff(documents.starts).tolist())
        if not cut.loses(stays):
            break
        avoided = ~stays if avoided is None else avoided | ~stays
        work.expect(2 * len(units))  # passages and scores; the results of `clean` stay
    own = settled
    verdicts = Verdicts(documents, scores, low, clusters, own)
    record = _write(verdicts, folder) | _found(documents) | {"counts": counts(documents, scores, verdicts.tally)}
    record |= {"valued": went(documents, scores, low)}
    write_index(folder, documents.sketches, documents.ids, clusters.kept & ~low, own.duplicates)
    if not before:
        record |= {"languages": asdict(languages), "education": learned}
        record |= _shown(verdicts.tally, raw, params, own) if setting.shows else {}
    write_json(folder / RECORD, record)


def read_record(folder: Path) -> dict[str, Any]:
    """The counts of an increment."""
    return read_json(folder / RECORD, REMEDY, REMEDY)


def _write(verdicts: Verdicts, folder: Path) -> dict[str, Any]:
    """Write documents and ledger; returns their counts."""
    kinds: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    size = 0
    with DocumentWriter(folder) as writer, LedgerWriter(folder / LEDGER) as ledger:
        for verdict in verdicts:
            if isinstance(verdict, Drop):
                ledger.write(verdict)
                rules[verdict.rule] += 1
            else:
                writer.write(verdict)
                kinds[verdict.kind] += 1
                size += len(verdict.text.encode())
    documents = verdicts.documents
    rows_in = sum(documents.figures(number)["documents"] for number in range(len(documents.folders)))
    check_balance(STEP, rows_in, writer.rows, ledger.rows)
    return {"in": rows_in, "kept": kinds, "bytes": size, "dropped": rules}


def _found(documents: Cleaned) -> dict[str, Any]:
    """Counts of redactions and cuts, and the documents that contain benchmark items."""
    redacted: Counter[str] = Counter()
    hits: list[Any] = []
    passages: Counter[str] = Counter()
    checked = 0
    for number in range(len(documents.folders)):
        figures = documents.figures(number)
        redacted.update(figures["redacted"])
        checked += figures["checked"]
        hits += figures["hits"]
        passages.update(figures.get("passages", {}))
    return {"redacted": redacted, "checked": checked, "hits": hits, "passages": passages}


def _shown(tally: Tally, raw: Sequence[Path], params: Params, own: CurationParams) -> dict[str, Any]:
    """The samples of the data page."""
    excerpts, dropped = read_raw(raw, tally, own)
    rates = token_rates(tally, dropped, params.tokenization.vocab_size)
    return {"rates": rates.as_json(), "samples": samples(tally, excerpts, own)}
